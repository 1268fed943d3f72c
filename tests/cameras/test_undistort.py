"""Undistortion maps against exact projection; what the undistorted camera keeps of the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import (
    MODELS,
    Camera,
    pinhole_for,
    pinhole_like,
    remap_image,
    undistort_image,
    undistort_map,
    undistort_points,
    valid_rectangle,
)

DISTORTED = {
    "SIMPLE_RADIAL": Camera("SIMPLE_RADIAL", 160, 120, [130, 80, 60, -0.15]),
    "OPENCV": Camera("OPENCV", 160, 120, [130, 132, 82, 58, 0.2, 0.03, 2e-3, -1e-3]),
    "OPENCV_FISHEYE": Camera("OPENCV_FISHEYE", 160, 120, [90, 91, 80, 61, 0.02, -0.01, 0.0, 0.0]),
    "DOUBLE_SPHERE": Camera("DOUBLE_SPHERE", 160, 120, [70, 70, 79, 60, -0.2, 0.6]),
    "EQUIRECTANGULAR": Camera("EQUIRECTANGULAR", 160, 80, [160, 80]),
}
TURN = np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]])


@pytest.mark.parametrize("name", DISTORTED)
@pytest.mark.parametrize("R", [None, TURN])
def test_map_is_the_exact_projection(name, R):
    camera = DISTORTED[name]
    target = Camera("PINHOLE", 50, 40, [40, 42, 24, 21])
    found = undistort_map(camera, target, R)
    assert found.shape == (40, 50, 2) and found.dtype == np.float32
    y, x = np.mgrid[0:40, 0:50] + 0.5
    rays = np.stack([(x - 24) / 40, (y - 21) / 42, np.ones_like(x)], axis=-1)
    turned = rays if R is None else np.einsum("ji,hwj->hwi", R, rays)  # camera_from_target = R^T
    assert np.allclose(found, camera.project(turned), rtol=1e-6, atol=1e-5, equal_nan=True)


def test_map_onto_itself_is_the_pixels_own_places():
    for camera in DISTORTED.values():
        y, x = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
        assert np.nanmax(np.abs(undistort_map(camera, camera) - np.stack([x, y], -1))) < 1e-4
    with pytest.raises(ValueError, match="rotation matrix"):
        undistort_map(camera, camera, 2 * np.eye(3))


@pytest.mark.parametrize("model", MODELS)
def test_no_blank_pixel_or_all_pixels(model, cameras):
    """blank = 0: the source sees every pixel of the target. blank = 1: the target has every pixel of the source."""

    @settings(deadline=None, max_examples=8)
    @given(data=st.data())
    def check(data):
        camera = data.draw(cameras(model))
        size = (160, round(160 * camera.height / camera.width))
        camera = camera.rescaled(*size)
        inner, outer = pinhole_for(camera), pinhole_for(camera, blank=1.0)
        found = undistort_map(camera, inner)
        assert np.isfinite(found).all()
        assert (found >= -0.5).all() and (found <= np.array(size) + 0.5).all()
        x, y = np.meshgrid(np.linspace(0.5, size[0] - 0.5, 12), np.linspace(0.5, size[1] - 0.5, 9))
        plane = undistort_points(camera, np.stack([x, y], -1)).reshape(-1, 2)
        plane = plane[np.abs(plane).max(axis=1) < np.tan(np.radians(69.0))]
        pixels = outer.project(np.column_stack([plane, np.ones(len(plane))]))
        assert (pixels >= -1).all() and (pixels <= [outer.width + 1, outer.height + 1]).all()
        assert outer.width >= inner.width and outer.height >= inner.height

    check()


def test_pinhole_for_a_pinhole_is_itself():
    camera = Camera("PINHOLE", 640, 480, [500, 510, 322, 238], prior_focal=True)
    for blank in (0.0, 0.3, 1.0):
        found = pinhole_for(camera, blank)
        assert (found.width, found.height, found.prior_focal) == (640, 480, True)
        assert np.allclose(found.params, camera.params)
    with pytest.raises(ValueError, match="blank: expected"):
        pinhole_for(camera, 1.5)


def test_image_of_a_smooth_scene():
    """A brightness that is a function of the direction looks the same through both lenses."""

    def brightness(camera):
        y, x = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
        ray = camera.unproject(np.stack([x, y], -1))
        return (100 + 60 * np.sin(4 * ray[..., 0]) + 50 * np.cos(3 * ray[..., 1])).astype(np.float32)

    camera = DISTORTED["OPENCV_FISHEYE"]
    target = pinhole_for(camera)
    found = undistort_image(brightness(camera), camera)
    assert found.shape == (target.height, target.width)
    inner = slice(2, -2)  # the outermost pixels have nothing beyond them to interpolate with
    assert np.abs(found - brightness(target))[inner, inner].max() < 0.05


def test_image_formats_and_borders():
    camera = DISTORTED["OPENCV"]
    for dtype, channels in ((np.uint8, (3,)), (np.uint16, ()), (np.float32, (1,)), (np.float64, (4,))):
        image = np.full((120, 160, *channels), 200, dtype)
        found = undistort_image(image, camera)
        assert found.dtype == dtype and (found == 200).all()
    found = undistort_image(image, camera, pinhole_for(camera, 1.0).cropped(-30, -30, 250, 250))
    assert set(np.unique(found)) == {0, 200} and (found[0] == 0).all()
    with pytest.raises(ValueError, match="expected 160 x 120"):
        undistort_image(np.zeros((60, 80), np.uint8), camera)


def test_points_that_do_not_look_forward():
    camera = Camera("SIMPLE_FISHEYE", 640, 480, [150, 320, 240])
    found = undistort_points(camera, [[320.0, 240.0], [320.0 + 150 * np.pi / 4, 240.0], [630.0, 240.0]])
    assert np.allclose(found[:2], [[0, 0], [1, 0]], atol=1e-12)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("name", DISTORTED)
@pytest.mark.parametrize("size", [(300, 200), (64, 64), (41, 97)])
def test_a_size_cuts_or_extends(name, size):
    """blank = 0: no blank pixel, and as large as can be; 1: all pixels of the source. Square pixels stay square."""
    camera = DISTORTED[name]
    inner, outer = pinhole_for(camera, 0.0, size), pinhole_for(camera, 1.0, size)
    free = pinhole_for(camera)
    for found in (inner, outer):
        assert (found.width, found.height) == size
        assert found.focal[0] / found.focal[1] == pytest.approx(free.focal[0] / free.focal[1])
    seen = undistort_map(camera, inner)
    assert np.isfinite(seen).all()
    assert (seen >= -0.01).all() and (seen <= np.array([camera.width, camera.height]) + 0.01).all()
    a, b = (undistort_points(c, [[0, 0], [c.width, c.height]]) for c in (free, inner))
    pixel = 0.02  # the free size is rounded to whole pixels
    assert (b[0] >= a[0] - pixel).all() and (b[1] <= a[1] + pixel).all()
    assert np.isclose(b[1] - b[0], a[1] - a[0], rtol=0, atol=pixel).any()  # no smaller than it has to be
    a, b = (undistort_points(c, [[0, 0], [c.width, c.height]]) for c in (pinhole_for(camera, 1.0), outer))
    assert (b[0] <= a[0] + pixel).all() and (b[1] >= a[1] - pixel).all()
    with pytest.raises(ValueError, match="size: expected"):
        pinhole_for(camera, 0.0, (0, 10))


def test_pinhole_like_is_the_matrix_of_the_camera():
    camera = DISTORTED["OPENCV"]
    found = pinhole_like(camera)
    assert (found.model, found.width, found.height) == ("PINHOLE", 160, 120)
    assert np.allclose(found.K, camera.K)
    sphere = DISTORTED["DOUBLE_SPHERE"]  # its focal parameters are not its resolution
    near = np.array([1e-5, -2e-5, 1.0])
    moved = sphere.project(near) - sphere.project([0.0, 0.0, 1.0])
    assert np.allclose(pinhole_like(sphere).project(near) - sphere.principal_point, moved, atol=1e-8)


def brute_force(inside: np.ndarray) -> int:
    total = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), int)
    total[1:, 1:] = inside.cumsum(0).cumsum(1)
    best = 0
    for t in range(inside.shape[0]):
        for b in range(t + 1, inside.shape[0] + 1):
            for l in range(inside.shape[1]):
                for r in range(l + 1, inside.shape[1] + 1):
                    area = (b - t) * (r - l)
                    if area > best and total[b, r] - total[t, r] - total[b, l] + total[t, l] == area:
                        best = area
    return best


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.4, 1.0))
def test_valid_rectangle_is_the_largest(height, width, seed, share):
    inside = np.random.default_rng(seed).random((height, width)) < share
    places = np.where(np.stack([inside] * 2, -1), 5.0, np.nan).astype(np.float32)
    if not inside.any():
        with pytest.raises(ValueError, match="no pixel"):
            valid_rectangle(places, 10, 10)
        return
    x, y, w, h = valid_rectangle(places, 10, 10)
    assert inside[y : y + h, x : x + w].all() and w * h == brute_force(inside)


def test_valid_rectangle_of_a_large_image():
    """An ellipse: the largest rectangle has 1 / sqrt(2) of its axes. Blocks of pixels cost little of it."""
    y, x = np.mgrid[0:900, 0:1301] + 0.5
    inside = ((x - 650) / 600) ** 2 + ((y - 450) / 400) ** 2 <= 1
    places = np.where(np.stack([inside] * 2, -1), 1.0, -1.0)
    left, top, w, h = valid_rectangle(places, 2, 2)
    assert inside[top : top + h, left : left + w].all()
    assert w * h > 0.985 * 2 * 600 * 400
    for rows, columns in (((top - 1,), ()), ((top + h,), ()), ((), (left - 1,)), ((), (left + w,))):
        edge = inside[rows[0], left : left + w] if rows else inside[top : top + h, columns[0]]
        assert not edge.all()


def test_a_valid_rectangle_smaller_than_a_block_is_found():
    places = np.full((1200, 1500, 2), np.nan, np.float32)
    places[700:703, 301:308] = 1.0
    assert valid_rectangle(places, 2, 2) == (301, 700, 7, 3)


def test_one_map_serves_many_photos():
    camera = DISTORTED["OPENCV"]
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    places = undistort_map(camera, pinhole_for(camera))
    assert np.array_equal(remap_image(image, places), undistort_image(image, camera))
