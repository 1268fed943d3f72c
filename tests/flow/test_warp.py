"""Warping and splatting: the kernels do what the formulas say, and are exact where these are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geo3d.flow import leaves_image, splat_forward, warp_backward
from geo3d.flow.splat import splat_forward_reference
from geo3d.flow.warp import warp_backward_reference

RNG = np.random.default_rng(0)
FLOWS = arrays(np.float32, (9, 7, 2), elements=st.floats(-12, 12, width=32))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@given(flow=FLOWS)
@settings(max_examples=30, deadline=None)
def test_the_kernels_are_the_formulas(interpolation, flow):
    image = np.random.default_rng(1).random((11, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(
        warp_backward(image, flow, interpolation),
        warp_backward_reference(image, flow, interpolation),
        atol=2e-5,
    )


@given(flow=FLOWS, seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_splatting_is_the_formula(flow, seed):
    rng = np.random.default_rng(seed)
    values = rng.random((9, 7, 2)).astype(np.float32)
    weights = rng.random((9, 7)).astype(np.float32) * (rng.random((9, 7)) < 0.8)
    found = splat_forward(values, flow, weights)
    means, weight = splat_forward_reference(values, flow, weights)
    np.testing.assert_allclose(found.weight, weight, atol=1e-5)
    sure = weight > 1e-3
    np.testing.assert_allclose(found.values[sure], means[sure], atol=1e-3)
    assert np.isnan(found.values[found.weight == 0]).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_whole_shift_moves_pixels(interpolation):
    image = RNG.integers(0, 256, (40, 50, 3), np.uint8)
    flow = np.broadcast_to(np.float32([3, -2]), (40, 50, 2))
    moved = warp_backward(image, flow, interpolation)
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(moved[2:, :-3], image[:-2, 3:])
    np.testing.assert_array_equal(
        moved[5:, -3:], np.repeat(image[3:-2, -1:], 3, axis=1)
    )  # the border goes on
    there = splat_forward(image, -flow)
    np.testing.assert_array_equal(there.values[2:, :-3], image[:-2, 3:])
    assert (there.weight[2:, :-3] == 1).all()
    assert there.weight[:2].max() == 0


def test_polynomials_are_kept():
    y, x = np.mgrid[:30, :40].astype(np.float32)
    flow = RNG.uniform(-4, 4, (30, 40, 2)).astype(np.float32)
    at_x, at_y = x + flow[..., 0], y + flow[..., 1]
    inner = (at_x > 2) & (at_x < 37) & (at_y > 2) & (at_y < 27)
    plane = warp_backward(2 * x - 3 * y + 1, flow)
    np.testing.assert_allclose(plane[inner], (2 * at_x - 3 * at_y + 1)[inner], atol=1e-3)
    quadratic = warp_backward(0.1 * x**2 - 0.2 * x * y + y, flow, "bicubic")
    np.testing.assert_allclose(quadratic[inner], (0.1 * at_x**2 - 0.2 * at_x * at_y + at_y)[inner], atol=1e-3)


def test_mass_is_kept_by_splatting():
    flow = RNG.uniform(-3, 3, (40, 40, 2)).astype(np.float32)
    weights = np.zeros((40, 40), np.float32)
    weights[5:-5, 5:-5] = RNG.random((30, 30))
    found = splat_forward(np.ones((40, 40)), flow, weights)
    np.testing.assert_allclose(found.weight.sum(), weights.sum(), rtol=1e-5)


def test_unknown_flow_gives_unknown():
    flow = np.zeros((4, 5, 2), np.float32)
    flow[1, 2, 0], flow[2, 2, 1], flow[3, 3] = np.nan, np.inf, 1e30
    image = np.ones((4, 5), np.float32)
    for interpolation in ("bilinear", "bicubic"):
        warped = warp_backward(image, flow, interpolation)
        assert np.isnan(warped).sum() == 3
        assert warp_backward(image.astype(np.uint8), flow, interpolation)[1, 2] == 0
    assert splat_forward(image, flow).weight.sum() == 17
    assert leaves_image(flow).sum() == 3


def test_the_number_of_threads_does_not_matter():
    import numba

    flow = RNG.uniform(-30, 30, (150, 90, 2)).astype(np.float32)
    values = RNG.random((150, 90, 3)).astype(np.float32)
    both = []
    before = numba.get_num_threads()
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            both.append(splat_forward(values, flow))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(both[0].values, both[1].values)


def test_leaving_the_image():
    flow = np.zeros((3, 4, 2), np.float32)
    flow[0, 3, 0], flow[2, 0, 1], flow[1, 1, 0] = 0.4, 0.6, -1.6
    expected = np.zeros((3, 4), bool)
    expected[2, 0] = expected[1, 1] = True
    np.testing.assert_array_equal(leaves_image(flow), expected)
    assert not leaves_image(flow, (9, 9))[2, 0]


@pytest.mark.parametrize(
    ("image", "flow", "words", "message"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4)), {}, "flow: expected"),
        (np.zeros(4), np.zeros((4, 4, 2)), {}, "image: expected"),
        (np.zeros((0, 4)), np.zeros((4, 4, 2)), {}, "image: expected"),
        (np.zeros((4, 4)), np.zeros((4, 4, 2)), {"interpolation": "nearest"}, "bilinear or bicubic"),
    ],
)
def test_what_can_not_be_warped_is_refused(image, flow, words, message):
    with pytest.raises(ValueError, match=message):
        warp_backward(image, flow, **words)


def test_what_can_not_be_splatted_is_refused():
    with pytest.raises(ValueError, match="one size"):
        splat_forward(np.zeros((4, 5)), np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match="one size"):
        splat_forward(np.zeros((4, 4)), np.zeros((4, 4, 2)), np.ones((3, 4)))
