"""Files of views: colour, depth, normals, stereo pairs, panoramas, of a plain wall."""

from types import SimpleNamespace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import look_at
from geo3d.images import read_image, read_video_info
from geo3d.io import read_pfm
from geo3d.render import CameraPath, OutputOptions, orbit_path, scene_shape, write_path, write_view
from geo3d.util.progress import Progress
from tests.render.paths import CAMERA, ring

POSES = ring(6)


def wall(camera, pose):
    """Grey as far as the camera is from the origin, 3 in front, turned to the camera; red to the east."""
    shape = (camera.height, camera.width)
    color = np.full((*shape, 3), 0.5, np.float32)
    color[..., 0] = pose.rotation[2, 0] / 2 + 0.5
    normals = np.broadcast_to(np.array([0, 0, -1], np.float32), (*shape, 3))
    return SimpleNamespace(
        color=color,
        alpha=np.ones(shape),
        depth=np.full(shape, 3.0, np.float32),
        median_depth=None,
        normals=normals,
    )


def test_a_view_with_its_maps(tmp_path):
    written = write_view(tmp_path / "v.png", wall, CAMERA, POSES[0], OutputOptions(depth=True, normals=True))
    assert [p.name for p in written] == ["v.png", "v.depth.png", "v.depth.pfm", "v.normals.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in written)
    assert read_image(tmp_path / "v.png").shape == (48, 64, 3)
    np.testing.assert_array_equal(read_pfm(tmp_path / "v.depth.pfm"), np.full((48, 64), 3, np.float32))
    np.testing.assert_array_equal(
        read_image(tmp_path / "v.normals.png", keep_16_bit=True)[0, 0], [32768, 32768, 65535]
    )
    with pytest.raises(ValueError, match=r"\.png"):
        write_view(tmp_path / "v.jpg", wall, CAMERA, POSES[0])


def test_a_path_with_its_maps(tmp_path):
    path = orbit_path(scene_shape(POSES), CAMERA, 9, 12.0)
    written = write_path(tmp_path / "v.mp4", wall, path, OutputOptions(depth=True, normals=True))
    assert [p.name for p in written] == ["v.mp4", "v.depth.mp4", "v.normals.mp4"]
    for file in written:
        info = read_video_info(file)
        assert (info.width, info.height, info.fps, info.frames) == (64, 48, 12.0, 9)
    written = write_path(tmp_path / "frames", wall, path, OutputOptions(depth=True))
    assert [len(list(folder.iterdir())) for folder in written] == [9, 9]


def test_a_stopped_path_leaves_nothing(tmp_path):
    calls = 0

    def stopped(camera, pose):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return wall(camera, pose)

    with pytest.raises(KeyboardInterrupt):
        write_path(
            tmp_path / "v.mp4", stopped, orbit_path(scene_shape(POSES), CAMERA, 9), OutputOptions(depth=True)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_stereo_pair_has_one_baseline(tmp_path):
    centers = []

    def seen(camera, pose):
        centers.append(pose.center())
        return wall(camera, pose)

    path = CameraPath((CAMERA,) * 2, tuple(POSES[:2]))
    write_path(tmp_path / "v", seen, path, OutputOptions(stereo=True))
    assert read_image(tmp_path / "v" / "00000.png").shape == (48, 128, 3)
    # The first call looks for the depth, which is 3; then left and right of each frame.
    for left, right in (centers[1:3], centers[3:5]):
        assert np.linalg.norm(left - right) == pytest.approx(3.0 / 30)


def test_panoramas_are_upright(tmp_path):
    """A camera that looks down at an angle: the middle of its panorama is at the horizon."""
    pose = look_at([0, 0, 5], [4, 0, 0])
    tops = []

    def seen(camera, face):
        tops.append(face.rotation[2])
        return wall(camera, face)

    write_view(tmp_path / "v.png", seen, CAMERA, pose, OutputOptions(panorama=True, up=(0, 0, 1)))
    assert read_image(tmp_path / "v.png").shape == (48, 96, 3)
    np.testing.assert_allclose(tops[0], [1, 0, 0], atol=1e-12)  # the front face looks ahead
    tops.clear()
    write_view(tmp_path / "v.png", seen, CAMERA, pose, OutputOptions(panorama=True))
    np.testing.assert_allclose(tops[0], pose.rotation[2], atol=1e-12)
    tops.clear()
    straight = look_at([0, 0, 5], [0, 0, 0])
    write_view(tmp_path / "v.png", seen, CAMERA, straight, OutputOptions(panorama=True, up=(0, 0, 1)))
    np.testing.assert_allclose(tops[0], -straight.rotation[1], atol=1e-12)
    sphere = Camera("EQUIRECTANGULAR", 40, 20, [40, 20])
    write_view(tmp_path / "v.png", seen, sphere, pose)
    assert read_image(tmp_path / "v.png").shape == (20, 40, 3)


def test_progress_counts_frames(tmp_path):
    class Counted(Progress):
        def stage(self, name, total=None, initial=0):
            assert total == 3
            return super().stage(name, total, initial)

    write_path(tmp_path / "v", wall, CameraPath((CAMERA,) * 3, tuple(POSES[:3])), progress=Counted())


@pytest.mark.parametrize("options", [{"stereo": True, "panorama": True}, {"stereo": True, "depth": True}])
def test_what_cannot_be_had_together(options):
    with pytest.raises(ValueError, match="cannot be had together"):
        OutputOptions(**options)
