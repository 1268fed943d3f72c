"""What a camera is made of, what it refuses, and its field of view."""

import copy
import pickle

import numpy as np
import pytest

from geo3d.cameras import MODELS, Camera


def test_the_first_example():
    camera = Camera("PINHOLE", 640, 480, [800, 800, 320, 240])
    assert np.array_equal(camera.project([0.5, 0.5, 5.0]), [400.0, 320.0])
    assert np.allclose(camera.unproject([400.0, 320.0]) * np.sqrt(25.5), [0.5, 0.5, 5.0])


@pytest.mark.parametrize("model", MODELS)
def test_shapes_are_those_of_the_input(model):
    camera = Camera.from_focal(model, 64, 48, 60.0)
    count = len(camera.params)
    for shape in ((), (1,), (7,), (2, 3), (0,), (2, 0, 3)):
        points = np.broadcast_to([0.1, 0.2, 1.0], (*shape, 3))
        result = camera.project_with_jacobians(points)
        assert result.pixels.shape == (*shape, 2) == camera.project(points).shape
        assert result.valid.shape == shape == camera.valid(points).shape
        assert result.d_point.shape == (*shape, 2, 3)
        assert result.d_params.shape == (*shape, 2, count)
        assert camera.unproject(result.pixels).shape == (*shape, 3)


def test_many_points_are_the_same_as_few():
    camera = Camera("OPENCV", 640, 480, [500, 510, 320, 240, -0.2, 0.03, 1e-3, -2e-3])
    pixels = np.random.default_rng(0).uniform(0, [640, 480], (20000, 2))
    rays = camera.unproject(pixels)
    again = camera.project(rays)
    assert np.abs(again - pixels).max() < 1e-9
    for part in (slice(0, 10), slice(8190, 8195), slice(16380, 16390)):
        assert np.array_equal(camera.project(rays[part]), again[part])
        assert np.allclose(camera.unproject(pixels[part]), rays[part], atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PINHOLES", 640, 480, [1, 1, 1, 1]), "choose one of SIMPLE_PINHOLE"),
        (("PINHOLE", 640, 480, [500, 320, 240]), r"PINHOLE takes 4 \(fx, fy, cx, cy\)"),
        (("PINHOLE", 640, 480, [[500, 500, 320, 240]]), r"got shape \(1, 4\)"),
        (("PINHOLE", 640, 480, [500, 500, np.nan, 240]), "finite"),
        (("PINHOLE", 640, 480, [500, -500, 320, 240]), "focal length .* positive"),
        (("SIMPLE_RADIAL", 640, 480, [0, 320, 240, 0]), "focal length .* positive"),
        (("PINHOLE", 0, 480, [500, 500, 320, 240]), "width: expected a positive whole number"),
        (("PINHOLE", 640, 480.5, [500, 500, 320, 240]), "height: expected a positive whole number"),
    ],
)
def test_what_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Camera(*arguments)


def test_wrong_shapes_are_refused():
    camera = Camera.from_focal("PINHOLE", 640, 480, 500.0)
    with pytest.raises(ValueError, match=r"points: expected shape \(..., 3\), got \(2,\)"):
        camera.project([1.0, 2.0])
    with pytest.raises(ValueError, match=r"pixels: expected shape \(..., 2\), got \(\)"):
        camera.unproject(3.0)
    with pytest.raises(ValueError, match="choose one of"):
        Camera.from_focal("NONE", 640, 480, 500.0)


def test_equal_by_value_and_frozen():
    camera = Camera("SIMPLE_RADIAL", 640, 480, [500, 320, 240, 0.1])
    assert camera == Camera("SIMPLE_RADIAL", 640, 480, np.array([500.0, 320.0, 240.0, 0.1]))
    assert len({camera, copy.deepcopy(camera), pickle.loads(pickle.dumps(camera))}) == 1
    assert camera != camera.with_params([501, 320, 240, 0.1])
    assert camera != "camera"
    with pytest.raises(ValueError, match="read-only"):
        camera.params[0] = 1.0
    given = np.array([500.0, 320.0, 240.0, 0.1])
    kept = camera.with_params(given)
    given[0] = 1.0
    assert kept == camera


def test_intrinsics():
    camera = Camera("SIMPLE_RADIAL", 640, 480, [500, 321, 239, 0.1])
    assert np.array_equal(camera.K, [[500, 0, 321], [0, 500, 239], [0, 0, 1]])
    assert camera.param_names == ("f", "cx", "cy", "k")
    assert camera.mean_focal == 500.0
    panorama = Camera.from_focal("EQUIRECTANGULAR", 1000, 500, 0.0)
    assert np.allclose(panorama.focal, [1000 / (2 * np.pi), 500 / np.pi])
    assert np.array_equal(panorama.principal_point, [500, 250])
    for model in MODELS:
        camera = Camera.from_focal(model, 640, 480, 500.0)
        assert np.array_equal(camera.principal_point, [320, 240])
        assert np.allclose(camera.project([0, 0, 1]), [320, 240])
        if model != "EQUIRECTANGULAR":
            assert camera.mean_focal == 500.0
            near = camera.project([1e-4, 0.0, 1.0])[0] - 320.0
            assert np.isclose(near, 500e-4, rtol=1e-4)  # the focal length is the scale at the centre


def test_field_of_view():
    camera = Camera("PINHOLE", 640, 480, [320, 240, 320, 240])
    assert np.allclose(camera.field_of_view()[:2], np.pi / 2)
    assert np.allclose(camera.field_of_view()[2], 2 * np.arctan(np.sqrt(2)))
    fisheye = Camera("SIMPLE_FISHEYE", 800, 600, [200, 400, 300])
    assert np.allclose(fisheye.field_of_view(), [4.0, 3.0, 5.0])
    # The image circle is smaller than the image: what is outside of it is not seen.
    circle = Camera("SIMPLE_FISHEYE", 800, 800, [100, 400, 400])
    assert np.allclose(circle.field_of_view(), 2 * np.pi)
    side = Camera("PINHOLE", 100, 100, [100, 100, -100, 50])
    assert np.allclose(side.field_of_view()[0], np.arctan(2.0) - np.arctan(1.0))
    assert np.allclose(
        Camera("EQUIRECTANGULAR", 200, 100, [200, 100]).field_of_view()[:2], [2 * np.pi, np.pi]
    )


def test_resizing_keeps_the_shape_of_a_single_focal_length():
    camera = Camera("SIMPLE_RADIAL", 4032, 3024, [3500, 2016, 1512, 0.1])
    small = camera.rescaled(1023, 767)
    assert np.allclose(small.params[:3], [3500 * 1023 / 4032, 511.5, 383.5], rtol=1e-3)
    with pytest.raises(ValueError, match="one focal length"):
        camera.rescaled(1000, 1000)
    panorama = Camera.from_focal("EQUIRECTANGULAR", 1000, 500, 0.0)
    assert panorama.rescaled(2000, 1000) == Camera.from_focal("EQUIRECTANGULAR", 2000, 1000, 0.0)
    with pytest.raises(ValueError, match="whole sphere"):
        panorama.cropped(0, 0, 10, 10)
