"""Homogeneous coordinates: there and back, scale does not matter, infinity is NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.geometry import SE3, from_homogeneous, to_homogeneous


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(0.1, 10))
def test_round_trip_at_every_scale(seed, size, scale):
    x = np.random.default_rng(seed).normal(size=(2, 3, size))
    for w in (1.0, scale, -scale):
        np.testing.assert_allclose(from_homogeneous(w * to_homogeneous(x)), x, rtol=1e-12)


def test_matrix4_acts_as_the_motion():
    pose = SE3.exp([1.0, 2, 3, 0.4, 0.5, 0.6])
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        from_homogeneous(to_homogeneous(x) @ pose.matrix4().T), pose.act(x), atol=1e-14
    )


def test_points_at_infinity_are_nan():
    assert np.isnan(from_homogeneous([1.0, 2.0, 0.0])).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="expected"):
        from_homogeneous([1.0])
    with pytest.raises(ValueError, match="expected"):
        to_homogeneous(1.0)
