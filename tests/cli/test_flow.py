"""`geo3d flow`: what it writes, and how it answers."""

import json
from typing import get_args

import cv2
import numpy as np
import pytest

from geo3d.cli.app import run
from geo3d.cli.flow import METHODS as NAMES
from geo3d.flow import METHODS, flow_errors
from geo3d.io import read_flow, write_flow
from geo3d.synthetic import (
    FlowPairOptions,
    MovingCameraOptions,
    make_flow_pair,
    make_moving_camera_pair,
)

PAIR = make_flow_pair(
    FlowPairOptions(width=160, height=120, layers=2, thin=0, max_motion_px=4.0, patches=0.0), 3
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """a.png, b.png and their true flow, and images that are wrong in some way."""
    path = tmp_path_factory.mktemp("pair")
    cv2.imwrite(str(path / "a.png"), PAIR.image0[..., ::-1])
    cv2.imwrite(str(path / "b.png"), PAIR.image1[..., ::-1])
    cv2.imwrite(str(path / "narrow.png"), PAIR.image1[:, :100, ::-1])
    cv2.imwrite(str(path / "line.png"), PAIR.image1[:, :1, ::-1])
    cv2.imwrite(str(path / "flat.png"), np.full((120, 160, 3), 90, np.uint8))
    clear = np.dstack([PAIR.image0[..., ::-1], np.full((120, 160), 255, np.uint8)])
    clear[40:60, 40:80, 3] = 0
    cv2.imwrite(str(path / "clear.png"), clear)
    (path / "text.png").write_text("no image")
    write_flow(path / "truth.flo", PAIR.flow)
    write_flow(path / "other.flo", PAIR.flow[:, 1:])
    write_flow(path / "unknown.flo", np.full_like(PAIR.flow, np.nan))
    return path


def flow(folder, first, second, out, *words):
    return run(
        [
            "flow",
            str(folder / first),
            str(folder / second),
            "-o",
            str(out),
            "--method",
            "dis",
            *map(str, words),
        ]
    )


def test_flow_of_two_images(folder, tmp_path, capsys):
    assert flow(folder, "a.png", "b.png", tmp_path / "new" / "f.flo", "--maps") == 0
    out = capsys.readouterr().out
    assert "160x120, motion of" in out
    assert "% of it is likely right to a pixel" in out
    assert "truth" not in out
    made = {path.name for path in (tmp_path / "new").iterdir()}
    assert made == {"f.flo", "f_colors.png", "f_arrows.png", "f_confidence.png", "f_occlusion.png"}
    found = read_flow(tmp_path / "new" / "f.flo")
    assert flow_errors(found, PAIR.flow, ~PAIR.occlusion).epe_px < 0.5
    assert cv2.imread(str(tmp_path / "new" / "f_colors.png")).shape[0] == 120


@pytest.mark.parametrize("ending", [".png", ".pfm"])
def test_other_endings(folder, tmp_path, ending):
    assert flow(folder, "a.png", "b.png", tmp_path / f"f{ending}") == 0
    assert flow_errors(read_flow(tmp_path / f"f{ending}"), PAIR.flow, ~PAIR.occlusion).epe_px < 0.5


def test_errors_against_the_truth(folder, tmp_path, capsys):
    assert flow(folder, "a.png", "b.png", tmp_path / "f.flo", "--truth", folder / "truth.flo", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = flow_errors(read_flow(tmp_path / "f.flo"), PAIR.flow)
    assert abs(result["errors"]["epe_px"] - expected.epe_px) < 1e-6
    assert result["files"] == ["f.flo", "f_colors.png", "f_error.png"]
    assert flow(folder, "a.png", "b.png", tmp_path / "f.flo", "--truth", folder / "truth.flo") == 0
    assert f"mean endpoint error {expected.epe_px:.3f} px" in capsys.readouterr().out


def test_what_is_odd_is_said(folder, tmp_path, capsys):
    assert flow(folder, "a.png", "a.png", tmp_path / "f.flo") == 0
    said = capsys.readouterr()
    assert "the two images are the same" in said.err
    assert "no motion" in said.out
    assert flow(folder, "a.png", "a.png", tmp_path / "f.flo", "--method", "accurate") == 0
    assert "no motion" in capsys.readouterr().out
    assert flow(folder, "a.png", "flat.png", tmp_path / "f.flo") == 0
    said = capsys.readouterr()
    assert "flat.png has one colour only" in said.err
    assert "0 % of it is likely right" in said.out
    assert not read_flow(tmp_path / "f.flo").any()


def test_transparent_pixels_have_no_confidence(folder, tmp_path):
    assert flow(folder, "clear.png", "b.png", tmp_path / "f.flo", "--maps") == 0
    confidence = cv2.imread(str(tmp_path / "f_confidence.png"), cv2.IMREAD_GRAYSCALE)
    assert not confidence[40:60, 40:80].any()
    assert confidence.max() > 200


@pytest.mark.parametrize(
    ("first", "second", "words", "code", "answer"),
    [
        ("a.png", "narrow.png", [], 1, "a.png has 160x120 pixels and"),
        ("line.png", "line.png", [], 1, "1x120 pixels: flow needs images of at least 16 a side"),
        ("a.png", "text.png", [], 1, "not an image"),
        ("a.png", "nowhere.png", [], 2, "the second image"),
        ("a.png", ".", [], 2, "is a folder"),
        ("a.png", "b.png", ["--truth", "nowhere.flo"], 2, "--truth"),
        ("a.png", "b.png", ["--truth", "other.flo"], 1, "has 159x120 pixels, the images 160x120"),
        ("a.png", "b.png", ["--truth", "unknown.flo"], 1, "known at no pixel"),
        ("a.png", "b.png", ["--weights", "a.png"], 2, "--method raft"),
        ("a.png", "b.png", ["-o", "f.tif"], 2, "ends with .flo"),
        ("flat.png", "flat.png", ["--moving"], 1, "--moving: the camera's own motion was not found"),
        ("a.png", "b.png", ["--method", "best"], 2, "'best' is not one of"),
    ],
)
def test_wrong_command_lines_are_answered(
    folder, tmp_path, monkeypatch, capsys, first, second, words, code, answer
):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert flow(folder, first, second, tmp_path / "f.flo", *words) == code
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert sorted(folder.iterdir()) == before


def test_what_moved_is_told_and_written(tmp_path, capsys):
    options = MovingCameraOptions(240, 180, (0.15, 0.02, 0.05), movers=1, mover_m=(0.02, -0.1, 0.0))
    pair = make_moving_camera_pair(options, seed=3)
    cv2.imwrite(str(tmp_path / "a.png"), pair.image0[..., ::-1])
    cv2.imwrite(str(tmp_path / "b.png"), pair.image1[..., ::-1])
    assert flow(tmp_path, "a.png", "b.png", tmp_path / "f.flo", "--moving") == 0
    said = capsys.readouterr().out
    assert "of the image moves by itself, in 1 place; the camera moved" in said
    mask = cv2.imread(str(tmp_path / "f_moving.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) & pair.moving).sum() > 0.65 * ((mask > 0) | pair.moving).sum()
    assert flow(tmp_path, "a.png", "a.png", tmp_path / "f.flo", "--moving", "--json") == 0
    moving = json.loads(capsys.readouterr().out.splitlines()[-1])["moving"]
    assert moving["model"] == "homography"
    assert moving["share"] == 0.0


def test_patchmatch_leaves_open_what_it_does_not_find(folder, tmp_path, capsys):
    assert flow(folder, "a.png", "b.png", tmp_path / "f.flo", "--method", "patchmatch", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = read_flow(tmp_path / "f.flo")
    assert result["occluded"] == pytest.approx(np.isnan(found[..., 0]).mean())
    assert flow_errors(found, PAIR.flow, ~PAIR.occlusion).epe_median_px < 0.3
    assert flow(folder, "flat.png", "flat.png", tmp_path / "f.flo", "--method", "patchmatch") == 0
    assert np.isnan(read_flow(tmp_path / "f.flo")).all()
    assert "one colour only" in capsys.readouterr().err


def test_one_image_is_too_few(folder, capsys):
    assert run(["flow", str(folder / "a.png")]) == 2
    assert "expected two images" in capsys.readouterr().err


def test_the_command_knows_the_methods():
    assert set(METHODS) <= set(get_args(NAMES))
