"""The splined lens: stereographic without its knots, smooth with them, one to one, and refused where it can't be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera, Grid, evaluate, nearest_colmap, splined, undistort_points

_few = settings(deadline=None, max_examples=20)


@st.composite
def lenses(draw):
    """Cameras whose knots move by less than they are apart, as those of real lenses."""
    grid = Grid(draw(st.integers(4, 9)), draw(st.integers(4, 8)), draw(st.integers(40, 200)))
    width = draw(st.integers(320, 4000))
    height = draw(st.integers(width // 2, width))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.floats(0.0, 0.2)) / grid.segments_per_u
    focal = width * grid.segments_per_u / (grid.columns - 3)  # the grid reaches to the edges
    params = [focal, 1.02 * focal, 0.51 * width, 0.48 * height]
    return Camera(
        grid.name, width, height, [*params, *rng.uniform(-size, size, 2 * grid.columns * grid.rows)]
    )


def rays_all_over(rng, count, limit):
    theta, phi = limit * np.sqrt(rng.uniform(0, 1, count)), rng.uniform(-np.pi, np.pi, count)
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)


@_few
@given(camera=lenses(), seed=st.integers(0, 2**32 - 1))
def test_pixel_to_ray_and_back_all_over_the_image_and_the_cone(camera, seed, pixel_grid):
    pixels = pixel_grid(camera)
    rays = camera.unproject(pixels)
    seen = np.isfinite(rays).all(axis=1)
    assert seen.mean() > 0.9
    np.testing.assert_allclose(np.linalg.norm(rays[seen], axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(camera.project(rays[seen]), pixels[seen], atol=1e-8)
    rays = rays_all_over(np.random.default_rng(seed), 60, min(0.98 * camera.max_angle, 2.6))
    pixels = camera.project(rays)
    assert np.isfinite(pixels).all()
    np.testing.assert_allclose(camera.unproject(pixels), rays, atol=1e-7)


def _difference(function, at, index, step):
    """Fourth-order central difference by one component."""
    values = []
    for k in (-2, -1, 1, 2):
        moved = np.array(at)
        moved[..., index] += k * step
        values.append(function(moved))
    return (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * step)


@_few
@given(camera=lenses(), seed=st.integers(0, 2**32 - 1))
def test_jacobians_are_the_differences(camera, seed):
    rng, info = np.random.default_rng(seed), MODELS[camera.model]
    points = rays_all_over(rng, 40, 2.0) * rng.uniform(0.5, 5.0, (40, 1))
    pixels, d_point, d_params = evaluate.project_with_jacobians(info, camera.params, points)
    assert np.array_equal(pixels, evaluate.project(info, camera.params, points))
    again = evaluate.project_with_d_point(info, camera.params, points)
    assert np.array_equal(again[0], pixels) and np.array_equal(again[1], d_point)
    size = np.abs(d_point).max()
    for i in range(3):
        expected = _difference(lambda x: evaluate.project(info, camera.params, x), points, i, 1e-4)
        off = np.abs(d_point[..., i] - expected).max(axis=1)
        assert (off < 1e-5 * size).mean() > 0.9  # the third derivative jumps where segments meet
        assert off.max() < 1e-2 * size
    for i in range(len(camera.params)):
        step = 1e-4 * max(1.0, abs(camera.params[i]))
        expected = _difference(lambda p: evaluate.project(info, p, points), camera.params, i, step)
        np.testing.assert_allclose(d_params[..., i], expected, atol=1e-6 * camera.width)
    assert (d_params[:, 0, 4:] != 0).sum(axis=1).max() <= 16  # local support
    assert not d_params[:, 0, 5::2].any() and not d_params[:, 1, 4::2].any()


@_few
@given(seed=st.integers(0, 2**32 - 1))
def test_without_knots_it_is_the_stereographic_lens(seed):
    camera = Camera.from_focal(Grid(7, 6, 120).name, 640, 480, 300.0)
    rays = rays_all_over(np.random.default_rng(seed), 50, 3.0)
    theta, phi = np.arccos(rays[:, 2]), np.arctan2(rays[:, 1], rays[:, 0])
    expected = 600 * np.tan(theta / 2)[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=1) + [320, 240]
    np.testing.assert_allclose(camera.project(rays), expected, rtol=1e-10)
    np.testing.assert_allclose(camera.unproject(expected), rays, atol=1e-12)
    assert camera.max_angle == np.pi and not camera.valid([0, 0, -1.0]) and not camera.valid([0, 0, 0.0])
    assert camera.mean_focal == 300 and np.array_equal(camera.principal_point, [320, 240])


def test_equal_knots_shift_and_knots_on_a_line_stretch():
    """B-splines reproduce polynomials: constant knots are a shift, linear ones a change of the focal length."""
    grid = Grid(8, 6, 100)
    rays = rays_all_over(np.random.default_rng(0), 50, 0.5)
    plain = Camera.from_focal(grid.name, 640, 480, 300.0)
    shifted = plain.with_params([*plain.params[:4], *np.tile([0.01, -0.02], 48)])
    np.testing.assert_allclose(shifted.project(rays), plain.project(rays) + np.array([3, -6]), atol=1e-9)
    x, y = np.meshgrid(np.arange(8) - 3.5, np.arange(6) - 2.5)
    knots = 0.1 * np.stack([x, y], axis=-1) / grid.segments_per_u
    stretched = plain.with_params([*plain.params[:4], *knots.ravel()])
    wider = Camera.from_focal(grid.name, 640, 480, 330.0)
    np.testing.assert_allclose(stretched.project(rays), wider.project(rays), atol=1e-9)


def test_the_grid_reaches_over_its_field_of_view():
    grid = Grid(11, 9, 90)
    camera = Camera.from_focal(grid.name, 640, 480, 300.0)
    edge = np.radians(45)
    near, far = camera.project_with_jacobians(
        [[np.sin(a), 0, np.cos(a)] for a in (edge - 1e-6, edge + 1e-6)]
    ).d_params[:, 0, 4:]
    column = (np.flatnonzero(near) // 2) % 11
    assert column.max() == 10 and column.min() == 7
    np.testing.assert_allclose(near, far, atol=1e-2)  # beyond the edge the move stays


def test_where_it_folds_it_ends():
    grid = Grid(6, 6, 90)
    knots = np.zeros((6, 6, 2))
    knots[:, 5, 0] = -2.0 / grid.segments_per_u  # the last column lies inside of the one before
    camera = Camera(grid.name, 640, 480, [300, 300, 320, 240, *knots.ravel()])
    assert camera.max_angle < np.radians(45)
    assert not camera.valid([np.sin(0.79), 0, np.cos(0.79)])


def test_resized_and_cropped(pixel_grid):
    rng = np.random.default_rng(0)
    camera = Camera(Grid(6, 5, 80).name, 640, 480, [400, 400, 320, 240, *rng.uniform(-0.02, 0.02, 60)])
    rays = camera.unproject(pixel_grid(camera))
    np.testing.assert_allclose(
        camera.rescaled(320, 480).project(rays), camera.project(rays) * [0.5, 1], atol=1e-8
    )
    np.testing.assert_allclose(
        camera.cropped(7, 9, 99, 99).project(rays), camera.project(rays) - [7, 9], atol=1e-8
    )


def test_the_nearest_of_colmaps_models_is_offered():
    rng = np.random.default_rng(0)
    camera = Camera(Grid(6, 5, 80).name, 640, 480, [400, 400, 320, 240, *rng.uniform(-1e-3, 1e-3, 60)])
    fit = nearest_colmap(camera)
    assert MODELS[fit.camera.model].in_colmap and 0.01 < fit.max_error_px < 2
    pixels = np.array([[10.0, 10.0], [320.0, 240.0], [600.0, 30.0]])
    assert (
        np.linalg.norm(fit.camera.project(camera.unproject(pixels)) - pixels, axis=1).max()
        <= fit.max_error_px
    )
    with pytest.raises(ValueError, match=r"splined .* a reconstruction can't.*nearest_colmap"):
        _ = camera.model_id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SPLINED_STEREOGRAPHIC_order=3_Nx=99999_Ny=99999_fov_x_deg=90", "2000 at most; got 99999 x 99999"),
        ("SPLINED_STEREOGRAPHIC_order=3_Nx=3_Ny=9_fov_x_deg=90", "4 knots and more"),
        ("SPLINED_STEREOGRAPHIC_order=2_Nx=9_Ny=9_fov_x_deg=90", "order=3; got order=2"),
        ("SPLINED_STEREOGRAPHIC_order=3_Nx=9_Ny=9_fov_x_deg=360", "1 to 359, got 360"),
        ("SPLINED_STEREOGRAPHIC", "is not a camera model"),
        ("SPLINED_STEREOGRAPHIC_order=3_Nx=9_Ny=9_fov_x_deg=90 ", "is not a camera model"),
    ],
)
def test_what_is_no_grid_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        Camera(name, 640, 480, [1, 1, 1, 1])


def test_the_name_tells_the_grid_and_the_family_is_not_listed():
    grid = Grid(14, 11, 90)
    assert splined.grid_of(grid.name) == grid and grid.name in MODELS
    assert len(MODELS[grid.name].param_names) == 4 + 2 * 14 * 11
    assert not any(splined.is_name(name) for name in MODELS) and "PINHOLES" not in MODELS
    with pytest.raises(KeyError):
        MODELS["PINHOLES"]
    with pytest.raises(
        ValueError, match=r"takes 312 \(fx, fy, cx, cy, x0_0, y0_0, .* \.\.\.\), got shape \(4,\)"
    ):
        Camera(grid.name, 640, 480, [500, 500, 320, 240])


def test_undistorting_points_takes_it():
    camera = Camera.from_focal(Grid(6, 5, 80).name, 640, 480, 400.0)
    ray = np.array([0.3, -0.2, 1.0])
    np.testing.assert_allclose(undistort_points(camera, camera.project(ray)), ray[:2], atol=1e-12)
