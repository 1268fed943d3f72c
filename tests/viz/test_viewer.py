"""The viewer's server: what it shows, what its controls do, and in a browser what a person sees."""

import json
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from geo3d.geometry import SO3, matrix_to_quaternion
from geo3d.io import write_colmap
from geo3d.render.key_frames import read_camera_path
from geo3d.util.files import write_text
from geo3d.viz import viewer_live
from geo3d.viz.viewer import Viewer
from geo3d.viz.viewer_look import eye_of, turning_axis
from geo3d.viz.viewer_nodes import fit_depth
from geo3d.viz.viewer_scene import load_viewer_scene
from tests.viz import chromium
from tests.viz.viewer_scenes import PHOTO_COLOR, ball, write_scene_folder, write_splats


@contextmanager
def viewing(path: Path) -> Iterator[Viewer]:
    viewer = Viewer(load_viewer_scene(path), port=0)
    try:
        yield viewer
    finally:
        viewer.stop()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_the_page_is_served_and_the_scene_is_there(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path)
    with viewing(tmp_path) as viewer:
        with urllib.request.urlopen(viewer.address, timeout=30) as page:
            assert page.status == 200 and b"<html" in page.read(2000).lower()
        assert viewer.address.startswith("http://127.0.0.1:")
        scene = viewer.server.scene
        cloud = scene.get_handle_by_name("/points")
        np.testing.assert_allclose(
            cloud.points, viewer.scene.display_from_world.act(model.points.xyz), atol=1e-5
        )
        np.testing.assert_array_equal(cloud.colors, model.points.color)
        for row, camera in enumerate(viewer.scene.cameras):
            node = scene.get_handle_by_name(f"/cameras/{row}")
            centre = viewer.scene.display_from_world.act(camera.world_from_cam.translation)
            np.testing.assert_allclose(node.position, centre, atol=1e-6)
            wait_for(lambda node=node: node.image is not None)
            np.testing.assert_allclose(node.image[5, 5], PHOTO_COLOR, atol=3)  # through JPEG
        assert scene.get_handle_by_name("/splats") is None


def test_thumbnails_are_as_stored_and_broken_photos_blank(tmp_path: Path) -> None:
    """Frusta have the axes of the stored pixels, whatever EXIF says; a photo that lies about its size harms nothing."""
    model = write_scene_folder(tmp_path)
    names = sorted(view.name for view in model.views.values())
    turned = Image.new("RGB", (80, 60), (0, 0, 0))
    turned.paste((255, 255, 255), (0, 0, 40, 60))
    exif = Image.Exif()
    exif[274] = 6
    turned.save(tmp_path / "images" / names[1], exif=exif)
    head = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 1, 1, 0, 0)
    bmp = b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + head + bytes(16)
    (tmp_path / "images" / names[2]).write_bytes(bmp)
    with viewing(tmp_path) as viewer:
        nodes = viewer.nodes.camera_nodes
        wait_for(lambda: nodes[4].image is not None)  # they come in this order
        assert nodes[1].image.shape == (60, 80, 3)
        assert nodes[1].image[30, 10].min() > 250 and nodes[1].image[30, 70].max() < 5
        assert nodes[2].image is None and nodes[3].image is not None


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    with viewing(tmp_path):
        pass
    assert capfd.readouterr().out == ""


def test_controls_change_the_scene(tmp_path: Path) -> None:
    write_scene_folder(tmp_path, photos=False)
    with viewing(tmp_path) as viewer:
        nodes, scene = viewer.nodes, viewer.server.scene
        cloud, frustum = scene.get_handle_by_name("/points"), scene.get_handle_by_name("/cameras/0")
        before = cloud.point_size, frustum.scale
        nodes.point_size(2.0)
        nodes.camera_scale(3.0)
        assert (cloud.point_size, frustum.scale) == pytest.approx((2 * before[0], 3 * before[1]))
        assert len(nodes.measurable()) == 120
        nodes.show_points(False)
        nodes.show_cameras(False)
        assert not cloud.visible and not scene.get_handle_by_name("/cameras").visible
        assert len(nodes.measurable()) == 0


def test_splats_take_the_place_of_the_points(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    write_splats(tmp_path, ball(7))
    with viewing(tmp_path) as viewer:
        assert viewer.server.scene.get_handle_by_name("/splats").visible
        assert not viewer.server.scene.get_handle_by_name("/points").visible
        assert len(viewer.nodes.measurable()) == 7
        assert "7 splats" in viewer.about


def test_a_training_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_live, "INTERVAL_S", 0.02)
    write_scene_folder(tmp_path)
    with viewing(tmp_path) as viewer:
        for count in (4, 9):
            write_splats(tmp_path, ball(count))
            record = {"steps": 100 * count, "psnr_db": 20.5, "gaussians": count}
            write_text(tmp_path / "splats" / "metrics.json", json.dumps(record))
            wait_for(lambda count=count: f"step {count}00, PSNR 20.50 dB, {count} splats" in viewer.training)
            wait_for(lambda count=count: viewer.nodes.splats and len(viewer.nodes.splats.centers) == count)
        write_text(tmp_path / "splats" / "splats.ply", "damaged")
        wait_for(lambda: "splats.ply" in viewer.training)
        assert len(viewer.nodes.splats.centers) == 9


def test_two_clicks_are_a_distance(tmp_path: Path) -> None:
    model = write_scene_folder(tmp_path, place={"metres": True})
    with viewing(tmp_path) as viewer:
        ends = [0, int(np.argmax(np.linalg.norm(model.points.xyz - model.points.xyz[0], axis=1)))]
        targets = viewer.nodes.points[ends].astype(np.float64)
        eye = targets.mean(axis=0) + 3 * np.array([0.0, -4.0, 2.0])
        camera = SimpleNamespace(position=eye, image_height=800, fov=0.9)
        for target in targets:  # from so near to the point that no other is before it
            origin = target + 1e-3 * (eye - target)
            viewer.measure.click(
                SimpleNamespace(
                    ray_origin=origin, ray_direction=target - origin, client=SimpleNamespace(camera=camera)
                )
            )
        metres = np.linalg.norm(np.diff(model.points.xyz[ends], axis=0))
        assert float(viewer.measure.answer.split(" m;")[0].split(">")[-1]) == pytest.approx(metres, rel=1e-3)


def eye(viewer: Viewer, row: int, fov: float = 0.9) -> SimpleNamespace:
    """A browser whose eye stands at a camera of the scene."""
    rotation, centre = viewer.scene.display_pose(viewer.scene.cameras[row].world_from_cam)
    return SimpleNamespace(
        camera=SimpleNamespace(
            wxyz=matrix_to_quaternion(rotation), position=centre, fov=fov, image_width=641, image_height=480
        )
    )


def test_a_frustum_is_away_while_it_is_looked_through(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    with viewing(tmp_path) as viewer:
        first, second = viewer.nodes.camera_nodes[:2]
        centre = np.array(first.position)
        before, there, left = (SimpleNamespace(position=centre + d) for d in (3.0, 0.0, 1.0))
        client = MagicMock()
        viewer.look_through(0, client)
        np.testing.assert_allclose(client.camera.position, centre)
        assert client.camera.fov == viewer.scene.cameras[0].fov_y_rad
        for eye_place, visible in ((before, False), (there, False), (there, False), (left, True)):
            viewer.eye_moved(eye_place)
            assert first.visible is visible
        viewer.look_through(0, client)
        viewer.look_through(1, client)
        assert first.visible and not second.visible


@given(st.integers(0, 2**32 - 1))
def test_the_axis_of_turning_keeps_the_roll(seed: int) -> None:
    """Looking along z with this axis up gives the camera's rotation again."""
    rotation = SO3.exp(np.random.default_rng(seed).normal(0, 1.5, 3)).matrix
    ahead, axis = rotation[:, 2], turning_axis(rotation)
    upward = axis - (axis @ ahead) * ahead
    np.testing.assert_allclose(upward / np.linalg.norm(upward), -rotation[:, 1], atol=1e-9)


def test_a_camera_path_is_saved_as_it_will_be_rendered(tmp_path: Path) -> None:
    write_scene_folder(tmp_path)
    with viewing(tmp_path) as viewer:
        with pytest.raises(ValueError, match="no key frame"):
            viewer.path.save()
        for row in (0, 1, 2, 3):
            viewer.path.add(eye(viewer, row, fov=0.9 + 0.1 * row))
        assert "4 key frames, 6 s" in viewer.path.about
        viewer.path.remove_last()
        assert "3 key frames, 4 s" in viewer.path.about
        first, second = viewer.path.save(), viewer.path.save()
        assert [first.name, second.name] == ["path-001.json", "path-002.json"]
        assert first.parent == tmp_path / "views"
        path = read_camera_path(first)
        assert len(path) == 4 * 30 + 1 and path.fps == 30
        for row, number in ((0, 0), (1, 60), (2, 120)):
            expected = viewer.scene.cameras[row].world_from_cam.inverse()
            np.testing.assert_allclose(path.poses[number].matrix4(), expected.matrix4(), atol=1e-9)
            camera = path.cameras[number]
            assert (camera.width, camera.height) == (640, 480)
            assert 2 * np.arctan(240 / camera.focal[1]) == pytest.approx(0.9 + 0.1 * row)
        assert viewer.server.scene.get_handle_by_name("/path/2") is not None
        for _ in range(4):
            viewer.path.remove_last()
        assert viewer.server.scene.get_handle_by_name("/path/0") is None
        assert "No key frames" in viewer.path.about


def test_a_name_is_no_html(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    write_scene_folder(folder)
    (folder / "splats").mkdir()
    (folder / "splats" / "splats.ply").write_bytes(b"ply\n")
    with viewing(folder) as viewer:
        assert "splats are not shown" in viewer.about and "<img" not in viewer.about


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    scene = load_viewer_scene(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is taken"):
            Viewer(scene, port=port)


def test_an_unknown_host_is_told(tmp_path: Path) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    with pytest.raises(OSError, match="address of this machine"):
        Viewer(load_viewer_scene(tmp_path), host="203.0.113.7", port=0)


def test_without_viser_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene_folder(tmp_path, views=3, points=50)
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(ImportError, match=r"pip install .*geo3d\[view\]"):
        Viewer(load_viewer_scene(tmp_path), port=0)


POINT_COLOR = (20, 150, 60)


def share(picture: np.ndarray, color: tuple[int, int, int]) -> float:
    """Of the pixels of a picture, those of a colour (through JPEG and the edges of points)."""
    return float((np.abs(picture.astype(int) - color).max(axis=2) <= 12).mean())


def pixel(viewer: Viewer, point: np.ndarray, width: int, height: int) -> tuple[float, float]:
    """Where a browser shows a point of the display frame."""
    (client,) = viewer.server.get_clients().values()
    rotation, centre, fov = eye_of(client)
    x, y, z = rotation.T @ (point - centre)
    focal = height / 2 / np.tan(fov / 2)
    return width / 2 + focal * x / z, height / 2 + focal * y / z


@pytest.mark.slow
@pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Chromium: apt-get install chromium")
def test_in_a_browser(tmp_path: Path) -> None:
    """A person sees points and photos, measures, looks through a photo and saves what is seen."""
    model = write_scene_folder(tmp_path, points=500, place={"metres": True})
    model.points.color[:] = POINT_COLOR
    write_colmap(model, tmp_path / "sparse" / "0")
    width, height = 1200, 800
    with viewing(tmp_path) as viewer, chromium.browser(tmp_path / "profile", width, height) as page:
        page.open(viewer.address)
        wait_for(viewer.server.get_clients)
        wait_for(lambda: share(page.screenshot(), PHOTO_COLOR) > 1e-3)
        shown = page.screenshot()
        Image.fromarray(shown).save(tmp_path / "start.png")
        assert shown.shape == (height, width, 3)
        assert share(shown, POINT_COLOR) > 1e-3 and share(shown, (255, 255, 255)) > 0.3

        page.click_text("Measure")
        wait_for(lambda: viewer.measure.active)
        order = np.argsort(viewer.nodes.points[:, 1])  # the nearest to the eye, which nothing hides
        ends = viewer.nodes.points[order[:2]].astype(np.float64)
        for end, words in zip(ends, ("second point", " m")):
            page.click(*pixel(viewer, end, width, height))
            wait_for(lambda words=words: words in viewer.measure.answer)
        metres = np.linalg.norm(ends[1] - ends[0]) / viewer.scene.display_from_world.scale
        found = float(viewer.measure.answer.split(" m")[0].split(">")[-1])
        assert found == pytest.approx(metres, rel=1e-3)
        page.click_text("Measure")
        wait_for(lambda: not viewer.measure.active)

        page.click_text("Save picture")
        wait_for((tmp_path / "views" / "picture-001.png").exists)
        saved = np.asarray(Image.open(tmp_path / "views" / "picture-001.png"))
        assert saved.shape == (height, width, 3)
        assert share(saved, POINT_COLOR) == pytest.approx(share(shown, POINT_COLOR), rel=0.5)

        (client,) = viewer.server.get_clients().values()
        for step, words in ((0.0, "1 key"), (2.0, "2 key")):
            client.camera.position = np.array([step, -9.0, 5.0])
            client.camera.look_at = np.zeros(3)
            time.sleep(1)  # the browser may be telling its former place
            page.click_text("Add key frame")
            wait_for(lambda words=words: words in viewer.path.about)
        first, second = (
            viewer.scene.display_from_world.act(frame.cam_from_world.center())
            for frame in viewer.path.key_frames()
        )
        assert np.linalg.norm(second - first) > 1
        page.click_text("Play")
        wait_for(lambda: np.linalg.norm(client.camera.position - first) < 0.1)
        wait_for(lambda: np.linalg.norm(client.camera.position - second) < 1e-3)
        page.click_text("Save path")
        wait_for((tmp_path / "views" / "path-001.json").exists)

        row = int(np.argmin([n.position[1] for n in viewer.nodes.camera_nodes]))
        node = viewer.nodes.camera_nodes[row]
        rotation, centre = viewer.scene.display_pose(viewer.scene.cameras[row].world_from_cam)
        depth = fit_depth(np.array([n.position for n in viewer.nodes.camera_nodes]))
        page.click(*pixel(viewer, centre + depth * rotation[:, 2], width, height))
        wait_for(lambda: not node.visible)
        wait_for(lambda: np.linalg.norm(client.camera.position - centre) < 1e-3)
        wait_for(lambda: np.allclose(eye_of(client)[0], rotation, atol=1e-3))
        assert not node.visible
        Image.fromarray(page.screenshot()).save(tmp_path / "through.png")
