"""The kernels of SIFT find and describe what OpenCV's SIFT does, the reference they are held to."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import SiftOptions, extract, root_sift
from geo3d.features.scale_space import STEPS, doubled_octave, gaussian_weights, photo_octave, pyramid
from geo3d.features.sift_kernels import _gaussian, find_extrema
from geo3d.features.sift_vectors import (
    BLOCK,
    CELLS,
    LANES,
    ORIENTATIONS,
    gradients,
    gradients_reference,
    smooth,
    smooth_reference,
    spatial_bins,
    spread,
    spread_reference,
)
from geo3d.util.jit import njit


def blobs(seed, height=240, width=320):
    """A photo of blobs of all sizes."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    for sigma in (1, 2, 4, 8, 16):
        noise = cv2.GaussianBlur(rng.normal(size=image.shape).astype(np.float32), (0, 0), sigma)
        image += noise / noise.std()
    return np.clip(128 + 25 * image, 0, 255).astype(np.uint8)


def opencv(gray):
    """Keypoints (N, 4) x, y, blur, angle, top-left pixel at (0.5, 0.5), and RootSIFT."""
    options = SiftOptions()
    sift = cv2.SIFT_create(
        contrastThreshold=options.contrast_threshold,
        edgeThreshold=options.edge_threshold,
        enable_precise_upscale=True,
    )
    found, raw = sift.detectAndCompute(gray, None)
    rows = [(k.pt[0] + 0.5, k.pt[1] + 0.5, k.size / 2, np.deg2rad(k.angle)) for k in found]
    return np.array(rows), root_sift(raw)


@pytest.mark.parametrize("seed", [0, 1])
def test_keypoints_and_descriptors_are_those_of_opencv(seed):
    gray = blobs(seed)
    ours, (theirs, descriptors) = extract(gray), opencv(gray)
    mine = np.column_stack([ours.keypoints, ours.scales, ours.angles])
    turn = np.abs((mine[:, None, 3] - theirs[None, :, 3] + np.pi) % (2 * np.pi) - np.pi)
    apart = np.abs(mine[:, None, :3] - theirs[None, :, :3]).max(2) + turn
    nearest = apart.argmin(1)
    same = apart.min(1) < 0.01
    assert len(mine) == pytest.approx(len(theirs), rel=0.01)
    assert same.mean() > 0.99
    a, b = ours.descriptors[same].astype(float), descriptors[nearest[same]].astype(float)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    # OpenCV rounds the place of a keypoint to a pixel before it describes it; these are where they are.
    assert cosine.min() > 0.97 and np.median(cosine) > 0.995


def extrema_reference(levels, contrast):
    """Pixels of D that are extrema of their 26 neighbours, as the formula: (layer, y, x)."""
    D = np.diff(levels, axis=0)
    found = set()
    for layer in range(1, STEPS + 1):
        for y in range(5, D.shape[1] - 5):
            for x in range(5, D.shape[2] - 5):
                cube, value = D[layer - 1 : layer + 2, y - 1 : y + 2, x - 1 : x + 2], D[layer, y, x]
                strong = abs(value) > 0.5 * contrast * 255
                if strong and (value == cube.max() if value > 0 else value == cube.min()):
                    found.add((layer, y, x))
    return found


def test_every_extremum_is_looked_at():
    octave = doubled_octave(blobs(3, 40, 50))
    octave.blur_up_to(5)
    levels = np.stack([octave.level(k) for k in range(6)])
    rows = np.empty((5000, 7))
    # No demand on edges and contrast: what is refined to within half a pixel is where the reference has it.
    count = find_extrema(*octave.shape, 1e-3, 1e6, rows)
    assert 0 < count < len(rows)
    reference = extrema_reference(levels, 1e-3)
    near = [
        any((k + a, y + b, x + c) in reference
            for a in (-1, 0, 1) for b in (-2, -1, 0, 1, 2) for c in (-2, -1, 0, 1, 2))
        for k, y, x in rows[:count, :3].astype(int)
    ]  # fmt: skip
    assert np.mean(near) > 0.98
    assert count <= len(reference)
    assert np.abs(rows[:count, 3] - rows[:count, 2]).max() <= 0.5
    assert find_extrema(*octave.shape, 1e-3, 1e6, rows[:10]) == count  # told, though there is no room


@pytest.mark.parametrize(("first", "doubled"), [(doubled_octave, 1), (photo_octave, 0)])
def test_octaves_halve_and_blur(first, doubled):
    gray = np.zeros((64, 80), np.uint8)
    gray[32, 40] = 255
    space = pyramid(first(gray), 16)
    sizes = [(128, 160), (64, 80), (32, 40), (16, 20)][1 - doubled :]
    assert [(o.height, o.width) for o in space] == sizes
    assert [o.pixel for o in space] == [0.5, 1, 2, 4][1 - doubled :]
    for octave in space[:2]:
        octave.blur_up_to(5, 4)
        for k in range(6):
            level = octave.level(k).astype(float)
            y, x = np.indices(level.shape)
            middle = np.array([(level * x).sum(), (level * y).sum()]) / level.sum()
            np.testing.assert_allclose(middle * octave.pixel, [40, 32], atol=0.02)
            spread = np.sqrt((level * (x - middle[0]) ** 2).sum() / level.sum()) * octave.pixel
            # the photo counts as blurred by half a pixel, which a point is not; doubling adds a little
            expected = np.sqrt((1.6 * octave.pixel * 2 ** (k / STEPS)) ** 2 - 1 / 4 + doubled / 8)
            assert spread == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", [(13, 300), (70, 17), (33, 64)])
def test_a_blurred_level_is_smoothed_along_rows_and_columns(shape):
    gray = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    octave = photo_octave(gray)
    octave.level(0)[:] = gray
    octave.blur(0, 1, 2.7)
    weights = gaussian_weights(2.7)
    assert 2 * weights.sum() - weights[0] == pytest.approx(1, abs=1e-6)
    expected = np.array([smooth_reference(row, weights) for row in gray])
    expected = np.array([smooth_reference(column, weights) for column in expected.T]).T
    np.testing.assert_allclose(octave.level(1), expected, atol=1e-3)
    np.testing.assert_array_equal(octave.level(0), gray)


@njit()
def sample_row(level, at, stride, number, start, step, angle, histogram):
    turn, magnitude, window = np.empty(64, np.float32), np.empty(64, np.float32), np.ones(64, np.float32)
    cell, parts = np.empty(64, np.int32), np.empty(192, np.float32)
    gradients(level, at, stride, window, 3, np.float32(0.5), number, turn, magnitude)
    whole = magnitude.copy()
    spatial_bins(start[0], step[0], start[1], step[1], angle, number, turn, magnitude, cell, parts)
    spread(histogram, cell, parts, magnitude, number)
    return turn, whole


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0, 1, exclude_max=True, width=32))
def test_samples_fall_into_the_bins_of_the_reference(seed, number, angle):
    rng = np.random.default_rng(seed)
    level = rng.uniform(0, 255, (3, 64)).astype(np.float32)
    start, step = rng.uniform(-1, 6, 2).astype(np.float32), rng.uniform(-0.3, 0.3, 2).astype(np.float32)
    histogram = np.zeros(CELLS * CELLS * ORIENTATIONS, np.float32)
    flat = np.concatenate([level.ravel(), np.zeros(LANES, np.float32)])
    turn, magnitude = sample_row(flat, 64 + 5, 64, number, start, step, np.float32(angle), histogram)
    turns, lengths = (row[0, 4 : 4 + number] for row in gradients_reference(level))
    apart = np.abs(turn[:number] - turns)
    assert np.minimum(apart, 1 - apart).max() < 5e-6
    np.testing.assert_allclose(magnitude[:number], lengths / 2, rtol=1e-5, atol=1e-4)
    expected = np.zeros((CELLS, CELLS, ORIENTATIONS))
    for i in range(number):
        row, column = start + step * i
        if 0 < row < CELLS - 1 and 0 < column < CELLS - 1:
            spread_reference(expected, row, column, (angle - turns[i]) % 1 * ORIENTATIONS, lengths[i] / 2)
    np.testing.assert_allclose(histogram.reshape(expected.shape), expected, atol=0.02)


@njit()
def smooth_row(line, at, weights, out, count):
    smooth(line, at, 1, weights, out, 0, count)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 20), st.integers(1, 150))
def test_smoothing_equals_the_reference(seed, taps, count):
    rng = np.random.default_rng(seed)
    weights, line = rng.uniform(0, 1, taps).astype(np.float32), rng.uniform(0, 1, 400).astype(np.float32)
    out = np.empty(400, np.float32)
    smooth_row(line, 40, weights, out, count)
    expected = np.convolve(line.astype(float), np.concatenate([weights[:0:-1], weights]), mode="same")
    np.testing.assert_allclose(out[:count], expected[40 : 40 + count], rtol=1e-5)
    assert BLOCK % LANES == 0


@pytest.mark.parametrize(("radius", "offset", "sigma"), [(39, 0.5, 22.0), (12, -0.3, 9.6), (7, 0, 2.4)])
def test_window_is_that_of_exp(radius, offset, sigma):
    window = np.ones(128, np.float32)
    _gaussian(window, radius, offset, sigma)
    x = np.arange(-radius, radius + 1) + offset
    np.testing.assert_allclose(window[: len(x)], np.exp(-(x**2) / (2 * sigma**2)), rtol=1e-6)
    assert not window[len(x) : len(x) + LANES].any()
