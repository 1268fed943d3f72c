"""A radiance field on a GPU: every kernel checked against PyTorch and the CPU, timed, and a scene trained.

    python benchmarks/nerf_cuda.py [--data FOLDER] [--scene NAME] [--seconds N ...] [--json FILE]

Needs a GPU that geo3d.gpu can use and a torch with CUDA; no network. First the checks, beside the reference in float32
on the same GPU and beside the numba march: a line `ok` or `DIFFERS` each; the exit code is 1 if one differs, and the
rest follows all the same. Then the time of every kernel in a step of 2^18 samples, its registers and its local memory.
Then each scene found in FOLDER (with a transforms.json, or with sparse/0 as COLMAP leaves it) is trained by
`geo3d.nerf.train` with its defaults, for each of the lengths, with photos of full size. Every 8th view is held out,
and the PSNR is the mean over all of those, at the end of the schedule; before white where there is a
transforms_train.json.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from geo3d.gpu import why_not

DEVICE = "cuda"
SAMPLES = 1 << 18


class Checks:
    """What was compared, and what differed."""

    def __init__(self) -> None:
        self.failed = 0

    def hold(self, what: str, good: bool, found: str) -> None:
        """Print one comparison."""
        self.failed += not good
        print(f"  {'ok     ' if good else 'DIFFERS'}  {what}: {found}", flush=True)

    def near(self, what: str, a: Any, b: Any, most: float) -> None:
        """Norm of the difference over the norm, at most `most`; NaN never passes."""
        a, b = a.detach().double(), b.detach().double()
        value = float((a - b).norm() / b.norm().clamp(min=1e-30))
        self.hold(what, value <= most, f"relative difference {value:.2e} (at most {most:.0e})")

    def close(self, what: str, a: Any, b: Any, most: float) -> None:
        """Largest difference, at most `most`."""
        value = float((a.detach().double() - b.detach().double()).abs().max())
        self.hold(what, value <= most, f"largest difference {value:.2e} (at most {most:.0e})")


def guarded(checks: Checks, part: Callable[..., None], *arguments: Any) -> None:
    """Run a part; what it raises is printed as a check that failed."""
    start = time.perf_counter()
    try:
        part(checks, *arguments)
    except Exception as error:  # what else is there is still worth knowing in a short session on a GPU
        traceback.print_exc(limit=-3)
        checks.hold(part.__name__, False, f"{type(error).__name__}: {error}")
    print(f"  ({part.__name__}: {time.perf_counter() - start:.1f} s)", flush=True)


def lively_field(levels: int, log2_entries: int, finest: int, seed: int = 0) -> Any:
    """A field as in the middle of a training, its numbers halves."""
    import torch

    from geo3d.nerf.cuda_field import CudaField
    from geo3d.nerf.field_parameters import FieldShape, initial_parameters

    shape = FieldShape(levels=levels, log2_entries=log2_entries, finest=finest)
    parameters = initial_parameters(shape, seed=seed)
    rng = np.random.default_rng(seed)
    parameters["grid"] = rng.normal(0, 0.4, parameters["grid"].shape)
    tensors = {name: torch.as_tensor(a).half().float().to(DEVICE) for name, a in parameters.items()}
    return CudaField(shape, tensors), tensors


def random_samples(count: int, seed: int = 0) -> tuple[Any, Any]:
    import torch

    rng = torch.Generator(device=DEVICE).manual_seed(seed)
    positions = torch.rand(count, 3, generator=rng, device=DEVICE)
    directions = torch.randn(count, 3, generator=rng, device=DEVICE)
    return positions, torch.nn.functional.normalize(directions, dim=1)


def in_halves(shape: Any, tensors: dict, positions: Any, directions: Any) -> tuple[Any, Any]:
    """The reference with activations rounded to halves, so that the same neurons are on; gradients pass through."""
    import torch

    from geo3d.nerf.hash_grid import encode, spherical_harmonics, truncated_exp

    def halved(t: Any) -> Any:
        return t + (t.half().to(t.dtype) - t).detach()

    hidden = halved(torch.relu(halved(encode(shape, tensors["grid"], positions)) @ tensors["density_0"]))
    raw = hidden @ tensors["density_1"]
    hidden = halved(torch.cat([raw, spherical_harmonics(directions)], -1))
    hidden = halved(torch.relu(hidden @ tensors["color_0"]))
    hidden = halved(torch.relu(hidden @ tensors["color_1"]))
    return truncated_exp(raw[:, 0]), torch.sigmoid(hidden @ tensors["color_2"])


def check_field(checks: Checks, levels: int, log2_entries: int, finest: int) -> None:
    """Features, density, colour and all gradients, beside autograd."""
    import torch

    from geo3d.nerf.cuda_field import GRADIENT_SCALE, WEIGHTS
    from geo3d.nerf.hash_grid import encode, hash_grid_field

    field, tensors = lively_field(levels, log2_entries, finest)
    count = 70_001
    label = f"{levels} levels"
    positions, directions = random_samples(count)
    pairs = field.encode(positions, torch.tensor([count], dtype=torch.int32, device=DEVICE))
    features = pairs.view(torch.float16).reshape(levels, count, 2).transpose(0, 1).reshape(count, -1)
    checks.near(f"{label}: features", features, encode(field.shape, tensors["grid"], positions), 1e-3)
    density, color = field.forward(positions, directions)
    leaves = {name: t.clone().requires_grad_(True) for name, t in tensors.items()}
    x = positions.clone().requires_grad_(True)
    with torch.no_grad():
        plain = hash_grid_field(field.shape, tensors, positions, directions)
    expected = in_halves(field.shape, leaves, x, directions)
    checks.near(f"{label}: density", density.log(), plain[0].log(), 3e-3)
    checks.close(f"{label}: colour", color, plain[1], 1e-2)
    checks.near(f"{label}: density alone", field.density(positions), density, 1e-6)
    rng = torch.Generator(device=DEVICE).manual_seed(1)
    d_density = torch.randn(count, generator=rng, device=DEVICE) / density
    d_color = torch.randn(count, 3, generator=rng, device=DEVICE)
    d_positions = torch.zeros_like(positions)
    field.backward(d_density * GRADIENT_SCALE, d_color * GRADIENT_SCALE, d_positions)
    ((expected[0] * d_density).sum() + (expected[1] * d_color).sum()).backward()
    checks.near(f"{label}: gradient by grid", field.d_grid / GRADIENT_SCALE, leaves["grid"].grad, 3e-3)
    at = 0
    for name in WEIGHTS:
        gradient = leaves[name].grad
        found = field.d_weights[at : at + gradient.numel()].view(gradient.shape) / GRADIENT_SCALE
        checks.near(f"{label}: gradient by {name}", found, gradient, 3e-3)
        at += gradient.numel()
    checks.near(f"{label}: gradient by positions", d_positions / GRADIENT_SCALE, x.grad, 3e-3)


def ball_grid(resolution: int = 128) -> np.ndarray:
    """Densities of a hollow ball and some crumbs."""
    rng = np.random.default_rng(0)
    at = (np.indices([resolution] * 3) + 0.5) / resolution - 0.5
    radius = np.sqrt((at**2).sum(0))
    dense = (np.abs(radius - 0.3) < 0.03) | (rng.random(radius.shape) < 1e-3)
    return np.where(dense, 100.0, 0.0).astype(np.float32).ravel()


def random_rays(count: int, unbounded: bool, seed: int = 0) -> Any:
    from geo3d.nerf.rays import Rays

    rng = np.random.default_rng(seed)
    origins = 0.5 + rng.normal(size=(count, 3))
    directions = 0.5 + 0.2 * rng.normal(size=(count, 3)) - origins
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    far = np.full(count, 16.0 if unbounded else np.inf)
    single = lambda a: np.asarray(a, np.float32)  # noqa: E731
    near, radii = np.full(count, 0.05, np.float32), np.zeros(count, np.float32)
    return Rays(single(origins), single(directions), near, single(far), radii, np.full(count, -1, np.int32))


def check_march(checks: Checks, unbounded: bool) -> None:
    """Beside the numba kernel in double precision."""
    import torch

    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.cuda_field import launcher
    from geo3d.nerf.cuda_marching import CudaOccupancy
    from geo3d.nerf.occupancy import MarchOptions, OccupancyGrid

    box = SceneBox(unbounded=unbounded)
    label = "unbounded" if unbounded else "bounded"
    gpu, cpu = CudaOccupancy(launcher(), box), OccupancyGrid(box)
    gpu.restore(ball_grid())
    cpu.restore(ball_grid())
    options = MarchOptions(1 / 384, math.inf, 1 / 256 if unbounded else 0.0)
    rays = random_rays(20_000, unbounded)
    jitter = np.random.default_rng(1).random(len(rays), np.float32)
    expected = cpu.march(rays, options, jitter)
    found = gpu.march(rays.torch(DEVICE), options, None, torch.from_numpy(jitter).to(DEVICE))
    ours, theirs = found.offsets.diff().cpu().numpy(), expected.samples.counts
    same = ours == theirs
    checks.hold(
        f"march, {label}: samples of a ray",
        bool(same.mean() > 0.98 and np.abs(ours - theirs).max() <= 4),
        f"{same.mean():.2%} of the rays have as many, {ours.sum()} and {theirs.sum()} in all",
    )
    a = found.positions.cpu().numpy()[same[found.rays.cpu().numpy()]]
    b = expected.positions[same[expected.rays]]
    close = np.abs(a - b).max(1) < 1e-4
    checks.hold(f"march, {label}: positions", bool(close.mean() > 0.98), f"{close.mean():.2%} agree to 1e-4")


def check_volume(checks: Checks) -> None:
    """Pictures, losses and gradients, beside autograd in double precision."""
    import torch

    from geo3d.nerf.cuda_field import GRADIENT_SCALE, launcher
    from geo3d.nerf.cuda_marching import CudaSamples
    from geo3d.nerf.cuda_volume import composite, composite_loss
    from geo3d.nerf.samples import RaySamples
    from geo3d.nerf.volume_rendering import composite as reference
    from geo3d.nerf.volume_rendering import distortion_loss

    rng = np.random.default_rng(3)
    counts = rng.integers(0, 150, 3000)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    total = int(offsets[-1])
    lengths = rng.uniform(0.002, 0.01, total)
    ends = np.concatenate([0.3 + np.cumsum(lengths[a:b]) for a, b in pairwise(offsets)])
    tensor = lambda a: torch.tensor(a, dtype=torch.float32, device=DEVICE)  # noqa: E731
    starts, ends = tensor(ends - lengths), tensor(ends)
    density, color = tensor(rng.exponential(5.0, total)), tensor(rng.random((total, 3)))
    background, target, opacity = (tensor(rng.random(s)) for s in ((3000, 3), (3000, 3), 3000))
    packed = RaySamples(starts, ends, torch.tensor(offsets, device=DEVICE))
    samples = CudaSamples(starts, ends, None, None, packed.offsets, None)
    found, expected = (
        composite(launcher(), samples, density, color, background),
        reference(density, color, packed, background),
    )
    for name in ("color", "alpha", "range", "median_range"):
        checks.close(f"volume: {name}", getattr(found, name), getattr(expected, name), 1e-4)
    loss = composite_loss(
        launcher(), samples, density, color, background, target, opacity, distortion=0.05, least_light=0.0
    )
    first, second = (a.double().requires_grad_(True) for a in (density, color))
    double: Any = RaySamples(starts.double(), ends.double(), packed.offsets)
    shown = reference(first, second, double, background.double())
    wanted = target.double() + (1 - opacity.double())[:, None] * background.double()
    losses = torch.nn.functional.huber_loss(shown.color, wanted, reduction="none", delta=0.1).mean(1) / 0.1
    squeezed = RaySamples(
        double.starts / (1 + double.starts), double.ends / (1 + double.ends), packed.offsets
    )
    losses = losses + 0.05 * distortion_loss(shown.weights, squeezed)
    losses.sum().backward()
    checks.near("volume: losses", loss.losses, losses, 1e-4)
    checks.near("volume: gradient by density", loss.d_density / GRADIENT_SCALE, first.grad, 1e-3)
    checks.near("volume: gradient by colour", loss.d_color / GRADIENT_SCALE, second.grad, 1e-3)


def check_adam(checks: Checks) -> None:
    """Three steps beside torch's."""
    import torch

    from geo3d.nerf.cuda_adam import CudaAdam
    from geo3d.nerf.cuda_field import GRADIENT_SCALE

    field, _ = lively_field(8, 15, 512)
    adam, start = CudaAdam(field), (field.grid.clone(), field.weights.clone())
    leaves = [tensor.clone().requires_grad_(True) for tensor in start]
    peer = torch.optim.Adam(
        [{"params": leaves[:1], "lr": 0.01}, {"params": leaves[1:], "lr": 0.005}],
        betas=(0.9, 0.99),
        eps=1e-15,
    )
    one = torch.ones(1, device=DEVICE)
    for _ in range(3):
        for leaf, gradient in zip(leaves, (field.d_grid, field.d_weights)):
            leaf.grad = torch.randn_like(leaf)
            gradient.copy_(leaf.grad * GRADIENT_SCALE * 100)
        peer.step()
        adam.step(field, one, 100, 0.01, 0.005)
    checks.near("adam: grid", field.grid - start[0], leaves[0] - start[0], 1e-4)
    checks.near("adam: weights", field.weights - start[1], leaves[1] - start[1], 1e-4)
    halves = field.half_grid.clone(), field.half_weights.clone()
    field.refresh()
    same = torch.equal(halves[0], field.half_grid) and torch.equal(halves[1], field.half_weights)
    checks.hold("adam: halves", same, "those of the parameters" if same else "not those of the parameters")
    before = field.grid.clone()
    field.d_grid[:] = 1.0
    adam.step(field, one * float("nan"), 1, 0.01, 0.01)
    still = torch.equal(before, field.grid) and not bool(field.d_grid.any())
    checks.hold("adam: a loss that is no number", still, "moves nothing" if still else "moved the grid")


def check_occupancy(checks: Checks) -> None:
    """Cells drawn, and what they remember."""
    import torch

    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.cuda_field import launcher
    from geo3d.nerf.cuda_marching import CudaOccupancy

    field, _ = lively_field(2, 12, 16)
    grid = CudaOccupancy(launcher(), SceneBox(), 64, thickness=1.0)
    grid.update(field, seed=1)
    corner = torch.stack(torch.meshgrid(*[torch.arange(64.0, device=DEVICE)] * 3, indexing="ij"), -1).reshape(
        -1, 3
    )
    middle = field.density((corner + 0.5) / 64)
    alike = float(torch.corrcoef(torch.stack([middle.log(), grid.densities.log()]))[0, 1])
    checks.hold(
        "occupancy: densities", alike > 0.95, f"correlation with those of the cells' middles {alike:.4f}"
    )
    chosen = torch.empty(50_000, dtype=torch.int32, device=DEVICE)
    places = torch.empty(50_000, 3, device=DEVICE)
    launcher()("occupancy/draw_cells", 196, 256, 50_000, 64, -1, 3, grid.empty, chosen, places)
    back = (places * 64).floor() @ torch.tensor([4096.0, 64.0, 1.0], device=DEVICE)
    share = float((back == chosen).float().mean())
    checks.hold("occupancy: places lie in their cells", share > 0.9999, f"{share:.3%}")
    hit = float((grid.empty.reshape(-1)[chosen[25_000:].long()] == 0).float().mean())
    checks.hold("occupancy: half are drawn from what is occupied", hit > 0.999, f"{hit:.3%}")


def check_exposure(checks: Checks) -> None:
    """Losses before the exposure of photos and their gradients, and Adam of it beside the CPU's."""
    import torch

    from geo3d.nerf.cuda_exposure import CudaExposure
    from geo3d.nerf.cuda_field import GRADIENT_SCALE, launcher
    from geo3d.nerf.cuda_marching import CudaSamples
    from geo3d.nerf.cuda_volume import composite_loss
    from geo3d.nerf.samples import RaySamples
    from geo3d.nerf.volume_rendering import composite as reference
    from geo3d.render.exposure import Exposure

    rng = np.random.default_rng(5)
    rays, each, photos = 2000, 50, 9
    tensor = lambda a: torch.tensor(a, dtype=torch.float32, device=DEVICE)  # noqa: E731
    ends = tensor(np.tile(0.3 + 0.01 * np.arange(1, each + 1), rays))
    offsets = torch.arange(rays + 1, device=DEVICE) * each
    packed = RaySamples(ends - 0.01, ends, offsets)
    samples = CudaSamples(packed.starts, ends, None, None, offsets, None)
    density, color = tensor(rng.exponential(3.0, rays * each)), tensor(rng.random((rays * each, 3)))
    background, target = tensor(rng.random((2, rays, 3)))
    matrices = np.tile(np.eye(3, 4), (photos, 1, 1)) + 0.2 * rng.normal(size=(photos, 3, 4))
    rows = torch.tensor(rng.integers(0, photos, rays), dtype=torch.int32, device=DEVICE)
    found = composite_loss(
        launcher(), samples, density, color, background, target, None, tensor(matrices), rows, least_light=0.0
    )
    leaves = [a.double().requires_grad_(True) for a in (density, color)]
    double: Any = RaySamples(packed.starts.double(), ends.double(), offsets)
    shown = reference(leaves[0], leaves[1], double, background.double()).color
    own = tensor(matrices).double()[rows.long()]
    changed = torch.einsum("rij,rj->ri", own[..., :3], shown) + own[..., 3]
    changed.retain_grad()
    wanted = target.double()
    losses = torch.nn.functional.huber_loss(changed, wanted, reduction="none", delta=0.1).mean(1) / 0.1
    losses.sum().backward()
    checks.near("exposure: losses", found.losses, losses, 1e-4)
    checks.near("exposure: gradient by density", found.d_density / GRADIENT_SCALE, leaves[0].grad, 1e-3)
    checks.near("exposure: gradient by colour", found.d_color / GRADIENT_SCALE, leaves[1].grad, 1e-3)
    checks.near("exposure: gradient by what photos show", found.d_changed, changed.grad, 1e-3)
    ours, theirs = CudaExposure(photos, torch.device(DEVICE)), Exposure(photos)
    host = [a.cpu().numpy() for a in (rows, found.color, found.d_changed)]
    for _ in range(5):
        ours.step(rows, found.color, found.d_changed, 1 / rays, 1e-2)
        theirs.step_rays(host[0], host[1], host[2] / rays, 1e-2)
    moved = torch.from_numpy(theirs.matrices).to(DEVICE) - torch.eye(3, 4, device=DEVICE)
    checks.near("exposure: steps", ours.matrices - torch.eye(3, 4, device=DEVICE), moved, 1e-2)


class OnePhotoSet:
    """In place of a RayPool: the same photos always."""

    def __init__(self, photos: Any) -> None:
        self.photos = photos

    def held(self, step: int) -> Any:
        return self.photos


def check_poses(checks: Checks) -> None:
    """Photos of one scene, given poses that are a little off: these come back, and losses stay numbers."""
    import torch

    from geo3d.cameras import Camera
    from geo3d.geometry import SE3, look_at
    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.cuda_engine import CudaEngine
    from geo3d.nerf.engine import field_shape
    from geo3d.nerf.ray_pool import HeldPhotos
    from geo3d.nerf.scene_bounds import SceneBounds
    from geo3d.nerf.training_options import FieldRates, SampleOptions, TrainingOptions

    rng = np.random.default_rng(2)
    camera = Camera("PINHOLE", 96, 96, [110.0, 110.0, 48.0, 48.0])
    eyes = rng.normal(size=(24, 3))
    right = [look_at(2.2 * eye / np.linalg.norm(eye), [0.0, 0.0, 0.0]) for eye in eyes]
    pictures = [ball_picture(camera, pose) for pose in right]
    held = HeldPhotos(
        np.arange(24, dtype=np.int32), [camera] * 24, np.arange(25) * 96 * 96,
        np.concatenate([color for color, _ in pictures]), np.concatenate([alpha for _, alpha in pictures]), None,
    )  # fmt: skip
    given = [SE3.exp(rng.normal(0, 0.01, 6)) @ pose for pose in right]
    options = TrainingOptions(
        backend="cuda", refine_poses=True, exposure=True, levels=8, log2_entries=15, finest=256,
        rates=FieldRates(poses=2e-3),
        samples=SampleOptions(first=1 << 16, last=1 << 16, steps_per_side=128, grid=64, decay=0.95),
    )  # fmt: skip
    bounds = SceneBounds(SceneBox((0.0, 0.0, 0.0), 2.0), np.zeros(24, np.float32))
    engine = CudaEngine(options, field_shape(options), bounds, given)
    steps = 1500
    pool: Any = OnePhotoSet(held)
    losses = [engine.advance(pool, step, step / steps) for step in range(steps)]
    torch.cuda.synchronize()
    checks.hold(
        "poses: losses", bool(np.isfinite(losses).all()), f"{losses[10]:.4f}, at last {losses[-1]:.4f}"
    )
    motions = engine.arrays()["poses.motions"]
    used = [SE3.from_matrix4(motion) @ pose for motion, pose in zip(motions, given)]
    before, after = (misplaced(camera, poses, right) for poses in (given, used))
    checks.hold("poses: come back", after < 0.5 * before, f"off by {before:.2f} pixels, then {after:.2f}")


def ball_picture(camera: Any, pose: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bytes (P, 3), (P,) of a chequered ball of radius 0.6 around the origin, and alpha."""
    from geo3d.nerf.rays import camera_rays

    rays = camera_rays(camera, pose)
    along = -(rays.origins * rays.directions).sum(1)
    left = 0.36 - (rays.origins**2).sum(1) + along**2
    places = rays.origins + (along - np.sqrt(np.maximum(left, 0)))[:, None] * rays.directions
    shade = 0.5 + 0.4 * np.sin(9 * places)
    hit = left > 0
    return (255 * shade * hit[:, None]).astype(np.uint8), (255 * hit).astype(np.uint8)


def misplaced(camera: Any, poses: Any, right: Any) -> float:
    """Mean distance in the photos of where points of the ball are from where they should be, pixels, once the poses
    are moved together onto the right ones: no photo tells where all of the scene is.
    """
    from geo3d.geometry import umeyama

    found, wanted = (np.array([pose.center() for pose in each]) for each in (poses, right))
    aligned = umeyama(found, wanted)
    points = 0.6 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1.0]])
    moved = aligned.inverse().act(points)
    seen = np.array([camera.project(pose.act(moved)) for pose in poses])
    wanted = np.array([camera.project(pose.act(points)) for pose in right])
    return float(np.linalg.norm(seen - wanted, axis=-1).mean())


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

    def milliseconds(self) -> dict[str, list[float]]:
        """Times by kernel."""
        import torch

        torch.cuda.synchronize()
        found: dict[str, list[float]] = {}
        for kernel, start, end in self.events:
            found.setdefault(kernel, []).append(start.elapsed_time(end))
        return found


def report_resources(checks: Checks) -> None:
    """Registers and local memory of each kernel that was launched: local memory is what did not fit into registers."""
    from geo3d.nerf.cuda_field import launcher

    for name, kernel in sorted(launcher()._kernels.items()):
        told = []
        for what in ("num_regs", "local_size_bytes", "shared_size_bytes"):
            value = getattr(kernel.attributes, what)  # a method in older releases of cuda-core
            told.append(value() if callable(value) else value)
        print(f"  {name:36} {told[0]:4} registers, {told[1]:5} B local, {told[2]:6} B shared")


def time_step(checks: Checks, figures: dict) -> None:
    """Each kernel in a step of 2^18 samples of a grid of 16 levels of 2^19 entries."""
    import torch

    from geo3d.nerf.contraction import SceneBox
    from geo3d.nerf.cuda_adam import CudaAdam
    from geo3d.nerf.cuda_field import CudaField, launcher
    from geo3d.nerf.cuda_marching import CudaOccupancy
    from geo3d.nerf.cuda_volume import composite_loss
    from geo3d.nerf.field_parameters import FieldShape, initial_parameters
    from geo3d.nerf.occupancy import MarchOptions

    shape = FieldShape(levels=16, log2_entries=19, finest=2048)
    timed = TimedLauncher(launcher())
    field = CudaField(shape, initial_parameters(shape), timed)
    adam, grid = CudaAdam(field), CudaOccupancy(timed, SceneBox())
    grid.restore(ball_grid())
    options = MarchOptions(1 / 384, math.inf, 0.0)
    probe = grid.march(random_rays(4096, False).torch(DEVICE), options, None)
    count = int(SAMPLES / (int(probe.count) / 4096))
    rays = random_rays(count, False).torch(DEVICE)
    rng = torch.Generator(device=DEVICE).manual_seed(0)
    jitter = torch.rand(count, generator=rng, device=DEVICE)
    target, background = torch.rand(2, count, 3, generator=rng, device=DEVICE)

    def step() -> None:
        samples = grid.march(rays, options, SAMPLES + (SAMPLES >> 3), jitter)
        density, color = field.forward(samples.positions, rays.directions, samples.rays, samples.count)
        found = composite_loss(timed, samples, density, color, background, target)
        field.backward(found.d_density, found.d_color)
        adam.step(field, found.losses.sum(0, keepdim=True), count, 1e-2, 1e-3)

    walls = []
    for repeat in range(25):
        if repeat == 5:
            timed.events.clear()
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        walls.append(1e3 * (time.perf_counter() - start))
    kernels = {name: statistics.median(times) for name, times in timed.milliseconds().items()}
    start = time.perf_counter()
    field.launch = grid.launch = launch = launcher()
    timed.events.clear()
    for _ in range(40):
        samples = grid.march(rays, options, SAMPLES + (SAMPLES >> 3), jitter)
        density, color = field.forward(samples.positions, rays.directions, samples.rays, samples.count)
        found = composite_loss(launch, samples, density, color, background, target)
        field.backward(found.d_density, found.d_color)
        adam.step(field, found.losses.sum(0, keepdim=True), count, 1e-2, 1e-3)
    issued = 1e3 * (time.perf_counter() - start) / 40
    torch.cuda.synchronize()
    flowing = 1e3 * (time.perf_counter() - start) / 40
    print(f"  {count} rays, {int(samples.count)} samples a step")
    for name, value in sorted(kernels.items(), key=lambda pair: -pair[1]):
        print(f"    {name:36} {value:8.3f} ms")
    print(f"    {'all kernels':36} {sum(kernels.values()):8.3f} ms")
    print(
        f"  a step: {statistics.median(walls[5:]):.3f} ms with waiting, {flowing:.3f} ms without, "
        f"{issued:.3f} ms to issue"
    )
    figures["step"] = {"kernels": kernels, "ms_per_step": flowing, "samples": int(samples.count)}


def train_scene(checks: Checks, folder: Path, seconds: float, figures: dict) -> None:
    """What `geo3d train FOLDER --method nerf` does, for so long, with photos of full size."""
    import torch

    from geo3d.nerf import TrainingOptions, model_renderer, train
    from geo3d.render import load_views
    from geo3d.util.progress import LineProgress

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    synthetic = (folder / "transforms_train.json").is_file()
    options = TrainingOptions(
        minutes=seconds / 60,
        downscale=1.0,
        background="white" if synthetic else "random",
        backend="cuda",
        checkpoint_seconds=1e6,
    )
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        done = train(folder, out, options, LineProgress(interval_s=5))
    found = {
        "psnr_db": float(np.mean([view.psnr_db for view in done.held_out])),
        "ssim": float(np.mean([view.ssim for view in done.held_out])),
        "views": len(done.held_out),
        "seconds": done.seconds,
        "wall_s": time.perf_counter() - begun,
        "steps": done.steps,
        "ms_per_step": 1e3 * done.seconds / done.steps,
        "samples_per_s": done.samples / done.seconds,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
    }
    view = load_views(folder, 8).held_out[0]
    render_view = model_renderer(done.model, backend="cuda")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        shown = render_view(view.camera, view.cam_from_world)
        times.append(time.perf_counter() - start)
    found["render_ms"] = 1e3 * min(times)
    figures.setdefault(folder.name, {})[f"geo3d-cuda-{seconds:g}s"] = found
    for name, value in found.items():
        print(f"    {name:<14} {value:14.4g}")
    checks.hold(
        f"{folder.name}, {seconds:g} s: trained",
        done.stopped == "" and found["psnr_db"] > 18 and bool(np.isfinite(shown.color).all()),
        f"{found['psnr_db']:.2f} dB on {len(done.held_out)} views held out{done.stopped}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder of scenes to train")
    parser.add_argument("--scene", metavar="NAME", help="only this one of them")
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[15.0], help="of each training, one or more"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    arguments = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(f"no usable GPU: {reason}")
        return 2
    import torch

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    checks, figures = Checks(), {}
    guarded(checks, check_field, 16, 19, 2048)
    guarded(checks, check_field, 5, 12, 200)
    guarded(checks, check_march, False)
    guarded(checks, check_march, True)
    guarded(checks, check_volume)
    guarded(checks, check_adam)
    guarded(checks, check_occupancy)
    guarded(checks, check_exposure)
    guarded(checks, check_poses)
    print(f"{checks.failed} checks failed" if checks.failed else "all checks hold", flush=True)
    guarded(checks, time_step, figures)
    guarded(checks, report_resources)
    if arguments.data is not None:
        marks = "transforms*.json", "sparse/0"
        scenes = {path for mark in marks for path in arguments.data.glob(f"*/{mark}")}
        folders = {path.parent if path.suffix else path.parents[1] for path in scenes}
        for folder in sorted(folders):
            for seconds in arguments.seconds:
                if arguments.scene is None or folder.name == arguments.scene:
                    print(f"{folder.name}, {seconds:g} s", flush=True)
                    guarded(checks, train_scene, folder, seconds, figures)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
