"""Edits of Gaussians: what is seen stays the same when world and camera move together; crops keep what they say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SO3, Sim3, quaternion_to_matrix, sh_basis
from geo3d.scene import Gaussians
from geo3d.splat.edit import (
    crop_box,
    crop_polygon,
    crop_sphere,
    keep,
    merge,
    prune,
    transform,
    with_sh_degree,
)

PARTS = ("means", "quaternions", "log_scales", "logit_opacities", "sh")
seeds = st.integers(0, 2**32 - 1)


def make(seed: int, count: int = 12, degree: int = 3, dtype: type = np.float64) -> Gaussians:
    rng = np.random.default_rng(seed)
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, (degree + 1) ** 2, 3))
    return Gaussians(*(rng.normal(size=shape).astype(dtype) for shape in shapes))


def motion(seed: int) -> Sim3:
    rng = np.random.default_rng(seed)
    return Sim3(np.exp(rng.normal()), SO3.exp(rng.normal(0, 2, 3)).matrix, rng.normal(0, 5, 3))


def covariances(g: Gaussians) -> np.ndarray:
    m = quaternion_to_matrix(g.quaternions) * np.exp(g.log_scales)[:, None]
    return m @ np.swapaxes(m, 1, 2)


def colors(g: Gaussians, eye: np.ndarray) -> np.ndarray:
    """(N, 3) as a camera at `eye` sees them, before the clip at zero."""
    d = g.means - eye
    d = d / np.linalg.norm(d, axis=1, keepdims=True)
    return 0.5 + np.einsum("nk,nkc->nc", sh_basis(d, g.sh_degree), g.sh)


@given(seeds, st.integers(0, 3))
@settings(max_examples=40)
def test_shape_place_and_colour_move_with_the_world(seed, degree):
    g, m, eye = make(seed, degree=degree), motion(seed), np.random.default_rng(seed).normal(0, 9, 3)
    moved = transform(g, m)
    np.testing.assert_allclose(moved.means, m.act(g.means), atol=1e-12)
    expected = m.scale**2 * m.rotation @ covariances(g) @ m.rotation.T
    np.testing.assert_allclose(covariances(moved), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(colors(moved, m.act(eye)), colors(g, eye), atol=1e-9)
    assert np.array_equal(moved.logit_opacities, g.logit_opacities)


@given(seeds)
@settings(max_examples=25)
def test_transforms_compose_and_invert(seed):
    g, a, b = make(seed), motion(seed), motion(seed + 1)
    once, twice = transform(g, a @ b), transform(transform(g, b), a)
    back = transform(transform(g, a), a.inverse())
    for found, expected in ((twice, once), (back, g)):
        for name in ("means", "log_scales", "sh"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
        np.testing.assert_allclose(covariances(found), covariances(expected), rtol=1e-8, atol=1e-8)


def test_the_type_stays_and_the_input_too():
    g = make(1, dtype=np.float32)
    before = {name: getattr(g, name).copy() for name in PARTS}
    moved = transform(replace(g, antialiased=True), motion(1))
    assert all(getattr(moved, name).dtype == np.float32 for name in PARTS) and moved.antialiased
    assert all(np.array_equal(getattr(g, name), before[name]) for name in PARTS)


def test_a_pile_of_similarities_is_refused():
    with pytest.raises(ValueError, match="one similarity"):
        transform(make(0), Sim3.identity((2,)))
    with pytest.raises(ValueError, match="rotation"):
        transform(make(0), Sim3(1.0, np.diag([1, 1, -1.0]), np.zeros(3)))


@given(seeds)
@settings(max_examples=25)
def test_crops_keep_exactly_the_centres_inside(seed):
    g, rng = make(seed, 60), np.random.default_rng(seed)
    low = rng.normal(-0.5, 0.5, 3)
    high = low + rng.uniform(0.5, 2, 3)
    inside = np.array([all(low[i] <= p[i] <= high[i] for i in range(3)) for p in g.means])
    assert np.array_equal(crop_box(g, low, high).means, g.means[inside])
    corners = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]
    flat = np.array([all(low[i] <= p[i] <= high[i] for i in range(2)) for p in g.means])
    for order in (corners, corners[::-1]):
        assert np.array_equal(crop_polygon(g, order).means, g.means[flat])
    near = np.array([np.linalg.norm(p - low) <= 1.3 for p in g.means])
    assert np.array_equal(crop_sphere(g, low, 1.3).means, g.means[near])


def test_a_polygon_with_a_notch():
    g = make(0, 3)
    g.means[:] = [[0.5, 1.5, 9], [0.5, 0.2, -9], [3, 0, 0]]
    notched = [[0, 0], [1, 0], [1, 2], [0.5, 0.5], [0, 2]]
    assert crop_polygon(g, notched).means.tolist() == [[0.5, 0.2, -9]]


def test_wrong_regions_are_refused():
    g = make(0)
    with pytest.raises(ValueError, match=r"low .* is above high"):
        crop_box(g, [0, 0, 1], [1, 1, 0])
    with pytest.raises(ValueError, match="centre"):
        crop_sphere(g, [0, 0], 1)
    with pytest.raises(ValueError, match="radius"):
        crop_sphere(g, [0, 0, 0], -1)
    with pytest.raises(ValueError, match="corners"):
        crop_polygon(g, [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="mask"):
        keep(g, np.ones(3, bool))


def test_prune_by_opacity_and_size():
    g = make(0, 200)
    found = prune(g, min_opacity=0.3, max_size=2.0)
    good = (1 / (1 + np.exp(-g.logit_opacities)) >= 0.3) & (np.exp(g.log_scales).max(1) <= 2.0)
    assert np.array_equal(found.sh, g.sh[good]) and 0 < len(found) < 200
    assert len(prune(g)) == 200 and len(prune(g, min_opacity=1.0)) == 0
    assert len(prune(keep(g, np.zeros(200, bool)), 0.1)) == 0
    for bad in ({"min_opacity": 1.1}, {"min_opacity": np.nan}, {"max_size": 0.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            prune(g, **bad)


def test_merged_ones_look_as_they_did():
    parts = make(0, 4, 1), make(1, 5, 3), make(2, 3, 0)
    whole, eye = merge(*parts), np.array([3.0, 1, -7])
    assert whole.sh_degree == 3 and len(whole) == 12
    np.testing.assert_allclose(
        colors(whole, eye), np.concatenate([colors(p, eye) for p in parts]), atol=1e-12
    )
    for name in ("means", "quaternions", "log_scales", "logit_opacities"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(p, name) for p in parts]))
    with pytest.raises(ValueError, match="antialiased"):
        merge(parts[0], replace(parts[1], antialiased=True))
    with pytest.raises(ValueError, match="one part"):
        merge()


def test_the_degree_is_lowered_by_cutting_and_raised_by_zeros():
    g = make(0, degree=2)
    assert np.array_equal(with_sh_degree(g, 1).sh, g.sh[:, :4])
    raised = with_sh_degree(g, 3).sh
    assert np.array_equal(raised[:, :9], g.sh) and not raised[:, 9:].any()
    with pytest.raises(ValueError, match="degree"):
        with_sh_degree(g, 4)


def test_torch_tensors_come_off_their_graph():
    torch = pytest.importorskip("torch")
    g = make(0, dtype=np.float32)
    tensors = Gaussians(*(torch.tensor(getattr(g, name), requires_grad=True) for name in PARTS))
    m = motion(0)
    for name in PARTS:
        assert np.array_equal(getattr(transform(tensors, m), name), getattr(transform(g, m), name))
    assert np.array_equal(crop_sphere(tensors, [0, 0, 0], 1).means, crop_sphere(g, [0, 0, 0], 1).means)
