"""The inverse along the radius is found however the function bends; so is the ray of a bent radius."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera, inverse
from geo3d.cameras.radius import first_positive_root, invert_increasing


def test_functions_on_which_newton_fails():
    """Flat and steep stretches: Newton alone leaves the bracket or jumps to and fro."""
    flat = 1e-9

    def steps(r):
        return r + (1 - flat) * np.sin(r), 1 + (1 - flat) * np.cos(r)

    def arctan(r):
        return np.arctan(5.0 * (r - 3.0)) + np.arctan(15.0), 5.0 / (1.0 + 25.0 * (r - 3.0) ** 2)

    def power(r):
        return r**15, 15.0 * r**14

    for function, limit in ((steps, np.inf), (steps, 40.0), (arctan, 6.0), (power, 3.0), (power, np.inf)):
        r = np.linspace(0.0, 6.0 if np.isinf(limit) else limit, 301)
        target = function(r)[0]
        found = invert_increasing(function, target, limit)
        assert np.allclose(function(found)[0], target, rtol=1e-14, atol=1e-14)


def test_beyond_the_reach_there_is_no_radius():
    def saturating(r):
        return r / (1.0 + r), 1.0 / (1.0 + r) ** 2

    found = invert_increasing(saturating, np.array([0.5, 0.999, 1.0, 1.5, np.nan]), np.inf)
    assert np.allclose(found[:2], [1.0, 999.0])
    assert np.isnan(found[2:]).all()
    assert np.isnan(invert_increasing(saturating, np.array([0.6]), 1.0)).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=4), st.lists(st.floats(-50.0, -0.1), max_size=2))
def test_first_root(positive, negative):
    roots = np.array(positive + negative)
    coefficients = np.polynomial.polynomial.polyfromroots(roots)
    coefficients /= coefficients[0]
    # Roots that nearly coincide are known to the root of the rounding only.
    assert np.isclose(first_positive_root(coefficients), min(positive), rtol=1e-3)


def test_no_root():
    assert np.isinf(first_positive_root(np.array([1.0])))
    assert np.isinf(first_positive_root(np.array([1.0, 0.0, 0.0])))
    assert np.isinf(first_positive_root(np.array([1.0, 1e-311])))
    assert np.isinf(first_positive_root(np.array([1.0, 2.0, 3.0])))
    assert np.isinf(first_positive_root(np.array([1.0, 0.0, 1.0])))


def test_following_from_the_axis_ends_where_newton_does(pixel_grid):
    """The fallback alone inverts the warped models over the whole image, and refuses what lies outside the cone."""
    distortions = {
        "OPENCV": [-0.3, 0.05, 5e-3, -4e-3],
        "THIN_PRISM_FISHEYE": [0.05, -0.02, 2e-3, -3e-3, 0.01, -0.003, 5e-3, -4e-3],
    }
    for model, distortion in distortions.items():
        camera = Camera(model, 640, 480, [400, 410, 325, 236, *distortion])
        pixels = pixel_grid(camera)
        expected = camera.unproject(pixels)
        seen = ~np.isnan(expected[:, 0])
        assert seen.mean() > 0.9
        params = np.asarray(camera.params)
        rays = inverse._follow(MODELS[model], params, pixels[seen], camera.max_angle)
        assert np.abs(camera.project(rays) - pixels[seen]).max() < 1e-8
        assert np.allclose(rays, expected[seen], atol=1e-8)
    narrow = Camera("OPENCV", 640, 480, [200, 200, 320, 240, -0.3, 0.0, 1e-3, 1e-3])
    outside = np.array([[0.0, 0.0], [640.0, 480.0], [1e5, 0.0]])
    assert np.isnan(
        inverse._follow(MODELS["OPENCV"], np.asarray(narrow.params), outside, narrow.max_angle)
    ).all()
    assert np.isnan(narrow.unproject(outside)).all()
