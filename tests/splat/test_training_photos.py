"""What a rendering is compared with: backgrounds, alpha and masks."""

import numpy as np

from geo3d.cameras import Camera
from geo3d.render import TrainingPhoto
from geo3d.splat.training_options import TrainingOptions
from geo3d.splat.training_photos import target

CAMERA = Camera("PINHOLE", 8, 6, [8, 8, 4, 3])
COLOR = np.full((6, 8, 3), 0.25, np.float32)
HALF = np.repeat([[1.0, 0.0]], 6, 0).repeat(4, 1).astype(np.float32)  # left half there, right half not


def photo(alpha=None, mask=None):
    color = COLOR if alpha is None else COLOR * alpha[..., None]
    return TrainingPhoto(color, alpha, mask, CAMERA)


def test_a_plain_photo_is_itself_before_any_background():
    for chosen in ("random", "black", "white"):
        color, mask, background = target(photo(), TrainingOptions(background=chosen), 3)
        np.testing.assert_array_equal(color, COLOR)
        assert mask is None and background.shape == (3,)
        assert chosen == "random" or (background == (chosen == "white")).all()


def test_what_is_transparent_shows_a_background_of_its_own_at_every_step():
    seen = [target(photo(alpha=HALF), TrainingOptions(seed=1), step) for step in (0, 1, 0)]
    for color, mask, background in seen:
        assert mask is None
        np.testing.assert_allclose(color[:, 4:], np.broadcast_to(background, (6, 4, 3)))
        np.testing.assert_array_equal(color[:, :4], COLOR[:, :4])
    assert not np.array_equal(seen[0][2], seen[1][2])
    np.testing.assert_array_equal(seen[0][2], seen[2][2])


def test_a_background_that_was_asked_for_stays():
    over_white = TrainingPhoto(np.where(HALF[..., None] > 0, COLOR, np.float32(1)), HALF, None, CAMERA)
    color, _, background = target(over_white, TrainingOptions(background="white"), 5)
    np.testing.assert_array_equal(color, over_white.color)
    np.testing.assert_array_equal(background, [1, 1, 1])


def test_masks_leave_out_or_empty():
    masked = photo(mask=HALF > 0)
    color, mask, background = target(masked, TrainingOptions(), 0)
    np.testing.assert_array_equal(mask, HALF > 0)
    np.testing.assert_array_equal(color, COLOR)
    color, mask, background = target(masked, TrainingOptions(masks="transparent"), 0)
    assert mask is None and background.any()
    np.testing.assert_allclose(color[:, 4:], np.broadcast_to(background, (6, 4, 3)))
