"""Gaussian splatting: the time of a step, and how good the views held out are after how many minutes.

    python benchmarks/splat.py --data FOLDER [--json FILE] [--quick] [--only CASE ...]

FOLDER holds scenes (or folders of scenes, as ../shared/data does). One with a transforms_train.json is trained with the
poses it has, before white, from 47,000 random points in the visual hull of its alpha; its cases are `SCENE-400` (6
minutes with photos reduced to 400 pixels), `SCENE-400-15min`, and `SCENE-800` (one minute, for the time of a step). One
with a folder `images` is reconstructed by geo3d and then trained for 10 minutes with photos at a quarter of their size;
its case is `SCENE`. `random-100k` renders 100,000 random Gaussians at 800x533; `first-frame` does so once, as a new
process with no kernel compiled yet (`seconds`, from the start of Python).

Of the photos every 8th is held out. Figures: `psnr_db` and `ssim` on those, `ms_per_step` (all of the training's time
by its steps), `seconds`, `steps`, `gaussians`, `memory_gib` (peak of the process, each case has its own), `forward_ms`
and `forward_backward_ms` (medians). `--quick` trains for a tenth of the time. `--scenes FOLDER` keeps the
reconstructions there, and takes those that it finds.

Peers: OpenSplat has to be built from C++ sources with CMake and OpenCV, and gsplat needs a GPU; neither is run.
"""

import json
import os
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
    "psnr_db", "ssim", "ms_per_step", "steps", "gaussians", "seconds", "memory_gib", "forward_ms",
    "forward_backward_ms",
)  # fmt: skip


def find_cases(data: Path) -> dict[str, dict]:
    """Case to what has to be done: scene folder, size, minutes."""
    cases: dict[str, dict] = {"random-100k": {"repeats": 15}, "first-frame": {"repeats": 0}}
    folders = [
        data,
        *sorted(p for p in data.rglob("*") if p.is_dir() and len(p.relative_to(data).parts) <= 2),
    ]
    for folder in folders:
        name = folder.name
        if (folder / "transforms_train.json").is_file():
            for case, side, minutes in (
                (f"{name}-400", 400, 6),
                (f"{name}-400-15min", 400, 15),
                (f"{name}-800", 800, 1),
            ):
                cases[case] = {"scene": str(folder), "side": side, "minutes": minutes}
        elif (folder / "images").is_dir():
            cases[name] = {"photos": str(folder / "images"), "downscale": 4.0, "minutes": 10}
    return cases


def render_random(
    repeats: int, count: int = 100_000, width: int = 800, height: int = 533
) -> dict[str, float]:
    """Median times of a picture and of its gradient; without repeats the time of one picture from a process's start."""
    from geo3d.cameras import Camera
    from geo3d.geometry import SE3
    from geo3d.scene import Gaussians
    from geo3d.splat.options import RenderOptions
    from geo3d.splat.rasterizer import CpuRasterizer

    rng = np.random.default_rng(0)
    f = np.float32
    opacity = rng.uniform(0.05, 0.99, count)
    sh = np.zeros((count, 16, 3), f)
    sh[:, 0] = rng.normal(0, 1, (count, 3))
    gaussians = Gaussians(
        rng.uniform(-1, 1, (count, 3)).astype(f),
        rng.normal(size=(count, 4)).astype(f),
        rng.normal(np.log(0.01), 0.5, (count, 3)).astype(f),
        np.log(opacity / (1 - opacity)).astype(f),
        sh,
    )
    camera = Camera("PINHOLE", width, height, [700, 700, width / 2, height / 2])
    pose = SE3(np.eye(3), [0.0, 0.0, 3.0])
    d_color = (rng.normal(size=(height, width, 3)) / (height * width)).astype(f)
    rasterizer, forward, both = CpuRasterizer(), [], []
    if not repeats:
        rasterizer.forward(gaussians, camera, pose, RenderOptions())
        return {"seconds": time.time() - _process_start()}
    for repeat in range(repeats + 3):
        start = time.perf_counter()
        rasterizer.forward(gaussians, camera, pose, RenderOptions())
        middle = time.perf_counter()
        rasterizer.backward(d_color)
        if repeat >= 3:  # compilation, buffers
            forward.append(middle - start)
            both.append(time.perf_counter() - start)
    return {
        "forward_ms": 1e3 * statistics.median(forward),
        "forward_backward_ms": 1e3 * statistics.median(both),
    }


def _process_start() -> float:
    """Seconds since 1970 at which this process began."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def train_case(case: dict, scenes: Path, minutes: float) -> dict[str, float]:
    """Train as a case says, and measure."""
    from geo3d.render import load_views
    from geo3d.splat.trainer import train
    from geo3d.splat.training_options import TrainingOptions
    from geo3d.util.progress import LineProgress

    if "photos" in case:
        scene = scenes / Path(case["photos"]).parent.name
        if not (scene / "sparse").is_dir():
            from geo3d.pipeline import reconstruct

            reconstruct(Path(case["photos"]), scene)
        options = TrainingOptions(minutes=minutes, downscale=case["downscale"])
    else:
        scene = Path(case["scene"])
        longest = max(max(v.camera.width, v.camera.height) for v in load_views(scene).views)
        options = TrainingOptions(
            minutes=minutes, downscale=longest / case["side"], background="white", initial_points=47_000
        )
    with tempfile.TemporaryDirectory() as out:
        done = train(scene, out, options, LineProgress(interval_s=20))
    return {
        "psnr_db": float(np.mean([view.psnr_db for view in done.held_out])),
        "ssim": float(np.mean([view.ssim for view in done.held_out])),
        "ms_per_step": 1e3 * done.seconds / done.steps,
        "steps": done.steps,
        "gaussians": len(done.gaussians),
        "seconds": done.seconds,
    }


def worker(name: str, data: Path, scenes: Path, share: float, out: Path) -> None:
    """Run one case in this process."""
    case = find_cases(data)[name]
    trained = "minutes" in case
    found = train_case(case, scenes, case["minutes"] * share) if trained else render_random(case["repeats"])
    found["memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    out.write_text(json.dumps(found))


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "worker":
        name, data, scenes, share, out = sys.argv[2:]
        worker(name, Path(data), Path(scenes), float(share), Path(out))
        return
    parser = make_parser(__doc__ or "", "folder of scenes", "train for a tenth of the time")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="run these cases only")
    parser.add_argument("--scenes", type=Path, metavar="FOLDER", help="keep reconstructions here")
    arguments = parser.parse_args()
    cases = find_cases(arguments.data)
    unknown = set(arguments.only or ()) - set(cases)
    if unknown:
        raise SystemExit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    print_machine()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    print(
        f"{'case':<22}"
        + "".join(f"{column.replace('forward_backward', 'fwd_bwd'):>13}" for column in COLUMNS)
    )
    with tempfile.TemporaryDirectory() as scratch:
        scenes = arguments.scenes or Path(scratch)
        for name in arguments.only or cases:
            out = Path(scratch) / "figures.json"
            share = "0.1" if arguments.quick else "1"
            command = [
                sys.executable,
                __file__,
                "worker",
                name,
                str(arguments.data),
                str(scenes),
                share,
                str(out),
            ]
            environment = dict(os.environ)
            if name == "first-frame":
                environment["NUMBA_CACHE_DIR"] = str(Path(scratch) / "kernels")
            subprocess.run(command, check=True, env=environment)
            found = json.loads(out.read_text())
            figures[name] = {IMPLEMENTATION: found}
            cells = (f"{found[c]:>13.4g}" if c in found else f"{'-':>13}" for c in COLUMNS)
            print(f"{name:<22}" + "".join(cells), flush=True)
            write_figures(arguments.json, figures)
    print(
        "not run: opensplat (has to be built with CMake), gsplat (needs a GPU; benchmarks/splat_cuda.py is for one)"
    )


if __name__ == "__main__":
    main()
