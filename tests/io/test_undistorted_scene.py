"""A scene without distortion: exact where the new photos show it, and without the rest."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io import undistort_scene
from geo3d.scene import Points, Reconstruction, Track, View
from geo3d.synthetic import make_scene

CAMERAS = {
    "OPENCV": Camera("OPENCV", 200, 150, [170.0, 172.0, 100.0, 75.0, -0.12, 0.02, 0.001, -0.0005]),
    "OPENCV_FISHEYE": Camera("OPENCV_FISHEYE", 200, 200, [62.0, 62.0, 100.0, 100.0, 0.01, 0.0, 0.0, 0.0]),
    "EQUIRECTANGULAR": Camera("EQUIRECTANGULAR", 400, 200, [400.0, 200.0]),
}


def surrounded(camera: Camera, seed: int = 0) -> Reconstruction:
    """Two views amid 300 points in all directions, each seen by both wherever the camera sees it; no noise."""
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(300, 3))
    xyz *= rng.uniform(4, 8, (300, 1)) / np.linalg.norm(xyz, axis=1, keepdims=True)
    views = {}
    for view_id, turn in ((1, 0.0), (7, 0.9)):
        pose = SE3.exp(np.array([0.4, 0.0, 0.1, 0.0, turn, 0.1]))
        views[view_id] = View(f"{view_id}.jpg", 3, pose, camera.project(pose.act(xyz)))
    seen = {i: np.isfinite(v.keypoints).all(axis=1) for i, v in views.items()}
    for i, view in views.items():
        inside = (view.keypoints >= 0) & (view.keypoints <= [camera.width, camera.height])
        seen[i] &= inside.all(axis=1)
        view.keypoints = np.where(seen[i][:, None], view.keypoints, 0.0)
    tracks = []
    for row, x in enumerate(xyz):
        ids = [i for i in views if seen[i][row]]
        if ids:
            tracks.append(Track(x, np.array([1, 2, 3]), 0.5, np.array(ids), np.full(len(ids), row)))
    return Reconstruction({3: camera}, views, Points.from_tracks(tracks))


@pytest.mark.parametrize("name", CAMERAS)
def test_what_is_left_is_what_the_new_photos_show(name: str) -> None:
    scene = surrounded(CAMERAS[name])
    made = undistort_scene(scene)
    found, camera = made.reconstruction, made.reconstruction.cameras[3]
    assert camera.model == "PINHOLE"
    expected = []
    for track in scene.points:
        kept = []
        for view_id, keypoint in zip(track.view_ids, track.keypoints):
            pose = scene.views[view_id].cam_from_world
            assert pose is not None
            x, y = camera.project(pose.act(track.xyz))
            if 0 <= x <= camera.width and 0 <= y <= camera.height:
                kept.append((view_id, keypoint, x, y))
        if len(kept) >= 2 or len(kept) == len(track.view_ids):
            expected.append((track.xyz, kept))
    assert len(found.points) == len(expected)
    for track, (xyz, kept) in zip(found.points, expected):
        assert np.array_equal(track.xyz, xyz) and track.error_px == 0.5
        assert list(zip(track.view_ids, track.keypoints)) == [(i, k) for i, k, _, _ in kept]
        for view_id, keypoint, x, y in kept:
            assert found.views[view_id].keypoints[keypoint] == pytest.approx([x, y], abs=1e-6)
    assert made.dropped_points == len(scene.points) - len(expected)
    assert made.dropped_observations == len(scene.points.view_ids) - sum(len(kept) for _, kept in expected)
    if name != "OPENCV":
        assert made.dropped_points > 50 and len(found.points) > 10


def test_nothing_is_lost_of_a_pinhole_scene() -> None:
    scene = make_scene(
        views=5, points=120, camera=Camera("PINHOLE", 200, 150, [170, 170, 100, 75])
    ).reconstruction
    made = undistort_scene(scene)
    assert (made.dropped_observations, made.dropped_points) == (0, 0)
    assert np.allclose(made.reconstruction.cameras[1].params, scene.cameras[1].params)
    for view_id, view in scene.views.items():
        assert np.allclose(made.reconstruction.views[view_id].keypoints, view.keypoints, atol=1e-9)


def test_a_scene_without_points() -> None:
    made = undistort_scene(Reconstruction({1: CAMERAS["OPENCV"]}, {1: View("a.jpg", 1)}))
    assert len(made.reconstruction.points) == 0 and made.dropped_observations == 0
    assert undistort_scene(Reconstruction()).reconstruction.views == {}
