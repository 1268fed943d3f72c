"""Every model over its whole image: round trips, derivatives, validity, agreement with COLMAP."""

import zlib  # noqa: F401  (before pycolmap, which brings its own)

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, MODELS_BY_ID, Camera, evaluate

_every_model = pytest.mark.parametrize("model", MODELS)
_few = settings(deadline=None, max_examples=20)
_COLMAP = {name: value for name, value in pycolmap.CameraModelId.__members__.items() if int(value) >= 0}


def _rays(camera: Camera, rng: np.random.Generator, count: int, part: float = 0.999) -> np.ndarray:
    """Directions all over the cone in which the model is one to one (perspective: up to 80 degrees)."""
    limit = camera.max_angle * part if camera.max_angle < 0.5 * np.pi else min(camera.max_angle * part, 3.1)
    if MODELS[camera.model].max_angle(np.asarray(camera.params)) <= 0.5 * np.pi:
        limit = min(limit, np.radians(80.0))
    theta, phi = limit * np.sqrt(rng.uniform(0, 1, count)), rng.uniform(-np.pi, np.pi, count)
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)


@_every_model
@_few
@given(data=st.data())
def test_pixel_to_ray_and_back(model, data, cameras, pixel_grid):
    camera = data.draw(cameras(model))
    pixels = pixel_grid(camera)
    rays = camera.unproject(pixels)
    seen = ~np.isnan(rays).any(axis=1)
    centre = camera.unproject(camera.principal_point)
    assert np.allclose(centre, [0, 0, 1], atol=1e-12)
    assert np.allclose(np.linalg.norm(rays[seen], axis=1), 1.0, atol=1e-14)
    assert np.abs(camera.project(rays[seen]) - pixels[seen]).max(initial=0.0) < 1e-8


@_every_model
@_few
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_ray_to_pixel_and_back(model, data, seed, cameras):
    """No direction in the cone is lost, however far outside the image it falls."""
    camera = data.draw(cameras(model))
    rays = _rays(camera, np.random.default_rng(seed), 50)
    pixels = camera.project(rays)
    assert camera.valid(rays).all()
    assert np.isfinite(pixels).all()
    again = camera.unproject(pixels)
    assert np.isfinite(again).all()
    assert np.abs(camera.project(again) - pixels).max() < 1e-8 * max(1.0, np.abs(pixels).max() / camera.width)
    inner = rays[:, 2] >= np.cos(0.95 * camera.max_angle)
    assert np.allclose(again[inner], rays[inner], atol=1e-6)


@_every_model
@_few
@given(data=st.data(), scale=st.floats(1e-3, 1e3))
def test_distance_does_not_matter(model, data, scale, cameras, pixel_grid):
    camera = data.draw(cameras(model))
    rays = camera.unproject(pixel_grid(camera))
    rays = rays[~np.isnan(rays[:, 0])]
    assert np.allclose(camera.project(scale * rays), camera.project(rays), atol=1e-7, equal_nan=True)


def _difference(function, at: np.ndarray, index: int, step: float) -> np.ndarray:
    """Fourth-order central difference by one component."""
    values = []
    for k in (-2, -1, 1, 2):
        moved = np.array(at)
        moved[..., index] += k * step
        values.append(function(moved))
    return (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * step)


@_every_model
@_few
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_jacobians_are_the_differences(model, data, seed, cameras, pixel_grid):
    camera = data.draw(cameras(model))
    rng = np.random.default_rng(seed)
    rays = camera.unproject(pixel_grid(camera, 6, 5))
    angle = np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])
    # Away from the bound (the differences would cross it) and from the poles and the seam of the sphere.
    keep = (angle < 0.95 * camera.max_angle) & (np.abs(rays[:, 1]) < 0.99) & (angle < 3.0)
    points = rays[keep] * rng.uniform(0.5, 5.0, (keep.sum(), 1))
    result, info = camera.project_with_jacobians(points), MODELS[model]
    assert result.valid.all()
    assert np.array_equal(result.pixels, camera.project(points))
    size = np.abs(result.d_point).max(initial=1.0)
    for i in range(3):
        expected = _difference(camera.project, points, i, 1e-4)
        assert np.abs(result.d_point[..., i] - expected).max(initial=0.0) < 1e-6 * size
    for i in range(len(camera.params)):
        step = 1e-4 * max(1.0, abs(camera.params[i]))
        expected = _difference(lambda p: evaluate.project(info, p, points), camera.params, i, step)
        size = np.abs(result.d_params[..., i]).max(initial=1.0)
        assert np.nanmax(np.abs(result.d_params[..., i] - expected), initial=0.0) < 1e-6 * size, i


@_every_model
@_few
@given(data=st.data())
def test_derivative_on_the_axis_is_the_limit(model, data, cameras):
    camera = data.draw(cameras(model))
    on, near = camera.project_with_jacobians([[0.0, 0.0, 2.0], [1e-9, -1e-9, 2.0]]).d_point
    assert np.isfinite(on).all()
    assert np.allclose(on, near, rtol=1e-6, atol=1e-5)


@_every_model
@_few
@given(data=st.data())
def test_the_cone_ends_where_the_model_folds(model, data, cameras):
    """Inside, the image keeps its orientation; beyond, points are refused; a smaller bound would be wrong."""
    camera = data.draw(cameras(model))
    limit = camera.max_angle
    phi = np.linspace(0, 2 * np.pi, 25)

    def orientation(theta):
        theta = np.full_like(phi, theta)
        rays = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
        jacobian = camera.project_with_jacobians(rays).d_point
        return camera.valid(rays), np.einsum("ni,ni->n", np.cross(jacobian[:, 0], jacobian[:, 1]), rays)

    for part in (0.1, 0.5, 0.9, 0.99):
        valid, turn = orientation(part * limit)
        assert valid.all()
        assert (turn[valid] > 0).all() or model == "EQUIRECTANGULAR"
    if limit < np.pi - 1e-3:
        assert not orientation(limit + 1e-6)[0].any()


@pytest.mark.parametrize(
    "model", ["PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "BROWN_CONRADY_12"]
)
def test_nothing_behind_a_perspective_camera(model):
    camera = Camera.from_focal(model, 640, 480, 500.0)
    points = np.array(
        [[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.0, 0.0, 0.0], [np.nan, 0.0, 1.0], [0.1, 0.1, 1.0]]
    )
    assert camera.valid(points).tolist() == [False, False, False, False, True]
    result = camera.project_with_jacobians(points)
    assert np.isnan(result.pixels[:4]).all() and np.isnan(result.d_point[:4]).all()
    assert np.isnan(result.d_params[:4]).all()


def test_monotone_range_is_the_root_of_the_slope():
    camera = Camera("SIMPLE_RADIAL", 640, 480, [500, 320, 240, -0.2])
    assert np.isclose(np.tan(camera.max_angle), np.sqrt(1 / 0.6), rtol=1e-14)
    # 1 + 3 k1 s + 5 k2 s^2 = 0 has two roots: it increases again beyond the second, but there is one ray a pixel.
    camera = Camera("RADIAL", 640, 480, [500, 320, 240, -0.4, 0.05])
    first = (1.2 - np.sqrt(1.44 - 1.0)) / 0.5
    assert np.isclose(np.tan(camera.max_angle) ** 2, first, rtol=1e-12)
    assert not camera.valid([3.0, 0.0, 1.0])
    camera = Camera("SIMPLE_RADIAL_FISHEYE", 640, 480, [300, 320, 240, -0.1])
    assert np.isclose(camera.max_angle, np.sqrt(1 / 0.3), rtol=1e-14)
    camera = Camera("DIVISION", 640, 480, [300, 300, 320, 240, 0.25])
    assert np.isclose(camera.max_angle, np.pi / 4, rtol=1e-14)
    # A pole of the rational factor ends the range as well, and every radius lies before it.
    camera = Camera("FULL_OPENCV", 640, 480, [500, 500, 320, 240, 0, 0, 0, 0, 0, 0, 0, -0.125])
    assert np.isclose(np.tan(camera.max_angle) ** 2, 2.0, rtol=1e-11)
    assert np.isfinite(camera.unproject([[640.0, 480.0], [1e6, 240.0]])).all()
    # Farther from the principal point than the fold reaches, no direction has that pixel.
    camera = Camera("SIMPLE_RADIAL", 640, 480, [200, 320, 240, -0.2])
    assert np.isnan(camera.unproject([640.0, 480.0])).all()


def test_wide_models_see_behind_themselves():
    behind = [0.9, 0.1, -0.3]
    for model in ("FISHEYE", "OPENCV_FISHEYE", "FOV", "DIVISION", "EQUIRECTANGULAR", "DOUBLE_SPHERE", "EUCM"):
        camera = Camera.from_focal(model, 640, 480, 200.0)
        shape = {"FOV": [0.9], "DIVISION": [-0.3], "DOUBLE_SPHERE": [-0.2, 0.6], "EUCM": [0.6, 1.0]}.get(
            model
        )
        if shape:
            camera = camera.with_params([*camera.params[:4], *shape])
        assert camera.max_angle > np.radians(110)
        assert np.allclose(
            camera.unproject(camera.project(behind)), behind / np.linalg.norm(behind), atol=1e-12
        )


def test_fov_tends_to_the_pinhole():
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 2], (20, 3))
    pinhole = Camera("PINHOLE", 640, 480, [500, 510, 320, 240]).project(points)
    for omega in (0.0, 1e-12, 1e-6, 1e-5):
        camera = Camera("FOV", 640, 480, [500, 510, 320, 240, omega])
        assert np.allclose(camera.project(points), pinhole, atol=1e-7)
        assert np.allclose(
            camera.unproject(pinhole), points / np.linalg.norm(points, axis=1)[:, None], atol=1e-9
        )
    below, above = (
        Camera("FOV", 640, 480, [500, 510, 320, 240, 1e-3 * s])
        .project_with_jacobians(points)
        .d_params[..., 4]
        for s in (1 - 1e-9, 1 + 1e-9)
    )
    assert np.allclose(below, above, rtol=1e-5, atol=1e-7)


def test_ids_names_and_order_are_colmaps():
    assert {m.name: m.id for m in MODELS.values() if m.in_colmap} == {n: int(v) for n, v in _COLMAP.items()}
    for name in _COLMAP:
        camera = pycolmap.Camera(
            model=name, width=640, height=480, params=[1.0] * len(MODELS[name].param_names)
        )
        assert camera.params_info.replace(" ", "").split(",") == list(MODELS[name].param_names)
        assert list(camera.focal_length_idxs()) == list(MODELS[name].focal_params)
        assert list(camera.principal_point_idxs()) == list(MODELS[name].principal_params)
        assert list(camera.extra_params_idxs()) == list(MODELS[name].distortion_params)
    assert all(MODELS_BY_ID[m.id] is m for m in MODELS.values())


@pytest.mark.parametrize("model", _COLMAP)
@_few
@given(data=st.data())
def test_agrees_with_colmap(model, data, cameras, pixel_grid):
    camera = data.draw(cameras(model))
    theirs = pycolmap.Camera(
        model=model, width=camera.width, height=camera.height, params=list(camera.params)
    )
    pixels = pixel_grid(camera)
    rays = camera.unproject(pixels)
    forward = rays[:, 2] > 0.05  # COLMAP's fisheyes stop at z = 0
    expected = np.asarray(theirs.img_from_cam(rays[forward]))
    ours = camera.project(rays[forward])
    # Where COLMAP refuses as well (EUCM) there is nothing to compare.
    seen = ~np.isnan(expected[:, 0])
    assert seen.mean() > 0.5 if forward.any() else True
    assert np.abs(ours - expected)[seen].max(initial=0.0) < 1e-8 * camera.width
    if model != "EQUIRECTANGULAR":  # COLMAP does not unproject it to a plane
        back = np.asarray(theirs.cam_from_img(pixels[forward]))
        again = np.asarray(theirs.img_from_cam(np.column_stack([back, np.ones(len(back))])))
        # Its fixed number of iterations does not converge everywhere: compare where it did.
        solved = np.abs(again - pixels[forward]).max(axis=1) < 1e-6
        slope = np.abs(rays[forward][:, :2] / rays[forward][:, 2:] - back).max(axis=1)
        inside = np.arctan(np.linalg.norm(back, axis=1)) < 0.95 * camera.max_angle
        assert slope[solved & inside].max(initial=0.0) < 1e-4


@given(data=st.data())
@_few
@pytest.mark.parametrize("model", [m for m in MODELS if m != "EQUIRECTANGULAR"])
def test_rescaled_and_cropped(model, data, cameras, pixel_grid):
    """The pixel of a resized image is the resized pixel, that of a part the shifted one (corners at 0, not -1/2)."""
    camera = data.draw(cameras(model))
    rays = camera.unproject(pixel_grid(camera))
    rays = rays[~np.isnan(rays[:, 0])]
    pixels = camera.project(rays)
    twice = camera.rescaled(2 * camera.width, 2 * camera.height)
    assert np.allclose(twice.project(rays), 2 * pixels, atol=1e-7)
    part = camera.cropped(17, -5, 200, 100)
    assert (part.width, part.height) == (200, 100)
    assert np.allclose(part.project(rays), pixels - [17, -5], atol=1e-7)
    if len(MODELS[model].focal_params) == 2:
        squeezed = camera.rescaled(camera.width, 3 * camera.height)
        assert np.allclose(squeezed.project(rays), pixels * [1, 3], atol=1e-7)
