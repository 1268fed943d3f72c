"""Made-up pairs with known flow: the truth explains the images, and is a truth in both directions."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.flow import splat_forward, warp_backward
from geo3d.synthetic import FlowPairOptions, make_flow_pair, make_flow_scene

EXACT = FlowPairOptions(noise=0.0, width=160, height=120, samples=3)


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_explains_the_images(seed):
    pair = make_flow_pair(EXACT, seed)
    assert pair.flow.shape == (120, 160, 2)
    assert pair.image0.dtype == np.uint8
    differs = np.abs(warp_backward(pair.image1, pair.flow).astype(float) - pair.image0).mean(axis=2)
    seen = differs[~pair.occlusion]
    assert np.median(seen) < 2.5
    assert seen.mean() < 5.0
    assert differs[pair.occlusion].mean() > 2.0 * seen.mean()


def test_the_way_back_leads_home():
    scene = make_flow_scene(EXACT, 3)
    there, back = scene.truth(0.0, 1.0), scene.truth(1.0, 0.0)
    # where a pixel is seen and its target lies within one layer, the flow there is the reverse
    returned = warp_backward(back.flow, there.flow) + there.flow
    layers = warp_backward(back.layer.astype(np.float32), there.flow)
    sure = ~there.occlusion & (np.abs(layers - there.layer) < 1e-3)
    assert sure.mean() > 0.6
    assert np.percentile(np.abs(returned[sure]), 99) < 0.05


def test_what_nothing_lands_on_was_hidden_before():
    scene = make_flow_scene(replace(EXACT, thin=0), 5)
    landed = splat_forward(
        np.ones((120, 160), np.float32), scene.truth(0.0, 1.0).flow, ~scene.truth(0.0, 1.0).occlusion
    )
    uncovered = scene.truth(1.0, 0.0).occlusion
    assert landed.weight[uncovered].mean() < 0.2
    assert abs(landed.weight[~uncovered].mean() - 1.0) < 0.1


def test_motion_is_as_large_as_asked_for():
    lengths = [
        np.hypot(*np.moveaxis(make_flow_pair(replace(EXACT, max_motion_px=30.0), seed).flow, 2, 0)).max()
        for seed in range(6)
    ]
    assert 20.0 < max(lengths) < 90.0
    still = replace(EXACT, max_motion_px=0.0, rotation_deg=0.0, zoom=0.0, perspective=0.0)
    pair = make_flow_pair(still, 1)
    np.testing.assert_array_equal(pair.flow, 0.0)
    np.testing.assert_array_equal(pair.image0, pair.image1)
    assert not pair.occlusion.any()


def test_times_between_lie_between():
    scene = make_flow_scene(replace(EXACT, layers=0, thin=0, perspective=0.0), 2)
    whole, half = scene.truth(0.0, 1.0).flow, scene.truth(0.0, 0.5).flow
    np.testing.assert_allclose(2.0 * half, whole, atol=0.1 * np.abs(whole).max())
    differs = np.abs(warp_backward(scene.image(0.5), half).astype(float) - scene.image(0.0))
    assert differs[~scene.truth(0.0, 0.5).occlusion].mean() < 4.0


def test_the_same_seed_gives_the_same_pair():
    one, same, other = (make_flow_pair(FlowPairOptions(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image1, same.image1)
    np.testing.assert_array_equal(one.flow, same.flow)
    assert not np.array_equal(one.image0, other.image0)


def test_exposure_and_noise_change_the_second_image():
    still = replace(EXACT, max_motion_px=0.0, rotation_deg=0.0, zoom=0.0, perspective=0.0, brightness=0.2)
    differences = []
    for seed in range(4):
        pair = make_flow_pair(still, seed)
        differences.append(np.abs(pair.image1.astype(float) - pair.image0).mean())
    assert max(differences) > 5.0
    noisy = make_flow_pair(replace(still, brightness=0.0, noise=6.0), 0)
    assert abs((noisy.image1.astype(float) - noisy.image0).std() - 6.0 * 2**0.5) < 0.7


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="width"):
        FlowPairOptions(width=0)
    with pytest.raises(ValueError, match="shares"):
        FlowPairOptions(plain=0.9, patches=0.5)
