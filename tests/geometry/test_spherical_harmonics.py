"""Real spherical harmonics: orthonormal, with the signs of the splatting paper, and turned as the world turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from geo3d.geometry import SO3, sh_basis, sh_rotation


def directions(seed: int, count: int = 40) -> np.ndarray:
    d = np.random.default_rng(seed).normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def turn(seed: int) -> np.ndarray:
    return SO3.exp(np.random.default_rng(seed).normal(0, 2, 3)).matrix


def test_they_are_scipys_complex_ones_made_real():
    d = directions(0)
    theta, phi = np.arccos(d[:, 2]), np.arctan2(d[:, 1], d[:, 0])
    expected = []
    for degree in range(4):
        for order in range(-degree, degree + 1):
            y = sph_harm_y(degree, abs(order), theta, phi)  # with the Condon-Shortley phase
            part = y.real if order == 0 else np.sqrt(2) * (y.real if order > 0 else y.imag)
            expected.append(part)
    np.testing.assert_allclose(sh_basis(d, 3), np.stack(expected, 1), atol=1e-12)


def test_constants_are_those_of_the_splatting_paper():
    x, y, z = d = np.array([2.0, -3.0, 6.0]) / 7
    found = sh_basis(d, 3)
    assert found[1:4].tolist() == pytest.approx([-0.4886025119 * y, 0.4886025119 * z, -0.4886025119 * x])
    assert found[6] == pytest.approx(0.3153915652525 * (2 * z * z - x * x - y * y))
    assert found[10] == pytest.approx(2.890611442640554 * x * y * z)
    assert found[15] == pytest.approx(-0.5900435899266 * x * (x * x - 3 * y * y))


@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
@settings(max_examples=50)
def test_a_turned_colour_is_seen_from_the_turned_direction(seed, degree):
    r, d = turn(seed), directions(seed)
    c = np.random.default_rng(seed + 1).normal(size=((degree + 1) ** 2, 3))
    np.testing.assert_allclose(
        sh_basis(d @ r.T, degree) @ (sh_rotation(r, degree) @ c), sh_basis(d, degree) @ c, atol=1e-12
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_turns_compose_and_keep_length(seed):
    a, b = turn(seed), turn(seed + 1)
    d = sh_rotation(a, 3)
    np.testing.assert_allclose(d @ sh_rotation(b, 3), sh_rotation(a @ b, 3), atol=1e-12)
    np.testing.assert_allclose(d @ d.T, np.eye(16), atol=1e-12)
    for low, high in ((0, 1), (1, 4), (4, 9), (9, 16)):  # no degree mixes with another
        assert np.abs(d[low:high, :low]).max(initial=0) < 1e-12 > np.abs(d[low:high, high:]).max(initial=0)


def test_another_shape_or_degree_is_refused():
    with pytest.raises(ValueError, match="degree"):
        sh_basis([0, 0, 1], 4)
    with pytest.raises(ValueError, match="rotation"):
        sh_rotation(np.eye(3)[None], 2)
