"""Camera paths as JSON: written and read again, nerfstudio's layout, and what is refused."""

import json

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render import (
    CameraPath,
    KeyFrame,
    key_frame_path,
    read_camera_path,
    read_pose,
    write_key_frames,
    write_nerfstudio_path,
    write_pose,
)
from tests.render.paths import CAMERA, ring


def stacked(poses) -> np.ndarray:
    return np.array([pose.matrix4() for pose in poses])


def frames_of(poses, step=1.0) -> list[KeyFrame]:
    return [KeyFrame(pose, 2.0 + step * i) for i, pose in enumerate(poses)]


def test_a_path_has_its_frames_and_passes_its_poses():
    poses = ring(4, last=2.0)
    path = key_frame_path(frames_of(poses), CAMERA, fps=10)
    assert len(path) == 31
    np.testing.assert_allclose(stacked(path.poses[::10]), stacked(poses), atol=1e-9)
    assert set(path.cameras) == {CAMERA}


def test_a_loop_is_closed_and_smooth():
    poses = ring(6)
    path = key_frame_path(frames_of(poses), CAMERA, fps=20, loop=True)
    assert len(path) == 120
    where = np.array([pose.center() for pose in (*path.poses, *path.poses[:2])])
    steps = np.diff(where, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.1 * lengths.max()
    assert len(key_frame_path(frames_of(poses[:2]), CAMERA, fps=20, loop=True)) == 40


def test_zoom_between_cameras():
    near = Camera("PINHOLE", 64, 48, [60, 60, 32, 24])
    far = Camera("PINHOLE", 64, 48, [240, 240, 30, 26])
    poses = ring(2, last=0.5)
    path = key_frame_path([KeyFrame(poses[0], 0, near), KeyFrame(poses[1], 1, far)], fps=10)
    focals = np.array([camera.focal[0] for camera in path.cameras])
    np.testing.assert_allclose(focals, 60 * 4 ** np.linspace(0, 1, 11))  # even in the logarithm
    np.testing.assert_allclose(path.cameras[5].principal_point, [31, 25])
    other = Camera("PINHOLE", 32, 24, [60, 60, 16, 12])
    with pytest.raises(ValueError, match="one size"):
        key_frame_path([KeyFrame(poses[0], 0, near), KeyFrame(poses[1], 1, other)])


def test_written_and_read(tmp_path):
    poses = ring(3, last=1.0)
    own = Camera("PINHOLE", 64, 48, [100, 100, 32, 24])
    frames = [*frames_of(poses[:2]), KeyFrame(poses[2], 5.5, own)]
    write_key_frames(tmp_path / "path.json", frames, CAMERA, 12.0, loop=True)
    found = read_camera_path(tmp_path / "path.json")
    expected = key_frame_path(frames, CAMERA, 12.0, loop=True)
    assert found.fps == 12.0 and found.cameras == expected.cameras
    np.testing.assert_allclose(stacked(found.poses), stacked(expected.poses), atol=1e-12)


def test_the_camera_may_be_told_from_outside(tmp_path):
    write_key_frames(tmp_path / "path.json", frames_of(ring(2)))
    with pytest.raises(ValueError, match=r"path\.json: keyframes: one has no camera"):
        read_camera_path(tmp_path / "path.json")
    assert read_camera_path(tmp_path / "path.json", CAMERA).cameras[0] == CAMERA


def test_one_pose(tmp_path):
    pose = ring(3)[1]
    write_pose(tmp_path / "pose.json", pose, CAMERA)
    found = read_pose(tmp_path / "pose.json")
    np.testing.assert_allclose(found.cam_from_world.matrix4(), pose.matrix4(), atol=1e-12)
    assert found.camera == CAMERA
    write_pose(tmp_path / "pose.json", pose)
    assert read_pose(tmp_path / "pose.json").camera is None
    write_key_frames(tmp_path / "path.json", frames_of(ring(2)), CAMERA)
    with pytest.raises(ValueError, match="give it as --path"):
        read_pose(tmp_path / "path.json")
    assert len(key_frame_path([KeyFrame(pose)], CAMERA)) == 1


def nerfstudio(**changes) -> dict:
    """As its viewer writes it: a camera at (1, 2, 3) with the axes of the world."""
    frame = {
        "camera_to_world": [1.0, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1],
        "fov": 90.0,
        "aspect": 2.0,
    }
    return {
        "keyframes": [],
        "camera_type": "perspective",
        "render_height": 50,
        "render_width": 100,
        "camera_path": [frame] * 3,
        "fps": 24,
        "seconds": 4,
    } | changes


def test_a_path_of_nerfstudio(tmp_path):
    (tmp_path / "path.json").write_text(json.dumps(nerfstudio()))
    path = read_camera_path(tmp_path / "path.json")
    assert len(path) == 3 and path.fps == 24
    np.testing.assert_allclose(path.cameras[0].params, [25, 25, 50, 25])
    pose = path.poses[0]
    np.testing.assert_allclose(pose.center(), [1, 2, 3])
    # What is at -z of the camera in OpenGL is in front, y up is up.
    np.testing.assert_allclose(pose.act([1, 2, 0]), [0, 0, 3])
    np.testing.assert_allclose(pose.act([1, 3, 3]), [0, -1, 0])
    (tmp_path / "path.json").write_text(json.dumps(nerfstudio(camera_type="equirectangular")))
    assert read_camera_path(tmp_path / "path.json").cameras[0].model == "EQUIRECTANGULAR"


def test_nerfstudio_round_trip(tmp_path):
    poses = tuple(ring(5))
    path = CameraPath((CAMERA,) * 5, poses, 24.0)
    write_nerfstudio_path(tmp_path / "path.json", path)
    found = read_camera_path(tmp_path / "path.json")
    np.testing.assert_allclose(stacked(found.poses), stacked(poses), atol=1e-12)
    np.testing.assert_allclose(found.cameras[0].params, CAMERA.params)
    sphere = Camera("EQUIRECTANGULAR", 64, 32, [64, 32])
    with pytest.raises(ValueError, match="PINHOLE"):
        write_nerfstudio_path(tmp_path / "path.json", CameraPath((sphere,), (SE3.identity(),)))


BAD = [
    {},
    {"keyframes": []},
    {"keyframes": [3]},
    {"keyframes": [{"time_s": 0}]},
    {"keyframes": [{"cam_from_world": [[1, 0], [0, 1]]}]},
    {"keyframes": [{"cam_from_world": (2 * np.eye(4)).tolist()}]},
    {"keyframes": [{"cam_from_world": SE3(np.eye(3), [1, 2, 3]).matrix4().T.tolist()}]},
    {"keyframes": [{"cam_from_world": np.diag([1, 1, -1, 1]).tolist()}]},
    {"keyframes": [{"cam_from_world": np.full((4, 4), 1e999).tolist()}]},
    {"keyframes": [{"cam_from_world": np.eye(4).tolist(), "camera": "wide"}]},
    {"keyframes": [{"cam_from_world": np.eye(4).tolist(), "time_s": t} for t in (1, 1)]},
    {"keyframes": [{"cam_from_world": np.eye(4).tolist(), "time_s": t} for t in (0, 1e12)]},
    {"keyframes": [{"cam_from_world": np.eye(4).tolist(), "time_s": t} for t in (0, 1)], "fps": 0},
    {"keyframes": [{"cam_from_world": np.eye(4).tolist()}], "camera": {"model": "PINHOLE"}},
    nerfstudio(camera_path=[]),
    nerfstudio(camera_path=[{"camera_to_world": [1.0] * 16, "fov": 50}]),
    nerfstudio(camera_path=[{"fov": 50}]),
    nerfstudio(camera_type="omnidirectional"),
    nerfstudio(render_width=0),
    nerfstudio(render_height="tall"),
    nerfstudio(fps=-1),
    nerfstudio(camera_path=[nerfstudio()["camera_path"][0] | {"fov": 180}]),
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_what_is_no_path_is_refused_by_name(tmp_path, content):
    (tmp_path / "path.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="expected"):
        read_camera_path(tmp_path / "path.json", CAMERA)


def test_damaged_files(tmp_path):
    (tmp_path / "path.json").write_text('{"keyframes": [')
    with pytest.raises(ValueError, match="truncated or corrupt"):
        read_camera_path(tmp_path / "path.json", CAMERA)
    with pytest.raises(FileNotFoundError):
        read_camera_path(tmp_path / "none.json", CAMERA)
