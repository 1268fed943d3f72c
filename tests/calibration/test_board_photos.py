"""What goes into a calibration: folders, patterns, lists; pixels as stored; bad photos named, wrong boards answered."""

import numpy as np
import pytest
from PIL import Image

from geo3d.calibration import (
    CalibrateOptions,
    Checkerboard,
    Detection,
    calibrate,
    choose_model,
    find_boards,
    observe,
)
from geo3d.calibration.board_photos import find_photo_files
from geo3d.images import photo_size

from .warped import SIZE, VIEWS, corners, picture

BOARD = Checkerboard(7, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """cam0/0.png ... cam0/3.png, cam1/4.png ... cam1/7.png."""
    root = tmp_path_factory.mktemp("boards")
    for i, view in enumerate(VIEWS):
        place = root / f"cam{i // 4}"
        place.mkdir(exist_ok=True)
        Image.fromarray(picture(*view, seed=i)).save(place / f"{i}.png")
    (root / "cam0/notes.txt").write_text("no photo\n")
    (root / "cam0/.hidden.png").write_bytes(b"")
    return root


def test_a_folder_a_pattern_and_a_list_name_the_same_photos(folder, monkeypatch):
    every = [f"cam{i // 4}/{i}.png" for i in range(8)]
    assert find_photo_files(folder).names == every
    assert find_photo_files(f"{folder}/cam*/*").names == every
    assert find_photo_files(f"{folder}/**/*.png").names == every
    assert find_photo_files([folder / name for name in reversed(every)] * 2).names == every
    assert find_photo_files(str(folder / "cam1/[4-6]*")).names == ["4.png", "5.png", "6.png"]
    assert find_photo_files(folder / "cam1/4.png").names == ["4.png"]
    monkeypatch.chdir(folder)
    assert find_photo_files("cam*/[37]*").names == ["cam0/3.png", "cam1/7.png"]
    boards = find_boards("cam0/*", BOARD)
    assert list(boards.detections) == ["0.png", "1.png", "2.png", "3.png"] and not boards.skipped
    assert boards.paths["0.png"].samefile("cam0/0.png")


def test_a_folder_whose_name_looks_like_a_pattern(tmp_path):
    odd = tmp_path / "shots[1]"
    odd.mkdir()
    Image.fromarray(picture(*VIEWS[0])).save(odd / "a.png")
    assert find_photo_files(odd).names == ["a.png"]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("nowhere", FileNotFoundError, "there is no .*nowhere"),
        ("cam*", ValueError, "no photos match .*2 matches, 2 of them folders"),
        ("*.jpg", ValueError, "nothing matches"),
        (["cam0/0.png", "cam0/9.png"], FileNotFoundError, "1 of 2 photos are no files, the first is .*9.png"),
        ([], ValueError, "the list is empty"),
    ],
)
def test_what_names_no_photos(given, error, words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(error, match=words):
        find_boards(given)


def test_a_folder_without_photos_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=r"no photos in .*1 other files\): expected .jpg"):
        find_boards(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"but a video, clip.mp4: give the video itself"):
        find_boards(tmp_path)


def test_pixels_are_as_stored_whatever_the_orientation(tmp_path):
    image = Image.fromarray(picture(*VIEWS[1]))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        image.save(tmp_path / f"{orientation}.jpg", exif=exif, quality=95)
    found = find_boards(tmp_path, BOARD)
    assert (found.width, found.height) == image.size == photo_size(tmp_path / "6.jpg")
    assert len(found.detections) == 8
    for detection in found.detections.values():
        np.testing.assert_array_equal(detection.pixels, found.detections["1.jpg"].pixels)


def test_photos_turned_by_a_program_are_refused_with_advice(tmp_path):
    for i in range(4):
        image = picture(*VIEWS[i])
        Image.fromarray(np.rot90(image) if i == 3 else image).save(tmp_path / f"{i}.png")
    with pytest.raises(
        ValueError, match=r"3 of 480x360 \(0.png\); 1 of 360x480 \(3.png\).*a program has turned"
    ):
        find_boards(tmp_path, BOARD)


def test_bad_files_are_named_and_left_out(folder, tmp_path):
    for i in range(4):
        Image.open(folder / f"cam0/{i}.png").save(tmp_path / f"{i}.jpg", quality=95)
    data = (tmp_path / "3.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no photo\n")
    (tmp_path / "table.csv").write_text("1,2\n")
    found = find_boards(tmp_path, BOARD)
    assert sorted(found.detections) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert set(found.skipped) == {"cut.jpg", "empty.jpg", "text.jpg"}
    assert "damaged or truncated" in found.skipped["cut.jpg"] and "0 bytes" in found.skipped["empty.jpg"]
    assert "not an image but a text file" in found.skipped["text.jpg"]
    with pytest.raises(ValueError, match=r"none of the 2 photos in .* can be read; the first: .*empty.jpg"):
        find_boards([tmp_path / "empty.jpg", tmp_path / "text.jpg"], BOARD)
    with pytest.raises(
        ValueError, match=r"none of 2 photos looked at in .* can be read; the first: .*empty.jpg"
    ):
        find_boards([tmp_path / "empty.jpg", tmp_path / "text.jpg"])


def test_a_wrong_board_is_answered_with_how_many_photos_another_fits(folder, tmp_path):
    Image.fromarray(np.full((360, 480), 120, np.uint8)).save(tmp_path / "plain.png")
    given = [*(folder / f"cam0/{i}.png" for i in range(4)), tmp_path / "plain.png"]
    with pytest.raises(
        ValueError,
        match=r"0 of 5 .* show a checkerboard 8x5; a checkerboard 7x5 fits 4 of them: use --board 7x5",
    ):
        find_boards(given, Checkerboard(8, 5))
    with pytest.raises(ValueError, match=r"0 of 1 photos .* no other board is seen either"):
        find_boards(tmp_path, Checkerboard(8, 5))
    with pytest.raises(ValueError, match=r"no board is found in 1 photos of .* --board 9x6"):
        find_boards(tmp_path)


def test_a_wrong_board_that_a_few_photos_seem_to_show_is_answered_too(folder, tmp_path):
    cut = picture((0, 0, 0), (4.2, 0), 13)  # of which the left four columns are in view
    Image.fromarray(cut).save(tmp_path / "cut.png")
    given = [*(folder / f"cam{i // 4}/{i}.png" for i in range(8)), tmp_path / "cut.png"]
    larger = Checkerboard(9, 5)
    assert len(find_boards(tmp_path, larger).detections) == 1
    with pytest.raises(ValueError, match=r"1 of 9 .* checkerboard 9x5; a checkerboard 7x5 fits 9 of them"):
        find_boards(given, larger)


def test_few_photos_and_those_that_leave_the_camera_open(folder, tmp_path):
    found = find_boards([folder / f"cam0/{i}.png" for i in range(3)])
    assert found.target == BOARD
    camera = calibrate(
        found.detections, BOARD, *found_size(found), CalibrateOptions("SIMPLE_PINHOLE", 0)
    ).camera
    assert camera.mean_focal == pytest.approx(430, rel=0.02)
    with pytest.raises(
        ValueError, match="3 photos are too few to choose a lens model by: expected at least 6"
    ):
        choose_model(observe(found.detections, BOARD)[1], *found_size(found))
    two = dict(list(found.detections.items())[:2])
    with pytest.raises(ValueError, match="2 photos show the board; a calibration takes at least 3"):
        calibrate(two, BOARD, *found_size(found))


def test_photos_that_all_face_the_board_leave_the_focal_length_open():
    rng = np.random.default_rng(0)
    views = [((0, 0, 10 * i), (rng.uniform(-2, 2), rng.uniform(-1, 1)), 14 + i) for i in range(9)]
    seen = [corners(*view) + 0.03 * rng.standard_normal((35, 2)) for view in views]
    detections = {f"{i}.jpg": Detection(np.arange(35), pixels) for i, pixels in enumerate(seen)}
    with pytest.raises(ValueError, match="these photos leave the focal length open"):
        choose_model(observe(detections, BOARD)[1], *SIZE, ("PINHOLE", "OPENCV"))


def found_size(found):
    return found.width, found.height
