"""Where a scene is, by its cameras and the alpha of its photos."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.visual_hull import Silhouette, look_at_point, random_points, scene_extent

CAMERA = Camera("PINHOLE", 80, 60, [90, 90, 40, 30])


def looking_at(center, target):
    """cam_from_world of a camera at `center` that looks at `target`, x right, y down."""
    z = np.subtract(target, center)
    z = z / np.linalg.norm(z)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return SE3(rotation, -rotation @ np.asarray(center, float))


def ring(count=12, target=(1.0, 2.0, 3.0), radius=4.0):
    angles = np.arange(count) * 2 * np.pi / count
    places = np.array(target) + radius * np.stack(
        [np.cos(angles), np.sin(angles), 0.3 + 0.4 * np.sin(2 * angles)], 1
    )
    return [looking_at(place, target) for place in places]


def photo(pose, center=(1.0, 2.0, 3.0), radius=0.5, alpha=True):
    """A red ball before nothing."""
    v, u = np.mgrid[:60, :80] + 0.5
    rays = CAMERA.unproject(np.stack([u, v], -1))
    local = pose.act(np.array(center))
    across = np.linalg.norm(local - (rays @ local)[..., None] * rays, axis=-1)
    inside = (across < radius).astype(np.float32)
    return Silhouette(CAMERA, pose, inside[..., None] * np.float32([1, 0, 0]), inside if alpha else None)


def test_the_point_that_all_look_at_is_found():
    np.testing.assert_allclose(look_at_point(ring()), [1, 2, 3], atol=1e-9)
    side_by_side = [SE3(np.eye(3), [-x, 0.0, 0.0]) for x in (0.0, 1.0, 2.0)]
    assert look_at_point(side_by_side)[2] > 0


def test_extent_does_not_depend_on_where_the_world_begins_and_is_never_zero():
    poses = ring()
    moved = [pose @ SE3(np.eye(3), [100.0, -50.0, 7.0]) for pose in poses]
    assert scene_extent(moved) == pytest.approx(scene_extent(poses))
    assert scene_extent(poses[:1] * 3) == 1.0


def test_points_lie_in_the_hull_and_have_the_colour_of_what_is_there():
    points, colors = random_points([photo(p) for p in ring(24)], 500, np.random.default_rng(0))
    assert points.shape == (500, 3)
    distance = np.linalg.norm(points - [1, 2, 3], axis=1)
    assert distance.max() < 0.5 * 1.35
    assert np.linalg.norm(points.mean(axis=0) - [1, 2, 3]) < 0.05
    np.testing.assert_allclose(colors.mean(axis=0), [1, 0, 0], atol=0.1)


def test_without_alpha_points_fill_what_the_cameras_see():
    points, _ = random_points([photo(p, alpha=False) for p in ring()], 300, np.random.default_rng(0))
    for pose in ring()[:1]:
        assert (pose.act(points)[:, 2] > 0).mean() > 0.5
    assert np.ptp(points, axis=0).min() > 1.0


def test_silhouettes_that_contradict_each_other_are_refused():
    views = [photo(p, center=(1 + (k % 2) * 3.0, 2, 3)) for k, p in enumerate(ring())]
    with pytest.raises(ValueError, match="alpha"):
        random_points(views, 100, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_points():
    views = [photo(p) for p in ring(6)]
    first, second = (random_points(views, 50, np.random.default_rng(4))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
