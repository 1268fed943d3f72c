"""Rays of every lens agree with projecting back; their cones are as wide as the pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SE3, SO3, look_at
from geo3d.nerf import Rays, camera_rays
from geo3d.nerf.rays import depth_factors, pixel_centers

WIDE = Camera(
    "OPENCV_FISHEYE", 200, 200, [58, 58, 100, 100, 0.01, -0.003, 0.001, 0.0]
)  # 200 degrees and more


def mild(model: str) -> Camera:
    """A camera of a model with a little of each of its distortions."""
    plain = Camera.from_focal(model, 240, 160, 150.0)
    bent = plain.params.copy()
    if count := len(MODELS[model].no_distortion):
        bent[-count:] += 0.01
    return plain.with_params(bent)


poses = st.builds(
    lambda rotation, translation: SE3(SO3.exp(rotation).matrix, np.array(translation)),
    st.tuples(*[st.floats(-3, 3)] * 3).map(np.array),
    st.tuples(*[st.floats(-5, 5)] * 3),
)


@pytest.mark.parametrize("model", sorted(MODELS))
@settings(max_examples=10)
@given(pose=poses, distance=st.floats(0.1, 100))
def test_a_point_of_a_ray_projects_into_its_pixel(model, pose, distance):
    camera = mild(model)
    rng = np.random.default_rng(0)
    pixels = rng.uniform(1, (camera.width - 1, camera.height - 1), (50, 2))
    rays = camera_rays(camera, pose, pixels, near=0.1, far=200)
    seen = rays.far > rays.near
    assert seen.mean() > 0.5
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=1), 1, atol=1e-6)
    points = pose.center() + distance * rays.directions.astype(float)
    np.testing.assert_allclose(camera.project(pose.act(points))[seen], pixels[seen], atol=3e-4)
    np.testing.assert_allclose(
        pose.act(points)[:, 2][seen],
        (distance * depth_factors(rays, pose))[seen],
        atol=2e-5 * (distance + 10),
    )


def test_all_pixels_come_row_by_row():
    camera = Camera("PINHOLE", 5, 3, [4, 4, 2.5, 1.5])
    np.testing.assert_array_equal(pixel_centers(camera)[[0, 1, 5]], [[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]])
    rays = camera_rays(camera, SE3.identity(), near=1, far=2, row=7)
    assert len(rays) == 15
    assert set(rays.rows) == {7}
    np.testing.assert_allclose(rays.directions[7], [0, 0, 1], atol=1e-7)


def test_a_fisheye_looks_behind_itself_and_its_corners_are_empty():
    rays = camera_rays(WIDE, SE3.identity(), near=0.5, far=3)
    assert rays.directions[:, 2].min() < -0.05
    unseen = np.isnan(WIDE.unproject(pixel_centers(WIDE))[:, 0])
    assert np.array_equal(rays.far <= rays.near, unseen)
    assert np.isfinite(rays.directions).all()
    assert np.all(rays.radii[~unseen] > 0)


@pytest.mark.parametrize("model", ["PINHOLE", "OPENCV", "OPENCV_FISHEYE", "EQUIRECTANGULAR", "DOUBLE_SPHERE"])
def test_a_cone_has_the_solid_angle_of_its_pixel(model):
    """A square pixel of width w has the variance w^2 / 12 an axis, a disc of radius r has r^2 / 4: r = w / sqrt(3)."""
    camera = mild(model)
    pixels = np.array([[60.0, 50.0], [120.0, 80.0], [200.0, 120.0]])
    rays = camera_rays(camera, SE3.identity(), pixels)
    right, down = np.array([0.5, 0.0]), np.array([0.0, 0.5])
    across = camera.unproject(pixels + right) - camera.unproject(pixels - right)
    down = camera.unproject(pixels + down) - camera.unproject(pixels - down)
    solid = np.linalg.norm(np.cross(across, down), axis=1)
    np.testing.assert_allclose(rays.radii, np.sqrt(solid / 3), rtol=1e-3)


def test_some_of_the_rays_and_torch():
    rays = camera_rays(Camera("PINHOLE", 6, 4, [5, 5, 3, 2]), look_at([1, 2, 3], [0, 0, 0]), far=4)
    part = rays[::5]
    assert len(part) == 5
    np.testing.assert_array_equal(part.directions[1], rays.directions[5])
    tensors = rays.torch(dtype=torch.float64)
    assert tensors.origins.dtype == torch.float64
    assert tensors.rows.dtype == torch.int32
    np.testing.assert_array_equal(tensors[rays.near == 0].far.numpy(), rays.far)


def test_what_is_refused():
    camera = Camera("PINHOLE", 6, 4, [5, 5, 3, 2])
    with pytest.raises(ValueError, match=r"pixels: expected the shape \(P, 2\)"):
        camera_rays(camera, SE3.identity(), [1.0, 2.0])
    with pytest.raises(ValueError, match="near: a ray starts at"):
        camera_rays(camera, SE3.identity(), near=-1)
    rays = camera_rays(camera, SE3.identity())
    with pytest.raises(ValueError, match=r"far: expected the shape \(24,\), got \(3,\)"):
        Rays(rays.origins, rays.directions, rays.near, rays.far[:3], rays.radii, rays.rows)
    with pytest.raises(ValueError, match="origins: expected a NumPy array or a torch tensor, got a list"):
        Rays([[0, 0, 0]], [[0, 0, 1]], [0], [1], [0], [0])
    with pytest.raises(
        ValueError, match=r"near: expected one number or one a pixel, \(24,\), got the shape \(3,\)"
    ):
        camera_rays(camera, SE3.identity(), near=[1, 2, 3])
    with pytest.raises(ValueError, match="far: expected ranges, got NaN"):
        camera_rays(camera, SE3.identity(), far=np.nan)
