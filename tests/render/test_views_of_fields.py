"""Panoramas, stereo pairs and maps of a made-up field whose colour is a formula of the direction."""

from types import SimpleNamespace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3
from geo3d.render import (
    depth_picture,
    normal_picture,
    render_panorama,
    render_stereo,
    stereo_poses,
)


def grid(camera: Camera) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([x, y], axis=-1)


def sky(camera: Camera, cam_from_world: SE3):
    """Infinitely far away: smooth in the direction in the world."""
    rays = camera.unproject(grid(camera)) @ cam_from_world.rotation
    return SimpleNamespace(color=(0.5 + 0.5 * rays).astype(np.float32))


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_panorama_shows_each_direction_where_it_belongs(seed):
    turn = np.eye(3) if seed is None else SO3.exp(np.random.default_rng(seed).normal(0, 1, 3)).matrix
    pose = SE3(turn, np.array([1.0, 2.0, 3.0]))
    found = render_panorama(sky, pose, 64)
    assert found.shape == (64, 128, 3)
    sphere = Camera("EQUIRECTANGULAR", 128, 64, [128, 64])
    expected = 0.5 + 0.5 * sphere.unproject(grid(sphere)) @ turn
    np.testing.assert_allclose(found, expected, atol=1e-3)  # no seam between the faces


def test_what_differs_between_the_faces_makes_no_seam():
    """Each face is of a colour of its own; the panorama changes gradually, and is that colour in its middle."""
    colors = iter(np.eye(3)[[0, 1, 0, 1, 2, 2]])

    def plain(camera, pose):
        return SimpleNamespace(color=np.full((camera.height, camera.width, 3), next(colors), np.float32))

    found = render_panorama(plain, SE3.identity(), 180)  # 1 degree a pixel, 10 degrees of blending
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-5)
    np.testing.assert_allclose(found[90, [180, 270, 0, 90]], np.eye(3)[[0, 1, 0, 1]], atol=1e-6)
    equator = found[85:95]
    assert np.abs(np.diff(equator, axis=1)).max() < 0.13 and np.abs(np.diff(equator, axis=1)).max() > 0.05
    assert np.abs(np.diff(found, axis=0)).max() < 0.2


def test_the_faces_of_a_panorama_look_from_one_place():
    centers = []

    def render(camera, pose):
        assert camera.model == "PINHOLE" and camera.field_of_view()[0] > np.radians(90)
        centers.append(pose.center())
        return sky(camera, pose)

    pose = SE3(SO3.exp([0.3, 0.2, 0.1]).matrix, np.array([1.0, 2.0, 3.0]))
    render_panorama(render, pose, 16)
    assert len(centers) == 6
    np.testing.assert_allclose(centers, [pose.center()] * 6, atol=1e-12)
    with pytest.raises(ValueError, match="height"):
        render_panorama(render, pose, 1)


def test_the_eyes_are_beside_each_other():
    pose = SE3(SO3.exp([0.3, 0.2, 0.1]).matrix, np.array([1.0, 2.0, 3.0]))
    left, right = stereo_poses(pose, 0.06)
    across = right.center() - left.center()
    np.testing.assert_allclose(across, 0.06 * pose.rotation[0], atol=1e-12)
    np.testing.assert_allclose((left.center() + right.center()) / 2, pose.center(), atol=1e-12)
    # What is near is further to the right in the left image.
    point = pose.inverse().act([0.0, 0.0, 2.0])
    assert left.act(point)[0] > right.act(point)[0]
    with pytest.raises(ValueError, match="baseline"):
        stereo_poses(pose, 0.0)


def test_a_stereo_pair_lies_side_by_side():
    camera = Camera("PINHOLE", 20, 10, [20, 20, 10, 5])

    def render(camera, pose):
        return SimpleNamespace(color=np.full((10, 20, 3), pose.translation[0], np.float32))

    both = render_stereo(render, camera, SE3.identity(), 0.5)
    assert both.shape == (10, 40, 3)
    assert np.all(both[:, :20] == 0.25) and np.all(both[:, 20:] == -0.25)


def test_depth_in_colours():
    depth = np.geomspace(1.0, 100.0, 200).reshape(10, 20).astype(np.float32)
    depth[0, :3] = [0.0, np.nan, -1.0]
    picture = depth_picture(depth, (1.0, 100.0))
    assert picture.shape == (10, 20, 3) and picture.dtype == np.uint8
    assert np.all(picture[0, :3] == 0)
    near, far = picture[0, 5].astype(int), picture[-1, -20].astype(int)
    assert near[0] > near[2] and far[2] > far[0]  # red is near, blue is far
    np.testing.assert_array_equal(depth_picture(5 * depth, (5.0, 500.0)), picture)
    assert depth_picture(np.zeros((4, 5))).max() == 0
    assert depth_picture(np.full((4, 5), 2.0)).max() > 0


def test_normals_in_colours():
    normals = np.array([[[0, 0, -1.0], [0, -1, 0], [1, 0, 0], [0, 0, 0]]])
    found = normal_picture(normals)
    assert found.dtype == np.uint16
    half, full = 32768, 65535
    np.testing.assert_allclose(found[0, 0], [half, half, full], atol=1)
    np.testing.assert_allclose(found[0, 1], [half, full, half], atol=1)
    np.testing.assert_allclose(found[0, 2], [full, half, half], atol=1)
    assert np.all(found[0, 3] == 0)
