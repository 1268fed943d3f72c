"""Training on the GPU's kernels, in the emulator, beside training on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io import write_transforms
from geo3d.scene import Gaussians, Reconstruction, View
from geo3d.splat import cuda_rasterizer, rendering, trainer
from geo3d.splat.cuda_engine import CudaEngine
from geo3d.splat.cuda_frame import KERNELS
from geo3d.splat.engine import CpuEngine, StepInput
from geo3d.splat.options import RenderOptions
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.training_options import DensifyOptions, TrainingOptions
from geo3d.splat.training_state import find_state, restore, save_state
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

NAMES = ("means", "quaternions", "log_scales", "logit_opacities", "sh")
CAMERA = Camera("PINHOLE", 40, 32, [40.0, 40.0, 20.0, 16.0])
POSE = SE3.exp([0.0, 0.0, 3.0, 0.0, 0.1, 0.0])
STILL = DensifyOptions(noise=0.0)


def gaussians(n: int = 80, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    parts = (
        rng.normal(size=(n, 3)) * 0.7, rng.normal(size=(n, 4)), rng.normal(size=(n, 3)) * 0.3 - 2.0,
        rng.normal(size=n), rng.normal(size=(n, 4, 3)) * 0.3,
    )  # fmt: skip
    return Gaussians(*(np.ascontiguousarray(p, np.float32) for p in parts))


def photo(row: int = 0, masked: bool = False, points: int = 0) -> StepInput:
    rng = np.random.default_rng(row)
    mask = rng.random((32, 40)) > 0.2 if masked else None
    color = rng.random((32, 40, 3), np.float32)
    background = np.array([0.1, 0.2, 0.3], np.float32)
    return StepInput(row, color, mask, background, CAMERA, POSE, rng.normal(size=(points, 3)) * 0.5)


def engines(options: TrainingOptions, g: Gaussians | None = None) -> tuple[CpuEngine, CudaEngine]:
    g = g or gaussians()
    g = replace(g, antialiased=options.antialiased)
    copy = Gaussians(*(getattr(g, name).copy() for name in NAMES), antialiased=options.antialiased)
    filters = [Smoothing([CAMERA], [POSE]) if options.antialiased else None for _ in range(2)]
    launch = EmulatedLauncher(KERNELS)
    return CpuEngine(g, options, 2.0, 3, filters[0]), CudaEngine(
        copy, options, 2.0, 3, filters[1], launch=launch
    )


def compare(cpu: CpuEngine, gpu: CudaEngine, start: Gaussians, share: float = 0.02) -> None:
    """Both moved alike: Adam's first steps turn a gradient near zero into a full step of either sign."""
    for name in NAMES:
        a, b, c = (getattr(g, name) for g in (cpu.gaussians, gpu.gaussians, start))
        assert np.corrcoef((a - c).ravel(), (b - c).ravel())[0, 1] > 1 - share, name


@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions(iterations=100, strategy="absgrad", opacity_weight=0.01, scale_weight=0.01),
        TrainingOptions(iterations=100, strategy="multiview", exposure=True, refine_poses=True),
        TrainingOptions(iterations=100, strategy="mcmc", densify=STILL, depth_weight=0.1),
        TrainingOptions(iterations=100, strategy="adc", antialiased=True, opacity_weight=0.01),
    ],
    ids=["absgrad", "exposure and poses", "depth", "antialiased"],
)
def test_steps_are_those_of_the_cpu(options):
    start = gaussians()
    cpu, gpu = engines(options)
    for step in range(2):
        seen = photo(step, masked=step == 1, points=30 if options.depth_weight else 0)
        assert gpu.step(seen, step, 0.5) == pytest.approx(cpu.step(seen, step, 0.5), rel=1e-4)
    compare(cpu, gpu, start)
    for name, theirs in vars(cpu.statistics).items():
        ours = getattr(gpu.statistics, name)
        if name == "gradient" and options.depth_weight:
            continue  # the GPU's has the gradient by the depth too: one pass takes both back
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=1e-3 * np.abs(theirs).max())
    if options.refine_poses:
        np.testing.assert_allclose(gpu.poses.motions, cpu.poses.motions, atol=1e-6)
    if options.exposure:
        np.testing.assert_allclose(gpu.exposure.matrices, cpu.exposure.matrices, atol=1e-5)


@pytest.mark.parametrize("strategy", ["mcmc", "multiview"])
def test_the_sky_keeps_its_places(strategy):
    options = TrainingOptions(iterations=100, strategy=strategy)
    gpu = CudaEngine(gaussians(), options, 2.0, 3, launch=EmulatedLauncher(KERNELS), sky=30)
    seen = photo()
    for step in range(2):
        gpu.step(seen, step, 0.2)
    gpu.densify(20, 1, gpu.scores([seen], 0.2) if strategy == "multiview" else None)
    np.testing.assert_array_equal(gpu.gaussians.means[:30], gaussians().means[:30])
    assert not np.array_equal(gpu.gaussians.sh[:30], gaussians().sh[:30])
    assert np.count_nonzero(np.abs(gpu.gaussians.means[30:80] - gaussians().means[30:]).max(axis=1)) > 20


@pytest.mark.parametrize("antialiased", [False, True])
def test_pictures_and_scores_are_those_of_the_cpu(antialiased):
    cpu, gpu = engines(TrainingOptions(iterations=100, strategy="multiview", antialiased=antialiased))
    black = np.zeros(3, np.float32)
    np.testing.assert_allclose(
        gpu.render(CAMERA, POSE, black, 1.0), cpu.render(CAMERA, POSE, black, 1.0), atol=2 / 255
    )
    photos = [photo(0), photo(1, masked=True)]
    theirs, ours = cpu.scores(photos, 0.5), gpu.scores(photos, 0.5)
    assert theirs.error.max() > 0
    np.testing.assert_allclose(ours.error, theirs.error, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours.contribution_px, theirs.contribution_px, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("strategy", ["mcmc", "adc", "absgrad", "multiview"])
def test_the_set_changes_as_on_the_cpu(strategy):
    options = TrainingOptions(iterations=100, strategy=strategy, densify=STILL)
    cpu, gpu = engines(options)
    seen = photo()
    for engine in (cpu, gpu):
        engine.step(seen, 0, 0.2)
    scored = cpu.scores([seen], 0.2) if strategy == "multiview" else None
    theirs, ours = cpu.densify(20, 1, scored), gpu.densify(20, 1, scored)
    assert (ours.added, ours.removed) == (theirs.added, theirs.removed)
    assert gpu.count == cpu.count == len(gpu.adam.steps)
    assert np.array_equal(gpu.adam.steps.numpy(), cpu.adam.steps)
    assert not gpu.statistics.views.any()
    assert gpu.step(seen, 1, 0.3) == pytest.approx(cpu.step(seen, 1, 0.3), rel=1e-2)


def test_what_is_useless_goes_and_opacities_are_reset():
    g = gaussians()
    g.logit_opacities[:5] = -9.0
    cpu, gpu = engines(TrainingOptions(iterations=100), g)
    assert gpu.remove_useless() == cpu.remove_useless() == 5 and gpu.count == 75
    gpu.step(photo(), 0, 0.1)
    gpu.reset_opacities()
    assert gpu.mean_opacity() <= 2 * gpu.options.densify.min_opacity + 1e-6
    assert not gpu.adam.m[:, 10].any() and gpu.adam.m.any()


def test_transparent_gaussians_walk_and_opaque_ones_stay():
    g = gaussians(4000)
    g.logit_opacities[:2000], g.logit_opacities[2000:] = -8.0, 3.0
    g.log_scales[:] = np.log([0.1, 0.2, 0.4])
    g.quaternions[:] = [1, 0, 0, 0]
    gpu = engines(TrainingOptions(iterations=100), g)[1]
    gpu._random_walk(2.0, 7)
    moved = gpu.gaussians.means - g.means
    assert not np.abs(moved[2000:]).max() > 1e-6
    gate = 1 / (1 + np.exp(-100 * (0.005 - 1 / (1 + np.exp(8.0)))))
    np.testing.assert_allclose(moved[:2000].std(axis=0), 2.0 * gate * np.array([0.01, 0.04, 0.16]), rtol=0.08)
    again = engines(TrainingOptions(iterations=100), g)[1]
    again._random_walk(2.0, 7)
    assert np.array_equal(again.gaussians.means, gpu.gaussians.means)


def test_a_loss_that_is_no_number_changes_nothing():
    gpu = engines(TrainingOptions(iterations=100))[1]
    before = gpu.gaussians
    spoilt = photo()
    spoilt.color[3, 4, 1] = np.nan
    assert np.isnan(gpu.step(spoilt, 0, 0.5))
    assert all(np.array_equal(getattr(before, name), getattr(gpu.gaussians, name)) for name in NAMES)


def test_a_state_that_is_read_goes_on_as_the_one_that_was_written(tmp_path):
    options = TrainingOptions(iterations=100, densify=STILL)
    gpu = engines(options)[1]
    gpu.step(photo(0), 0, 0.1)
    save_state(tmp_path / "state.npz", gpu, "key", {"step": 1})
    found = find_state(tmp_path / "state.npz", "key")
    assert found is not None
    again = CudaEngine(gpu.gaussians, options, 2.0, 3, launch=EmulatedLauncher(KERNELS))
    restore(again, found)
    for engine in (gpu, again):
        engine.step(photo(1), 1, 0.2)
    assert all(np.array_equal(getattr(again.gaussians, n), getattr(gpu.gaussians, n)) for n in NAMES)
    assert all(
        np.array_equal(a, b) for a, b in zip(vars(again.statistics).values(), vars(gpu.statistics).values())
    )


@pytest.fixture
def emulated(monkeypatch):
    """Everything that asks for the GPU gets the emulator."""
    launch = EmulatedLauncher(KERNELS)
    monkeypatch.setattr(cuda_rasterizer, "launcher", lambda: launch)
    monkeypatch.setattr("geo3d.gpu.backend.why_not", lambda: None)
    monkeypatch.setattr(trainer, "free_gpu_bytes", lambda: 8 << 30)
    return launch


def test_render_takes_arrays_to_the_gpu_and_back(emulated):
    g, options = gaussians(), RenderOptions(backend="cuda", depth=True, normals=True)
    found = rendering.render(g, CAMERA, POSE, options)
    expected = rendering.render(g, CAMERA, POSE, replace(options, backend="cpu"))
    assert emulated.launched >= {"project/project", "blend/blend_7"}
    for name in ("color", "alpha"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert isinstance(ours, np.ndarray) and np.abs(ours - theirs).max() < 2 / 255
    assert found.normals.shape == (32, 40, 3) and found.depth.shape == found.median_depth.shape == (32, 40)


def test_a_training_on_the_gpu_ends_as_one_on_the_cpu(emulated, tmp_path):
    (tmp_path / "images").mkdir()
    views = {}
    for k in range(4):
        pose = SE3(np.eye(3), [0.2 * k - 0.3, 0.0, 3.0])
        picture = rendering.render(gaussians(), CAMERA, pose, RenderOptions(backend="cpu")).color
        image = Image.fromarray((255 * picture.clip(0, 1)).astype(np.uint8))
        image.save(tmp_path / "images" / f"{k}.png")
        views[k + 1] = View(f"{k}.png", 1, pose)
    write_transforms(Reconstruction({1: CAMERA}, views), tmp_path / "transforms.json")
    options = TrainingOptions(
        iterations=24,
        budget=150,
        initial_points=120,
        coarse=(),
        densify=DensifyOptions(interval=8, start=0.1),
    )
    found = {}
    for backend in ("cpu", "cuda"):
        report = trainer.train(tmp_path, tmp_path / backend, replace(options, backend=backend))
        found[backend] = report.held_out[0].psnr_db, len(report.gaussians)
        assert isinstance(report.gaussians.means, np.ndarray)
    assert emulated.launched >= {"gaussian_backward/gaussian_step", "loss/loss_gradient"}
    assert found["cuda"][1] == found["cpu"][1] > 120
    assert abs(found["cuda"][0] - found["cpu"][0]) < 0.5


def test_cuda_that_cannot_run_is_refused_with_the_reason():
    from geo3d.splat.trainer import engine_of

    if torch.cuda.is_available():
        assert engine_of(TrainingOptions(backend="cuda")) is CudaEngine
        return
    with pytest.raises(RuntimeError, match='backend "cuda" cannot run here: '):
        engine_of(TrainingOptions(backend="cuda"))
    with pytest.raises(ValueError, match="backend"):
        replace(TrainingOptions(), backend="gpu")
    assert engine_of(TrainingOptions()) is CpuEngine
