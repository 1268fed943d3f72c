"""Radiance fields: the rate of the field alone, and how good the views held out are after how many minutes.

    python benchmarks/nerf.py --data FOLDER [--json FILE] [--quick] [--only CASE ...]

FOLDER holds scenes (or folders of scenes, as ../shared/data/nerf does). One with a transforms_train.json is trained
with photos reduced to 400 pixels, and measured before white: `SCENE-400` for 5 minutes, `SCENE-400-15min` for 15. One
with a transforms.json is trained for 10 minutes with photos at a quarter of their size: `SCENE`. `field` has no scene:
131,072 random samples through the field, their gradient, and a step of Adam.

Of the photos every 8th is held out. Figures: `psnr_db` and `ssim` on those, `seconds` (of the training, without
compiling and measuring), `samples_per_s` (samples that were evaluated and differentiated, by all of the training's
time), `ms_per_step`, `steps`, `memory_gib` (peak of the process, each case has its own), and for `field` `forward_ms`,
`backward_ms`, `adam_ms`. The curve of the PSNR of the first view held out against the time is printed below each row,
and in the file as `psnr_db_at_SECONDS`. `--quick` trains for a tenth of the time.

Peers: nerfacc's and instant-ngp's examples need a GPU; benchmarks/nerf_cuda.py is for one.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import make_parser, print_machine, write_figures

IMPLEMENTATION = "geo3d-cpu"
COLUMNS = (
    "psnr_db", "ssim", "seconds", "samples_per_s", "ms_per_step", "steps", "memory_gib", "forward_ms", "backward_ms",
    "adam_ms",
)  # fmt: skip


def find_cases(data: Path) -> dict[str, dict]:
    """Case to what has to be done: scene folder, how photos are reduced, minutes."""
    cases: dict[str, dict] = {"field": {}}
    folders = [
        data,
        *sorted(p for p in data.rglob("*") if p.is_dir() and len(p.relative_to(data).parts) <= 2),
    ]
    for folder in folders:
        name = folder.name
        if (folder / "transforms_train.json").is_file():
            for case, minutes in ((f"{name}-400", 5), (f"{name}-400-15min", 15)):
                cases[case] = {"scene": str(folder), "side": 400, "background": "white", "minutes": minutes}
        elif (folder / "transforms.json").is_file():
            cases[name] = {"scene": str(folder), "downscale": 4.0, "background": "random", "minutes": 10}
    return cases


def time_field(repeats: int = 9, count: int = 1 << 17) -> dict[str, float]:
    """Median times of a step of the field alone."""
    from geo3d.nerf.adam import Adam
    from geo3d.nerf.cpu_field import CpuField
    from geo3d.nerf.field_parameters import FieldShape, initial_parameters

    rng, shape = np.random.default_rng(0), FieldShape()
    parameters = initial_parameters(shape)
    field, adam = CpuField(shape, parameters), Adam(parameters)
    directions = rng.normal(size=(count, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # Along rays, as in training: 32 neighbours in a row.
    starts = rng.random((count // 32, 1, 3), np.float32)
    along = np.linspace(0, 0.1, 32, dtype=np.float32)[None, :, None] * directions[::32, None]
    positions = np.ascontiguousarray(np.clip(starts + along, 0, 1).reshape(-1, 3))
    d_density = rng.normal(size=count).astype(np.float32)
    d_color = rng.normal(size=(count, 3)).astype(np.float32)
    times: dict[str, list[float]] = {"forward_ms": [], "backward_ms": [], "adam_ms": []}
    for repeat in range(repeats + 2):
        marks = [time.perf_counter()]
        field.forward(positions, directions)
        marks.append(time.perf_counter())
        gradients = field.backward(d_density, d_color)
        marks.append(time.perf_counter())
        adam.step(parameters, gradients, dict.fromkeys(gradients, 1e-3))
        marks.append(time.perf_counter())
        if repeat >= 2:  # compilation, buffers
            for name, spent in zip(times, np.diff(marks)):
                times[name].append(1e3 * spent)
    found = {name: statistics.median(spent) for name, spent in times.items()}
    return found | {"samples_per_s": 1e3 * count / sum(found.values())}


def train_case(case: dict, minutes: float) -> dict[str, float]:
    """Train as a case says, and measure."""
    from geo3d.nerf import TrainingOptions, train
    from geo3d.render import load_views
    from geo3d.util.progress import LineProgress

    scene = Path(case["scene"])
    longest = max(max(v.camera.width, v.camera.height) for v in load_views(scene).views)
    options = TrainingOptions(
        minutes=minutes,
        downscale=case.get("downscale") or longest / case["side"],
        background=case["background"],
        checkpoint_seconds=max(10.0, 6.0 * minutes),
        backend="cpu",
    )
    with tempfile.TemporaryDirectory() as out:
        done = train(scene, out, options, LineProgress(interval_s=20))
    found = {
        "psnr_db": float(np.mean([view.psnr_db for view in done.held_out])),
        "ssim": float(np.mean([view.ssim for view in done.held_out])),
        "seconds": done.seconds,
        "samples_per_s": done.samples / done.seconds,
        "ms_per_step": 1e3 * done.seconds / done.steps,
        "steps": done.steps,
    }
    return found | {f"psnr_db_at_{seconds:.0f}": psnr for seconds, psnr in done.curve}


def worker(name: str, data: Path, share: float, out: Path) -> None:
    """Run one case in this process."""
    case = find_cases(data)[name]
    found = train_case(case, case["minutes"] * share) if "minutes" in case else time_field()
    found["memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    out.write_text(json.dumps(found))


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "worker":
        name, data, share, out = sys.argv[2:]
        worker(name, Path(data), float(share), Path(out))
        return
    parser = make_parser(__doc__ or "", "folder of scenes", "train for a tenth of the time")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="run these cases only")
    arguments = parser.parse_args()
    cases = find_cases(arguments.data)
    unknown = set(arguments.only or ()) - set(cases)
    if unknown:
        raise SystemExit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    print_machine()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'case':<18}" + "".join(f"{column:>14}" for column in COLUMNS))
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only or cases:
            out = Path(scratch) / "figures.json"
            share = "0.1" if arguments.quick else "1"
            command = [sys.executable, __file__, "worker", name, str(arguments.data), share, str(out)]
            subprocess.run(command, check=True)
            found = json.loads(out.read_text())
            figures[name] = {IMPLEMENTATION: found}
            cells = (f"{found[c]:>14.4g}" if c in found else f"{'-':>14}" for c in COLUMNS)
            print(f"{name:<18}" + "".join(cells), flush=True)
            curve = [
                (k.removeprefix("psnr_db_at_"), v) for k, v in found.items() if k.startswith("psnr_db_at_")
            ]
            if curve:
                print(
                    "  PSNR of the first view held out: "
                    + ", ".join(f"{psnr:.1f} dB at {s} s" for s, psnr in curve)
                )
            write_figures(arguments.json, figures)
    print("not run: nerfacc, instant-ngp (need a GPU; benchmarks/nerf_cuda.py is for one)")


if __name__ == "__main__":
    main()
