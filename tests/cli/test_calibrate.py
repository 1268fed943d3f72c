"""`geo3d calibrate`: what it writes is read by what it is for, and bad input is answered in one line."""

import json
from functools import cache

import cv2
import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.cli.calibrate_words import write_formats
from geo3d.geometry import SE3, SO3
from geo3d.io import read_calibration, read_rig
from geo3d.scene import CameraRig
from geo3d.synthetic import BoardOptions, board_poses, render_board

BOARD = BoardOptions(8, 5, 0.03, samples=2)
LEFT = Camera("OPENCV", 480, 360, [330, 328, 242, 177, -0.15, 0.03, 0, 0])
RIGHT = Camera("OPENCV", 480, 360, [340, 339, 236, 183, -0.12, 0.02, 0, 0])
RIGHT_FROM_LEFT = SE3(SO3.exp([0.01, -0.05, 0.005]).matrix, [-0.08, 0.002, 0.001])


@cache
def pictures(count=9):
    """Of both cameras, at the same moments."""
    poses = board_poses(LEFT, count, BOARD, margin_px=40.0, seed=3)
    left = [render_board(LEFT, pose, BOARD, seed=i).image for i, pose in enumerate(poses)]
    right = [
        render_board(RIGHT, RIGHT_FROM_LEFT @ pose, BOARD, seed=50 + i).image for i, pose in enumerate(poses)
    ]
    return left, right


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for side, images in zip(("left", "right"), pictures()):
        for i, image in enumerate(images):
            cv2.imwrite(str(folder / f"{side}{i + 1}.png"), image)
    return folder


def result(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_camera_its_report_and_files_for_other_programs(photos, tmp_path, capsys):
    out = tmp_path / "calib"
    line = ["calibrate", str(photos / "left*"), "--board", "8x5", "--square", "30mm", "-o", str(out)]
    assert run([*line, "--model", "OPENCV", "--json"]) == 0
    said = result(capsys)
    assert (
        said["warnings"] == []
        and said["model"] == "OPENCV"
        and said["photos"] == 9
        and 0 < said["held_out_rms_px"] < 0.2
    )
    found = read_calibration(said["out"])
    grid = np.stack(np.meshgrid([100.0, 240, 380], [80.0, 180, 280]), axis=-1).reshape(-1, 2)
    assert np.abs(found.project(LEFT.unproject(grid)) - grid).max() < 2
    assert set(said["formats"]) == {"opencv", "colmap", "ros", "kalibr", "mrcal"}
    for path in said["formats"].values():
        again = read_calibration(path)
        np.testing.assert_allclose(again.project(found.unproject(grid)), grid, atol=1e-5)
    page = (out / "report.html").read_text()
    assert "<svg" in page and "left1.png" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert run(line) == 0  # again: files are replaced, and it is said in words
    text = capsys.readouterr().out
    assert "lens models on photos held out" in text and "structure from motion" in text and "not flat" in text


def test_a_rig(photos, tmp_path, capsys):
    out = tmp_path / "rig"
    sides = [str(photos / "left*"), str(photos / "right*")]
    line = ["calibrate", *sides, "--rig", "--board", "8x5", "--square", "30mm", "--model", "OPENCV"]
    assert run([*line, "-o", str(out), "--json"]) == 0
    said = result(capsys)
    rig = read_rig(said["out"])
    assert rig.names == ("left", "right") and said["shared_moments"] == 9 and not said["apart"]
    pose = rig.cam_from_first()[1]
    np.testing.assert_allclose(pose.translation, RIGHT_FROM_LEFT.translation, atol=0.002)
    assert said["epipolar_rms_px"]["left, right"] < 0.2 and said["joint_rms_px"] < 0.25
    assert read_calibration(out / "right.json").model == "OPENCV"
    for name in ("kalibr", "opencv"):
        np.testing.assert_allclose(
            read_rig(said["formats"][name], (480, 360)).cam_from_first()[1].translation,
            pose.translation,
            atol=1e-6,
        )
    assert "right" in (out / "report.html").read_text()
    assert run([*line, "-o", str(out)]) == 0
    assert "mm from left" in capsys.readouterr().out


def test_two_calibrations_compared(tmp_path, capsys):
    from geo3d.io import write_camera_json

    for name, camera in (("a", LEFT), ("b", RIGHT)):
        write_camera_json(tmp_path / f"{name}.json", camera)
    pair = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert run(["calibrate", "--compare", *pair, "-o", str(tmp_path / "d"), "--json"]) == 0
    said = result(capsys)
    assert cv2.imread(said["out"]) is not None and said["largest_px"] > said["median_px"] > 0.5
    assert run(["calibrate", "--compare", pair[0], pair[0], "-o", str(tmp_path / "d")]) == 0
    assert "difference" in capsys.readouterr().out


def test_photos_of_two_cameras_in_one_folder_are_told(photos, tmp_path, capsys):
    for path in photos.glob("right*"):  # turned by half a turn, the other camera has its middle elsewhere
        cv2.imwrite(str(path), cv2.imread(str(path))[::-1, ::-1])
    assert run(["calibrate", str(photos), "--board", "8x5", "-o", str(tmp_path / "c")]) == 1
    answer = capsys.readouterr().err
    assert "two cameras" in answer and f"geo3d calibrate '{photos}/left*' '{photos}/right*' --rig" in answer
    assert not (tmp_path / "c" / "camera.json").exists()


@pytest.mark.parametrize(
    ("line", "code", "hints"),
    [
        ("", 2, ["give the photos"]),
        ("{photos} --model FISHY", 2, ["--model FISHY", "OPENCV"]),
        ("{photos} --model opencv_fishey", 2, ["did you mean OPENCV_FISHEYE?"]),
        ("{photos} --model EQUIRECTANGULAR", 2, ["expected auto or one of SIMPLE_PINHOLE"]),
        ("{photos}/left[123].png {photos}/right* --rig --board 8x5", 1, ["left: 3 photos are too few"]),
        ("{photos} --rig", 2, ["--rig takes the photos of each camera"]),
        ("{photos} {photos}", 2, ["2 are given", "--rig"]),
        ("--compare {photos}/a.json {photos}/b.json", 2, ["a.json does not exist"]),
        ("{photos} --compare a b", 2, ["no photos"]),
        ("{photos}/nothing", 1, ["there is no", "nothing"]),
        ("{photos} -o {photos}/left1.png", 2, ["is a file"]),
        ("{photos}/left* --board 7x5 --model OPENCV", 1, ["7x5", "8x5"]),
        ("{photos}/left[12].png --board 8x5", 1, ["2 photos show the board"]),
        ("{photos}/left1.png --board 8x5", 1, ["1 photo shows the board"]),
        (
            "{photos}/left* --kind aprilgrid --board 6x6",
            1,
            ["0 of 9", "an AprilGrid 6x6; a checkerboard 8x5"],
        ),
        ("{photos}/left[1234].png --board 8x5", 1, ["4 photos are too few", "--model"]),
    ],
)
def test_what_cannot_be_is_answered(line, code, hints, photos, tmp_path, capsys):
    words = [word.format(photos=photos) for word in line.split()]
    words += [] if "-o" in words else ["-o", str(tmp_path / "out")]
    assert run(["calibrate", *words]) == code
    answer = capsys.readouterr().err.splitlines()[-1]
    assert answer.startswith("geo3d: ")
    for hint in hints:
        assert hint in answer, answer


def test_a_folder_that_cannot_be_written_is_said_before_the_work(photos, tmp_path, capsys, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(["calibrate", str(photos), "-o", str(blocked / "calib")]) == 1
    assert f"-o {blocked / 'calib'}: nothing can be written there" in capsys.readouterr().err

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert run(["calibrate", str(photos), "-o", str(tmp_path)]) == 1
    assert f"-o {tmp_path}: nothing can be written there (Permission denied)" in capsys.readouterr().err


def test_files_of_an_earlier_calibration_do_not_stay_beside_a_new_one(tmp_path):
    eucm = Camera("EUCM", 480, 360, [330, 328, 242, 177, 0.5, 1.0])
    assert set(write_formats(tmp_path, LEFT)) == {"opencv", "colmap", "ros", "kalibr", "mrcal"}
    assert set(write_formats(tmp_path, eucm)) == {"colmap", "kalibr"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cameras.txt", "kalibr.yaml"]

    def rig(*cameras):
        return CameraRig(("left", "right"), cameras, (SE3.identity(), RIGHT_FROM_LEFT))

    for _ in range(2):  # folders too are written again
        assert set(write_formats(tmp_path, rig(LEFT, RIGHT))) == {
            "opencv",
            "colmap",
            "ros",
            "kalibr",
            "mrcal",
        }
    np.testing.assert_allclose(read_rig(tmp_path / "mrcal").cameras[0].params, LEFT.params)
    assert set(write_formats(tmp_path, rig(LEFT, eucm))) == {"colmap", "kalibr"}
    assert not (tmp_path / "mrcal").exists() and not (tmp_path / "ros").exists()
    (tmp_path / "colmap" / "notes.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds other files, as notes\.md"):
        write_formats(tmp_path, rig(LEFT, RIGHT))
    assert (tmp_path / "colmap" / "notes.md").read_text() == "mine"


def test_what_only_the_corners_tell_of_two_cameras_is_a_warning(photos, tmp_path, capsys, monkeypatch):
    from geo3d.calibration import MixedCameras
    from geo3d.cli import calibrate_camera

    mixed = MixedCameras([["left1.png"], ["left2.png"]], ["f 330 px", "f 340 px"], "corners", 0.5)
    monkeypatch.setattr(calibrate_camera, "mixed_cameras", lambda found: mixed)
    line = [
        "calibrate",
        str(photos / "left*"),
        "--board",
        "8x5",
        "--model",
        "OPENCV",
        "-o",
        str(tmp_path / "c"),
    ]
    assert run([*line, "--json"]) == 0
    (warning,) = result(capsys)["warnings"]
    assert "two cameras" in warning and "Good to know" in (tmp_path / "c" / "report.html").read_text()
