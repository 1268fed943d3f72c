"""The kernels compute what NumPy computes, values and derivatives, and dispatch every id to its model."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera, evaluate, kernels


@numba.njit(error_model="numpy")
def _run(model_id, params, points, pixels, alone, d_point, d_params):
    defined = np.empty(len(points), np.bool_)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        first = kernels.project_with_jacobians(model_id, params, x, y, z, pixels[i], d_point[i], d_params[i])
        second = kernels.project(model_id, params, x, y, z, alone[i])
        defined[i] = first and second
        if first != second:
            raise AssertionError
    return defined


@pytest.mark.parametrize("model", MODELS)
@settings(deadline=None, max_examples=20)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_kernels_are_the_definitions(model, data, seed, cameras):
    camera = data.draw(cameras(model))
    rng = np.random.default_rng(seed)
    points = rng.normal(0.0, [1.0, 1.0, 2.0], (60, 3))
    points[:6] = [[0, 0, 1], [0, 0, -1], [0, 0, 0], [1, 0, 0], [0, -1, 0], [1e-12, 0, 1]]
    # As bundle adjustment has them: rows of a table with room for the longest model.
    params = np.full(kernels.MAX_PARAMS, np.nan)
    count = len(camera.params)
    params[:count] = camera.params
    pixels, alone = np.zeros((60, 2)), np.zeros((60, 2))
    d_point, d_params = np.zeros((60, 2, 3)), np.full((60, 2, kernels.MAX_PARAMS), np.nan)
    defined = _run(camera.model_id, params, points, pixels, alone, d_point, d_params)
    expected = evaluate.project_with_jacobians(MODELS[model], np.asarray(camera.params), points)
    assert np.array_equal(defined, ~np.isnan(expected[0][:, 0]))
    assert defined.any()
    scale = np.abs(pixels[defined]).max(axis=1)
    assert np.allclose(pixels, alone, rtol=1e-12, equal_nan=True)
    for ours, theirs in ((pixels, expected[0]), (d_point, expected[1]), (d_params[..., :count], expected[2])):
        ours, theirs = ours[defined].reshape(len(scale), -1), theirs[defined].reshape(len(scale), -1)
        size = np.abs(theirs).max(axis=1, keepdims=True) + scale[:, None]
        # Rounding of the denominators grows towards the edge of the domain.
        assert (np.abs(ours - theirs) <= 1e-9 * size).mean() > 0.98
        assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-5 * size.max())


def test_an_unknown_id_is_not_defined():
    assert not kernels.project(999, np.ones(16), 0.1, 0.1, 1.0, np.zeros(2))
    assert len(Camera.from_focal("BROWN_CONRADY_12", 64, 48, 50).params) == kernels.MAX_PARAMS
    assert max(len(m.param_names) for m in MODELS.values()) == kernels.MAX_PARAMS
