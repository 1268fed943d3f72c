"""A board of markers is recognized from photos: kind, dictionary, columns and rows, about how large its markers are."""

import pytest

from geo3d.calibration import AprilGrid, CharucoBoard, Checkerboard, find_target, guess_marker_board
from geo3d.calibration.detect_charuco import find_charuco
from tests.calibration.photograph import FISHEYE, PINHOLE, board_pose, photograph, plain_photo


@pytest.mark.parametrize(
    ("target", "camera"),
    [
        (CharucoBoard(8, 5, 1.0, 0.75, "DICT_5X5_50"), FISHEYE),
        (CharucoBoard(7, 6, 1.0, 0.7, "DICT_4X4_50", legacy=True), PINHOLE),
        (AprilGrid(5, 4, 1.0, 0.3), FISHEYE),
    ],
    ids=lambda v: getattr(v, "label", v.model if hasattr(v, "model") else "")[:12],
)
def test_boards_are_recognized(target, camera):
    image, truth = photograph(camera, target, board_pose(camera, target, (320, 240), 0.75, 20, (20, 10)))
    guess = guess_marker_board([plain_photo(), image])
    if isinstance(target, AprilGrid):
        assert isinstance(guess, AprilGrid)
        assert (guess.columns, guess.rows) == (target.columns, target.rows)
        assert guess.spacing == pytest.approx(target.spacing, abs=0.03)
    else:
        assert isinstance(guess, CharucoBoard)
        assert (guess.squares_x, guess.squares_y, guess.dictionary) == (
            target.squares_x,
            target.squares_y,
            target.dictionary,
        )
        assert guess.legacy == target.legacy
        assert guess.marker_m == pytest.approx(target.marker_m, abs=0.04)
    found = find_target(image, guess)
    assert found is not None and len(found) >= 0.85 * len(truth)
    assert abs(found.pixels - truth[found.ids]).max() < 1


def test_where_no_markers_are_nothing_is_guessed():
    board = Checkerboard(8, 5, 0.03)
    image, _ = photograph(PINHOLE, board, board_pose(PINHOLE, board, (320, 240), 0.7))
    assert guess_marker_board([image, plain_photo(1)]) is None
    assert guess_marker_board([]) is None


def test_find_target_goes_by_the_kind():
    target = CharucoBoard(8, 6, 0.03, 0.0225)
    image, _ = photograph(PINHOLE, target, board_pose(PINHOLE, target, (320, 240), 0.7))
    one, other = find_target(image, target), find_charuco(image, target)
    assert one is not None and other is not None and (one.pixels == other.pixels).all()
    with pytest.raises(ValueError, match="int"):
        find_target(image, 3)  # pyright: ignore[reportArgumentType]
