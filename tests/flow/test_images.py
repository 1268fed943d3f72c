"""What is taken as a pair of images, and what is refused, in words."""

import numpy as np
import pytest

from geo3d.flow import prepare_pair

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        COLOR,
        COLOR[..., 0],
        COLOR[..., :1],
        COLOR * np.uint16(257),
        COLOR / 255.0,
        (COLOR / 255.0).astype(np.float32),
        COLOR[:, ::-1],
    ],
)
def test_images_become_colour_and_grey_floats(image):
    pair = prepare_pair(image, image)
    for made in (pair.image0, pair.image1, pair.gray0, pair.gray1):
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
    assert pair.image0.shape == (20, 30, 3)
    assert pair.gray1.shape == (20, 30)
    assert pair.invalid is None
    most = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0
    expected = np.broadcast_to(np.asarray(image, float).reshape(20, 30, -1) / most, (20, 30, 3))
    np.testing.assert_allclose(pair.image0, expected, atol=1e-6)
    luma = pair.image0 @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(pair.gray0, luma, atol=1e-5)


def test_grey_with_colour_is_grey():
    pair = prepare_pair(COLOR, COLOR[..., 0])
    np.testing.assert_array_equal(pair.image0[..., 0], pair.image0[..., 2])
    np.testing.assert_array_equal(pair.image0[..., 0], pair.gray0)


def test_nan_takes_the_nearest_pixel():
    image = (COLOR / 255.0).astype(np.float32)
    image[5, 7, 1] = np.nan
    image[15:, 20:] = np.inf
    pair = prepare_pair(image, COLOR)
    assert np.isfinite(pair.image0).all()
    assert pair.invalid1 is None
    assert pair.invalid is not None
    assert pair.invalid.sum() == 1 + 5 * 10
    beside = [image[5 + dy, 7 + dx] for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    assert any(np.array_equal(pair.image0[5, 7], other) for other in beside)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (COLOR, COLOR[:-1], "one size, got 30x20 and 30x19"),
        (COLOR[:, :1], COLOR[:, :1], "at least 16 pixels a side, got 1x20"),
        (COLOR[:0], COLOR[:0], "shape"),
        (np.dstack([COLOR, COLOR[..., 0]]), COLOR, "alpha"),
        (COLOR[None], COLOR, "shape"),
        (COLOR.astype(np.int32), COLOR, "int32"),
        (COLOR.astype(np.float32), COLOR, "divide by 255"),
        (COLOR, np.full((20, 30), np.nan), "image1: every pixel"),
    ],
)
def test_what_is_no_pair_is_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        prepare_pair(first, second)


def test_constant_is_said():
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert prepare_pair(flat, COLOR).is_constant
    assert prepare_pair(COLOR, flat).is_constant
    spot = flat.copy()
    spot[3, 5] = 200
    assert not prepare_pair(spot, COLOR).is_constant
