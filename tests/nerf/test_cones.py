"""Moments of conical frusta against their definition, and their Gaussians through the frame of a network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.nerf.cones import cone_moments, diagonal_variances
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.encoding import integrated_encoding, positional_encoding
from geo3d.nerf.network_frame import network_coordinates, network_jacobians

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def tensors(*values, dtype=torch.float64):
    return [torch.tensor([v], dtype=dtype) for v in values]


def integrated_moments(start, end, radius):
    """Moments by integration of t^2 along the cone: equation 5 of the paper before it was made stable."""
    third, fourth, fifth = end**3 - start**3, end**4 - start**4, end**5 - start**5
    mean = 0.75 * fourth / third
    return mean, 0.6 * fifth / third - mean**2, 0.15 * radius**2 * fifth / third


@given(st.floats(0, 5), st.floats(0.05, 5), st.floats(1e-4, 1))
@settings(max_examples=100, deadline=None)
def test_moments_are_those_of_the_integral(start, length, radius):
    found = cone_moments(*tensors(start, start + length, radius))
    mean, axial, radial = integrated_moments(start, start + length, radius)
    assert found.distance.item() == pytest.approx(mean, rel=1e-9)
    assert found.axial.item() == pytest.approx(axial, rel=1e-7)
    assert found.radial.item() == pytest.approx(radial, rel=1e-9)


def test_moments_keep_their_digits_in_single_precision():
    start, end, radius = 100.0, 100.01, 1e-3
    found = cone_moments(*tensors(start, end, radius, dtype=torch.float32))
    exact = cone_moments(*tensors(np.float32(start).item(), np.float32(end).item(), radius))
    assert found.axial.item() == pytest.approx(exact.axial.item(), rel=1e-4)
    assert found.radial.item() == pytest.approx(exact.radial.item(), rel=1e-5)


def test_an_empty_frustum_is_a_point():
    found = cone_moments(*tensors(0.0, 0.0, 0.1))
    assert [found.distance.item(), found.axial.item(), found.radial.item()] == [0, 0, 0]


def in_frustum(start, end, radius, direction, count, rng):
    """(count, 3) points spread evenly in a frustum from the origin."""
    t = np.cbrt(rng.uniform(start**3, end**3, count))
    across = np.linalg.svd(direction[None])[2][1:]
    angle, away = rng.uniform(0, 2 * np.pi, count), radius * t * np.sqrt(rng.random(count))
    return t[:, None] * direction + (away * [np.cos(angle), np.sin(angle)]).T @ across


def test_variances_are_those_of_points_in_the_frustum():
    direction = np.array([2.0, -3.0, 6.0]) / 7
    points = in_frustum(1.0, 2.0, 0.4, direction, 400_000, np.random.default_rng(0))
    moments = cone_moments(*tensors(1.0, 2.0, 0.4))
    found = diagonal_variances(moments, torch.from_numpy(direction)[None])[0]
    np.testing.assert_allclose(moments.distance.item() * direction, points.mean(0), atol=3e-3)
    np.testing.assert_allclose(found, points.var(0), rtol=0.01)


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_encoding_is_the_mean_over_the_gaussian_of_the_frustum(unbounded):
    """Monte Carlo over the whole covariance, through the linearised map of the box: only the diagonal counts."""
    box = SceneBox((0.2, -0.1, 0.4), 1.5, unbounded)
    direction = np.array([2.0, -3.0, 6.0]) / 7
    moments = cone_moments(*tensors(0.9, 1.3, 0.1))
    mean = moments.distance[:, None] * torch.from_numpy(direction)[None]
    jacobian = network_jacobians(box, mean)
    found = integrated_encoding(
        network_coordinates(box, mean),
        diagonal_variances(moments, torch.from_numpy(direction)[None], jacobian),
        4,
    )[0]
    outer = np.outer(direction, direction)
    covariance = moments.axial.item() * outer + moments.radial.item() * (np.eye(3) - outer)
    away = np.random.default_rng(1).multivariate_normal(np.zeros(3), covariance, 400_000)
    points = network_coordinates(box, mean) + torch.from_numpy(away) @ jacobian[0].T
    np.testing.assert_allclose(found, positional_encoding(points, 4).mean(0), atol=5e-3)


def test_a_thin_cone_is_its_middle_point():
    direction = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    starts = torch.rand(20, dtype=torch.float64)
    moments = cone_moments(starts, starts + 1e-7, torch.full_like(starts, 1e-7))
    mean = moments.distance[:, None] * direction
    found = integrated_encoding(mean, diagonal_variances(moments, direction), 10)
    np.testing.assert_allclose(
        found, positional_encoding((starts[:, None] + 5e-8) * direction, 10), atol=1e-7
    )


@pytest.mark.parametrize("unbounded", [False, True])
def test_jacobians_are_those_of_the_coordinates(unbounded):
    box = SceneBox((0.2, -0.1, 0.4), 1.5, unbounded)
    points = torch.randn(40, 3, dtype=torch.float64) * 3
    found = network_jacobians(box, points)
    expected = torch.func.vmap(torch.func.jacrev(lambda p: network_coordinates(box, p[None])[0]))(points)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    inside = network_coordinates(box, points).abs().amax(-1)
    assert (inside < 1).all() == unbounded


def test_gradients():
    starts = torch.rand(6, dtype=torch.float64, requires_grad=True)
    ends = (starts.detach() + 0.3).requires_grad_(True)
    direction = torch.nn.functional.normalize(torch.randn(6, 3, dtype=torch.float64), dim=-1)

    def variances(a, b):
        moments = cone_moments(a, b, torch.full_like(a, 0.05))
        return moments.distance, diagonal_variances(moments, direction)

    assert torch.autograd.gradcheck(variances, (starts, ends))
