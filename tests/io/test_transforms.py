"""transforms.json: both ways, the frames that have no file, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io import read_transforms, write_transforms
from geo3d.scene import Reconstruction, View

from .scenes import NAMES, assert_same_pose, make_pose

CAMERAS = [
    Camera("PINHOLE", 640, 480, [500, 510, 321, 239]),
    Camera("OPENCV", 640, 480, [500, 510, 321, 239, 0.1, -0.02, 0.001, 0.002]),
    Camera("OPENCV_FISHEYE", 640, 480, [300, 310, 321, 239, 0.1, -0.02, 0.001, 0.002]),
    Camera("FULL_OPENCV", 640, 480, [500, 510, 321, 239, 0.1, -0.02, 0.001, 0.002, 0.03, 0, 0, 0]),
]
IDENTITY = np.eye(4).tolist()


def photos(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def picture(path: Path, width: int, height: int) -> None:
    from PIL import Image

    Image.new("RGB", (width, height)).save(path)


def store(folder: Path, content: object) -> Path:
    path = folder / "transforms.json"
    path.write_text(json.dumps(content))
    return path


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 4))
@settings(max_examples=25)
def test_what_is_written_is_read(tmp_path_factory, seed, views, cameras):
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(seed)
    names = NAMES[:views]
    photos(folder / "images", *names)
    scene = Reconstruction(
        {i + 1: CAMERAS[i] for i in range(cameras)},
        {i + 1: View(n, int(rng.integers(1, cameras + 1)), make_pose(rng)) for i, n in enumerate(names)},
    )
    scene.views[views + 1] = View("unregistered.jpg", 1)
    write_transforms(scene, folder / "transforms.json")
    found = read_transforms(folder / "transforms.json")
    assert found.missing == () and found.images == folder / "images"
    views_found = found.reconstruction.views
    assert [views_found[i].name for i in sorted(views_found)] == sorted(names)
    for view in views_found.values():
        other = scene.view_named(view.name)
        assert found.reconstruction.cameras[view.camera_id] == scene.cameras[other.camera_id]
        assert_same_pose(view.cam_from_world, other.cam_from_world)


@pytest.mark.parametrize(
    "camera, same_as",
    [
        (Camera("SIMPLE_PINHOLE", 64, 48, [50, 32, 24]), Camera("PINHOLE", 64, 48, [50, 50, 32, 24])),
        (
            Camera("SIMPLE_RADIAL", 64, 48, [50, 32, 24, 0.1]),
            Camera("OPENCV", 64, 48, [50, 50, 32, 24, 0.1, 0, 0, 0]),
        ),
        (
            Camera("RADIAL_FISHEYE", 64, 48, [50, 32, 24, 0.1, 0.2]),
            Camera("OPENCV_FISHEYE", 64, 48, [50, 50, 32, 24, 0.1, 0.2, 0, 0]),
        ),
    ],
)
def test_models_that_are_cases_of_others(tmp_path, camera, same_as):
    photos(tmp_path, "images/a.jpg")
    write_transforms(
        Reconstruction({1: camera}, {1: View("a.jpg", 1, SE3.identity())}), tmp_path / "transforms.json"
    )
    (found,) = read_transforms(tmp_path / "transforms.json").reconstruction.cameras.values()
    assert found == same_as
    points = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (20, 3))
    np.testing.assert_allclose(found.project(points), camera.project(points), atol=1e-9)


@pytest.mark.parametrize(
    "camera",
    [
        Camera("EUCM", 64, 48, [50, 50, 32, 24, 0.5, 1]),
        Camera("FULL_OPENCV", 64, 48, [50, 50, 32, 24, *[0.1] * 8]),
    ],
)
def test_lenses_that_the_format_lacks(tmp_path, camera):
    scene = Reconstruction({1: camera}, {1: View("a.jpg", 1, SE3.identity())})
    with pytest.raises(ValueError, match="lacks") as caught:
        write_transforms(scene, tmp_path / "transforms.json")
    assert "of FULL_OPENCV only that with k4 = k5 = k6 = 0" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_axes(tmp_path):
    """OpenGL's camera at (0, 0, 5) with axes of the world looks along -z, down on the origin; y is up."""
    photos(tmp_path, "a.jpg")
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]]
    path = store(
        tmp_path,
        {"fl_x": 100, "w": 40, "h": 20, "frames": [{"file_path": "a.jpg", "transform_matrix": matrix}]},
    )
    scene = read_transforms(path).reconstruction
    pose = scene.views[1].cam_from_world
    assert pose is not None
    np.testing.assert_allclose(pose.center(), [0, 0, 5])
    pixels = scene.cameras[1].project(pose.act(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]])))
    np.testing.assert_allclose(pixels, [[20, 10], [22, 10], [20, 8]])


def test_intrinsics_of_frames_and_angles(tmp_path):
    """A frame's own values go first; a focal length may be an angle; the size may be the picture's."""
    for name, size in (("a.png", (30, 20)), ("b.png", (30, 20)), ("c.png", (60, 40))):
        picture(tmp_path / name, *size)
    frames = [{"file_path": f"./{n}", "transform_matrix": IDENTITY} for n in "bac"]
    frames[0] |= {"fl_x": 77, "fl_y": 78}
    content = {"camera_angle_x": 2 * np.arctan(0.5), "frames": frames}
    found = read_transforms(store(tmp_path, content)).reconstruction
    assert [v.name for v in found.views.values()] == ["a.png", "b.png", "c.png"]
    params = [found.cameras[v.camera_id].params for v in found.views.values()]
    np.testing.assert_allclose(params, [[30, 30, 15, 10], [77, 78, 15, 10], [60, 60, 30, 20]])


def test_frames_without_a_file_are_counted_and_named(tmp_path):
    photos(tmp_path, "images/a.jpg", "images/c.jpg")
    frames = [{"file_path": f"images/{n}.jpg", "transform_matrix": IDENTITY} for n in "abcd"]
    found = read_transforms(store(tmp_path, {"fl_x": 9, "w": 9, "h": 9, "frames": frames}))
    assert found.missing == ("images/b.jpg", "images/d.jpg")
    assert [v.name for v in found.reconstruction.views.values()] == ["a.jpg", "c.jpg"]
    with pytest.raises(FileNotFoundError, match="none of the 1 photos"):
        read_transforms(store(tmp_path, {"fl_x": 9, "w": 9, "h": 9, "frames": frames[1:2]}))
    frames.append({"file_path": "x" * 5000, "transform_matrix": IDENTITY})
    assert len(read_transforms(store(tmp_path, {"fl_x": 9, "w": 9, "h": 9, "frames": frames})).missing) == 3
    assert read_transforms(store(tmp_path, {"frames": []})).reconstruction.views == {}


@pytest.mark.parametrize(
    "listed",
    ["../scene/images/b/a.jpg", "{}/scene/images/b/a.jpg", "images/b/a.jpg", "./b/a", "b/x/../a.jpg"],
)
def test_photos_of_another_folder(tmp_path, listed):
    """A folder that the caller names is looked into, however the file says the name; nothing else is."""
    photos(tmp_path, "scene/images/b/a.jpg", "scene/secret.jpg")
    (tmp_path / "out").mkdir()
    frames = [{"file_path": listed.format(tmp_path), "transform_matrix": IDENTITY}]
    path = store(tmp_path / "out", GOOD | {"frames": frames})
    with pytest.raises((ValueError, FileNotFoundError), match="--images"):
        read_transforms(path)
    found = read_transforms(path, tmp_path / "scene" / "images")
    assert [v.name for v in found.reconstruction.views.values()] == ["b/a.jpg"]
    assert found.images == tmp_path / "scene" / "images"


@pytest.mark.parametrize(
    "listed", ["../scene/secret.jpg", "../secret.jpg", "{}/scene/secret.jpg", "..", "link/a.jpg"]
)
def test_a_folder_that_is_named_is_not_left(tmp_path, listed):
    photos(tmp_path, "scene/images/a.jpg", "scene/secret.jpg", "elsewhere/a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "scene" / "images" / "link").symlink_to(tmp_path / "elsewhere")
    frames = [{"file_path": listed.format(tmp_path), "transform_matrix": IDENTITY}]
    with pytest.raises(ValueError, match="outside"):
        read_transforms(store(tmp_path / "out", GOOD | {"frames": frames}), tmp_path / "scene" / "images")


@pytest.mark.parametrize("listed", ["../" + "x" * 500, "y" * 500 + "\x1b[2J.jpg"])
def test_long_names_are_cut_in_messages(tmp_path, listed):
    frames = [{"file_path": listed, "transform_matrix": IDENTITY}]
    for images in (None, tmp_path):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            read_transforms(store(tmp_path, GOOD | {"frames": frames}), images)
        assert listed[:70] in str(caught.value) and len(str(caught.value)) < 400 + len(str(tmp_path))


FRAME = {"file_path": "a.jpg", "transform_matrix": IDENTITY}
GOOD = {"fl_x": 9, "w": 9, "h": 9, "frames": [FRAME]}
SKEW = np.diag([1.0, 2.0, 1.0, 1.0]).tolist()


@pytest.mark.parametrize(
    "content, message",
    [
        ([], "object"),
        ({}, "frames"),
        ({"frames": {"a": 1}}, "frames"),
        ({"frames": [3]}, "frames"),
        (GOOD | {"frames": [{}]}, "file_path"),
        (GOOD | {"frames": [FRAME, FRAME]}, "twice"),
        (GOOD | {"frames": [FRAME | {"file_path": "../a.jpg"}]}, "outside"),
        (GOOD | {"frames": [FRAME | {"file_path": "/etc/passwd"}]}, "outside"),
        (GOOD | {"frames": [FRAME | {"file_path": "a\0.jpg"}]}, "outside|null"),
        (GOOD | {"frames": [FRAME | {"file_path": "link/a.jpg"}]}, "outside"),
        (GOOD | {"frames": [FRAME | {"transform_matrix": None}]}, "transform_matrix"),
        (GOOD | {"frames": [FRAME | {"transform_matrix": [[1, 2], [3, 4]]}]}, "transform_matrix"),
        (GOOD | {"frames": [FRAME | {"transform_matrix": [["x"] * 4] * 4}]}, "transform_matrix"),
        (GOOD | {"frames": [FRAME | {"transform_matrix": [[float("nan")] * 4] * 4}]}, "number"),
        (GOOD | {"frames": [FRAME | {"transform_matrix": SKEW}]}, "rotation"),
        (GOOD | {"fl_x": "long"}, "fl_x"),
        (GOOD | {"fl_x": -9}, "focal"),
        (GOOD | {"fl_x": 10**400}, "fl_x"),
        (GOOD | {"fl_x": None}, "fl_x or camera_angle_x"),
        (GOOD | {"fl_x": None, "camera_angle_x": 4}, "radians"),
        (GOOD | {"w": 9.5}, "w:"),
        (GOOD | {"w": None}, "no w and h"),
        (GOOD | {"k4": 0.1}, "k4"),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    (tmp_path / "scene").mkdir()
    photos(tmp_path, "scene/a.jpg", "elsewhere/a.jpg", "a.jpg")
    (tmp_path / "scene" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=message):
        read_transforms(store(tmp_path / "scene", content))


def test_truncated(tmp_path):
    photos(tmp_path, "a.jpg")
    path = store(tmp_path, GOOD)
    whole = path.read_bytes()
    for content in (*(whole[:n] for n in range(0, len(whole), 5)), b"[" * 100_000, b"\xff\xfe", b"9" * 9999):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"transforms\.json"):
            read_transforms(path)


@pytest.mark.realdata
def test_fox(real_data):
    """instant-ngp's fox lists 67 frames, 17 of them without a file."""
    found = read_transforms(real_data / "nerf" / "fox" / "transforms.json")
    assert len(found.missing) == 17 and len(found.reconstruction.views) == 50
    assert found.images == real_data / "nerf" / "fox" / "images"
    (camera,) = found.reconstruction.cameras.values()
    assert (camera.model, camera.width, camera.height) == ("OPENCV", 1080, 1920)
    assert camera.params[0] == 1375.52


@pytest.mark.realdata
def test_nerf_synthetic(real_data):
    """Names without extension, the focal length as an angle, no size."""
    found = read_transforms(real_data / "nerf" / "lego" / "transforms_train.json")
    assert found.missing == () and len(found.reconstruction.views) == 100
    (camera,) = found.reconstruction.cameras.values()
    assert (camera.model, camera.width, camera.height) == ("PINHOLE", 800, 800)
    np.testing.assert_allclose(camera.params, [1111.111, 1111.111, 400, 400], rtol=1e-5)
    distances = np.linalg.norm(found.reconstruction.centres(), axis=1)
    np.testing.assert_allclose(distances, distances[0], rtol=1e-3)  # all cameras look from one sphere
