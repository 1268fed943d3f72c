"""Scenes of any format, found by looking."""

import json
from pathlib import Path

import numpy as np
import pytest

from geo3d.io import read_ply, read_scene, scene_images, write_colmap, write_scene
from geo3d.scene import Reconstruction

from .scenes import CAMERA, assert_same, make_scene


def test_where_models_are_found(tmp_path):
    for number, place in enumerate((".", "sparse/0", "sparse")):
        folder = tmp_path / str(number) / place
        write_colmap(make_scene(number), folder, "txt" if number else "bin")
        assert_same(read_scene(tmp_path / str(number)), make_scene(number))


@pytest.mark.parametrize("format", ["colmap", "colmap-txt", None])
def test_colmap(tmp_path, format):
    write_scene(make_scene(3), tmp_path / "model", format)
    assert_same(read_scene(tmp_path / "model"), make_scene(3))


def test_transforms(tmp_path, caplog):
    scene = make_scene(3, 5, cameras=CAMERA)
    write_scene(scene, tmp_path / "transforms.json")
    names = [scene.views[i].name for i in scene.registered()]
    for name in names[1:]:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    for path in (tmp_path, tmp_path / "transforms.json"):
        found = read_scene(path)
        assert sorted(v.name for v in found.views.values()) == sorted(names[1:])
        assert f"1 of {len(names)} frames" in caplog.text and names[0] in caplog.text
        caplog.clear()


def test_missing_photos_are_told_in_short(tmp_path, caplog):
    scene = make_scene(3, 5, cameras=CAMERA)
    first, *rest = scene.registered()
    for number, view_id in enumerate(rest):
        scene.views[view_id].name = f"{number}\x1b[31m{'long' * 40}.jpg"
    write_scene(scene, tmp_path / "transforms.json")
    (tmp_path / "images" / scene.views[first].name).parent.mkdir(parents=True)
    (tmp_path / "images" / scene.views[first].name).touch()
    assert len(read_scene(tmp_path).views) == 1
    (record,) = caplog.records
    assert "\x1b" not in record.getMessage() and "0\\x1b[31mlong" in record.getMessage()
    assert len(record.getMessage()) < len(str(tmp_path)) + 100 + len(rest) * 100


@pytest.mark.parametrize("target", ["t.json", "scene/t.json", "scene/images/t.json", "far/away/t.json"])
@pytest.mark.parametrize("linked", [False, True])
def test_transforms_lead_to_the_photos(tmp_path, monkeypatch, target, linked):
    scene = make_scene(3, 5, cameras=CAMERA)
    names = sorted(scene.views[i].name for i in scene.registered())
    images = tmp_path / "scene" / "images"
    if linked:  # as a scene whose photos are a link to where they are
        (tmp_path / "disk" / "photos").mkdir(parents=True)
        images.parent.mkdir()
        images.symlink_to(tmp_path / "disk" / "photos")
    for name in names:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    write_colmap(scene, tmp_path / "scene" / "sparse" / "0")
    monkeypatch.chdir(tmp_path / "scene" / "sparse" / "0")
    for source in (tmp_path / "scene", tmp_path / "scene" / "sparse" / "0", Path()):
        assert scene_images(source) == images
    path = tmp_path / target
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scene(scene, path, images=images)
    listed = [frame["file_path"] for frame in json.loads(path.read_text())["frames"]]
    assert all((path.parent / name).exists() for name in listed)
    found = read_scene(path, images)
    assert sorted(v.name for v in found.views.values()) == names
    if not linked and target in ("t.json", "scene/t.json"):
        assert len(read_scene(path).views) == len(names)


def test_where_photos_are_is_not_known(tmp_path):
    write_colmap(make_scene(1), tmp_path / "model")
    assert scene_images(tmp_path / "model") is None
    write_scene(make_scene(1), tmp_path / "p.ply")
    assert scene_images(tmp_path / "p.ply") is None


def test_files_that_would_be_empty(tmp_path):
    scene = make_scene(3)
    write_scene(scene, tmp_path / "p.ply")
    with pytest.raises(ValueError, match=r"a \.ply has no cameras"):
        write_scene(read_scene(tmp_path / "p.ply"), tmp_path / "x.json")
    with pytest.raises(ValueError, match="points only"):
        write_scene(Reconstruction(scene.cameras, scene.views), tmp_path / "q.ply")
    assert [p.name for p in tmp_path.iterdir()] == ["p.ply"]


def test_points(tmp_path):
    scene = make_scene(3)
    write_scene(scene, tmp_path / "points.ply")
    found = read_scene(tmp_path / "points.ply").points
    assert np.array_equal(found.xyz, scene.points.xyz) and np.array_equal(found.color, scene.points.color)
    assert not found.track_lengths.any() and np.isnan(found.error_px).all()
    assert np.array_equal(read_ply(tmp_path / "points.ply").points, scene.points.xyz)


def test_what_is_no_scene(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sparse/0.*transforms\.json"):
        read_scene(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_scene(tmp_path / "nowhere")
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match="txt"):
        read_scene(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="format"):
        write_scene(make_scene(0), tmp_path / "x", "obj")  # type: ignore[arg-type]
