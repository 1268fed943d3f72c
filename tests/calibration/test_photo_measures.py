"""Blur over the board and the image circle, measured in photos."""

import numpy as np
import pytest
from PIL import Image

from geo3d.calibration import Detection, FoundBoards, measure_photos
from geo3d.calibration.board_photos import find_photo_files
from geo3d.synthetic import BoardOptions, board_poses, render_board

from .common import LENSES, TARGET


def found_in(folder, detections):
    photos = find_photo_files(folder)
    return FoundBoards(TARGET, 640, 480, detections, {}, photos)


def test_blur_and_circle_are_those_of_the_photos(tmp_path):
    camera = LENSES["OPENCV"]
    pose = board_poses(camera, 1, seed=1)[0]
    x, y = np.meshgrid(np.arange(640), np.arange(480))
    circle = np.hypot(x - 320, y - 240) < 260
    detections = {}
    for name, blur in (("sharp.png", 0.6), ("soft.png", 2.0)):
        photo = render_board(camera, pose, BoardOptions(blur_px=blur, samples=2))
        Image.fromarray(np.where(circle, photo.image, 3).astype(np.uint8)).save(tmp_path / name)
        detections[name] = Detection(np.arange(54), photo.corners)
    found = measure_photos(found_in(tmp_path, detections))
    assert found.blur_px["sharp.png"] == pytest.approx(0.7, abs=0.25)
    assert found.blur_px["soft.png"] == pytest.approx(1.8, abs=0.4)
    share = found.lit.mean()
    assert (
        share == pytest.approx(circle.mean(), abs=0.06)
        and not found.lit[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    )


def test_a_tiny_board_has_no_blur_and_a_photo_that_is_gone_is_said(tmp_path):
    Image.fromarray(np.full((480, 640), 128, np.uint8)).save(tmp_path / "a.png")
    tiny = Detection(np.arange(4), np.array([[10.0, 10], [18, 10], [10, 18], [18, 18]]))
    boards = found_in(tmp_path, {"a.png": tiny})
    found = measure_photos(boards)
    assert found.blur_px == {} and found.lit.all()
    (tmp_path / "a.png").unlink()
    with pytest.raises((OSError, ValueError), match=r"a\.png"):
        measure_photos(boards)


def test_a_dark_place_is_no_image_circle(tmp_path):
    image = np.full((480, 640), 128, np.uint8)
    image[:200, :200] = 0
    Image.fromarray(image).save(tmp_path / "a.png")
    seen = Detection(np.arange(4), np.array([[300.0, 300], [400, 300], [300, 400], [400, 400]]))
    assert measure_photos(found_in(tmp_path, {"a.png": seen})).lit.all()


def test_photos_have_to_be_known():
    with pytest.raises(ValueError, match="detections alone"):
        measure_photos(FoundBoards(TARGET, 640, 480, {}, {}))
