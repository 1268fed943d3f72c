"""Paths about a scene: where they go, what they look at, and that they are smooth."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render import (
    CameraPath,
    dolly_path,
    orbit_path,
    path_camera,
    scene_shape,
    spiral_path,
    views_path,
)
from tests.render.paths import CAMERA, ring

UP = np.array([0.0, 0.0, 1.0])


def centers(path) -> np.ndarray:
    return np.array([pose.center() for pose in path.poses])


def looks_at(path, focus) -> None:
    for pose in path.poses:
        x, y, z = pose.act(focus)
        assert z > 0 and abs(x) < 1e-9 and abs(y) < 1e-9
        assert pose.rotation[0] @ UP == pytest.approx(0, abs=1e-9)  # level
        assert pose.rotation[1] @ UP < 0  # y is down


def smooth(path, closed: bool, share: float = 0.3) -> None:
    """Steps change little from frame to frame."""
    where = centers(path)
    if closed:
        where = np.concatenate([where, where[:2]])
    steps = np.diff(where, axis=0)
    largest = np.linalg.norm(steps, axis=1).max()
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < share * largest


def test_orbit_goes_all_around():
    shape = scene_shape(ring(12), UP)
    path = orbit_path(shape, CAMERA, 60, 24.0)
    assert len(path) == 60 and path.fps == 24.0
    looks_at(path, shape.focus)
    smooth(path, closed=True)
    np.testing.assert_allclose(
        np.linalg.norm(centers(path) - shape.focus, axis=1), np.hypot(4, 1.5), atol=0.02
    )
    np.testing.assert_allclose(centers(path)[0], ring(12)[0].center(), atol=0.05)
    middle = centers(path).mean(axis=0)
    np.testing.assert_allclose(middle[:2], [1, 2], atol=0.02)


def test_orbit_stays_where_cameras_were():
    shape = scene_shape(ring(9, first=0.0, last=1.5), UP)
    path = orbit_path(shape, CAMERA, 50)
    looks_at(path, shape.focus)
    smooth(path, closed=True)
    offset = centers(path) - shape.focus
    turn = np.arctan2(offset[:, 1], offset[:, 0])
    assert turn.min() > -0.05 and turn.max() < 1.55
    assert np.ptp(turn) > 1.4


@pytest.mark.parametrize("last", [2 * np.pi, 1.5])
def test_spiral_is_closed_and_stays_between_the_cameras(last):
    poses = [pose for height in (0.5, 1.5, 2.5) for pose in ring(10, height=height, last=last)]
    shape = scene_shape(poses, UP)
    path = spiral_path(shape, CAMERA, 240)
    looks_at(path, shape.focus)
    smooth(path, closed=True)
    heights = centers(path)[:, 2] - shape.focus[2]
    assert heights.min() > 0.4 and heights.max() < 2.6 and np.ptp(heights) > 1.5


def test_dolly_moves_straight_and_keeps_its_direction():
    pose = ring(4)[0]
    path = dolly_path(pose, CAMERA, np.array([1.0, 2.0, 0.5]), 30, nearer=0.25)
    distance = np.linalg.norm(centers(path) - [1, 2, 0.5], axis=1)
    assert np.all(np.diff(distance) < 0)
    assert distance[-1] == pytest.approx(0.25 * distance[0])
    for one in path.poses:
        np.testing.assert_allclose(one.rotation, pose.rotation)
        np.testing.assert_allclose(one.act([1, 2, 0.5])[:2], 0, atol=1e-9)
    with pytest.raises(ValueError, match="nearer"):
        dolly_path(pose, CAMERA, np.zeros(3), 30, nearer=0)


def test_through_the_views():
    poses = ring(7, last=3.0)
    path = views_path(poses, CAMERA, 200, 30.0)
    assert len(path) == 200
    smooth(path, closed=False)
    for pose in poses:
        gap = np.linalg.norm(centers(path) - pose.center(), axis=1)
        assert gap.min() < 0.1
    np.testing.assert_allclose(path.poses[0].matrix4(), poses[0].matrix4(), atol=1e-9)
    np.testing.assert_allclose(path.poses[-1].matrix4(), poses[-1].matrix4(), atol=1e-9)
    steps = np.linalg.norm(np.diff(centers(path), axis=0), axis=1)
    assert steps.max() < 1.3 * steps.min()  # an even pace, of an arc


def test_views_in_no_order_are_put_in_one():
    poses = ring(24, last=4.0)
    shuffled = [poses[0], *(poses[i] for i in 1 + np.random.default_rng(2).permutation(23))]
    expected = centers(views_path(poses, CAMERA, 100))
    np.testing.assert_allclose(centers(views_path(shuffled, CAMERA, 100)), expected, atol=1e-9)


def test_through_many_views_and_few():
    assert len(views_path(ring(100), CAMERA, 90, 30.0)) == 90
    same = [SE3.identity()] * 3
    assert np.ptp(centers(views_path(same, CAMERA, 10))) == 0
    with pytest.raises(ValueError, match="two views"):
        views_path(ring(1), CAMERA, 10)


def test_the_camera_of_a_path_sees_no_more_than_the_photos():
    photo = Camera("SIMPLE_PINHOLE", 400, 300, [350, 201, 149])
    same = path_camera(photo)
    assert (same.model, same.width, same.height) == ("PINHOLE", 400, 300)
    np.testing.assert_allclose(same.params, [350, 350, 201, 149])
    half = path_camera(photo, (200, 150))
    np.testing.assert_allclose(half.focal, 175)
    middle = Camera("SIMPLE_PINHOLE", 400, 300, [350, 200, 150])
    for size in ((160, 90), (90, 160), (500, 500), (1920, 1080)):
        camera = path_camera(middle, size)
        assert (camera.width, camera.height) == size
        assert np.all(camera.field_of_view()[:2] <= middle.field_of_view()[:2] + 1e-9)
        assert camera.focal[0] == camera.focal[1]
    bent = path_camera(Camera("OPENCV", 400, 300, [350, 350, 200, 150, -0.1, 0, 0, 0]), (160, 90))
    assert bent.model == "PINHOLE"


def test_paths_that_are_none():
    with pytest.raises(ValueError, match="one of each"):
        CameraPath((), ())
    with pytest.raises(ValueError, match="one size"):
        CameraPath((CAMERA, CAMERA.rescaled(32, 24)), (SE3.identity(),) * 2)
    with pytest.raises(ValueError, match="fps"):
        CameraPath((CAMERA,), (SE3.identity(),), 0)
    with pytest.raises(ValueError, match="frames"):
        orbit_path(scene_shape(ring(5)), CAMERA, 0)
