"""Keypoints lie where the blobs are, in COLMAP's pixels, at every size."""

import tracemalloc

import cv2
import numpy as np
import pytest

from geo3d.features import SiftOptions, extract, sift

cv2.setNumThreads(1)


def blobs(sigma, per_side, size=384, seed=0):
    """A photo of Gaussian blobs at random sub-pixel places, and these places."""
    rng = np.random.default_rng(seed)
    step = size / per_side
    grid = (
        np.stack(np.meshgrid(np.arange(per_side), np.arange(per_side)), axis=-1).reshape(-1, 2) + 0.5
    ) * step
    centres = grid + rng.uniform(-1, 1, grid.shape)
    y, x = np.mgrid[:size, :size] + 0.5  # centre of the top-left pixel
    image = np.full((size, size), 100.0)
    for cx, cy in centres:
        image += 110 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), centres


def errors(keypoints, centres):
    offset = keypoints[:, None] - centres[None]
    nearest = np.linalg.norm(offset, axis=2).argmin(axis=1)
    offset = offset[np.arange(len(keypoints)), nearest]
    return offset[np.linalg.norm(offset, axis=1) < 1.5]


@pytest.mark.parametrize(("sigma", "per_side"), [(1.2, 8), (2.0, 8), (3.0, 8), (4.0, 6), (6.0, 4)])
def test_keypoints_have_no_sub_pixel_bias(sigma, per_side):
    image, centres = blobs(sigma, per_side)
    features = extract(image)
    error = errors(features.keypoints, centres)
    assert len(error) >= len(centres)
    assert np.abs(error.mean(axis=0)).max() < 0.02
    assert error.std(axis=0).max() < 0.05


@pytest.mark.parametrize("scale", [0.5, 0.37])
def test_keypoints_of_a_reduced_photo_are_in_the_photo_s_pixels(scale):
    image, centres = blobs(6.0, 5)
    small = cv2.resize(image, (round(384 * scale),) * 2, interpolation=cv2.INTER_AREA)
    exact = (small.shape[1] / 384, small.shape[0] / 384)
    features = extract(small, scale=exact)
    error = errors(features.keypoints, centres)
    assert len(error) >= len(centres)
    assert np.abs(error.mean(axis=0)).max() < 0.02 / scale
    full, reduced = extract(image), features
    assert np.median(reduced.scales) == pytest.approx(np.median(full.scales), rel=0.1)


def test_scale_and_angle_follow_a_rotated_enlarged_photo():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8), (0, 0), 4)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    features, turned = extract(image), extract(np.ascontiguousarray(np.rot90(image, -1)))
    expected = np.stack([200 - features.keypoints[:, 1], features.keypoints[:, 0]], axis=1)
    distance = np.linalg.norm(turned.keypoints[:, None] - expected[None], axis=2)
    turn = np.rad2deg(turned.angles[:, None] - features.angles[None] - np.pi / 2) % 360
    aligned = (distance < 0.3) & ((turn < 8) | (turn > 352))
    assert aligned.any(axis=0).mean() > 0.8


def test_largest_are_kept_in_order():
    image, _ = blobs(2.0, 10)
    everything, some = extract(image), extract(image, SiftOptions(max_features=40))
    assert len(some) == 40 < len(everything)
    assert np.all(np.diff(everything.scales) <= 0)
    np.testing.assert_array_equal(some.keypoints, everything.keypoints[:40])
    np.testing.assert_array_equal(some.descriptors, everything.descriptors[:40])


def test_large_photos_are_searched_at_half_size_when_that_is_enough():
    """The largest features are the same, whether or not the finest octave was looked at."""
    noise = np.random.default_rng(0).integers(0, 256, (500, 2000), np.uint8)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX)
    everything, some = extract(image), extract(image, SiftOptions(max_features=300))
    offset = np.linalg.norm(some.keypoints[:, None] - everything.keypoints[None], axis=2).min(axis=1)
    assert len(some) == 300 < len(everything)
    assert np.median(offset) < 0.2
    assert np.abs(np.median(some.scales) / np.median(everything.scales[:300]) - 1) < 0.1
    mask = np.zeros(image.shape, bool)
    mask[:, 1000:] = True
    assert extract(image, SiftOptions(max_features=150), mask).keypoints[:, 0].min() > 999


def test_bands_of_a_doubled_photo_give_the_features_of_the_whole(monkeypatch):
    """Also where a band's worth of features is wanted, so that those of the first bands give way to larger ones."""
    noise = np.random.default_rng(1).integers(0, 256, (700, 300), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 1.5)
    mask = np.ones(image.shape, bool)
    mask[100:350, :150] = False
    for wanted in (150, 10_000):
        made = []
        for rows in (10_000, 130):
            monkeypatch.setattr(sift, "_ROWS", rows)
            made.append(sift._search_doubled(image, mask, SiftOptions(contrast_threshold=0.01), wanted))
        whole, banded = made
        assert 100 < len(whole.angles) <= wanted
        np.testing.assert_allclose(banded.keypoints, whole.keypoints, rtol=1e-9)
        np.testing.assert_allclose(banded.angles, whole.angles, atol=1e-6)
        np.testing.assert_allclose(banded.histograms, whole.histograms, atol=1e-2)


@pytest.mark.parametrize(("size", "sigma"), [((1500, 2100), 9), ((1200, 1600), 9), ((1500, 2100), 1.5)])
def test_memory_is_as_told(size, sigma):
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), sigma), None, 0, 255, cv2.NORM_MINMAX)
    tracemalloc.start()
    extract(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    told = sift.extraction_bytes(size[1], size[0])
    assert peak < 1.25 * told
    assert peak > 0.5 * told


def test_mask_is_obeyed():
    image, _ = blobs(2.0, 8)
    mask = np.zeros(image.shape, bool)
    mask[:, 200:] = True
    features = extract(image, mask=mask)
    assert len(features) > 20
    assert features.keypoints[:, 0].min() >= 199.5
    assert len(extract(image, mask=np.zeros(image.shape, bool))) == 0


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (64, 64), (3, 3)])
def test_flat_and_tiny_photos_have_no_features(shape):
    features = extract(np.full(shape, 128, np.uint8))
    assert len(features) == 0
    assert features.keypoints.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)


def test_types_and_ranges():
    features = extract(blobs(2.0, 8)[0])
    assert (features.keypoints.dtype, features.scales.dtype, features.descriptors.dtype) == ("f4", "f4", "u1")
    assert (
        len(features.keypoints) == len(features.scales) == len(features.angles) == len(features.descriptors)
    )
    assert features.angles.min() >= 0
    assert features.angles.max() <= 2 * np.pi
    np.testing.assert_allclose(np.linalg.norm(features.descriptors.astype(float), axis=1), 512, atol=6)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="gray must be"):
        extract(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="gray must be"):
        extract(np.zeros((9, 9)))
    with pytest.raises(ValueError, match="mask must have"):
        extract(np.zeros((9, 9), np.uint8), mask=np.ones((9, 8), bool))
    with pytest.raises(ValueError, match="max_features"):
        SiftOptions(max_features=0)
