"""Calibrations: camera.json both ways, K.txt, COLMAP's and OpenCV's files."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera
from geo3d.io import read_calibration, read_camera_json, write_camera_json, write_colmap
from geo3d.scene import Reconstruction

from .scenes import make_camera

K = np.array([[700.0, 0, 320], [0, 710, 240], [0, 0, 1]])
SIZE = (640, 480)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(MODELS)), st.sampled_from(["", "left", "водопад"]))
@settings(max_examples=40)
def test_camera_json(tmp_path_factory, seed, model, name):
    path = tmp_path_factory.getbasetemp() / "camera.json"
    camera = make_camera(np.random.default_rng(seed), model)
    write_camera_json(path, camera, name)
    found = read_camera_json(path)
    assert found.camera == camera and found.name == name
    assert read_calibration(path, size=(1, 1)) == camera


def test_camera_json_with_a_list(tmp_path):
    content = {"model": "PINHOLE", "width": 640, "height": 480, "params": [700, 710, 320, 240]}
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert read_calibration(tmp_path / "c.json") == Camera("PINHOLE", 640, 480, [700, 710, 320, 240])


GOOD = {"model": "PINHOLE", "width": 640, "height": 480, "params": [700, 710, 320, 240]}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model": "PINHOLEY"}, "model"),
        ({"model": 3}, "model"),
        ({"width": "wide"}, "width"),
        ({"width": -3}, "width"),
        ({"width": 10**30}, "width"),
        ({"params": [1, 2]}, "params"),
        ({"params": [1, 2, 3, "x"]}, "params"),
        ({"params": {"fx": 1}}, "params"),
        ({"params": "none"}, "params"),
        ({"params": [-1, 2, 3, 4]}, "focal"),
        ({"name": 3}, "name"),
    ],
)
def test_camera_json_that_is_wrong(tmp_path, change, message):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ValueError, match=message) as caught:
        read_camera_json(path)
    assert str(path) in str(caught.value)
    path.write_text(json.dumps(GOOD)[:-20])
    with pytest.raises(ValueError, match=r"camera\.json"):
        read_camera_json(path)


def test_matrix_has_integer_pixel_centres(tmp_path):
    np.savetxt(tmp_path / "K.txt", K)
    assert read_calibration(tmp_path / "K.txt", SIZE) == Camera("PINHOLE", 640, 480, [700, 710, 320.5, 240.5])
    with pytest.raises(ValueError, match="size"):
        read_calibration(tmp_path / "K.txt")


@pytest.mark.parametrize(
    "text", ["", "1 2 3\n4 5 6\n", "1 0 0\n0 1 0\n0 0 2\n", "7 1 3\n0 7 2\n0 0 1\n", "nan 0 3\n0 7 2\n0 0 1"]
)
def test_matrices_that_are_none(tmp_path, text):
    (tmp_path / "K.txt").write_text(text)
    with pytest.raises(ValueError, match=r"K\.txt"):
        read_calibration(tmp_path / "K.txt", SIZE)


@pytest.mark.parametrize("format", ["bin", "txt"])
def test_colmap_cameras(tmp_path, format):
    one, other = (
        Camera("OPENCV", 640, 480, [7, 7, 3, 2, 0, 0, 0, 0.1]),
        Camera("PINHOLE", 64, 48, [7, 7, 3, 2]),
    )
    write_colmap(Reconstruction({1: one}), tmp_path / "a", format)
    assert read_calibration(tmp_path / "a" / f"cameras.{format}") == one
    assert read_calibration(tmp_path / "a" / f"cameras.{format}", (1280, 960)) == one
    write_colmap(Reconstruction({1: one, 2: other}), tmp_path / "b", format)
    assert read_calibration(tmp_path / "b" / f"cameras.{format}", (64, 48)) == other
    with pytest.raises(ValueError, match="found 2"):
        read_calibration(tmp_path / "b" / f"cameras.{format}")


def opencv_file(path, **values) -> None:
    cv2 = pytest.importorskip("cv2")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        storage.write(key, value)
    storage.release()


@pytest.mark.parametrize("suffix", ["yml", "yaml", "json", "xml"])
@pytest.mark.parametrize("count", [0, 4, 5, 8, 12, 14])
def test_opencv_files(tmp_path, suffix, count):
    """The camera projects as cv2.projectPoints, 0.5 further right and down."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(count)
    dist = rng.normal(size=count) * 0.01
    dist[12:] = 0
    path = tmp_path / f"calibration.{suffix}"
    opencv_file(
        path, camera_matrix=K, distortion_coefficients=dist.reshape(-1, 1), image_width=640, image_height=480
    )
    camera = read_calibration(path)
    assert (camera.width, camera.height) == SIZE
    assert MODELS[camera.model].in_colmap == (count <= 8)
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (20, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, dist)
    np.testing.assert_allclose(camera.project(points), expected[:, 0] + 0.5, atol=1e-8)


def test_opencv_fisheye(tmp_path):
    cv2 = pytest.importorskip("cv2")
    dist = np.array([0.1, 0.02, 0.003, 0.004])
    opencv_file(tmp_path / "c.yml", K=K, D=dist, distortion_model="equidistant")
    camera = read_calibration(tmp_path / "c.yml", SIZE)
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 2], (1, 20, 3))
    expected, _ = cv2.fisheye.projectPoints(points, np.zeros(3), np.zeros(3), K, dist)
    np.testing.assert_allclose(camera.project(points[0]), expected[0] + 0.5, atol=1e-8)


@pytest.mark.parametrize(
    "values, message",
    [
        ({}, "camera_matrix"),
        ({"camera_matrix": K[:2]}, "3x3"),
        ({"camera_matrix": K + np.eye(3, k=1)}, "skew"),
        ({"camera_matrix": K, "distortion_coefficients": np.ones(14)}, "tau"),
        ({"camera_matrix": K, "distortion_coefficients": np.ones(15)}, "dist"),
        ({"camera_matrix": K, "image_width": 0, "image_height": 480}, "width"),
    ],
)
def test_opencv_files_that_are_wrong(tmp_path, values, message):
    opencv_file(tmp_path / "c.yml", **values)
    with pytest.raises(ValueError, match=message):
        read_calibration(tmp_path / "c.yml", SIZE)


@pytest.mark.parametrize("suffix", ["yml", "json", "xml"])
def test_opencv_files_that_are_damaged(tmp_path, suffix):
    path = tmp_path / f"c.{suffix}"
    opencv_file(path, camera_matrix=K, image_width=640, image_height=480)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        try:
            read_calibration(path, SIZE)  # YAML that ends early may still hold the matrix
        except ValueError as error:
            assert str(path) in str(error)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no calibration"):
        read_calibration(tmp_path / "none.json")
    (tmp_path / "a.doc").touch()
    with pytest.raises(ValueError, match="doc"):
        read_calibration(tmp_path / "a.doc")


@pytest.mark.realdata
def test_strecha(real_data):
    camera = read_calibration(real_data / "sfm" / "fountain-P11" / "K.txt", (1536, 1024))
    assert list(camera.params) == [1379.74, 1382.08, 760.595, 503.655]
