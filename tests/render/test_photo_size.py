"""The size at which photos are trained on."""

from pathlib import Path

import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render import PosedView
from geo3d.render.photo_size import chosen_downscale


@pytest.mark.parametrize(("side", "factor"), [(600, 1), (800, 1), (801, 2), (1920, 4), (4000, 8)])
def test_large_photos_are_reduced_to_800_pixels_or_less(side, factor):
    view = PosedView("a", Camera("PINHOLE", side, 200, [100, 100, 50, 50]), SE3.identity(), Path("a"))
    assert chosen_downscale([view]) == factor
    assert chosen_downscale([view], 3.0) == 3.0


def test_photos_keep_enough_pixels_to_be_measured():
    """One 4000 wide and 100 high is reduced to 25 pixels, not to 12; one of 15 is refused."""
    flat, line = (
        PosedView(f"{height}.jpg", Camera("PINHOLE", 4000, height, [9, 9, 5, 5]), SE3.identity(), Path("a"))
        for height in (100, 15)
    )
    assert chosen_downscale([flat]) == 4
    with pytest.raises(ValueError, match=r"leaves 12 of the 100 pixels of 100\.jpg; at most 6\.2"):
        chosen_downscale([flat], 8.0)
    with pytest.raises(ValueError, match=r"15\.jpg has 4000x15 pixels; expected at least 16 a side"):
        chosen_downscale([flat, line])
