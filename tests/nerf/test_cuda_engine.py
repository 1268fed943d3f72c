"""Training on the GPU's kernels, in the emulator: a small scene is learnt, and rendered on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf import cuda_engine
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cuda_engine import CudaEngine
from geo3d.nerf.cuda_field import KERNELS
from geo3d.nerf.cuda_render import cuda_renderer_of
from geo3d.nerf.field_parameters import FieldShape
from geo3d.nerf.model import model_renderer
from geo3d.nerf.ray_pool import RayPool
from geo3d.nerf.scene_bounds import SceneBounds
from geo3d.nerf.training_options import FieldRates, SampleOptions, TrainingOptions
from geo3d.render.views import PosedView
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

SHAPE = FieldShape(levels=4, log2_entries=9, coarsest=4, finest=16)
CAMERA = Camera("PINHOLE", 16, 12, [14.0, 14.0, 8.0, 6.0])
OPTIONS = TrainingOptions(
    iterations=16,
    rates=FieldRates(grid=0.03, networks=0.02, warm_up=1),
    samples=SampleOptions(first=640, last=640, steps_per_side=16, most_rays=128, grid=16, update_every=8),
)


def ball(pose: SE3) -> np.ndarray:
    """RGBA of a ball of radius 0.35 in the middle of the unit cube, red above and blue below."""
    from geo3d.nerf.rays import camera_rays

    rays = camera_rays(CAMERA, pose)
    to_middle = 0.5 - rays.origins
    along = (to_middle * rays.directions).sum(1)
    off = 0.35**2 - (to_middle**2).sum(1) + along**2
    hit = off > 0
    z = rays.origins[:, 2] + (along - np.sqrt(np.maximum(off, 0))) * rays.directions[:, 2]
    image = np.zeros((len(hit), 4))
    image[hit & (z > 0.5)] = [0.9, 0.2, 0.1, 1.0]
    image[hit & (z <= 0.5)] = [0.1, 0.3, 0.9, 1.0]
    return (255 * image).astype(np.uint8).reshape(CAMERA.height, CAMERA.width, 4)


def look_at_middle(eye: np.ndarray) -> SE3:
    z = np.array([0.5, 0.5, 0.5]) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return SE3(rotation, -rotation @ eye)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    views = []
    for k in range(8):
        offset = rng.normal(size=3)
        pose = look_at_middle(0.5 + 1.4 * offset / np.linalg.norm(offset))
        Image.fromarray(ball(pose)).save(folder / f"{k}.png")
        views.append(PosedView(f"{k}.png", CAMERA, pose, folder / f"{k}.png"))
    return views


def engine_and_pool(views, options=OPTIONS):
    bounds = SceneBounds(SceneBox(), np.zeros(len(views), np.float32))
    engine = CudaEngine(options, SHAPE, bounds, [v.cam_from_world for v in views], EmulatedLauncher(KERNELS))
    return engine, RayPool(views, 1.0, False, 1 << 30, options.seed)


@pytest.mark.slow
def test_the_loss_falls(scene):
    engine, pool = engine_and_pool(scene)
    losses = [engine.advance(pool, step, step / 64) for step in range(10)]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
    assert engine.samples > 10 * 300 and 1 < engine.per_ray < 16


@pytest.mark.slow
def test_a_ball_is_learnt_and_both_backends_show_it(scene):
    engine, pool = engine_and_pool(scene)
    for step in range(40):
        engine.advance(pool, step, step / 64)
    pose = scene[3].cam_from_world
    shown = engine.render(CAMERA, pose, np.zeros(3, np.float32), normals=True)
    photo = ball(pose) / 255.0
    assert np.mean((shown.color - photo[..., :3]) ** 2) < 0.6 * np.mean(photo[..., :3] ** 2)
    on_cpu = model_renderer(engine.model(), normals=True, backend="cpu")(CAMERA, pose)
    for name in ("color", "alpha"):
        assert np.abs(getattr(shown, name) - getattr(on_cpu, name)).max() < 0.02, name
    solid = shown.alpha > 0.5
    np.testing.assert_allclose(shown.depth[solid], on_cpu.depth[solid], atol=0.02)
    assert shown.normals is not None and on_cpu.normals is not None
    assert solid.any() and (shown.normals * on_cpu.normals).sum(-1)[solid].mean() > 0.95
    again = cuda_renderer_of(engine.model(), EmulatedLauncher(KERNELS)).view(
        CAMERA, pose, np.zeros(3, np.float32), near=0.0, far=1e30
    )
    np.testing.assert_allclose(again.color, shown.color, atol=1e-5)


def test_a_checkpoint_goes_on_where_it_was(scene):
    engine, pool = engine_and_pool(scene)
    for step in range(3):
        engine.advance(pool, step, step / 40)
    other, _ = engine_and_pool(scene)
    other.restore({name: array.copy() for name, array in engine.arrays().items()})
    a, b = engine.advance(pool, 3, 0.1), other.advance(pool, 3, 0.1)
    assert a == pytest.approx(b, rel=1e-5)
    torch.testing.assert_close(engine.field.weights, other.field.weights, rtol=1e-3, atol=1e-4)


def test_appearance_is_refused(scene):
    shape = replace(SHAPE, appearance=4)
    with pytest.raises(ValueError, match=r"appearance: .* train it with --backend cpu"):
        CudaEngine(
            OPTIONS, shape, SceneBounds(SceneBox(), np.zeros(1, np.float32)), [], EmulatedLauncher(KERNELS)
        )


def test_exposure_and_poses_move_and_go_on_from_a_checkpoint(scene, monkeypatch):
    monkeypatch.setattr(cuda_engine, "_POSES_EVERY", 2)
    options = replace(OPTIONS, exposure=True, refine_poses=True)
    engine, pool = engine_and_pool(scene, options)
    held = engine._first_held(0.0)
    before = engine.field.grid.clone()
    for step in range(3):
        assert np.isfinite(engine.advance(pool, step, 0.0))
    assert torch.equal(engine.field.grid[held:], before[held:]), "fine levels wait"
    assert not torch.equal(engine.field.grid[:held], before[:held])
    found = engine.arrays()
    assert np.abs(found["poses.motions"] - np.eye(4)).max(axis=(1, 2)).min() > 1e-5
    assert np.abs(found["exposure.matrices"] - np.eye(3, 4)).max() > 1e-4
    other, _ = engine_and_pool(scene, options)
    other.restore({name: array.copy() for name, array in found.items()})
    torch.testing.assert_close(other._poses, engine._poses)
    again = other.arrays()
    assert all(np.array_equal(again[name], found[name]) for name in found)
