"""Pairs of a scene, and the cloud of their depths."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.stereo import PosedDepth, choose_scene_pairs, depth_to_points, fuse_depths
from geo3d.synthetic import look_at, make_scene

CAMERA = Camera("PINHOLE", 80, 60, [70, 70, 40, 30])


def plane_depth(cam_from_world, noise=0.0, seed=0):
    """Depth map of the plane z = 0 of the world."""
    y, x = np.mgrid[:60, :80] + 0.5
    rays = CAMERA.unproject(np.stack([x, y], axis=-1))
    rays = rays / rays[..., 2:]
    world_from_cam = cam_from_world.inverse()
    directions = rays @ world_from_cam.rotation.T
    depth = -world_from_cam.translation[2] / directions[..., 2]
    depth = depth + np.random.default_rng(seed).normal(0, noise, depth.shape)
    color = np.full((60, 80, 3), 100, np.uint8)
    sigma = np.full(depth.shape, 0.01, np.float32)
    return PosedDepth(depth.astype(np.float32), sigma, color, CAMERA, cam_from_world)


def poses():
    return [look_at(np.array([x, -3.0, 6.0]), np.zeros(3)) for x in (-1.0, 0.0, 1.0)]


def test_a_plane_is_fused_with_its_normal():
    cloud = fuse_depths([plane_depth(pose, 0.002, i) for i, pose in enumerate(poses())])
    assert len(cloud) > 1000
    assert np.abs(cloud.points[:, 2]).max() < 0.02
    assert np.median(np.abs(cloud.normals @ [0, 0, 1])) > 0.99
    assert (cloud.normals[:, 2] > 0).all()  # towards the cameras
    np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-5)
    assert (cloud.colors == 100).all()


def test_what_no_other_map_says_is_dropped():
    maps = [plane_depth(pose) for pose in poses()]
    ghost = maps[0].depth.copy()
    ghost[20:40, 30:50] -= 1.0
    maps[0] = PosedDepth(ghost, maps[0].sigma, maps[0].color, CAMERA, maps[0].cam_from_world)
    assert np.abs(fuse_depths(maps).points[:, 2]).max() < 0.05
    assert np.abs(fuse_depths(maps, 0).points[:, 2]).max() > 0.3
    with pytest.raises(ValueError, match="none"):
        fuse_depths([])


@pytest.mark.parametrize("hole", [np.nan, np.inf, 0.0, -1.0])
def test_pixels_without_depth_are_left_out_of_the_cloud(hole):
    maps = [plane_depth(pose) for pose in poses()]
    whole = fuse_depths(maps)
    for one in maps:
        one.depth[:, 40:] = hole
    cloud = fuse_depths(maps)
    assert 0.2 * len(whole) < len(cloud) < 0.8 * len(whole)
    assert np.abs(cloud.points[:, 2]).max() < 0.02
    one = maps[0]
    points, pixels = depth_to_points(one.depth, CAMERA)
    assert len(points) == 60 * 40
    assert pixels[:, 0].max() < 40


def test_pairs_share_points_at_a_useful_angle():
    scene = make_scene(views=24, points=200, seed=1).reconstruction
    pairs = choose_scene_pairs(scene, partners=2)
    assert pairs
    for pair in pairs:
        one, two = pair.view_ids
        assert one != two
        assert len(pair.points) >= 20
        assert 1.5 <= pair.angle_deg <= 40.0
    firsts = [pair.view_ids[0] for pair in pairs]
    assert max(map(firsts.count, firsts)) <= 2
    names = [scene.views[i].name for i in firsts]
    assert names == sorted(names)


def test_a_scene_without_parallax_is_refused():
    scene = make_scene(views=4, points=100, seed=1).reconstruction
    for view in scene.views.values():
        view.cam_from_world = SE3(view.cam_from_world.rotation, np.zeros(3))
    with pytest.raises(ValueError, match="no pair"):
        choose_scene_pairs(scene)
