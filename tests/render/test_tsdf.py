"""Meshes from exact depth of a sphere above a plane: every vertex within a voxel of the truth."""

from types import SimpleNamespace

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, look_at
from geo3d.io import read_ply
from geo3d.render import fuse_mesh, write_mesh

pytest.importorskip("open3d")
CAMERA = Camera("PINHOLE", 160, 120, [140, 140, 80, 60])
CENTER, RADIUS = np.array([0.3, -0.2, 1.1]), 0.7


def world(camera: Camera, pose: SE3):
    """A ball, orange, above the plane z = 0, blue; exact depth."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = camera.unproject(np.stack([x, y], -1))
    rays = rays / rays[..., 2:]
    directions, eye = rays @ pose.rotation, pose.center()
    with np.errstate(divide="ignore"):
        plane = np.where(directions[..., 2] < 0, -eye[2] / directions[..., 2], np.inf)
    a, b = np.sum(directions**2, -1), np.sum(directions * (eye - CENTER), -1)
    root = b**2 - a * (np.sum((eye - CENTER) ** 2) - RADIUS**2)
    ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    depth = np.minimum(plane, ball)
    color = np.where((ball < plane)[..., None], [1.0, 0.5, 0.0], [0.0, 0.2, 1.0])
    alpha = np.full(depth.shape, 0.8, np.float32)  # a fifth of the black background shows through
    return SimpleNamespace(
        color=0.8 * color.astype(np.float32),
        alpha=alpha,
        median_depth=np.where(depth < 6, depth, 0).astype(np.float32),
    )


def poses() -> list[SE3]:
    around = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return [look_at([3 * np.cos(a), 3 * np.sin(a), 2.2 + 0.5 * np.sin(3 * a)], CENTER) for a in around]


@pytest.fixture(scope="module")
def mesh():
    return fuse_mesh(world, [CAMERA] * 14, poses(), 0.03, max_depth=5.0)


def test_the_surface_is_within_a_voxel(mesh):
    to_ball = np.abs(np.linalg.norm(mesh.points - CENTER, axis=1) - RADIUS)
    to_plane = np.abs(mesh.points[:, 2])
    assert np.minimum(to_ball, to_plane).max() < 0.03
    assert np.minimum(to_ball, to_plane).mean() < 0.005
    ball = mesh.points[to_ball < to_plane] - CENTER
    assert ball[:, 2].max() > 0.95 * RADIUS and np.linalg.norm(ball.mean(axis=0)[:2]) < 0.05


def test_colours_and_faces(mesh):
    to_ball = np.abs(np.linalg.norm(mesh.points - CENTER, axis=1) - RADIUS)
    on_ball, on_plane = to_ball < 0.01, (mesh.points[:, 2] < 0.01) & (to_ball > 0.2)
    np.testing.assert_allclose(np.median(mesh.colors[on_ball], axis=0), [255, 128, 0], atol=3)
    np.testing.assert_allclose(np.median(mesh.colors[on_plane], axis=0), [0, 51, 255], atol=3)
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    outward = np.sum(normals * (a - CENTER), axis=1)[on_ball[mesh.faces].all(axis=1)]
    assert np.mean(outward > 0) > 0.99  # faces look outward


def test_half_a_pixel_is_not_lost(mesh):
    """The cameras look down at the plane: an image moved by half a pixel would lift it by half a voxel."""
    to_ball = np.abs(np.linalg.norm(mesh.points - CENTER, axis=1) - RADIUS)
    assert abs(mesh.points[to_ball > 0.2][:, 2].mean()) < 0.001


def test_one_view_is_enough():
    found = fuse_mesh(world, [CAMERA], poses()[:1], 0.03, max_depth=5.0)
    assert len(found.faces) > 1000


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_meshes_are_written(tmp_path, mesh, suffix):
    path = tmp_path / f"mesh{suffix}"
    write_mesh(path, mesh)
    if suffix == ".ply":
        found = read_ply(path)
        np.testing.assert_array_equal(found.points, mesh.points)
        np.testing.assert_array_equal(found.colors, mesh.colors)
        np.testing.assert_array_equal(found.faces, mesh.faces)
        return
    import trimesh

    body = trimesh.load_scene(path).to_mesh()
    assert len(body.faces) == len(mesh.faces)
    # y is up: the ball's top is at z = 1.8 of the world.
    assert body.bounds[1][1] == pytest.approx(mesh.points[:, 2].max(), abs=1e-4)
    np.testing.assert_allclose(body.bounds[0][1], mesh.points[:, 2].min(), atol=1e-4)
    # 128 of sRGB is 55 of linear light.
    top = body.vertices[:, 1] > 1.7
    np.testing.assert_allclose(np.median(body.visual.vertex_colors[top, :3], axis=0), [255, 55, 0], atol=3)


def test_what_gives_no_mesh(tmp_path, mesh):
    def nothing(camera, pose):
        zero = np.zeros((120, 160), np.float32)
        return SimpleNamespace(color=np.zeros((120, 160, 3)), alpha=zero, median_depth=zero)

    with pytest.raises(ValueError, match="no surface is seen"):
        fuse_mesh(nothing, [CAMERA], poses()[:1], 0.03)
    with pytest.raises(ValueError, match="too small for what is seen"):
        fuse_mesh(world, [CAMERA], poses()[:1], 1e-5)
    with pytest.raises(ValueError, match="voxel"):
        fuse_mesh(world, [CAMERA], poses()[:1], 0.0)
    with pytest.raises(ValueError, match="one each"):
        fuse_mesh(world, [CAMERA], [], 0.03)
    with pytest.raises(ValueError, match=r"\.ply or \.glb"):
        write_mesh(tmp_path / "mesh.obj", mesh)
