"""`geo3d stereo`: what it writes, and how it answers."""

import json

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.geometry import SE3
from geo3d.io import read_pfm, read_ply, read_png16, read_rig, write_rig_json
from geo3d.scene import CameraRig
from geo3d.synthetic import StereoPairOptions, make_stereo_pair
from geo3d.util.require import require

OPTIONS = StereoPairOptions(
    width=320, height=240, surfaces=6, thin=2, max_disparity_px=32.0, plain=0.0, samples=2
)
FOCAL, BASELINE = 400.0, 0.2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """left.png, right.png and rig.json of a rectified rig, and the truth."""
    cv2 = require("cv2")
    path = tmp_path_factory.mktemp("pair")
    pair = make_stereo_pair(OPTIONS, 8)
    for name in ("left", "right"):
        cv2.imwrite(str(path / f"{name}.png"), getattr(pair, name)[..., ::-1])
    cv2.imwrite(str(path / "narrow.png"), pair.right[:, :300, ::-1])
    camera = Camera("PINHOLE", 320, 240, [FOCAL, FOCAL, 160, 120])
    poses = (SE3.identity(), SE3(np.eye(3), np.array([-BASELINE, 0.0, 0.0])))
    write_rig_json(path / "rig.json", CameraRig(("left", "right"), (camera, camera), poses))
    np.save(path / "truth.npy", pair.disparity)
    return path


def stereo(folder, *words):
    return run(["stereo", str(folder / "left.png"), str(folder / "right.png"), *map(str, words)])


def test_a_rig_gives_metric_depth(folder, tmp_path, capsys):
    assert stereo(folder, "--calib", folder / "rig.json", "-o", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "matched points differ by" in out
    assert "Depth" in out
    depth = read_pfm(tmp_path / "out" / "depth.pfm")
    truth = FOCAL * BASELINE / np.load(folder / "truth.npy")
    height, width = depth.shape
    record = json.loads((tmp_path / "out" / "stereo.json").read_text())
    assert abs(record["focal_px"] - FOCAL) < 1e-6
    assert abs(record["baseline_m"] - BASELINE) < 1e-9
    # the rectified photo is the middle of the given one, cut by less than a few pixels
    top, left = (240 - height) // 2, (320 - width) // 2
    error = np.abs(depth - truth[top : top + height, left : left + width]) / depth
    assert np.nanmedian(error) < 0.02
    millimetres = read_png16(tmp_path / "out" / "depth.png", 1000.0)
    held = depth < 65.0  # what is farther does not fit into 16 bits
    np.testing.assert_allclose(millimetres[held], depth[held], atol=0.00051, rtol=1e-6)
    cloud = read_ply(tmp_path / "out" / "points.ply")
    assert len(cloud.points) == np.isfinite(depth).sum()
    assert cloud.colors is not None
    assert (read_pfm(tmp_path / "out" / "depth_std.pfm")[np.isfinite(depth)] > 0).all()


def test_swapped_photos_of_a_rig_are_said(folder, tmp_path, capsys):
    photos = [str(folder / "right.png"), str(folder / "left.png")]
    assert (
        run(
            ["stereo", *photos, "--calib", str(folder / "rig.json"), "-o", str(tmp_path), "--quality", "fast"]
        )
        == 0
    )
    assert "swapped, and the depth is that of left.png" in capsys.readouterr().err


def test_swapped_photos_whose_names_do_not_tell_are_refused(folder, tmp_path, capsys):
    rig = read_rig(folder / "rig.json")
    write_rig_json(tmp_path / "rig.json", CameraRig(("a", "b"), rig.cameras, rig.cam_from_rig))
    photos = [str(folder / "right.png"), str(folder / "left.png")]
    assert run(["stereo", *photos, "--calib", str(tmp_path / "rig.json"), "-o", str(tmp_path / "out")]) == 1
    assert "swapped" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("turns", [1, -1])
def test_a_vertical_rig_gives_the_same_depth(folder, tmp_path, capsys, turns):
    """Both photos and the rig turned by 90 degrees."""
    cv2 = require("cv2")
    for name in ("left", "right"):
        photo = np.ascontiguousarray(np.rot90(cv2.imread(str(folder / f"{name}.png")), turns))
        cv2.imwrite(str(tmp_path / f"{name}.png"), photo)
    camera = Camera("PINHOLE", 240, 320, [FOCAL, FOCAL, 120, 160])
    poses = (SE3.identity(), SE3(np.eye(3), np.array([0.0, turns * BASELINE, 0.0])))
    write_rig_json(tmp_path / "rig.json", CameraRig(("left", "right"), (camera, camera), poses))
    depths = []
    for place in (folder, tmp_path):
        assert stereo(place, "--calib", place / "rig.json", "-o", tmp_path / "out", "--quality", "fast") == 0
        depths.append(read_pfm(tmp_path / "out" / "depth.pfm"))
    assert "a vertical rig" in capsys.readouterr().err
    assert depths[0].shape == depths[1].shape
    apart = np.abs(depths[1] / depths[0] - 1.0)
    assert np.nanpercentile(apart, 95) < 0.01


def test_a_rig_without_a_baseline_is_refused(folder, tmp_path, capsys):
    rig = read_rig(folder / "rig.json")
    write_rig_json(tmp_path / "rig.json", CameraRig(rig.names, rig.cameras, (SE3.identity(), SE3.identity())))
    assert stereo(folder, "--calib", tmp_path / "rig.json", "-o", tmp_path / "out") == 1
    assert "baseline 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_photo_does_not_show_has_no_disparity(folder, tmp_path, capsys):
    cv2 = require("cv2")
    photo = cv2.imread(str(folder / "right.png"))
    alpha = np.full((240, 320, 1), 255, np.uint8)
    alpha[100:140] = 0
    photos = [str(folder / "left.png"), str(tmp_path / "right.png")]
    words = ["--rectified", "-o", str(tmp_path / "out"), "--quality", "fast"]
    cv2.imwrite(photos[1], np.concatenate([photo, alpha], axis=2))
    assert run(["stereo", *photos, *words]) == 0
    known = np.isfinite(read_pfm(tmp_path / "out" / "disparity.pfm"))
    assert known[:100].mean() > 0.7
    assert known[100:140, 100:].mean() < 0.02
    cv2.imwrite(photos[1], np.concatenate([photo, 0 * alpha], axis=2))
    capsys.readouterr()
    assert run(["stereo", *photos, *words]) == 1
    assert "transparent" in capsys.readouterr().err


def test_a_pair_without_a_depth_is_said(folder, tmp_path, capsys):
    metric = ["--focal", FOCAL, "--baseline", BASELINE, "--offset", -500, "--quality", "fast"]
    assert stereo(folder, "--rectified", *metric, "-o", tmp_path) == 0
    assert "no pixel has a depth" in capsys.readouterr().err
    assert np.isnan(read_pfm(tmp_path / "depth.pfm")).all()


def test_photos_that_the_calibration_does_not_fit_are_refused(folder, tmp_path, capsys):
    cv2 = require("cv2")
    calib, out = ["--calib", str(folder / "rig.json")], ["-o", str(tmp_path / "out"), "--quality", "fast"]
    left, right = (cv2.imread(str(folder / f"{name}.png")) for name in ("left", "right"))
    cv2.imwrite(str(tmp_path / "a.png"), left)
    cv2.imwrite(str(tmp_path / "b.png"), np.roll(right, 9, axis=0))
    assert run(["stereo", str(tmp_path / "a.png"), str(tmp_path / "b.png"), *calib, *out]) == 1
    assert "rig.json is not the calibration of these photos" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_rig_that_shows_that_photos_are_swapped(folder, tmp_path, capsys):
    """Files whose names do not tell: rectified one way the rows lie apart, the other way they match."""
    cv2 = require("cv2")
    rig = read_rig(folder / "rig.json")
    shifted = Camera("PINHOLE", 320, 240, [FOCAL, FOCAL, 160, 129])
    write_rig_json(tmp_path / "rig.json", CameraRig(rig.names, (rig.cameras[0], shifted), rig.cam_from_rig))
    left, right = (cv2.imread(str(folder / f"{name}.png")) for name in ("left", "right"))
    cv2.imwrite(str(tmp_path / "a.png"), left)
    cv2.imwrite(str(tmp_path / "b.png"), np.roll(right, 9, axis=0))
    calib, out = ["--calib", str(tmp_path / "rig.json")], ["-o", str(tmp_path / "out"), "--quality", "fast"]
    assert run(["stereo", str(tmp_path / "a.png"), str(tmp_path / "b.png"), *calib, *out]) == 0
    capsys.readouterr()
    assert run(["stereo", str(tmp_path / "b.png"), str(tmp_path / "a.png"), *calib, *out]) == 1
    assert "left and right are swapped; give the photos the other way round" in capsys.readouterr().err


def test_a_rectified_pair_needs_no_calibration(folder, tmp_path, capsys):
    assert stereo(folder, "--rectified", "-o", tmp_path, "--json", "--quality", "fast") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["event"] == "result"
    assert result["vertical_px"] < 0.5
    found, truth = read_pfm(tmp_path / "disparity.pfm"), np.load(folder / "truth.npy")
    assert np.nanmedian(np.abs(found - truth)) < 0.3
    assert result["max_disparity"] >= truth.max()
    assert not (tmp_path / "depth.pfm").exists()


def test_uncalibrated_rows_match(folder, tmp_path, capsys):
    assert stereo(folder, "--uncalibrated", "-o", tmp_path, "--json", "--quality", "fast") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["vertical_px"] < 1.0


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        ([], 2, "--calib rig.json"),
        (["--rectified", "--uncalibrated"], 2, "exclude each other"),
        (["--rectified", "--alpha", "1"], 2, "--alpha is for --calib"),
        (["--rectified", "--focal", "400"], 2, "go together"),
        (["--rectified", "--focal", "-4", "--baseline", "1"], 2, "positive"),
        (["--calib", "nowhere.json"], 2, "does not exist"),
        (["--rectified", "--min-disparity", "9", "--max-disparity", "10"], 2, "at least 4"),
        (["--pairs", "auto"], 2, "one scene"),
    ],
)
def test_wrong_command_lines_are_answered(folder, tmp_path, capsys, words, code, answer):
    assert stereo(folder, "-o", tmp_path / "out", *words) == code
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--focal", "400"], ["--max-disparity", "64"], ["--method", "patchmatch"]])
def test_a_scene_takes_nothing_that_is_for_two_photos(tmp_path, capsys, words):
    assert run(["stereo", str(tmp_path), "--pairs", "auto", "-o", str(tmp_path / "out"), *words]) == 2
    assert f"{words[0]} is for two photos" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_rectified_pair_is_refused(folder, tmp_path, capsys):
    left, narrow = str(folder / "left.png"), str(folder / "narrow.png")
    assert run(["stereo", left, narrow, "--rectified", "-o", str(tmp_path)]) == 1
    assert "320x240" in capsys.readouterr().err
    assert run(["stereo", str(folder / "right.png"), left, "--rectified", "-o", str(tmp_path)]) == 1
    assert "swapped" in capsys.readouterr().err


def test_a_range_that_cuts_off_is_said(folder, tmp_path, capsys):
    assert (
        stereo(
            folder,
            "--rectified",
            "--min-disparity",
            "0",
            "--max-disparity",
            "20",
            "-o",
            tmp_path,
            "--quality",
            "fast",
        )
        == 0
    )
    error = capsys.readouterr().err
    assert "% of pixels sit at the end of the range of disparities" in error
    assert "use --max-disparity 41" in error
