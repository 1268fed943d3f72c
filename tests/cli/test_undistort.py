"""`geo3d undistort PHOTOS --calib FILE`; of a scene: test_scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera, pinhole_for, pinhole_like, undistort_map
from geo3d.cli.app import run
from geo3d.io import read_calibration, read_colmap, write_calibration, write_camera_json, write_colmap
from geo3d.synthetic import make_scene

CAMERA = Camera("OPENCV", 200, 150, [170.0, 172.0, 100.0, 75.0, -0.12, 0.02, 0.001, -0.0005])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name in ("a.png", "b/c d.jpg"):
        Image.new("RGB", (200, 150), (200, 100, 50)).save(folder / name)
    write_camera_json(tmp_path / "camera.json", CAMERA)
    return folder


def line(photos: Path, *words: str) -> list[str]:
    root = photos.parent
    return ["undistort", str(photos), "--calib", str(root / "camera.json"), "-o", str(root / "flat"), *words]


def test_photos_and_their_camera(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line(photos)) == 0
    out = photos.parent / "flat"
    target = read_calibration(out / "camera.json")
    assert target == pinhole_for(CAMERA)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        "a.png",
        "b/c d.jpg",
        "camera.json",
    ]
    for name in ("a.png", "b/c d.jpg"):
        with Image.open(out / name) as photo:
            assert photo.size == (target.width, target.height)
            assert np.abs(np.asarray(photo).astype(int) - [200, 100, 50]).max() <= 2
    said = capsys.readouterr().out
    assert "2 photos" in said and "every pixel" in said and f"--calib {out / 'camera.json'}" in said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--alpha", "1"], pinhole_for(CAMERA, 1.0)),
        (["--alpha", "0.25"], pinhole_for(CAMERA, 0.25)),
        (["--same-k"], pinhole_like(CAMERA)),
        (["--size", "120x100"], pinhole_for(CAMERA, 0.0, (120, 100))),
        (["--size", "120x100", "--alpha", "1"], pinhole_for(CAMERA, 1.0, (120, 100))),
    ],
)
def test_the_new_camera_is_a_choice(
    photos: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: Camera
) -> None:
    assert run(line(photos, *words, "--json")) == 0
    found = read_calibration(photos.parent / "flat" / "camera.json")
    assert found == expected
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["width"], result["height"], result["photos"]) == (found.width, found.height, 2)
    x, y, w, h = result["valid"]
    seen = undistort_map(CAMERA, found)[y : y + h, x : x + w]
    assert (seen >= 0).all() and (seen <= [200, 150]).all()
    assert w > 0.8 * found.width * (1 if "1" not in words else 0.7) and h > 0


def test_crop_leaves_nothing_blank(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line(photos, "--alpha", "1", "--crop", "--json")) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    target = read_calibration(photos.parent / "flat" / "camera.json")
    assert result["valid"] == [0, 0, target.width, target.height]
    assert (target.focal == pinhole_for(CAMERA, 1.0).focal).all()
    with Image.open(photos.parent / "flat" / "a.png") as photo:
        assert (np.asarray(photo) == [200, 100, 50]).all()


def test_a_fisheye_of_more_than_half_the_sphere(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera = Camera("OPENCV_FISHEYE", 200, 150, [50.0, 50.0, 100.0, 75.0, 0.0, 0.0, 0.0, 0.0])
    write_camera_json(photos.parent / "camera.json", camera)
    assert run(line(photos)) == 0
    said = capsys.readouterr().out
    assert "140 by 140 degrees (the lens: 229 by 172 along its middle)" in said


@pytest.mark.parametrize("format", ["opencv", "ros", "kalibr", "mrcal", "colmap"])
def test_calibrations_of_other_programs(photos: Path, format: str) -> None:
    name = {"colmap": "cameras.txt", "mrcal": "c.cameramodel"}.get(format, "c.yaml")
    write_calibration(photos.parent / name, CAMERA, format)  # pyright: ignore[reportArgumentType]
    words = line(photos)
    words[3] = str(photos.parent / name)
    assert run(words) == 0
    found = read_calibration(photos.parent / "flat" / "camera.json")
    assert np.allclose(found.params, pinhole_for(CAMERA).params)


def test_photos_that_cannot_be_read_are_named(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "0 broken.jpg").write_bytes(b"no photo")
    assert run(line(photos, "--json")) == 0
    assert list(json.loads(capsys.readouterr().out.splitlines()[-1])["skipped"]) == ["0 broken.jpg"]


@pytest.mark.parametrize(
    ("words", "code", "hints"),
    [
        (["--alpha", "1.5"], 2, ["--alpha 1.5", "0 (no blank pixels)"]),
        (["--alpha", "all"], 2, ["--alpha", "number"]),
        (["--size", "800"], 2, ["--size", "1920x1080"]),
        (["--size", "0x40"], 2, ["--size 0x40"]),
        (["--size", "40000x40"], 2, ["32766"]),
        (["--same-k", "--size", "100x100"], 2, ["--same-k", "leave out --size"]),
        (["--same-k", "--alpha", "0"], 2, ["leave out --alpha"]),
    ],
)
def test_bad_options(
    photos: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, hints: list[str]
) -> None:
    assert run(line(photos, *words)) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(hint in error for hint in hints), error
    assert not (photos.parent / "flat").exists()


def test_what_is_not_there_or_does_not_fit(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photos.parent

    def answer(*words: str) -> str:
        assert run(["undistort", *words, "-o", str(root / "flat")]) in (1, 2)
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and not (root / "flat").exists(), error
        return error

    assert "--calib FILE" in answer(str(photos))
    assert "camera.jso does not exist" in answer(str(photos), "--calib", str(root / "camera.jso"))
    (root / "none").mkdir()
    assert "no photo that can be read" in answer(str(root / "none"), "--calib", str(root / "camera.json"))
    Image.new("RGB", (150, 200)).save(photos / "turned.png")
    assert "turned.png is 150x200" in answer(str(photos), "--calib", str(root / "camera.json"))
    inside = ["undistort", str(photos), "--calib", str(root / "camera.json"), "-o", str(photos / "flat")]
    assert run(inside) == 2 and "inside of the folder" in capsys.readouterr().err
    (root / "scene" / "images").mkdir(parents=True)
    (root / "scene" / "sparse").mkdir()
    assert "leave out --calib" in answer(str(root / "scene"), "--calib", str(root / "camera.json"))


def test_scenes_have_the_same_choices(tmp_path: Path) -> None:
    model = make_scene(views=3, points=60, camera=CAMERA).reconstruction
    write_colmap(model, tmp_path / "scene" / "sparse" / "0")
    (tmp_path / "scene" / "images").mkdir()
    for view in model.views.values():
        Image.new("RGB", (200, 150)).save(tmp_path / "scene" / "images" / view.name)
    (tmp_path / "scene" / "georeference.json").write_text('{"metres": true}')
    assert run(["undistort", str(tmp_path / "scene"), "-o", str(tmp_path / "flat"), "--same-k"]) == 0
    after = read_colmap(tmp_path / "flat" / "sparse" / "0")
    assert after.cameras[1] == pinhole_like(CAMERA)
    with Image.open(tmp_path / "flat" / "images" / model.views[1].name) as photo:
        assert photo.size == (200, 150)
    assert (tmp_path / "flat" / "georeference.json").read_text() == '{"metres": true}'
