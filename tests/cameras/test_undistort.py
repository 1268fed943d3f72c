"""Undistortion maps against exact projection; what the undistorted camera keeps of the image."""

import numpy as np
import pytest

from geo3d.cameras import (
    MODELS,
    Camera,
    pinhole_for,
    undistort_image,
    undistort_map,
    undistort_points,
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
    from hypothesis import given, settings
    from hypothesis import strategies as st

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
