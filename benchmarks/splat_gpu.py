"""Training Gaussian splats on a GPU, with gsplat beside it: is geo3d as good in a quarter of gsplat's time?

    python benchmarks/splat_gpu.py --data FOLDER [--json FILE] [--quick] [--only CASE ...] [--share S] [--seconds S]

FOLDER holds scenes (or folders of scenes): with a transforms_train.json (trained before white from 47,000 random points
in the visual hull; case `SCENE-800`, at 800 pixels), or made by `geo3d reconstruct` (case `SCENE`, photos as large
as they are). Of each, gsplat (`gsplat-default`, `gsplat-mcmc`; where it is installed, see splat_gpu_peer.py) is trained
for `--share` of its 30,000 steps, and after each preset geo3d for a quarter of its seconds, or for `--seconds`.
Every 8th photo is held out. Both begin from the same points and photos, and are measured by the same functions.

Figures: `psnr_db`, `ssim` of the photos held out, `seconds` of training, `steps`, `gaussians`, `memory_gib` (peak of
what torch allocated, photos included). `--quick` takes a tenth of the steps. LPIPS is not reported: its weights have to
be downloaded.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, write_figures

sys.path.insert(0, str(Path(__file__).parents[1]))

PRESETS = ("gsplat-default", "gsplat-mcmc")
QUARTER, SECONDS = 0.25, 30.0
BUDGET = 300_000  # Gaussians of geo3d: about as many as gsplat's default preset ends with


def find_cases(data: Path) -> dict[str, Path]:
    """Case to scene."""
    found = {}
    for folder in [data, *sorted(p for p in data.rglob("*") if p.is_dir())]:
        if (folder / "transforms_train.json").is_file():
            found[f"{folder.name}-800"] = folder
        elif (folder / "sparse").is_dir():
            found[folder.name] = folder
    return found


def options_of(scene: Path, seconds: float):
    """What geo3d is told; the peer takes size, background and starting points from it."""
    from geo3d.splat.training_options import TrainingOptions

    made_up = (scene / "transforms_train.json").is_file()
    more = {"background": "white", "initial_points": 47_000} if made_up else {}
    return TrainingOptions(minutes=seconds / 60, downscale=1.0, budget=BUDGET, backend="cuda", **more)


def train_geo3d(scene: Path, seconds: float) -> dict[str, float]:
    """Train for so long, and measure."""
    import torch

    from geo3d.splat.trainer import train
    from geo3d.util.progress import LineProgress

    with tempfile.TemporaryDirectory() as out:
        done = train(scene, out, options_of(scene, seconds), LineProgress(interval_s=20))
    return {
        "psnr_db": float(np.mean([view.psnr_db for view in done.held_out])),
        "ssim": float(np.mean([view.ssim for view in done.held_out])),
        "seconds": done.seconds,
        "steps": done.steps,
        "gaussians": len(done.gaussians),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def train_gsplat(scene: Path, preset: str, share: float) -> dict[str, float]:
    """Train and measure; prints how good it was on the way."""
    import torch
    from splat_gpu_peer import train

    from geo3d.render import PhotoStream, load_views
    from geo3d.render.evaluation import EvaluationOptions, evaluate
    from geo3d.render.photo_size import chosen_downscale
    from geo3d.splat.training_options import TrainingOptions
    from geo3d.splat.training_photos import behind
    from geo3d.splat.training_start import start
    from geo3d.util.progress import Progress

    views = load_views(scene)
    chosen: TrainingOptions = options_of(scene, 60)
    downscale = chosen_downscale([*views.views, *views.held_out], chosen.downscale)
    photos, poses, intrinsics = [], [], []
    with PhotoStream(views.views, 1 / downscale, behind(chosen), threads=8) as stream:
        for row, photo in stream.in_order(range(len(stream)), 16):
            photos.append(torch.from_numpy(np.rint(255 * photo.color).astype(np.uint8)).cuda())
            poses.append(views.views[row].cam_from_world.matrix4())
            intrinsics.append(photo.camera.K)
    all_poses, all_K = (torch.from_numpy(np.stack(a).astype(np.float32)).cuda() for a in (poses, intrinsics))
    centers = np.stack([view.cam_from_world.center() for view in views.views])
    extent = 1.1 * float(np.linalg.norm(centers - centers.mean(0), axis=1).max())

    def look(render: Any) -> tuple[float, float]:
        def picture(camera: Any, where: Any) -> np.ndarray:
            pose, K = (torch.from_numpy(np.float32(a)).cuda() for a in (where.matrix4(), camera.K))
            return render(pose, K, camera.width, camera.height).clamp(0, 1).cpu().numpy()

        seen = evaluate(
            picture, views.held_out, EvaluationOptions(downscale, behind(chosen), perceptual=False)
        )
        return float(np.mean([v.psnr_db for v in seen])), float(np.mean([v.ssim for v in seen]))

    found = train(
        photos, all_poses, all_K, start(views, chosen, Progress())[0], extent, mcmc=preset == PRESETS[1], share=share,
        background=torch.tensor(behind(chosen), device="cuda"), look=look,
    )  # fmt: skip
    for step, seconds, (psnr, ssim) in found.looks:
        print(f"  {preset}: step {step:,}, {seconds:.1f} s, {psnr:.2f} dB, SSIM {ssim:.4f}", flush=True)
    steps, _, (psnr, ssim) = found.looks[-1]
    return {
        "psnr_db": psnr,
        "ssim": ssim,
        "seconds": found.seconds,
        "steps": steps,
        "gaussians": found.gaussians,
        "memory_gib": found.memory_gib,
    }


class Process:
    """A training in a process of its own, which has imported what it needs before it is told to begin."""

    def __init__(self, implementation: str, scene: Path) -> None:
        self.implementation = implementation
        command = [sys.executable, __file__, "worker", implementation, str(scene)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def run(self, amount: float) -> dict[str, float]:
        """Figures of a training of so many seconds, or of so large a share of the peer's steps; empty if it failed."""
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "figures.json"
            self.process.communicate(f"{amount} {out}\n")
            if self.process.returncode or not out.is_file():
                print(f"{self.implementation} failed, exit code {self.process.returncode}", flush=True)
                return {}
            return json.loads(out.read_text())


def worker(implementation: str, scene: Path) -> None:
    """One training in this process, when a line on the standard input says how long and where to."""
    import torch

    import geo3d.splat.trainer  # noqa: F401

    torch.zeros(1, device="cuda")
    if implementation in PRESETS:
        import gsplat  # noqa: F401  # pyright: ignore[reportMissingImports]
    amount, out = sys.stdin.readline().split()
    if implementation in PRESETS:
        found = train_gsplat(scene, implementation, float(amount))
    else:
        found = train_geo3d(scene, float(amount))
    Path(out).write_text(json.dumps(found))


def main() -> int:
    if len(sys.argv) > 1 and sys.argv[1] == "worker":
        worker(sys.argv[2], Path(sys.argv[3]))
        return 0
    parser = make_parser(__doc__ or "", "folder of scenes", "a tenth of the steps")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases only")
    parser.add_argument("--presets", nargs="*", default=PRESETS, choices=PRESETS, help="of gsplat")
    parser.add_argument("--share", type=float, default=1.0, help="of gsplat's 30,000 steps")
    parser.add_argument("--seconds", type=float, help="of geo3d's trainings")
    arguments = parser.parse_args()
    from geo3d.gpu import why_not

    if (reason := why_not()) is not None:
        print(f"no usable GPU: {reason}")
        return 2
    import torch

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    cases, figures = find_cases(arguments.data), {}
    share = 0.1 * arguments.share if arguments.quick else arguments.share
    for name in arguments.only or cases:
        figures[name] = {}
        for preset in arguments.presets:
            theirs, ours = (Process(label, cases[name]) for label in (preset, "geo3d-cuda"))
            peer = figures[name][preset] = theirs.run(share)
            show(name, preset, peer)
            seconds = arguments.seconds or (QUARTER * peer["seconds"] if peer else SECONDS)
            label = f"geo3d-cuda-{seconds:.0f}s"
            figures[name][label] = ours.run(seconds)
            show(name, label, figures[name][label], peer)
            write_figures(arguments.json, figures)
    return 0


def show(
    case: str, implementation: str, found: dict[str, float], peer: dict[str, float] | None = None
) -> None:
    """One line, with the ratio of the times where there is a peer."""
    cells = "".join(f"  {key} {value:.4g}" for key, value in found.items())
    beside = ""
    if peer and found:
        better, ratio = found["psnr_db"] - peer["psnr_db"], found["seconds"] / peer["seconds"]
        beside = f"  ({better:+.2f} dB in {ratio:.2f} of the time)"
    print(f"{case}  {implementation}{cells}{beside}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
