"""The accurate method on motions that are known exactly."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.flow import AccurateOptions, VariationalOptions, optical_flow
from geo3d.synthetic import FlowPairOptions, make_flow_pair

WIDTH, HEIGHT = 128, 96


@cache
def waves(seed):
    """Frequency (K, 2), phase and strength (3, K) of a smooth texture."""
    rng = np.random.default_rng(seed)
    angle, length = rng.uniform(0, np.pi, 40), np.exp(rng.uniform(np.log(7.0), np.log(90.0), 40))
    frequency = 2 * np.pi / length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return frequency, rng.uniform(0, 2 * np.pi, (3, 40)), rng.uniform(0.3, 1.0, (3, 40))


def paint(x, y, seed):
    """Float image in [0, 1] of the texture at places (H, W)."""
    frequency, phase, strength = waves(seed)
    image = np.zeros((*x.shape, 3))
    for k in range(len(frequency)):
        image += (
            strength[:, k]
            * np.cos(x * frequency[k, 0] + y * frequency[k, 1])[..., None]
            * np.cos(phase[:, k])
        )
        image -= (
            strength[:, k]
            * np.sin(x * frequency[k, 0] + y * frequency[k, 1])[..., None]
            * np.sin(phase[:, k])
        )
    return np.clip(0.5 + 0.055 * image, 0.0, 1.0).astype(np.float32)


def moved_pair(homography, seed, width=WIDTH, height=HEIGHT):
    """Images of a texture before and after a homography about the middle, the flow, and where it stays inside."""
    row, column = np.mgrid[:height, :width].astype(float)
    centre = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    whole = centre @ homography @ np.linalg.inv(centre)

    def go(matrix):
        x, y, w = np.einsum("ij,jhw->ihw", matrix, np.stack([column, row, np.ones_like(row)]))
        return x / w, y / w

    to_x, to_y = go(whole)
    inside = (to_x >= 3) & (to_x <= width - 4) & (to_y >= 3) & (to_y <= height - 4)
    flow = np.stack([to_x - column, to_y - row], axis=2)
    return paint(column, row, seed), paint(*go(np.linalg.inv(whole)), seed), flow, inside


def errors(homography, seed):
    image0, image1, truth, inside = moved_pair(homography, seed)
    found = optical_flow(image0, image1, method="accurate").flow
    assert np.isfinite(found).all()
    return np.hypot(*np.moveaxis(found - truth, 2, 0))[inside]


@pytest.mark.parametrize("number", [0, 1])
def test_equal_images_do_not_move(number):
    image = paint(*np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), number)
    assert np.abs(optical_flow(image, image, method="accurate").flow).max() < 1e-3


@settings(max_examples=6, deadline=None)
@given(st.floats(-8, 8), st.floats(-8, 8), st.integers(0, 50))
def test_translations(u, v, seed):
    error = errors(np.array([[1, 0, u], [0, 1, v], [0, 0, 1.0]]), seed)
    assert error.mean() < 0.01
    assert np.percentile(error, 99) < 0.05


@settings(max_examples=3, deadline=None)
@given(st.floats(-0.08, 0.08), st.integers(0, 50))
def test_rotations(angle, seed):
    cos, sin = np.cos(angle), np.sin(angle)
    error = errors(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]]), seed)
    assert error.mean() < 0.03
    assert np.percentile(error, 95) < 0.05


@settings(max_examples=3, deadline=None)
@given(st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4), st.integers(0, 50))
def test_affine_maps(change, seed):
    a, b, c, d = change
    error = errors(np.array([[1 + a, b, 1.5], [c, 1 + d, -0.7], [0, 0, 1.0]]), seed)
    assert error.mean() < 0.03
    assert np.percentile(error, 95) < 0.05


@settings(max_examples=3, deadline=None)
@given(st.floats(-3e-4, 3e-4), st.floats(-3e-4, 3e-4), st.integers(0, 50))
def test_homographies(px, py, seed):
    error = errors(np.array([[1.02, 0.01, 2.0], [0, 0.99, 1.0], [px, py, 1.0]]), seed)
    assert error.mean() < 0.03
    assert np.percentile(error, 95) < 0.05


def layered_pair(**changes):
    return make_flow_pair(FlowPairOptions(width=160, height=128, layers=3, thin=1, **changes), 41)


def test_mirrored_images_have_the_mirrored_flow():
    pair = layered_pair()
    flow = optical_flow(pair.image0, pair.image1, method="accurate").flow
    mirrored = optical_flow(pair.image0[:, ::-1], pair.image1[:, ::-1], method="accurate").flow
    mirrored = mirrored[:, ::-1] * np.array([-1, 1], np.float32)
    apart = np.hypot(*np.moveaxis(flow - mirrored, 2, 0))
    assert np.median(apart) < 0.01
    assert np.percentile(apart, 90) < 0.2


def test_runs_are_the_same_to_the_last_bit():
    pair = layered_pair()
    first, second = (optical_flow(pair.image0, pair.image1, method="accurate").flow for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("changes", [{}, {"max_motion_px": 20.0}, {"noise": 8.0}, {"brightness": 0.2}])
def test_better_than_dis_on_layers(changes):
    pair = layered_pair(**changes)

    def error(method):
        flow = optical_flow(pair.image0, pair.image1, method=method).flow
        return np.hypot(*np.moveaxis(flow - pair.flow, 2, 0))[~pair.occlusion].mean()

    assert error("accurate") < 0.7 * error("dis")


def test_a_small_thing_that_goes_far():
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (240, 320, 3)).astype(np.float32), (0, 0), 1.5)
    noise = np.clip(128 + 4.0 * (noise - 128), 0, 255).astype(np.uint8)
    thing = noise[10:44, 10:44] // np.array([1, 2, 4], np.uint8)  # of another colour than what is behind it
    image0, image1 = noise.copy(), noise.copy()
    image0[150:184, 120:154] = thing
    image1[120:154, 157:191] = thing
    found = optical_flow(image0, image1, method="accurate").flow[150:184, 120:154]
    error = np.hypot(found[..., 0] - 37.0, found[..., 1] + 30.0)
    assert np.median(error) < 0.15
    assert (error < 0.5).mean() > 0.8


@pytest.mark.parametrize("shape", [(16, 16), (17, 90), (33, 16)])
def test_small_and_odd_images(shape):
    rng = np.random.default_rng(0)
    image0, image1 = rng.integers(0, 255, (2, *shape), np.uint8)
    found = optical_flow(image0, image1, method="accurate")
    assert found.flow.shape == (*shape, 2)
    assert np.isfinite(found.flow).all()


@pytest.mark.parametrize("kind", ["noise", "black and white", "one pixel", "unlike"])
def test_never_nan(kind):
    rng = np.random.default_rng(1)
    image0, image1 = np.zeros((2, 40, 50), np.float32)
    if kind == "noise":
        image0, image1 = rng.random((2, 40, 50), np.float32)
    elif kind == "black and white":
        image0, image1 = (rng.random((2, 40, 50)) > 0.5).astype(np.float32)
    elif kind == "one pixel":
        image0[20, 20] = image1[3, 45] = 1.0
    else:
        image0[:, 25:], image1[20:] = 1.0, 1.0
    found = optical_flow(image0, image1, method="accurate")
    assert np.isfinite(found.flow).all()
    assert np.isfinite(found.confidence).all()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AccurateOptions(coarsest_px=1), "coarsest_px"),
        (lambda: VariationalOptions(smoothness=0.0), "smoothness"),
        (lambda: VariationalOptions(smoothness=float("nan")), "smoothness"),
        (lambda: VariationalOptions(color_weight=0.0, gradient_weight=0.0), "color_weight"),
        (lambda: VariationalOptions(warps=0), "warps"),
    ],
)
def test_options_out_of_range_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()
