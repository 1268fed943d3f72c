"""OpenCV projects the same points to the same places, half a pixel away; both ways without loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera, from_opencv, to_opencv

cv2 = pytest.importorskip("cv2")
PERSPECTIVE = [
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "FULL_OPENCV",
    "BROWN_CONRADY_5",
    "BROWN_CONRADY_12",
]
FISHEYE = ["SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE"]


@pytest.mark.parametrize("model", PERSPECTIVE + FISHEYE)
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_opencv_projects_half_a_pixel_away(model, data, cameras, pixel_grid):
    camera = data.draw(cameras(model))
    rays = camera.unproject(pixel_grid(camera))
    rays = rays[rays[:, 2] > 0.1]
    K, dist = to_opencv(camera)
    project = cv2.fisheye.projectPoints if model in FISHEYE else cv2.projectPoints
    theirs = project(rays.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), K, dist)[0].reshape(-1, 2)
    assert np.abs(camera.project(rays) - 0.5 - theirs).max() < 1e-6
    again = from_opencv(K, dist, camera.width, camera.height, fisheye=model in FISHEYE)
    assert np.allclose(again.project(rays), camera.project(rays), atol=1e-8)


def test_models_by_the_number_of_coefficients():
    K = [[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]]
    names = {0: "PINHOLE", 4: "OPENCV", 5: "BROWN_CONRADY_5", 8: "FULL_OPENCV", 12: "BROWN_CONRADY_12"}
    for count, name in names.items():
        dist = 1e-3 * np.arange(1, count + 1)
        camera = from_opencv(K, dist[None], 640, 480)
        assert camera.model == name
        assert np.allclose(camera.params, [500, 510, 320, 240, *dist])
        assert np.allclose(to_opencv(camera)[0], K) and np.allclose(to_opencv(camera)[1], dist)
    assert from_opencv(K, None, 640, 480).model == "PINHOLE"
    assert from_opencv(K, [*dist, 0, 0], 640, 480).model == "BROWN_CONRADY_12"
    assert from_opencv(K, None, 640, 480, fisheye=True).model == "OPENCV_FISHEYE"


def test_what_is_refused():
    K = np.array([[500, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
    with pytest.raises(ValueError, match="tilted sensor"):
        from_opencv(K, [0] * 13 + [0.1], 640, 480)
    with pytest.raises(ValueError, match="expected 0, 4, 5, 8, 12 coefficients, got 3"):
        from_opencv(K, [0] * 3, 640, 480)
    with pytest.raises(ValueError, match="expected 4 coefficients, got 5"):
        from_opencv(K, [0] * 5, 640, 480, fisheye=True)
    with pytest.raises(ValueError, match="skew"):
        from_opencv(K + np.eye(3, k=1), None, 640, 480)
    with pytest.raises(ValueError, match="no model for FOV"):
        to_opencv(Camera.from_focal("FOV", 640, 480, 500.0))
