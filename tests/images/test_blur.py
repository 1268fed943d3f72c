"""The blur of a picture is what it was blurred by, whatever it shows."""

import cv2
import numpy as np
import pytest

from geo3d.images import blur_px
from geo3d.synthetic import house_poses, make_house, photograph_facades
from geo3d.synthetic.scenes import default_camera


@pytest.fixture(scope="module")
def picture():
    """(750, 1000) float32, a sharp photo."""
    (photo,) = photograph_facades(make_house(), default_camera(), house_poses(5)[1:2], samples=2, noise=0)
    return photo.mean(axis=2, dtype=np.float32)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0, 5.0])
def test_a_gaussian_blur_is_measured_in_pixels(picture, sigma):
    assert blur_px(cv2.GaussianBlur(picture, (0, 0), sigma)) == pytest.approx(sigma, rel=0.3)


def test_more_blur_is_more(picture):
    values = [blur_px(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (0.5, 1, 1.5, 2, 3, 4, 6)]
    assert (np.diff([blur_px(picture), *values]) > 0).all()


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_a_shaken_camera_blurs_along_one_direction_only(picture, angle):
    length = 13
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), angle, 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    shaken = cv2.filter2D(picture, -1, kernel / kernel.sum())
    along = blur_px(shaken)
    assert along > 1.7 > 3 * blur_px(picture)
    # Blurred across as well it is hardly more.
    across = cv2.filter2D(shaken, -1, np.rot90(kernel / kernel.sum()))
    assert blur_px(across) < 1.6 * along


def test_contrast_brightness_turns_and_noise_change_little(picture):
    blurred = cv2.GaussianBlur(picture, (0, 0), 3)
    value = blur_px(blurred)
    assert blur_px(0.3 * blurred + 40) == pytest.approx(value, rel=1e-3)
    for turned in (np.rot90(blurred), blurred[::-1], blurred.T):
        assert blur_px(np.ascontiguousarray(turned)) == pytest.approx(value, rel=1e-3)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape).astype(np.float32)
    assert blur_px(blurred + noise) > 0.7 * value


def test_nothing_to_see_is_infinitely_blurred(picture):
    assert blur_px(np.full((60, 80), 77, np.uint8)) == np.inf
    assert blur_px(np.tile(np.linspace(0, 255, 640, dtype=np.float32), (480, 1))) == np.inf
    with pytest.raises(ValueError, match="gray: expected"):
        blur_px(np.zeros((60, 80, 3), np.uint8))
