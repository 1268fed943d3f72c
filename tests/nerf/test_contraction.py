"""The box of a scene: round trips, what it clips, and the contraction's derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.nerf import SceneBox, camera_rays
from geo3d.nerf.contraction import contract

boxes = st.builds(
    SceneBox,
    st.tuples(*[st.floats(-10, 10)] * 3),
    st.floats(0.1, 50),
    st.booleans(),
)
points = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(60, 3)) * np.logspace(-1, 2, 60)[:, None]
)


@given(box=boxes, places=points)
def test_into_the_unit_cube_and_back(box, places):
    unit = box.unit_positions(places)
    scale = np.abs(places).max(1, keepdims=True) + box.side + 10
    np.testing.assert_allclose((box.world_points(unit) - places) / scale, 0, atol=1e-8)
    np.testing.assert_allclose(box.unit_positions(torch.from_numpy(places)).numpy(), unit, atol=1e-12)
    np.testing.assert_allclose(box.world_points(torch.from_numpy(unit)).numpy(), box.world_points(unit))
    inside = np.abs(box.local_points(places) - 0.5).max(1) <= 0.5
    if box.unbounded:
        assert np.all((unit > 0) & (unit < 1))
        assert np.array_equal(np.abs(unit - 0.5).max(1) <= 0.25, inside)
    else:
        assert np.array_equal(np.abs(unit - 0.5).max(1) <= 0.5, inside)


@given(places=points)
def test_the_kernels_function_is_the_arrays_one(places):
    found = [contract(*place) for place in places]
    np.testing.assert_allclose(found, SceneBox(unbounded=True).unit_positions(places), rtol=1e-12)


@given(box=boxes, places=points)
def test_gradients_go_back_through_the_contraction(box, places):
    weight = np.random.default_rng(1).normal(size=places.shape)
    tensor = torch.from_numpy(places).requires_grad_()
    (box.unit_positions(tensor) * torch.from_numpy(weight)).sum().backward()
    np.testing.assert_allclose(
        box.world_gradients(places, weight), tensor.grad.numpy(), rtol=1e-9, atol=1e-12
    )


@given(box=boxes, seed=st.integers(0, 1000))
def test_rays_in_the_frame_of_the_box_meet_the_same_points(box, seed):
    rng = np.random.default_rng(seed)
    pose = look_at(rng.normal(size=3) * 5, rng.normal(size=3))
    rays = camera_rays(Camera("PINHOLE", 8, 6, [6, 6, 4, 3]), pose, near=0.1, far=20)
    local, t = box.local_rays(rays), 3.0
    np.testing.assert_allclose(
        local.origins + t / box.side * local.directions,
        box.local_points(rays.origins + t * rays.directions),
        atol=1e-4 * (1 + 20 / box.side),
    )
    np.testing.assert_allclose(local.far * box.side, 20, rtol=1e-6)
    assert box.in_box_frame().unbounded == box.unbounded


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@given(seed=st.integers(0, 1000))
def test_clipped_rays_are_those_within_the_box(kind, seed):
    rng = np.random.default_rng(seed)
    box = SceneBox(tuple(rng.normal(size=3)), rng.uniform(0.5, 4))
    pose = look_at(rng.normal(size=3) * 3, rng.normal(size=3))
    rays = camera_rays(Camera("PINHOLE", 12, 8, [9, 9, 6, 4]), pose, near=0.2, far=9)
    clipped = box.clip(rays if kind == "numpy" else rays.torch())
    near, far = np.asarray(clipped.near), np.asarray(clipped.far)
    assert near.dtype == far.dtype == np.float32
    t = np.linspace(0.21, 8.99, 400)
    points = rays.origins[:, None] + t[None, :, None] * rays.directions[:, None]
    depth = 0.5 - np.abs(box.local_points(points) - 0.5).max(-1)
    within = (t >= near[:, None]) & (t <= far[:, None])
    sure = np.abs(depth) > 1e-4
    assert np.array_equal(within[sure], (depth > 0)[sure])
    assert SceneBox(box.center, box.side, True).clip(rays) is rays


def test_what_is_refused():
    with pytest.raises(ValueError, match="side: expected a finite length above 0, got 0"):
        SceneBox(side=0)
    with pytest.raises(ValueError, match="center: expected three finite numbers"):
        SceneBox((0.0, float("nan"), 0.0))
    with pytest.raises(ValueError, match=r"center: expected three finite numbers, got 0\.5"):
        SceneBox(0.5)
