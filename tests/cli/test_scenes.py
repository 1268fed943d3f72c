"""inspect, convert, undistort and demo on small scenes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.cli.app import run
from geo3d.cli.demo import compare
from geo3d.geometry import SE3, SO3
from geo3d.io import read_colmap, write_colmap, write_ply
from geo3d.synthetic import make_scene
from geo3d.viz.summary import reprojection_errors

CAMERA = Camera("OPENCV", 200, 150, [170.0, 172.0, 100.0, 75.0, -0.12, 0.02, 0.001, -0.0005])


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A workspace with a model of five photos and the photos themselves, one in a folder with a space."""
    folder = tmp_path / "scene"
    model = make_scene(views=5, points=120, camera=CAMERA, noise_px=0.3).reconstruction
    model.views[2].name = "second camera/ü 2.png"
    write_colmap(model, folder / "sparse" / "0")
    ramp = np.linspace(0, 255, CAMERA.width).astype(np.uint8)
    pixels = np.repeat(np.tile(ramp, (CAMERA.height, 1))[..., None], 3, axis=2)
    for view in model.views.values():
        path = folder / "images" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def test_inspect_tells_the_figures(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(scene)]) == 0
    out = capsys.readouterr().out
    for words in ("5 of 5 registered", "120,", "OPENCV 200x150", "fx 170", "second camera/ü 2.png"):
        assert words in out, words


def test_inspect_as_json_and_of_a_bare_model(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(scene / "sparse" / "0"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["registered"], result["points"]) == (5, 120)
    assert result["mean_error_px"] == pytest.approx(0.3 * np.sqrt(np.pi / 2), rel=0.15)
    assert result["cameras"]["1"]["params"] == list(CAMERA.params)
    assert [photo["name"] for photo in result["photos"]] == sorted(
        photo["name"] for photo in result["photos"]
    )


def test_json_has_null_where_there_is_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ply(tmp_path / "p.ply", np.zeros((3, 3)))
    assert run(["inspect", str(tmp_path / "p.ply"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out and json.loads(out)["mean_error_px"] is None


def test_inspect_shows_every_component(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(scene / "sparse" / "0", scene / "sparse" / "1")
    assert run(["inspect", str(scene), "--json"]) == 0
    models = [json.loads(line)["model"] for line in capsys.readouterr().out.splitlines()]
    assert models == [str(scene / "sparse" / "0"), str(scene / "sparse" / "1")]


def test_inspect_of_something_else_fails_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_convert_there_and_back(scene: Path, tmp_path: Path) -> None:
    text, back = tmp_path / "text", tmp_path / "back"
    assert run(["convert", str(scene), str(text), "--format", "colmap-txt"]) == 0
    assert run(["convert", str(text), str(back)]) == 0
    assert (text / "cameras.txt").exists()
    one, two = read_colmap(scene / "sparse" / "0"), read_colmap(back)
    assert np.array_equal(one.points.xyz, two.points.xyz) and one.cameras == two.cameras


@pytest.mark.parametrize("name", ["points.ply", "transforms.json"])
def test_convert_goes_by_the_suffix(scene: Path, tmp_path: Path, name: str) -> None:
    assert run(["convert", str(scene), str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes()[:3] == (b"ply" if name.endswith("ply") else b"{\n ")


def test_convert_to_transforms_elsewhere_and_back(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far, back = tmp_path / "far" / "t.json", tmp_path / "back"
    assert run(["convert", str(scene), str(far)]) == 0
    assert f"--images {scene / 'images'}" in capsys.readouterr().out
    assert run(["convert", str(far), str(back)]) == 1
    assert "--images FOLDER" in capsys.readouterr().err
    assert run(["convert", str(far), str(back), "--images", str(scene / "images")]) == 0
    one, two = read_colmap(scene / "sparse" / "0"), read_colmap(back)
    for view in one.views.values():
        pose, other = view.cam_from_world, two.view_named(view.name).cam_from_world
        assert pose is not None and other is not None and np.allclose(pose.center(), other.center())
    assert run(["inspect", str(far), "--images", str(scene / "images")]) == 0
    assert run(["convert", str(scene), str(scene / "t.json")]) == 0
    assert run(["inspect", str(scene / "t.json")]) == 0


def test_convert_says_what_is_not_known_of_the_photos(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scene / "sparse" / "0", tmp_path / "bare")
    assert run(["convert", str(tmp_path / "bare"), str(tmp_path / "t.json")]) == 0
    assert "--images FOLDER says where" in capsys.readouterr().err
    assert (
        run(["convert", str(tmp_path / "bare"), str(tmp_path / "t.json"), "--images", str(scene / "imagez")])
        == 2
    )
    assert "did you mean" in capsys.readouterr().err


def test_convert_says_that_there_are_more_models(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(scene / "sparse" / "0", scene / "sparse" / "1")
    assert run(["convert", str(scene), str(tmp_path / "p.ply")]) == 0
    err = capsys.readouterr().err
    assert "2 models" in err and f"only {scene / 'sparse' / '0'} is converted" in err
    assert str(scene / "sparse" / "1") in err


def test_points_do_not_become_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ply(tmp_path / "p.ply", np.zeros((3, 3)))
    assert run(["convert", str(tmp_path / "p.ply"), str(tmp_path / "x.json")]) == 1
    assert "a .ply has no cameras" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_undistort_makes_a_pinhole_workspace(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "flat"
    assert run(["undistort", str(scene), "-o", str(out)]) == 0
    before, after = read_colmap(scene / "sparse" / "0"), read_colmap(out / "sparse" / "0")
    camera = after.cameras[1]
    assert camera.model == "PINHOLE"
    assert np.array_equal(before.points.xyz, after.points.xyz)
    ratio = camera.mean_focal / CAMERA.mean_focal
    assert np.mean(reprojection_errors(after)) == pytest.approx(
        ratio * np.mean(reprojection_errors(before)), rel=0.2
    )
    for view in after.views.values():
        with Image.open(out / "images" / view.name) as photo:
            assert photo.size == (camera.width, camera.height)
    # Photos were a ramp in x: an undistorted pixel has the grey of where its ray met the distorted photo.
    with Image.open(out / "images" / "second camera/ü 2.png") as photo:
        grey = np.asarray(photo)[..., 0].astype(float)
    x, y = np.array([30, 100, 160]), np.array([20, 70, 110])
    source = CAMERA.project(camera.unproject(np.stack([x + 0.5, y + 0.5], axis=1)))
    assert np.allclose(grey[y, x], (source[:, 0] - 0.5) * 255 / (CAMERA.width - 1), atol=1.5)


def test_undistort_tells_what_the_new_photos_do_not_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = Camera("OPENCV_FISHEYE", 200, 200, [62.0, 62.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0])
    model = make_scene(views=4, points=200, camera=camera).reconstruction
    for view in model.views.values():  # a border of keypoints 90 degrees and more aside
        view.keypoints[:5] = [2.0, 2.0]
    write_colmap(model, tmp_path / "scene" / "sparse" / "0")
    for view in model.views.values():
        path = tmp_path / "scene" / "images" / view.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 200)).save(path)
    assert run(["undistort", str(tmp_path / "scene"), "-o", str(tmp_path / "flat"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    after = read_colmap(tmp_path / "flat" / "sparse" / "0")
    lost = len(model.points.view_ids) - len(after.points.view_ids)
    assert result["dropped_observations"] == lost >= 20
    assert result["dropped_points"] == len(model.points) - len(after.points)
    for track in after.points:
        for view_id, keypoint in zip(track.view_ids, track.keypoints):
            size = after.cameras[1].width, after.cameras[1].height
            assert (after.views[view_id].keypoints[keypoint] >= 0).all()
            assert (after.views[view_id].keypoints[keypoint] <= size).all()


def test_undistort_keeps_what_is_there(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    assert run(["undistort", str(scene), "-o", str(tmp_path / "full")]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_undistort_without_a_photo_leaves_nothing(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene / "images" / "view_0003.jpg").unlink()
    assert run(["undistort", str(scene), "-o", str(tmp_path / "flat")]) == 1
    assert "view_0003.jpg" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene"]


def test_compare_sees_through_the_choice_of_frame() -> None:
    truth = make_scene(views=8, points=50).reconstruction
    model = make_scene(views=8, points=50).reconstruction
    rotation, scale = SO3.exp(np.array([0.3, -1.0, 2.0])).matrix, 0.2
    for view in model.views.values():
        pose = view.cam_from_world
        assert pose is not None
        turned = pose.rotation @ rotation.T
        view.cam_from_world = SE3(turned, scale * pose.translation + turned @ np.array([5.0, 1.0, 2.0]))
    same = compare(model, truth)
    assert same.mean_position_cm < 1e-6 and same.mean_rotation_deg < 1e-5 and same.registered == 8
    first = model.views[1].cam_from_world
    assert first is not None
    model.views[1].cam_from_world = SE3(first.rotation, first.translation + scale * np.array([0.1, 0, 0]))
    assert 4 < compare(model, truth).max_position_cm < 11


@pytest.mark.slow
def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "-o", str(tmp_path / "demo"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["registered"] == result["photos"]
    assert result["mean_position_cm"] < 10 and result["mean_rotation_deg"] < 0.2
    for name in ("report.html", "points.ply", "transforms.json", "sparse/0/images.bin"):
        assert (tmp_path / "demo" / "scene" / name).exists(), name


def test_the_demo_keeps_other_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert run(["demo", "-o", str(tmp_path)]) == 2
    assert "other things" in capsys.readouterr().err
