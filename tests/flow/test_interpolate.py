"""Images between against those that a camera takes there; what is hidden in one image comes from the other."""

import numpy as np
import pytest

from geo3d.flow import (
    BothFlows,
    InterpolateOptions,
    find_both_flows,
    interpolate,
    interpolated_frames,
    interpolation_error,
)
from geo3d.flow.interpolate import flow_at
from geo3d.synthetic.flow import FlowPairOptions, make_flow_scene

from .clips import shaken_clip, wallpaper

DIS = InterpolateOptions(method="dis")  # the quickest
LAYERS = FlowPairOptions(width=192, height=144, layers=3, thin=0, max_motion_px=10.0, noise=0.0, plain=0.0)


def blended(image0, image1, time):
    mixed = (1 - time) * image0.astype(float) + time * image1
    return mixed.round().astype(np.uint8)


@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
def test_a_translation(time):
    wall = wallpaper(300, np.random.default_rng(0))
    image0, image1, truth = (wall[40:200, 60 + x : 260 + x] for x in (0, 8, round(8 * time)))
    between = interpolate(image0, image1, time)
    assert between.dtype == np.uint8
    assert interpolation_error(between, truth).rms < 1.5
    assert interpolation_error(blended(image0, image1, time), truth).rms > 15


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_with_exact_flows_what_is_hidden_comes_from_where_it_is_seen(seed):
    scene = make_flow_scene(LAYERS, seed)
    image0, image1, truth = (scene.image(t) for t in (0.0, 1.0, 0.5))
    there, back = scene.truth(0.0, 1.0), scene.truth(1.0, 0.0)
    hidden = scene.truth(0.5, 0.0).occlusion | scene.truth(0.5, 1.0).occlusion
    flows = BothFlows(there.flow, back.flow, there.occlusion, back.occlusion)
    blind = BothFlows(there.flow, back.flow, np.zeros_like(hidden), np.zeros_like(hidden))
    errors = [
        interpolation_error(image, truth, hidden).rms
        for image in (
            interpolate(image0, image1, 0.5, flows),
            interpolate(image0, image1, 0.5, blind),
            blended(image0, image1, 0.5),
        )
    ]
    assert hidden.sum() > 300
    assert errors[0] < 0.6 * errors[1] and errors[0] < 0.6 * errors[2]


def test_flow_between_is_that_of_what_is_seen_there():
    scene = make_flow_scene(LAYERS, 1)
    there, back = scene.truth(0.0, 1.0), scene.truth(1.0, 0.0)
    flows = BothFlows(there.flow, back.flow, there.occlusion, back.occlusion)
    image0, image1 = (scene.image(t).astype(np.float32) / np.float32(255) for t in (0.0, 1.0))
    found = flow_at(image0, image1, 0.3, flows)
    truth = (scene.truth(0.3, 1.0).flow - scene.truth(0.3, 0.0).flow).astype(np.float64)
    assert np.mean(np.hypot(*np.moveaxis(found - truth, 2, 0)) > 1.0) < 0.05


def test_with_flows_as_found_it_is_better_than_blending():
    errors = []
    for seed in range(6):
        scene = make_flow_scene(LAYERS, seed)
        image0, image1, truth = (scene.image(t) for t in (0.0, 1.0, 0.5))
        errors.append(
            [
                interpolation_error(image, truth).rms
                for image in (interpolate(image0, image1, 0.5), blended(image0, image1, 0.5))
            ]
        )
    found, blend = np.mean(errors, axis=0)
    assert found < 0.6 * blend


def test_the_ends_are_the_images_and_types_stay():
    image0, image1 = shaken_clip(2).frames
    assert (interpolate(image0, image1, 0.0) == image0).all()
    assert (interpolate(image0, image1, 1.0) == image1).all()
    floats = [image.astype(np.float32)[..., 0] / np.float32(255) for image in (image0, image1)]
    between = interpolate(floats[0], floats[1], 0.5)
    assert between.dtype == np.float32 and between.shape == floats[0].shape
    assert np.isfinite(between).all() and between.min() >= 0 and between.max() <= 1


def test_a_flash_of_nothing_is_a_fade():
    dark, light = np.zeros((32, 48), np.uint8), np.full((32, 48), 200, np.uint8)
    np.testing.assert_allclose(interpolate(dark, light, 0.25), 50, atol=1)


def test_mirrored_in_time():
    image0, image1 = shaken_clip(2).frames
    flows = find_both_flows(image0, image1)
    turned = BothFlows(flows.backward, flows.forward, flows.hidden1, flows.hidden0)
    a, b = interpolate(image0, image1, 0.25, flows), interpolate(image1, image0, 0.75, turned)
    # Where both land with the same weight either may be taken.
    assert (np.abs(a.astype(int) - b) > 3).mean() < 0.01


def test_a_video_of_more_frames():
    frames: list = list(shaken_clip(5).frames)
    frames[2] = None
    skipped: list = []
    found = list(interpolated_frames(frames, 3, DIS, skipped))
    assert len(found) == 13 and [frame.number for frame in skipped] == [2]
    for number in (0, 1, 3, 4):
        assert (found[3 * number] == frames[number]).all()


def test_nothing_is_blended_across_a_cut():
    first, second = shaken_clip(1, seed=1).frames[0], shaken_clip(1, seed=2).frames[0]
    found = list(interpolated_frames([first, second], 4, DIS))
    assert [next(i for i, f in enumerate((first, second)) if (f == frame).all()) for frame in found] == [
        0,
        0,
        1,
        1,
        1,
    ]


def test_refusals():
    image = np.zeros((32, 48), np.uint8)
    with pytest.raises(ValueError, match="one shape and type"):
        interpolate(image, image[1:], 0.5)
    with pytest.raises(ValueError, match="time"):
        interpolate(image, image, 1.5)
    with pytest.raises(ValueError, match="times"):
        list(interpolated_frames([image], 1))
