"""Scenes of any format, found by looking."""

import numpy as np
import pytest

from geo3d.io import read_ply, read_scene, write_colmap, write_scene

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
