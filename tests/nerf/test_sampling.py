"""Edges of intervals: even, stratified, and where a histogram wants them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf import Rays, RaySamples, camera_rays
from geo3d.nerf.sampling import (
    even_shares,
    from_spacing,
    invert_histogram,
    resample_edges,
    spread_edges,
    to_spacing,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")
seeds = st.integers(0, 2**32 - 1)
spacings = st.sampled_from(["range", "disparity"])


def some_rays(near: float, far: float, count: int = 4) -> Rays:
    camera = Camera("PINHOLE", count, 1, [3, 3, 2, 0.5])
    return camera_rays(camera, SE3.identity(), near=near, far=far).torch(dtype=torch.float64)


@given(spacing=spacings, jitter=st.booleans(), near=st.floats(0, 2), length=st.floats(0.1, 1e4))
def test_edges_ascend_from_near_to_far(spacing, jitter, near, length):
    rays = some_rays(near, near + length)
    rng = torch.Generator().manual_seed(3) if jitter else None
    edges = spread_edges(rays, 24, spacing, scale=0.5, rng=rng)
    assert edges.shape == (4, 25)
    assert (edges.diff(dim=1) >= 0).all()
    assert torch.equal(edges[:, 0], rays.near) and torch.equal(edges[:, -1], rays.far)
    spaced = to_spacing(edges, spacing, 0.5)
    even = (spaced[:, -1:] - spaced[:, :1]) / 24
    off = spaced - (spaced[:, :1] + even * torch.arange(25))
    assert (off.abs() <= (0.5 if jitter else 0) * even * (1 + 1e-6) + 1e-9 * near + 1e-9).all()
    torch.testing.assert_close(from_spacing(spaced, spacing, 0.5), edges, rtol=1e-6, atol=1e-9)


def test_jitter_is_spread_over_all_of_the_stratum_and_repeats_with_its_seed():
    like = torch.zeros(0, dtype=torch.float64)
    shares = even_shares(5000, 10, like, torch.Generator().manual_seed(1))
    part = (shares[:, 1:-1] * 10 - torch.arange(1, 10)).numpy().ravel()
    counts, _ = np.histogram(part, bins=10, range=(-0.5, 0.5))
    assert counts.min() > 0.95 * counts.mean()
    assert torch.equal(shares, even_shares(5000, 10, like, torch.Generator().manual_seed(1)))


@given(seed=seeds)
def test_the_histogram_is_inverted(seed):
    """What lies below the share u of the weights, is u."""
    rng = np.random.default_rng(seed)
    edges = torch.from_numpy(np.sort(rng.uniform(0, 5, (6, 9)), axis=1))
    weights = torch.from_numpy(rng.random((6, 8)) * (rng.random((6, 8)) < 0.7))
    weights[:, 3] += 0.1
    shares = torch.from_numpy(np.sort(rng.random((6, 40)), axis=1))
    found = invert_histogram(edges, weights, shares)
    assert (found.diff(dim=1) >= 0).all()
    for ray in range(6):
        total = np.concatenate([[0], np.cumsum(weights[ray].numpy())])
        below = np.interp(found[ray], edges[ray], total / total[-1])
        np.testing.assert_allclose(below, shares[ray], atol=1e-9)


def test_a_ray_without_weight_is_spread_evenly():
    edges = torch.tensor([[1.0, 1.5, 3.0]], dtype=torch.float64)
    found = invert_histogram(
        edges, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[0.0, 0.5, 1.0]]).double()
    )
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64))


@given(seed=seeds, jitter=st.booleans())
def test_new_edges_keep_the_ends_and_go_where_the_weight_is(seed, jitter):
    rng = np.random.default_rng(seed)
    edges = torch.linspace(2, 6, 17, dtype=torch.float64).repeat(3, 1)
    weights = torch.zeros(3, 16, dtype=torch.float64)
    peaks = rng.integers(0, 16, 3)
    weights[range(3), peaks] = 0.7
    draw = torch.Generator().manual_seed(int(seed % 1000)) if jitter else None
    found = resample_edges(edges, weights, 100, padding=0.1, rng=draw)
    assert torch.equal(found[:, [0, -1]], edges[:, [0, -1]])
    assert (found.diff(dim=1) >= 0).all()
    low, high = edges[range(3), peaks], edges[range(3), peaks + 1]
    within = ((found >= low[:, None]) & (found <= high[:, None])).sum(1)
    assert (within >= 88).all() and (within <= 93).all()


def test_empty_rays_have_intervals_of_no_length():
    rays = some_rays(1.0, 0.5)
    for spacing in ("range", "disparity"):
        edges = spread_edges(rays, 5, spacing)
        torch.testing.assert_close(edges, torch.ones(4, 6, dtype=torch.float64))


def test_what_is_very_far_keeps_its_digits():
    t = torch.logspace(0, 8, 50)
    torch.testing.assert_close(from_spacing(to_spacing(t, "disparity"), "disparity"), t, rtol=1e-6, atol=1e-6)
    edges = torch.linspace(-1, -1e-8, 9)[None]
    weights = torch.zeros(1, 8)
    weights[0, -1] = 1.0  # all there is lies beyond 7 scales
    found = from_spacing(resample_edges(edges, weights, 1000, padding=0.0), "disparity")
    assert len(found.unique()) == 1001 and (found.diff() > 0).all()


def test_what_is_refused():
    with pytest.raises(ValueError, match="far is infinite"):
        spread_edges(some_rays(0.0, float("inf")), 4)
    with pytest.raises(ValueError, match="spacing: expected one of range, disparity, got 'log'"):
        to_spacing(torch.ones(1), "log")


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_packed_samples_know_their_rays(kind):
    starts, ends = np.array([0.0, 1, 0.5]), np.array([1.0, 3, 0.75])
    offsets = np.array([0, 2, 2, 3])
    make = np.asarray if kind == "numpy" else torch.as_tensor
    samples = RaySamples(make(starts), make(ends), make(offsets))
    assert np.asarray(samples.counts).tolist() == [2, 0, 1]
    assert np.asarray(samples.ray_indices()).tolist() == [0, 0, 2]
    assert np.asarray(samples.middles).tolist() == [0.5, 2, 0.625]
    dense = RaySamples.dense(make(np.zeros((3, 2))), make(np.ones((3, 2))))
    assert np.asarray(dense.offsets).tolist() == [0, 2, 4, 6]
    rays = some_rays(0, 1, 3)
    rays = rays if kind == "torch" else Rays(*(t.numpy() for t in vars(rays).values()))
    at = np.asarray(samples.positions(rays))
    np.testing.assert_allclose(at, np.asarray(rays.directions)[[0, 0, 2]] * [[0.5], [2], [0.625]])


def test_samples_of_other_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"starts and ends: expected the shape \(S,\) of both, got \(3,\) and \(2,\)"
    ):
        RaySamples(np.zeros(3), np.zeros(2), np.zeros(1, int))
    with pytest.raises(ValueError, match=r"offsets: expected the shape \(R \+ 1,\), got \(0,\)"):
        RaySamples(np.zeros(3), np.zeros(3), np.zeros(0, int))
    for offsets in ([0, 7], [1, 3], [0, 2, 1, 3]):
        for make in (np.array, torch.tensor):
            with pytest.raises(ValueError, match="offsets: expected to ascend from 0 to the 3 intervals"):
                RaySamples(np.zeros(3), np.zeros(3), make(offsets))
    for ends in (np.zeros((2, 3)), np.zeros(6)):
        with pytest.raises(ValueError, match=r"starts and ends: expected the shape \(R, N\) of both"):
            RaySamples.dense(np.zeros((3, 2)), ends)
