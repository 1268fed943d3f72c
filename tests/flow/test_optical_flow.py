"""All methods behind one function: what each of them has to give on any input that is taken."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.flow import (
    METHODS,
    DisOptions,
    FarnebackOptions,
    FlowResult,
    consistency,
    flow_errors,
    leaves_image,
    optical_flow,
)
from geo3d.synthetic import FlowPairOptions, make_flow_pair, make_flow_scene

EASY = FlowPairOptions(
    width=160, height=128, layers=2, thin=0, max_motion_px=3.0, patches=0.0, plain=0.0, repetition=0.0
)
RNG = np.random.default_rng(0)
every_method = pytest.mark.parametrize("method", sorted(set(METHODS) - {"raft"}))  # which needs weights


def valid(found: FlowResult, shape: tuple[int, int]) -> None:
    assert found.flow.shape == (*shape, 2)
    assert found.flow.dtype == np.float32
    assert np.isfinite(found.flow).all()
    assert found.occlusion.shape == shape
    assert found.occlusion.dtype == bool
    assert found.confidence.shape == shape
    assert found.confidence.dtype == np.float32
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@every_method
def test_a_made_up_motion_is_found(method):
    pair = make_flow_pair(EASY, 0)
    found = optical_flow(pair.image0, pair.image1, method)
    valid(found, (128, 160))
    assert found.method == method
    assert flow_errors(found.flow, pair.flow, ~pair.occlusion).epe_px < 0.5
    assert found.confidence[pair.occlusion].mean() < 0.6 * found.confidence[~pair.occlusion].mean()


@every_method
def test_equal_images_have_no_flow(method):
    image = make_flow_pair(EASY, 1).image0
    found = optical_flow(image, image, method)
    assert np.abs(found.flow).max() < (0.05 if method == "farneback" else 1e-3)  # OpenCV's is not exact
    assert not found.occlusion.any()


@every_method
@pytest.mark.parametrize("other", ["constant", "textured"])
def test_constant_images_have_no_flow_and_no_confidence(method, other):
    flat = np.full((40, 50, 3), 128, np.uint8)
    second = flat if other == "constant" else RNG.integers(0, 256, flat.shape, np.uint8)
    for pair in ((flat, second), (second, flat)):
        found = optical_flow(*pair, method)
        valid(found, (40, 50))
        assert not found.flow.any()
        assert not found.confidence.any()
        assert not found.occlusion.any()


@every_method
@pytest.mark.parametrize("shape", [(16, 16), (17, 23), (16, 90), (90, 16), (61, 47)])
def test_any_size_from_16_pixels_on_is_taken(method, shape):
    first = RNG.integers(0, 256, shape, np.uint8)
    valid(optical_flow(first, np.roll(first, 1, axis=1), method), shape)


@every_method
@pytest.mark.parametrize("kind", ["noise", "half flat", "step", "nan", "black and white", "other"])
def test_no_input_gives_nan(method, kind):
    first, second = RNG.random((2, 48, 64)).astype(np.float32)
    if kind == "half flat":
        first[:, 32:] = second[:, 32:] = 0.5
    elif kind == "step":
        first[:], second[:] = 0.0, 0.0
        first[:, 20:], second[:, 25:] = 1.0, 1.0
    elif kind == "nan":
        first[10:20, 10:30] = np.nan
        second[30:, :10] = np.inf
    elif kind == "black and white":
        first, second = first.round(), second.round()
    elif kind == "other":
        first, second = np.zeros_like(first), np.ones_like(first)
        first[5, 5], second[40, 60] = 1.0, 0.0
    valid(optical_flow(first, second, method), (48, 64))


@every_method
def test_nan_pixels_have_no_confidence(method):
    pair = make_flow_pair(EASY, 2)
    first, second = (image / np.float32(255) for image in (pair.image0, pair.image1))
    first[30:40, 50:60, 1] = np.nan
    second[70:80, 20:30] = np.nan
    found = optical_flow(first, second, method)
    assert not found.confidence[30:40, 50:60].any()
    y, x = np.mgrid[:128, :160]
    at_x, at_y = x + found.flow[..., 0], y + found.flow[..., 1]
    inside_hole = (at_x > 20) & (at_x < 29) & (at_y > 70) & (at_y < 79)
    assert inside_hole.any()
    assert not found.confidence[inside_hole].any()


@every_method
def test_the_mirror_image_moves_the_mirror_way(method):
    pair = make_flow_pair(EASY, 3)
    found = optical_flow(pair.image0, pair.image1, method).flow
    mirrored = optical_flow(pair.image0[:, ::-1], pair.image1[:, ::-1], method).flow[:, ::-1] * [-1, 1]
    assert np.median(np.hypot(*np.moveaxis(found - mirrored, 2, 0))) < 0.1


def test_occlusion_is_found_without_a_flow_back():
    options = replace(EASY, width=320, height=240, max_motion_px=12.0, layers=4)
    shares = []
    for seed in range(3):
        pair = make_flow_pair(options, seed)
        found = optical_flow(pair.image0, pair.image1, "dis")
        hidden = pair.occlusion & ~leaves_image(pair.flow)
        shares.append((found.occlusion[hidden].mean(), found.occlusion[~pair.occlusion].mean()))
        np.testing.assert_array_equal(found.occlusion & leaves_image(found.flow), leaves_image(found.flow))
    right, wrong = np.mean(shares, axis=0)
    assert right > 0.35
    assert wrong < 0.04
    assert right > 12.0 * wrong


def test_confidence_ranks_the_errors():
    pair = make_flow_pair(replace(EASY, width=320, height=240, max_motion_px=12.0, plain=0.3), 7)
    found = optical_flow(pair.image0, pair.image1, "dis")
    error = np.hypot(*np.moveaxis(found.flow - pair.flow, 2, 0))
    order = np.argsort(found.confidence.ravel())
    tenth = len(order) // 10
    assert error.ravel()[order[-tenth:]].mean() < 0.2 * error.ravel()[order[:tenth]].mean()


def test_consistency_of_true_flows_finds_what_is_hidden():
    scene = make_flow_scene(replace(EASY, width=320, height=240, max_motion_px=12.0, layers=4), 1)
    there, back = scene.truth(0.0, 1.0), scene.truth(1.0, 0.0)
    found = consistency(there.flow, back.flow)
    assert found.occlusion[there.occlusion].mean() > 0.85
    assert found.occlusion[~there.occlusion].mean() < 0.03
    assert np.nanmedian(found.error_px[~there.occlusion]) < 0.01
    assert np.isnan(found.error_px[leaves_image(there.flow)]).all()
    with pytest.raises(ValueError, match="one size"):
        consistency(there.flow, back.flow[1:])


def test_what_is_asked_for_wrongly_is_said():
    image = RNG.integers(0, 256, (32, 32), np.uint8)
    with pytest.raises(ValueError, match=r"method: expected one of .*dis.*got 'deep'"):
        optical_flow(image, image, "deep")
    with pytest.raises(TypeError, match="'dis' takes DisOptions, got FarnebackOptions"):
        optical_flow(image, image, "dis", FarnebackOptions())
    with pytest.raises(ValueError, match="fast or medium"):
        DisOptions("slow")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="one size"):
        optical_flow(image, image[1:], "dis")
