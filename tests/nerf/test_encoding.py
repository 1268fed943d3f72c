"""Positional encoding is the paper's; its expectation is that of a Gaussian."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf.encoding import integrated_encoding, positional_encoding

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_sines_and_cosines_of_octaves_as_the_paper_writes_them():
    point = [0.3, -0.7, 0.05]
    expected = []
    for level in range(10):
        expected += [math.sin(2**level * math.pi * p) for p in point]
        expected += [math.cos(2**level * math.pi * p) for p in point]
    found = positional_encoding(torch.tensor(point, dtype=torch.float64), 10)
    assert found.shape == (60,)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
@settings(max_examples=25, deadline=None)
def test_the_expectation_is_the_integral_over_a_gaussian(seed, deviation):
    means = torch.tensor(np.random.default_rng(seed).uniform(-1, 1, (4, 3)))
    found = integrated_encoding(means, torch.full_like(means, deviation**2), 3)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    at = means + deviation * torch.from_numpy(nodes)[:, None, None]
    expected = torch.einsum(
        "n,nsk->sk", torch.from_numpy(weights / weights.sum()), positional_encoding(at, 3)
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_without_variance_it_is_the_positional_encoding():
    x = torch.rand(50, 3) * 2 - 1
    assert torch.equal(integrated_encoding(x, torch.zeros_like(x), 10), positional_encoding(x, 10))


def test_octaves_finer_than_the_gaussian_are_forgotten():
    found = integrated_encoding(torch.tensor([[0.2]]), torch.tensor([[0.1**2]]), 10)[0].abs()
    assert found[:2].max() > 0.5
    assert found[12:].max() < 1e-6


@pytest.mark.parametrize("levels", [1, 4])
def test_gradients(levels):
    x = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    variances = torch.rand(5, 3, dtype=torch.float64).mul(0.01).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a: positional_encoding(a, levels), x)
    assert torch.autograd.gradcheck(lambda a, v: integrated_encoding(a, v, levels), (x, variances))
