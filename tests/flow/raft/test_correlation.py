"""Lookups against a direct computation; the one on demand against the one with the whole pyramid."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow.raft import on_demand
from geo3d.flow.raft.correlation import AllPairs, volume_bytes
from geo3d.flow.raft.on_demand import OnDemand, windows_by_products


class ByProducts(OnDemand):
    """On demand without compiled kernels."""

    def lookup(self, positions):
        kept = on_demand.Windows
        on_demand.Windows = type("Plain", (), {"apply": staticmethod(windows_by_products)})
        try:
            return super().lookup(positions)
        finally:
            on_demand.Windows = kept


def features(n, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, channels, height, width, generator=generator) for _ in range(2)]


def positions(n, height, width, spread, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.stack([x, y]) + spread * torch.randn(n, 2, height, width, generator=generator)


def direct(f0, f1, at, radius):
    """One value at a time: mean of products over the level's cells, bilinear between its cells."""
    channels, height, width = f0.shape
    side = 2 * radius + 1
    found = np.zeros((4 * side**2, height, width))
    for level in range(4):
        size = 2**level
        h, w = height // size, width // size
        pooled = f1[:, : h * size, : w * size].reshape(channels, h, size, w, size).mean((2, 4))
        for y in range(height):
            for x in range(width):
                for i in range(side):
                    for j in range(side):
                        u, v = at[0, y, x] / size + i - radius, at[1, y, x] / size + j - radius
                        total = 0.0
                        for q in (math.floor(v), math.floor(v) + 1):
                            for p in (math.floor(u), math.floor(u) + 1):
                                if 0 <= p < w and 0 <= q < h:
                                    product = f0[:, y, x] @ pooled[:, q, p] / math.sqrt(channels)
                                    total += (1 - abs(u - p)) * (1 - abs(v - q)) * product
                        found[level * side**2 + i * side + j, y, x] = total
    return found


@pytest.mark.parametrize("kind", [AllPairs, OnDemand, ByProducts])
def test_lookup_is_what_the_formula_says(kind):
    f0, f1 = features(1, 5, 8, 11)
    at = positions(1, 8, 11, 3.0)
    found = kind(f0, f1, 1).lookup(at)[0]
    expected = direct(*(t[0].double().numpy() for t in (f0, f1, at)), 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("kind", [OnDemand, ByProducts])
@given(
    n=st.integers(1, 2),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
    radius=st.integers(1, 4),
    spread=st.sampled_from([0.0, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_on_demand_is_the_same_as_all_pairs(kind, n, height, width, radius, spread, seed):
    f0, f1 = (f.requires_grad_() for f in features(n, 19, height, width, seed))
    at = positions(n, height, width, spread, seed)
    expected, found = (k(f0, f1, radius).lookup(at) for k in (AllPairs, kind))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    slopes = [torch.autograd.grad((values * weights).sum(), (f0, f1)) for values in (expected, found)]
    for a, b in zip(*slopes):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)


def test_blocks_of_products_join(monkeypatch):
    monkeypatch.setattr(on_demand, "_NUMBERS_AT_ONCE", 700)  # three rows of the second features at a time
    f0, f1 = features(1, 7, 12, 16)
    at = positions(1, 12, 16, 2.0)
    torch.testing.assert_close(ByProducts(f0, f1, 2).lookup(at), AllPairs(f0, f1, 2).lookup(at))


@pytest.mark.parametrize("kind", [AllPairs, OnDemand, ByProducts])
@pytest.mark.parametrize("far", [1e4, -1e9, 1e30])
def test_far_outside_there_is_nothing(kind, far):
    f0, f1 = features(1, 4, 8, 8)
    assert not kind(f0, f1, 2).lookup(torch.full((1, 2, 8, 8), far)).any()


def test_gradients_on_demand_are_the_same_bits_each_time():
    f0, f1 = (f.requires_grad_() for f in features(1, 40, 16, 16))
    at = positions(1, 16, 16, 4.0)
    runs = [torch.autograd.grad(OnDemand(f0, f1, 3).lookup(at).square().sum(), (f0, f1)) for _ in range(3)]
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(run, runs[0]))


def test_memory_of_the_pyramid():
    f0, f1 = features(1, 3, 17, 22)
    assert volume_bytes(17, 22) == sum(level.nbytes for level in AllPairs(f0, f1, 3).levels)
