"""Gaussian splatting on a GPU: every kernel checked against the CPU, then timed, with gsplat beside it.

    python benchmarks/splat_cuda.py [--json FILE] [--quick]

Needs a GPU that geo3d.gpu can use and a torch with CUDA; no data and no network. First the checks: images and gradients
beside the numba kernels and the PyTorch reference, loss, optimiser, sort and order, and reruns bit for bit. A check
that fails is printed and makes the exit code 1; the times follow all the same. Then, for 100,000 Gaussians at 800x533
and a million at 1600x1066 (`random-100k`, `random-1m`): `forward_ms`, `forward_backward_ms`, `step_ms` (with loss and
optimiser; the launches' own time is in it), medians, and `memory_gib`, the peak that torch allocated in a step. gsplat,
where it is installed, renders the same Gaussians in the same run (its step: its L1 loss, SSIM as torch has it, and
torch's fused Adam). `kernels` gives each of our kernels' time in a step. `--quick` leaves out the million.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.gpu import why_not
from geo3d.scene import Gaussians
from geo3d.splat.options import RenderOptions

NAMES = ("means", "quaternions", "log_scales", "logit_opacities", "sh")
IMAGES = ("color", "alpha", "depth", "median_depth", "normals")
POSE = SE3(np.eye(3), [0.0, 0.0, 3.0])
REPEATS = 20
DEVICE = "cuda"


def synchronize() -> None:
    """Wait for the GPU."""
    import torch

    torch.cuda.synchronize()


class Checks:
    """What was compared, and what differed."""

    def __init__(self) -> None:
        self.failed = 0

    def hold(self, what: str, good: bool, found: str) -> None:
        """Print one comparison."""
        self.failed += not good
        print(f"  {'ok' if good else 'DIFFERS'}  {what}: {found}", flush=True)

    def close(self, what: str, a: Any, b: Any, most: float) -> None:
        """Largest difference of two arrays, at most `most`."""
        worst = float(np.abs(array(a) - array(b)).max(initial=0.0))
        self.hold(what, worst < most, f"largest difference {worst:.3g} (at most {most:.3g})")

    def correlated(self, what: str, a: Any, b: Any) -> None:
        """Correlation of two gradients, at least 0.999."""
        a, b = array(a).ravel(), array(b).ravel()
        value = float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))
        self.hold(what, value > 0.999, f"correlation {value:.7f}")


def array(a: Any) -> np.ndarray:
    """float64, from a tensor or an array."""
    return np.asarray(a.detach().cpu() if hasattr(a, "detach") else a, np.float64)


def random_gaussians(count: int, antialiased: bool = False, seed: int = 0) -> Gaussians:
    """The random scene of benchmarks/splat.py, smaller Gaussians where there are more."""
    rng = np.random.default_rng(seed)
    opacity = rng.uniform(0.05, 0.99, count)
    sh = rng.normal(0, 0.1, (count, 16, 3))
    sh[:, 0] = rng.normal(0, 1, (count, 3))
    size = 0.01 * (1e5 / count) ** (1 / 3)
    parts = (
        rng.uniform(-1, 1, (count, 3)), rng.normal(size=(count, 4)), rng.normal(np.log(size), 0.5, (count, 3)),
        np.log(opacity / (1 - opacity)), sh,
    )  # fmt: skip
    return Gaussians(*(np.ascontiguousarray(p, np.float32) for p in parts), antialiased=antialiased)


def on_gpu(g: Gaussians) -> Gaussians:
    import torch

    return Gaussians(*(torch.from_numpy(getattr(g, n)).to(DEVICE) for n in NAMES), antialiased=g.antialiased)


def camera_of(width: int, height: int) -> Camera:
    return Camera("PINHOLE", width, height, [0.875 * width, 0.875 * width, width / 2, height / 2])


def check_rendering(checks: Checks) -> None:
    """Beside the CPU's kernels on a middling scene, beside the reference on a small one, and beside itself."""
    import torch

    from geo3d.splat.cuda_rasterizer import CudaRasterizer
    from geo3d.splat.rasterizer import CpuRasterizer
    from geo3d.splat.reference import render_reference

    rng = np.random.default_rng(1)
    gpu, cpu = CudaRasterizer(), CpuRasterizer(absolute_gradients=True)
    for count, antialiased, size in ((20_000, False, (400, 267)), (3_000, True, (161, 93))):
        g, camera = random_gaussians(count, antialiased), camera_of(*size)
        for options in (RenderOptions(), RenderOptions(depth=True), RenderOptions(depth=True, normals=True)):
            words = [f"{count} Gaussians", *(w for w in ("depth", "normals") if getattr(options, w))]
            label = ", ".join([*words, *(["antialiased"] if antialiased else [])])
            theirs, ours = (
                cpu.forward(g, camera, POSE, options),
                gpu.forward(on_gpu(g), camera, POSE, options),
            )
            slopes = {
                name: rng.normal(size=getattr(theirs, name).shape).astype(np.float32)
                for name in IMAGES
                if name != "median_depth" and getattr(theirs, name) is not None
            }
            for name in IMAGES:
                if getattr(theirs, name) is not None:
                    if name in ("color", "alpha"):
                        checks.close(f"{label}: {name}", getattr(ours, name), getattr(theirs, name), 2 / 255)
                    else:
                        away = np.abs(array(getattr(ours, name)) - array(getattr(theirs, name))) > 1e-3
                        checks.hold(
                            f"{label}: {name}", away.mean() < 2e-3, f"{away.mean():.2%} differ by 1e-3"
                        )
            order = ("color", "alpha", "depth", "normals")
            expected = cpu.backward(*(slopes.get(name) for name in order))
            tensors = [
                None if name not in slopes else torch.from_numpy(slopes[name]).to(DEVICE) for name in order
            ]
            found = gpu.backward(*tensors)
            for name in (*NAMES, "pose", "mean2d", "mean2d_abs"):
                checks.correlated(
                    f"{label}: gradient by {name}", getattr(found, name), getattr(expected, name)
                )
            again_images, again = gpu.forward(on_gpu(g), camera, POSE, options), gpu.backward(*tensors)
            same = torch.equal(ours.color, again_images.color) and all(
                torch.equal(getattr(found, name), getattr(again, name)) for name in (*NAMES, "pose", "mean2d")
            )
            checks.hold(f"{label}: a rerun", same, "the same bits" if same else "other bits")

    g, camera = random_gaussians(300, seed=2), camera_of(61, 43)
    g.log_scales[:] += 1.5
    options = RenderOptions(background=(0.2, 0.5, 0.9), depth=True, normals=True)
    leaves = [torch.from_numpy(getattr(g, n)).double().requires_grad_(True) for n in NAMES]
    expected = render_reference(Gaussians(*leaves), camera, torch.from_numpy(POSE.matrix4()), options)
    found = gpu.forward(on_gpu(g), camera, POSE, options)
    slope = torch.from_numpy(rng.normal(size=(43, 61, 3)))
    (expected.color * slope).sum().backward()
    checks.close("300 Gaussians beside the reference: color", found.color, expected.color, 2 / 255)
    gradients = gpu.backward(slope.float().to(DEVICE))
    for name, leaf in zip(NAMES, leaves):
        checks.correlated(
            f"300 Gaussians beside the reference: gradient by {name}", getattr(gradients, name), leaf.grad
        )


def check_training(checks: Checks) -> None:
    """Loss, optimiser, sort and order."""
    import torch

    from geo3d.splat import cuda_loss, loss
    from geo3d.splat.adam import LearningRates, SparseAdam
    from geo3d.splat.cuda_adam import CudaAdam
    from geo3d.splat.cuda_frame import _sort_by_tile
    from geo3d.splat.cuda_order import morton_order
    from geo3d.splat.cuda_rasterizer import CudaRasterizer
    from geo3d.splat.options import GaussianGradients

    gpu = CudaRasterizer()
    rng = np.random.default_rng(3)
    image, target = rng.random((2, 267, 401, 3), np.float32)
    mask = (rng.random((267, 401)) > 0.3).astype(np.float32)
    for label, m in (("loss", None), ("loss with a mask", mask)):
        expected = loss.photometric_loss(image, target, m)
        tensors = [None if a is None else torch.from_numpy(a).to(DEVICE) for a in (image, target, m)]
        found = cuda_loss.photometric_loss(gpu.launch, *tensors)
        checks.close(label, found.loss, expected.loss, 1e-5)
        checks.correlated(f"{label}: gradient", found.d_image, expected.d_image)

    g, camera, rates = random_gaussians(20_000), camera_of(400, 267), LearningRates(means=1e-3)
    ours, adam, peer = on_gpu(g), None, SparseAdam(g)
    adam = CudaAdam(ours)
    slope = torch.from_numpy(rng.normal(size=(267, 400, 3)).astype(np.float32)).to(DEVICE)
    gpu.forward(ours, camera, POSE)
    gradients = gpu.backward(slope)
    start = {name: getattr(g, name).copy() for name in NAMES}
    adam.step(gpu.launch, ours, gpu.frame, gpu.image_gradients(slope), rates)
    on_cpu = {k: v.cpu().numpy() for k, v in vars(gradients).items()}
    peer.step(g, GaussianGradients(**on_cpu), rates)
    for name in NAMES:
        checks.correlated(
            f"optimiser: {name}", array(getattr(ours, name)) - start[name], getattr(g, name) - start[name]
        )

    for count, tiles in ((1_000_003, 6700), (300_000, 70_000), (5, 1)):
        keys = torch.randint(0, tiles, (count,), dtype=torch.int32, device=DEVICE)
        values = torch.arange(count, dtype=torch.int32, device=DEVICE)
        expected = torch.sort(keys, stable=True)
        found, moved, _ = _sort_by_tile(gpu.launch, keys, values, tiles)
        same = torch.equal(found, expected.values) and torch.equal(moved.long(), expected.indices)
        checks.hold(
            f"sort of {count} by {tiles} tiles", same, "as torch.sort" if same else "differs from torch.sort"
        )
    order = morton_order(gpu.launch, ours.means)
    checks.hold(
        "Morton's order",
        bool((torch.sort(order).values == torch.arange(len(order), device=DEVICE)).all()),
        "whole",
    )
    steps = (ours.means[order][1:] - ours.means[order][:-1]).norm(dim=1).mean()
    apart = (ours.means[1:] - ours.means[:-1]).norm(dim=1).mean()
    checks.hold(
        "Morton's order", bool(steps < 0.3 * apart), f"neighbours {float(steps / apart):.2f} as far apart"
    )


def median_ms(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median time of a call until the GPU is done, after three that do not count."""
    times = []
    for repeat in range(repeats + 3):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        if repeat >= 3:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def peak_gib(work: Callable[[], Any]) -> float:
    """Peak of what torch allocates while `work` runs, with what was there before."""
    import torch

    synchronize()
    torch.cuda.reset_peak_memory_stats()
    work()
    synchronize()
    return torch.cuda.max_memory_allocated() / 2**30


class TimedLauncher:
    """A launcher that measures each kernel by events."""

    def __init__(self, launch: Any) -> None:
        self.launch, self.device = launch, launch.device
        self.events: list[tuple[str, Any, Any]] = []

    def __call__(self, kernel: str, grid: int, block: int, *arguments: Any) -> None:
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self.launch(kernel, grid, block, *arguments)
        end.record()
        self.events.append((kernel, start, end))

    def milliseconds(self) -> dict[str, float]:
        """Sum by kernel."""
        synchronize()
        found: dict[str, float] = {}
        for kernel, start, end in self.events:
            found[kernel] = found.get(kernel, 0.0) + start.elapsed_time(end)
        return found


def time_ours(g: Gaussians, camera: Camera) -> tuple[dict[str, float], dict[str, float]]:
    """Figures, and each kernel's time in one step."""
    import torch

    from geo3d.splat.adam import LearningRates
    from geo3d.splat.cuda_adam import CudaAdam
    from geo3d.splat.cuda_loss import photometric_loss
    from geo3d.splat.cuda_order import morton_order
    from geo3d.splat.cuda_rasterizer import CudaRasterizer, launcher

    moved = on_gpu(g)
    order = morton_order(launcher(), moved.means)
    moved = Gaussians(*(getattr(moved, n)[order].contiguous() for n in NAMES), antialiased=g.antialiased)
    adam, rates = CudaAdam(moved), LearningRates(means=0.0, sh_0=0.0)
    target = torch.rand(camera.height, camera.width, 3, device=DEVICE)
    d_color = torch.randn_like(target) / target.numel()

    def step(rasterizer: CudaRasterizer) -> None:
        image = rasterizer.forward(moved, camera, POSE).color
        compared = photometric_loss(rasterizer.launch, image, target)
        gradients = rasterizer.image_gradients(compared.d_image)
        adam.step(rasterizer.launch, moved, rasterizer.frame, gradients, rates)

    def both(rasterizer: CudaRasterizer) -> None:
        rasterizer.forward(moved, camera, POSE)
        rasterizer.backward(d_color)

    rasterizer = CudaRasterizer()
    figures = {
        "forward_ms": median_ms(lambda: rasterizer.forward(moved, camera, POSE, differentiable=False)),
        "forward_backward_ms": median_ms(lambda: both(rasterizer)),
        "step_ms": median_ms(lambda: step(rasterizer)),
        "memory_gib": peak_gib(lambda: step(rasterizer)),
    }
    assert rasterizer.frame is not None
    figures["instances"] = len(rasterizer.frame.instances)
    timed = TimedLauncher(launcher())
    step(CudaRasterizer(timed))
    return figures, timed.milliseconds()


def time_gsplat(g: Gaussians, camera: Camera) -> dict[str, float]:
    """gsplat on the same Gaussians; empty where it is not installed."""
    try:
        import gsplat
    except ImportError:
        return {}
    import torch

    parts = [torch.from_numpy(getattr(g, n)).to(DEVICE).requires_grad_(True) for n in NAMES]
    means, quaternions, log_scales, logits, sh = parts
    pose = torch.from_numpy(POSE.matrix4()).float().to(DEVICE)[None]
    K = torch.from_numpy(camera.K).float().to(DEVICE)[None]
    target = torch.rand(camera.height, camera.width, 3, device=DEVICE)
    d_color = torch.randn_like(target) / target.numel()
    adam = torch.optim.Adam(parts, lr=0.0, eps=1e-15, fused=True)
    line = torch.exp(-0.5 * (torch.arange(-5, 6, device=DEVICE) / 1.5) ** 2)
    window = (line / line.sum())[:, None] @ (line / line.sum())[None]

    def ssim(x: Any, y: Any) -> Any:
        stacked = torch.stack([x, y, x * x, y * y, x * y]).permute(0, 3, 1, 2)
        mx, my, xx, yy, xy = torch.nn.functional.conv2d(
            stacked, window.expand(3, 1, 11, 11), padding=5, groups=3
        )
        a = (2 * mx * my + 1e-4) * (2 * (xy - mx * my) + 9e-4)
        return (a / ((mx * mx + my * my + 1e-4) * (xx - mx * mx + yy - my * my + 9e-4))).mean()

    def forward() -> Any:
        image, _, _ = gsplat.rasterization(
            means, quaternions, torch.exp(log_scales), torch.sigmoid(logits), sh, pose, K, camera.width,
            camera.height, near_plane=0.01, sh_degree=3, packed=False,
        )  # fmt: skip
        return image[0]

    def alone() -> None:
        with torch.no_grad():
            forward()

    def step() -> None:
        image = forward()
        (0.8 * (image - target).abs().mean() + 0.2 * (1 - ssim(image, target))).backward()
        adam.step()
        adam.zero_grad(set_to_none=True)

    return {
        "forward_ms": median_ms(alone),
        "forward_backward_ms": median_ms(lambda: forward().backward(d_color)),
        "step_ms": median_ms(step),
        "memory_gib": peak_gib(step),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="leave out the million")
    arguments = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(f"no usable GPU: {reason}")
        return 2
    import torch

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    checks = Checks()
    for part in (check_rendering, check_training):
        try:
            part(checks)
        except Exception as error:  # what else is there is still worth knowing in a short session on a GPU
            checks.hold(part.__name__, False, f"{type(error).__name__}: {error}")
    print(f"{checks.failed} checks failed" if checks.failed else "all checks hold", flush=True)

    figures: dict[str, dict[str, dict[str, float]]] = {}
    cases = [("random-100k", 100_000, 800, 533), ("random-1m", 1_000_000, 1600, 1066)]
    for name, count, width, height in cases[: 1 if arguments.quick else None]:
        g, camera = random_gaussians(count), camera_of(width, height)
        ours, kernels = time_ours(g, camera)
        figures[name] = {"geo3d-cuda": ours, "kernels": kernels}
        torch.cuda.empty_cache()
        theirs = time_gsplat(g, camera)
        torch.cuda.empty_cache()
        if theirs:
            figures[name]["gsplat"] = theirs
        print(f"{name}, {width}x{height}")
        for figure, value in ours.items():
            beside = (
                f"   gsplat {theirs[figure]:.3f} ({theirs[figure] / value:.2f} x)" if figure in theirs else ""
            )
            print(f"  {figure:20} {value:10.3f}{beside}")
        for kernel, value in sorted(kernels.items(), key=lambda pair: -pair[1]):
            print(f"    {kernel:40} {value:8.3f} ms")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
