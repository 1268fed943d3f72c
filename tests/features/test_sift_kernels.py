"""The kernels of SIFT find and describe what OpenCV's SIFT does, the reference they are held to."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.features import SiftOptions, extract, root_sift
from geo3d.features.scale_space import LAYERS, octaves
from geo3d.features.sift_kernels import _gaussian, atan2_turns, find_extrema


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
    for layer in range(1, LAYERS + 1):
        for y in range(5, D.shape[1] - 5):
            for x in range(5, D.shape[2] - 5):
                cube, value = D[layer - 1 : layer + 2, y - 1 : y + 2, x - 1 : x + 2], D[layer, y, x]
                strong = abs(value) > 0.5 * contrast * 255
                if strong and (value == cube.max() if value > 0 else value == cube.min()):
                    found.add((layer, y, x))
    return found


def test_every_extremum_is_looked_at():
    levels = next(iter(octaves(blobs(3, 40, 50))))
    rows = np.empty((5000, 5))
    # No demand on edges and contrast: what is refined to within half a pixel is where the reference has it.
    count = find_extrema(levels, 1e-3, 1e6, rows)
    assert 0 < count < len(rows)
    reference = extrema_reference(levels, 1e-3)
    near = [
        any((int(r[2]) + a, int(np.rint(r[1])) + b, int(np.rint(r[0])) + c) in reference
            for a in (-1, 0, 1) for b in (-2, -1, 0, 1, 2) for c in (-2, -1, 0, 1, 2))
        for r in rows[:count]
    ]  # fmt: skip
    assert np.mean(near) > 0.98
    assert count <= len(reference)
    assert find_extrema(levels, 1e-3, 1e6, rows[:10]) == count  # told, though there is no room


def test_octaves_halve_and_blur():
    gray = np.zeros((64, 80), np.uint8)
    gray[32, 40] = 255
    space = list(octaves(gray))
    assert [s.shape[1:] for s in space] == [(128, 160), (64, 80), (32, 40), (16, 20)]
    for octave, levels in enumerate(space[:2]):
        for i, level in enumerate(levels):
            y, x = np.indices(level.shape)
            middle = np.array([(level * x).sum(), (level * y).sum()]) / level.sum()
            # 2 x of the photo's pixel, halved with every octave
            np.testing.assert_allclose(middle, np.array([80, 64]) / 2**octave, atol=0.02)
            spread = np.sqrt((level * (x - middle[0]) ** 2).sum() / level.sum()) * 2**octave
            # the photo counts as blurred by half a pixel, which a point is not; doubling adds a little
            expected = np.sqrt((1.6 * 2 ** (octave + i / LAYERS)) ** 2 - 1 + 1 / 2)
            assert spread == pytest.approx(expected, rel=0.05)


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32))
def test_angle_is_that_of_atan2(x, y):
    if abs(x) + abs(y) < 1e-3:
        return
    turns = atan2_turns(np.float32(y), np.float32(x))
    assert 0 <= turns < 1
    apart = abs(turns - np.arctan2(y, x) / (2 * np.pi) % 1)
    assert min(apart, 1 - apart) < 2e-6


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 2, width=32))
def test_gaussian_is_that_of_exp(x):
    assert _gaussian(np.float32(x)) == pytest.approx(np.exp(-x), rel=3e-5)
