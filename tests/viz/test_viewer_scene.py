"""What the viewer shows of a scene, without a server."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import EnuFrame
from geo3d.io import WorldFrame, read_colmap, write_colmap, write_ply, write_scene, write_splat_ply, write_spz
from geo3d.scene import Reconstruction
from geo3d.synthetic import make_scene
from geo3d.viz import viewer_scene
from geo3d.viz.viewer_scene import REACH, load_viewer_scene
from tests.viz.viewer_scenes import CAMERA, ball, write_scene_folder, write_splats

PLACED = {
    "metres": True,
    "origin": {"latitude_deg": 46.0, "longitude_deg": 8.0, "altitude_m": 400.0},
    "models": [{"sparse": 0, "source": "gps", "scale_std": 0.02}],
}


def test_a_scene_folder(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path / "scene")
    shown = load_viewer_scene(tmp_path / "scene")
    assert shown.title == "scene" and not shown.notes
    assert [c.name for c in shown.cameras] == sorted(v.name for v in model.views.values())
    for camera in shown.cameras:
        assert camera.photo == (tmp_path / "scene" / "images" / camera.name).resolve()
        expected = model.view_named(camera.name).cam_from_world.center()
        assert camera.world_from_cam.translation == pytest.approx(expected)
        assert camera.fov_y_rad == pytest.approx(2 * np.arctan(30 / 70))
        assert camera.aspect == pytest.approx(CAMERA.width / CAMERA.height)
    np.testing.assert_allclose(shown.points, model.points.xyz)
    np.testing.assert_array_equal(shown.colors, model.points.color)
    assert not shown.metres and not shown.level and np.isnan(shown.scale_std)
    assert shown.splats is None and shown.splat_file == tmp_path / "scene" / "splats" / "splats.ply"


def test_the_display_frame_holds_the_scene(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    shown = load_viewer_scene(tmp_path)
    display = shown.display_from_world.act(shown.points)
    assert 0.2 * REACH < np.abs(display).max() < 2 * REACH


def test_a_placed_scene_stands_upright_and_north_lies_ahead(tmp_path: Path) -> None:
    write_scene_folder(tmp_path, place=PLACED)
    shown = load_viewer_scene(tmp_path)
    np.testing.assert_allclose(shown.display_from_world.rotation, np.eye(3), atol=1e-12)
    assert shown.metres and shown.level and shown.scale_std == 0.02


def test_without_a_place_up_is_concluded_from_the_cameras(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path)
    shown = load_viewer_scene(tmp_path)
    level = [shown.display_pose(c.world_from_cam)[0][2, 0] for c in shown.cameras]
    upward = [-shown.display_pose(c.world_from_cam)[0][2, 1] for c in shown.cameras]
    np.testing.assert_allclose(level, 0, atol=0.05)  # the cameras' x axes are horizontal
    assert min(upward) > 0 and len(model.views) == len(upward)


@given(st.integers(0, 2**32 - 1))
def test_poses_go_to_the_display_frame_and_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "there-and-back"
    if not folder.exists():
        write_scene_folder(folder)
    shown = load_viewer_scene(folder)
    pose = make_scene(views=2, points=20, seed=seed).reconstruction.views[1].cam_from_world.inverse()
    back = shown.world_pose(*shown.display_pose(pose))
    np.testing.assert_allclose(back.matrix4(), pose.matrix4(), atol=1e-9)


def test_far_coordinates_keep_their_digits(tmp_path: Path) -> None:
    model = make_scene(views=4, points=60, camera=CAMERA).reconstruction
    shift = np.array([431_000.0, 5_165_000.0, 1400.0])
    for view in model.views.values():
        pose = view.cam_from_world
        view.cam_from_world = type(pose)(pose.rotation, pose.translation - pose.rotation @ shift)
    near = model.points.xyz.copy()
    model.points.xyz = near + shift
    write_colmap(model, tmp_path / "sparse" / "0")
    shown = load_viewer_scene(tmp_path)
    single = shown.display_from_world.act(shown.points).astype(np.float32)
    spread = np.linalg.norm(single[:, None] - single, axis=2) / shown.display_from_world.scale
    np.testing.assert_allclose(spread, np.linalg.norm(near[:, None] - near, axis=2), atol=1e-5)


def test_without_photos_the_frusta_stay(tmp_path: Path) -> None:
    write_scene_folder(tmp_path, photos=False)
    shown = load_viewer_scene(tmp_path)
    assert [c.photo for c in shown.cameras] == [None] * 5
    assert any("5 of 5 photos are not there" in note for note in shown.notes)


def test_a_photo_outside_of_the_folder_is_not_opened(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path / "scene")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"")
    photo = tmp_path / "scene" / "images" / model.views[1].name
    photo.unlink()
    photo.symlink_to(secret)
    shown = {c.name: c.photo for c in load_viewer_scene(tmp_path / "scene").cameras}
    assert shown.pop(photo.name) is None and all(shown.values())


def test_a_fisheye_has_a_frustum(tmp_path: Path) -> None:
    wide = Camera("OPENCV_FISHEYE", 80, 60, [20.0, 20.0, 40.0, 30.0, 0.0, 0.0, 0.0, 0.0])
    write_colmap(make_scene(views=3, points=50, camera=wide).reconstruction, tmp_path / "sparse" / "0")
    for camera in load_viewer_scene(tmp_path).cameras:
        assert 0 < camera.fov_y_rad <= np.deg2rad(120) and np.isfinite(camera.aspect)


def test_points_alone(tmp_path: Path) -> None:
    xyz = np.random.default_rng(0).normal(size=(50, 3))
    xyz[3], xyz[4] = np.nan, 1e30
    write_ply(tmp_path / "p.ply", xyz, np.full((50, 3), 9, np.uint8))
    shown = load_viewer_scene(tmp_path / "p.ply")
    assert len(shown.points) == len(shown.colors) == 48 and not shown.cameras
    assert np.isfinite(shown.points).all() and shown.splat_file is None
    assert any("2 points" in note for note in shown.notes)
    np.testing.assert_allclose(shown.display_from_world.rotation, np.eye(3))


@pytest.mark.parametrize("count", [1, 2])
def test_one_point_is_enough(tmp_path: Path, count: int) -> None:
    write_ply(tmp_path / "p.ply", np.full((count, 3), 7.0))
    shown = load_viewer_scene(tmp_path / "p.ply")
    np.testing.assert_allclose(shown.display_from_world.act(shown.points), 0, atol=1e-12)


def test_too_many_points_are_thinned_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_scene, "MAX_POINTS", 30)
    model = write_scene_folder(tmp_path)
    shown = load_viewer_scene(tmp_path)
    assert len(shown.points) == len(shown.colors) == 30
    assert {tuple(p) for p in shown.points} <= {tuple(p) for p in model.points.xyz}
    assert any("30 of 120 points" in note for note in shown.notes)
    np.testing.assert_array_equal(shown.points, load_viewer_scene(tmp_path).points)


def test_splats_of_a_scene_and_alone(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    write_splats(tmp_path, ball(7))
    shown = load_viewer_scene(tmp_path)
    assert shown.splats is not None and len(shown.splats) == 7 and len(shown.cameras) == 5
    alone = load_viewer_scene(tmp_path / "splats" / "splats.ply")
    assert alone.splats is not None and len(alone.splats) == 7 and not alone.cameras and not alone.metres


def test_splats_tell_their_unit_themselves(tmp_path: Path) -> None:
    write_splat_ply(tmp_path / "s.ply", ball(3), WorldFrame(True, EnuFrame(46.0, 8.0, 400.0)))
    shown = load_viewer_scene(tmp_path / "s.ply")
    assert shown.metres and shown.level


def test_spz(tmp_path: Path) -> None:
    write_spz(tmp_path / "s.spz", ball(3, (1.0, 2.0, 3.0)))
    shown = load_viewer_scene(tmp_path / "s.spz")
    assert shown.splats is not None
    np.testing.assert_allclose(shown.splats.means, [[1.0, 2.0, 3.0]] * 3, atol=1e-3)
    (tmp_path / "bad.spz").write_bytes(b"NGSP" + bytes(30))
    with pytest.raises(ValueError, match=r"bad\.spz"):
        load_viewer_scene(tmp_path / "bad.spz")


def test_broken_splats_do_not_hide_the_scene(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    (tmp_path / "splats").mkdir()
    (tmp_path / "splats" / "splats.ply").write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 9\n"
    )
    shown = load_viewer_scene(tmp_path)
    assert shown.splats is None and len(shown.points) == 120
    assert any("splats are not shown" in note for note in shown.notes)


@pytest.mark.parametrize("size", [0, 3, 900, 1200])
def test_hostile_splats_alone_are_refused(tmp_path: Path, size: int) -> None:
    write_splat_ply(tmp_path / "good.ply", ball(50))
    data = (tmp_path / "good.ply").read_bytes().replace(b"element vertex 50", b"element vertex 2000000000")
    (tmp_path / "bad.ply").write_bytes(data[:size] if size < 1200 else data)
    with pytest.raises(ValueError, match=r"bad\.ply"):
        load_viewer_scene(tmp_path / "bad.ply")


def test_other_models_of_the_scene_are_told(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path, place={**PLACED, "models": [
        {"sparse": 0, "source": "gps", "scale_std": 0.02}, {"sparse": 1, "source": "none", "scale_std": None},
    ]})  # fmt: skip
    write_colmap(model, tmp_path / "sparse" / "1")
    assert any("geo3d view" in note and "sparse" in note for note in load_viewer_scene(tmp_path).notes)
    second = load_viewer_scene(tmp_path / "sparse" / "1")
    assert (
        not second.metres
        and second.splat_file is None
        and second.folder == tmp_path
        and second.cameras[0].photo is not None
    )


def test_transforms_json_with_its_photos(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    write_scene(
        read_colmap(tmp_path / "sparse" / "0"), tmp_path / "transforms.json", images=tmp_path / "images"
    )
    shown = load_viewer_scene(tmp_path / "transforms.json")
    assert len(shown.cameras) == 5 and all(c.photo for c in shown.cameras)
    assert shown.splat_file == tmp_path / "splats" / "splats.ply"


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="looked for"):
        load_viewer_scene(tmp_path)
    write_colmap(Reconstruction(), tmp_path / "sparse" / "0")
    with pytest.raises(ValueError, match="nothing to show"):
        load_viewer_scene(tmp_path)
