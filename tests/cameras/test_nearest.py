"""The nearest COLMAP camera: exact where one of COLMAP's models is, and honest about the error where not."""

import numpy as np
import pytest

from geo3d.cameras import MODELS, Camera, nearest_colmap


def test_colmaps_own_come_back():
    camera = Camera("OPENCV", 640, 480, [500, 510, 320, 240, -0.2, 0.03, 1e-3, -2e-3])
    assert nearest_colmap(camera) == (camera, 0.0)


def test_five_coefficients_are_eight_with_zeros():
    camera = Camera("BROWN_CONRADY_5", 640, 480, [500, 510, 320, 240, -0.2, 0.05, 1e-3, -2e-3, 0.01], True)
    found, error = nearest_colmap(camera)
    assert found.model == "FULL_OPENCV" and found.prior_focal
    assert error < 1e-6


@pytest.mark.parametrize(
    ("camera", "bound_px"),
    [
        (Camera("DOUBLE_SPHERE", 752, 480, [364, 364, 366, 251, -0.18, 0.59]), 0.01),  # 180 degrees across
        (Camera("DOUBLE_SPHERE", 512, 512, [156, 156, 254, 256, -0.18, 0.59]), 1.0),
        (Camera("BROWN_CONRADY_12", 640, 480, [500] * 2 + [320, 240, -0.2, 0.03] + [1e-3] * 10), 0.5),
    ],
)
def test_error_is_the_largest_over_the_image(camera, bound_px):
    found, error = nearest_colmap(camera)
    assert MODELS[found.model].in_colmap
    assert error < bound_px
    x, y = np.meshgrid(np.linspace(0, camera.width, 40), np.linspace(0, camera.height, 31))
    pixels = np.stack([x, y], -1)
    off = np.linalg.norm(found.project(camera.unproject(pixels)) - pixels, axis=-1)
    assert np.nanmax(off) <= 1.05 * error + 1e-9
