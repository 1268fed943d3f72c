"""Optimiser and pixels of the GPU in the emulator, and a training step of all parts."""

import numpy as np
import pytest
import torch

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf.cuda_adam import CudaAdam
from geo3d.nerf.cuda_field import GRADIENT_SCALE, KERNELS, CudaField
from geo3d.nerf.cuda_pixels import CudaPixelPool, pose_rows
from geo3d.nerf.field_parameters import FieldShape, initial_parameters
from geo3d.nerf.rays import camera_rays
from tests.gpu.emulator import COMPILER, EmulatedLauncher

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++, which compiles the kernels here")

SHAPE = FieldShape(levels=2, log2_entries=6, coarsest=2, finest=6)
LOSS = torch.tensor([0.5])


def fields() -> tuple[CudaField, CudaAdam]:
    field = CudaField(SHAPE, initial_parameters(SHAPE), EmulatedLauncher(KERNELS))
    return field, CudaAdam(field)


def test_steps_are_those_of_adam():
    field, adam = fields()
    leaves = [field.grid.clone().requires_grad_(True), field.weights.clone().requires_grad_(True)]
    peer = torch.optim.Adam(
        [{"params": leaves[:1], "lr": 0.02}, {"params": leaves[1:], "lr": 0.01}], betas=(0.9, 0.99), eps=1e-15
    )
    rng = torch.Generator().manual_seed(0)
    for _ in range(4):
        for leaf, gradient in zip(leaves, (field.d_grid, field.d_weights)):
            leaf.grad = torch.randn(leaf.shape, generator=rng)
            gradient.copy_(leaf.grad * GRADIENT_SCALE * 10)
        peer.step()
        adam.step(field, LOSS, 10, 0.02, 0.01)
        assert not field.d_grid.any() and not field.d_weights.any()
    torch.testing.assert_close(field.grid, leaves[0].detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(field.weights, leaves[1].detach(), rtol=1e-4, atol=1e-6)
    halves, weights = field.half_grid.clone(), field.half_weights.clone()
    field.refresh()
    assert torch.equal(halves, field.half_grid) and torch.equal(weights, field.half_weights)


def test_entries_without_gradient_and_steps_without_a_finite_loss_move_nothing():
    field, adam = fields()
    before = field.grid.clone(), field.weights.clone()
    field.d_grid[3] = 1.0
    adam.step(field, LOSS, 1, 0.02, 0.0)
    moved = (field.grid != before[0]).any(1)
    assert moved.nonzero().ravel().tolist() == [3] and torch.equal(field.weights, before[1])
    state = field.grid.clone(), adam.m["grid"].clone()
    field.d_grid[:] = 1.0
    field.d_weights[:] = 1.0
    adam.step(field, torch.tensor([float("nan")]), 1, 0.02, 0.02)
    assert torch.equal(field.grid, state[0]) and torch.equal(adam.m["grid"], state[1])
    assert torch.equal(field.weights, before[1]) and not field.d_grid.any() and not field.d_weights.any()


def test_pixels_are_those_of_the_photos():
    rng = np.random.default_rng(0)
    fisheye = Camera("OPENCV_FISHEYE", 9, 7, [4.0, 4.0, 4.5, 3.5, 0.01, 0.0, 0.0, 0.0])
    cameras = [fisheye, Camera("PINHOLE", 5, 4, [6.0, 6.0, 2.5, 2.0]), fisheye]
    poses = [SE3.exp(rng.normal(0, 1, 6)) for _ in cameras]
    sizes = [c.width * c.height for c in cameras]
    colors = rng.integers(0, 256, (sum(sizes), 3), np.uint8)
    alpha = rng.integers(0, 256, sum(sizes), np.uint8)
    valid = np.flatnonzero(rng.random(sum(sizes)) < 0.7)
    launch = EmulatedLauncher(KERNELS)
    rays = [camera_rays(c, p) for c, p in zip(cameras, poses)]
    origins, directions = (
        np.concatenate([getattr(r, name) for r in rays]) for name in ("origins", "directions")
    )
    photo = np.repeat(np.arange(3), sizes)
    for chosen in (None, valid):
        numbers = np.array([2, 0, 1], np.int32)
        pool = CudaPixelPool(launch, cameras, colors, alpha, chosen, numbers, seed=3)
        ordered = [poses[k] for k in np.argsort(numbers)]
        near = torch.tensor([0.1, 0.2, 0.3])
        held = pose_rows(ordered, launch.device), near, 9.0
        drawn = pool.draw(7, 4000, *held)
        key = {tuple(row): i for i, row in enumerate(np.column_stack([colors, alpha]).tolist())}
        values = torch.cat([drawn.color, drawn.alpha[:, None]], 1).mul(255).round().int().tolist()
        pixels = np.array([key[tuple(row)] for row in values])
        np.testing.assert_allclose(drawn.origins, origins[pixels], atol=1e-5)
        np.testing.assert_allclose(drawn.directions, directions[pixels], atol=1e-5)
        assert np.array_equal(drawn.rows, numbers[photo[pixels]])
        assert torch.equal(drawn.near, near[drawn.rows.long()]) and (drawn.far == 9.0).all()
        allowed = np.arange(sum(sizes)) if chosen is None else chosen
        assert set(pixels) == set(allowed), "each has its chance"
        assert np.bincount(pixels)[allowed].std() < 2.5 * np.sqrt(4000 / len(allowed))
        assert drawn.jitter.min() >= 0 and drawn.jitter.max() < 1 and drawn.background.std() > 0.25
        again, other = pool.draw(7, 4000, *held, torch.ones(3)), pool.draw(8, 4000, *held)
        assert torch.equal(again.color, drawn.color) and not torch.equal(other.color, drawn.color)
        assert (again.background == 1).all()
