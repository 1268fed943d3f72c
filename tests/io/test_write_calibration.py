"""Calibrations in the files of other programs: what is written projects the same, read by us and by them."""

import ast
import json
import subprocess
import zlib  # noqa: F401  before pycolmap, which exports one of its own
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera, nearest_model
from geo3d.geometry import SE3
from geo3d.io import (
    FORMATS,
    read_calibration,
    read_colmap,
    read_rig,
    read_rig_json,
    write_calibration,
    write_rig_json,
)
from geo3d.scene import CameraRig

from .scenes import assert_same_pose, make_pose

PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
FISHEYE = ("SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE")
MORE = ("BROWN_CONRADY_5", "FULL_OPENCV")
HELD = {
    "geo3d": tuple(MODELS),
    "colmap": tuple(name for name, model in MODELS.items() if model.in_colmap),
    "opencv": (*PERSPECTIVE, *FISHEYE, *MORE, "BROWN_CONRADY_12"),
    "ros": (*PERSPECTIVE, *FISHEYE, *MORE),
    "kalibr": (*PERSPECTIVE, *FISHEYE, "FOV", "EUCM", "DOUBLE_SPHERE"),
    "mrcal": (*PERSPECTIVE, *MORE, "BROWN_CONRADY_12"),
}
FILES = {
    "geo3d": "camera.json",
    "colmap": "cameras.txt",
    "opencv": "c.yml",
    "ros": "c.yaml",
    "kalibr": "camchain.yaml",
    "mrcal": "c.cameramodel",
}
OF_SHAPE = {"omega": (0.3, 1.2), "alpha": (0.3, 0.7), "beta": (0.8, 1.2), "xi": (-0.3, 0.3)}


def lens(seed: int, model: str, size: tuple[int, int] = (640, 480)) -> Camera:
    """A camera of all different parameters, none of them zero."""
    rng = np.random.default_rng(seed)
    camera = Camera.from_focal(model, *size, 0.8 * size[0])
    params = np.array(camera.params)
    if model == "EQUIRECTANGULAR":
        return camera
    core = len(MODELS[model].focal_params) + 2
    params[:core] += rng.uniform(1.0, 9.0, core)
    for i, name in enumerate(MODELS[model].param_names[core:], start=core):
        params[i] = rng.uniform(*OF_SHAPE.get(name, (-0.01, 0.01)))
    return camera.with_params(params)


def rays_of(camera: Camera) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, camera.width, 9), np.linspace(0, camera.height, 7))
    rays = camera.unproject(np.stack([x, y], -1)).reshape(-1, 3)
    return rays[np.isfinite(rays[:, 0])]


def assert_same_camera(found: Camera, expected: Camera) -> None:
    rays = rays_of(expected)
    assert (found.width, found.height) == (expected.width, expected.height) and len(rays) > 30
    np.testing.assert_allclose(found.project(rays), expected.project(rays), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("format", "model"), [(f, m) for f in FORMATS for m in HELD[f]])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_as_the_same_camera(tmp_path_factory, format, model, seed):
    path = tmp_path_factory.getbasetemp() / FILES[format]
    camera = lens(seed, model)
    write_calibration(path, camera, format, "front left")
    assert_same_camera(read_calibration(path), camera)


@pytest.mark.parametrize("format", FORMATS)
def test_models_that_a_format_lacks_are_refused_and_nothing_is_written(tmp_path, format):
    lacking = [model for model in MODELS if model not in HELD[format]]
    assert len(lacking) == len(MODELS) - len(HELD[format])
    for model in lacking:
        with pytest.raises(
            ValueError, match=f"{format} has no model for this {model} .*; geo3d.* can hold it"
        ):
            write_calibration(tmp_path / "c", lens(1, model), format)
        rig = CameraRig(("a", "b"), (lens(1, "OPENCV"), lens(1, model)), (SE3.identity(),) * 2)
        with pytest.raises(ValueError, match=f"rig, b: the format {format}"):
            write_calibration(tmp_path / "c", rig, format)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="expected one of geo3d, opencv"):
        write_calibration(tmp_path / "c", lens(1, "PINHOLE"), "matlab")


def test_a_longer_model_of_no_more_terms_is_held():
    """k3 = 0 leaves four coefficients, which Kalibr's radtan has."""
    from geo3d.io.write_calibration import holds

    params = [500, 510, 320, 240, -0.2, 0.03, 1e-3, -2e-3]
    assert holds("kalibr", Camera("BROWN_CONRADY_5", 640, 480, [*params, 0.0]))
    assert not holds("kalibr", Camera("BROWN_CONRADY_5", 640, 480, [*params, 1e-3]))
    assert holds("ros", Camera("BROWN_CONRADY_12", 640, 480, [*params, 0.1, 0, 0, 0, 0, 0, 0, 0]))


def test_the_nearest_is_offered_with_its_error(tmp_path):
    camera = Camera("DIVISION", 640, 480, [500, 505, 322, 238, -0.15])
    with pytest.raises(
        ValueError, match=r"geo3d, colmap can hold it\. The nearest that opencv has is"
    ) as caught:
        write_calibration(tmp_path / "c.yml", camera, "opencv")
    words = str(caught.value)
    fit = nearest_model(camera, ast.literal_eval(words[words.index("[") : words.index("]") + 1]))
    assert fit is not None and f"{fit.camera.model}, off by up to {fit.max_error_px:.2g} px" in words
    write_calibration(tmp_path / "c.yml", fit.camera, "opencv")
    x, y = np.meshgrid(np.linspace(0, 640, 20), np.linspace(0, 480, 20))
    pixels = np.stack([x, y], -1)
    off = np.linalg.norm(
        read_calibration(tmp_path / "c.yml").project(camera.unproject(pixels)) - pixels, axis=-1
    )
    assert 0 < off.max() <= 1.05 * fit.max_error_px


def test_no_nearest_is_offered_where_none_is_near(tmp_path):
    with pytest.raises(ValueError, match=r"can hold it$"):
        write_calibration(tmp_path / "c", Camera.from_focal("SIMPLE_FISHEYE", 640, 480, 150.0), "mrcal")
    with pytest.raises(ValueError, match=r"can hold it$"):
        write_calibration(tmp_path / "c", lens(0, "EQUIRECTANGULAR"), "kalibr")


def test_where_each_format_has_the_first_pixel(tmp_path):
    """A principal point at (320, 240) is written as 319.5, 239.5 by all but COLMAP and geo3d."""
    camera = Camera("PINHOLE", 640, 480, [500, 510, 320, 240])
    texts = {}
    for format in FORMATS:
        write_calibration(tmp_path / FILES[format], camera, format)
        texts[format] = (tmp_path / FILES[format]).read_text()
    assert "500.0 510.0 320.0 240.0" in texts["colmap"]
    assert json.loads(texts["geo3d"])["params"]["cx"] == 320
    assert "500.0, 0.0, 319.5, 0.0, 510.0, 239.5" in texts["opencv"]
    assert yaml.safe_load(texts["ros"])["camera_matrix"]["data"][2::3] == [319.5, 239.5, 1.0]
    assert yaml.safe_load(texts["kalibr"])["cam0"]["intrinsics"] == [500.0, 510.0, 319.5, 239.5]
    assert ast.literal_eval(texts["mrcal"])["intrinsics"] == [500.0, 510.0, 319.5, 239.5]


def two(seed: int, model: str = "OPENCV") -> CameraRig:
    """A rig whose frame is at neither camera."""
    rng = np.random.default_rng(seed)
    turn = SE3.exp(rng.normal(size=6) * 0.1) @ SE3(np.eye(3), np.array([-0.12, 0.0, 0.0]))
    first = make_pose(rng)
    return CameraRig(("left", "right"), (lens(seed, model), lens(seed + 1, model)), (first, turn @ first))


RIG_FILES = {
    "geo3d": "rig.json",
    "colmap": "model",
    "opencv": "stereo.yml",
    "ros": "ros",
    "kalibr": "chain.yaml",
    "mrcal": "m",
}


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**31), fisheye=st.booleans())
def test_rigs_there_and_back(tmp_path_factory, format, seed, fisheye):
    rig = two(seed, "OPENCV_FISHEYE" if fisheye and format != "mrcal" else "OPENCV")
    path = tmp_path_factory.mktemp("rig") / RIG_FILES[format]
    write_calibration(path, rig, format)
    found = read_rig(path)
    for camera, expected in zip(found.cameras, rig.cameras, strict=True):
        assert_same_camera(camera, expected)
    np.testing.assert_allclose(
        found.cam_from_first()[1].matrix4(), rig.cam_from_first()[1].matrix4(), atol=1e-9
    )
    if format in ("geo3d", "mrcal"):
        assert found.names == rig.names
        np.testing.assert_allclose(found.cam_from_rig[0].matrix4(), rig.cam_from_rig[0].matrix4(), atol=1e-9)


@pytest.mark.parametrize("format", ["geo3d", "colmap", "kalibr", "mrcal"])
def test_rigs_of_many_cameras(tmp_path, format):
    rng = np.random.default_rng(3)
    cameras = tuple(lens(i, "OPENCV", (640 + i, 480)) for i in range(4))
    rig = CameraRig(tuple("abcd"), cameras, tuple(make_pose(rng) for _ in range(4)))
    write_calibration(tmp_path / RIG_FILES[format], rig, format)
    found = read_rig(tmp_path / RIG_FILES[format])
    for pose, expected in zip(found.cam_from_first(), rig.cam_from_first(), strict=True):
        np.testing.assert_allclose(pose.matrix4(), expected.matrix4(), atol=1e-9)
    for format in ("opencv", "ros"):
        with pytest.raises(ValueError, match="holds two cameras, this rig has 4"):
            write_calibration(tmp_path / "x", rig, format)
    for format in ("colmap", "mrcal"):
        (tmp_path / f"full-{format}").mkdir()
        (tmp_path / f"full-{format}" / "thesis.txt").touch()
        with pytest.raises(ValueError, match="full-"):
            write_calibration(tmp_path / f"full-{format}", rig, format)


def test_pairs_that_a_stereo_file_cannot_hold(tmp_path):
    poses = (SE3.identity(), SE3(np.eye(3), np.array([-0.1, 0, 0])))
    sizes = CameraRig(("a", "b"), (lens(0, "OPENCV"), lens(0, "OPENCV", (800, 600))), poses)
    kinds = CameraRig(("a", "b"), (lens(0, "OPENCV"), lens(0, "FISHEYE")), poses)
    for format in ("opencv", "ros"):
        with pytest.raises(ValueError, match="640x480 and 800x600"):
            write_calibration(tmp_path / "x", sizes, format)
        with pytest.raises(ValueError, match="OPENCV and FISHEYE"):
            write_calibration(tmp_path / "x", kinds, format)
    with pytest.raises(ValueError, match="different places"):
        write_calibration(tmp_path / "x", CameraRig(("a", "b"), kinds.cameras[:1] * 2, poses[:1] * 2), "ros")
    outside = CameraRig(("../a", "b"), kinds.cameras[:1] * 2, poses)
    for format in ("ros", "mrcal"):
        with pytest.raises(ValueError, match=r"'\.\./a'"):
            write_calibration(tmp_path / "x", outside, format)
    assert not list(tmp_path.iterdir())


def test_a_rig_has_one_of_each():
    camera = lens(0, "OPENCV")
    with pytest.raises(ValueError, match="got 1, 1, 0"):
        CameraRig(("a",), (camera,), ())
    with pytest.raises(ValueError, match="one camera or more"):
        CameraRig((), (), ())
    with pytest.raises(ValueError, match="a name of its own"):
        CameraRig(("a", "a"), (camera,) * 2, (SE3.identity(),) * 2)


# What the other programs make of the files.


@pytest.mark.parametrize("model", ["RADIAL", "FULL_OPENCV", "BROWN_CONRADY_12", "RADIAL_FISHEYE"])
def test_opencv_reads_its_files(tmp_path, model):
    cv2 = pytest.importorskip("cv2")
    rig = two(5, model)
    write_calibration(tmp_path / "one.yml", rig.cameras[0], "opencv")
    write_calibration(tmp_path / "two.yml", rig, "opencv")
    one, pair = (
        cv2.FileStorage(str(tmp_path / name), cv2.FILE_STORAGE_READ) for name in ("one.yml", "two.yml")
    )
    fisheye = model in FISHEYE
    assert one.getNode("fisheye_model").real() == fisheye
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    points = np.random.default_rng(0).uniform([-0.3, -0.3, 1], [0.3, 0.3, 2], (20, 1, 3))
    still = np.zeros(3), np.zeros(3)
    K, dist = one.getNode("camera_matrix").mat(), one.getNode("distortion_coefficients").mat()
    seen = project(points, *still, K, dist)[0].reshape(-1, 2) + 0.5
    np.testing.assert_allclose(seen, rig.cameras[0].project(points[:, 0]), atol=1e-6)
    R, T, M2, D2 = (pair.getNode(key).mat() for key in ("R", "T", "M2", "D2"))
    seen = project(points, cv2.Rodrigues(R)[0], T, M2, D2)[0].reshape(-1, 2) + 0.5
    expected = rig.cameras[1].project(rig.cam_from_first()[1].act(points[:, 0]))
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_yaml_of_ros_has_its_types(tmp_path):
    camera = Camera("OPENCV", 640, 480, [500, 510, 320, 240, -0.2, 0.03, 1e-7, -2e-3])
    write_calibration(tmp_path / "c.yaml", camera, "ros", "narrow_stereo")
    found = yaml.safe_load((tmp_path / "c.yaml").read_text())
    assert (found["image_width"], found["image_height"], found["camera_name"]) == (640, 480, "narrow_stereo")
    assert found["distortion_model"] == "plumb_bob"
    assert found["distortion_coefficients"] == {"rows": 1, "cols": 5, "data": [-0.2, 0.03, 1e-7, -2e-3, 0.0]}
    assert found["rectification_matrix"]["data"] == np.eye(3).ravel().tolist()
    P = np.reshape(found["projection_matrix"]["data"], (3, 4))
    # All pixels of the rectified image are seen by the lens.
    corners = np.array([[0, 0, 1], [640, 0, 1], [0, 480, 1], [640, 480, 1.0]]) - [0.5, 0.5, 0]
    seen = camera.project((np.linalg.inv(P[:, :3]) @ corners.T).T)
    assert (seen >= -1e-6).all() and (seen <= np.array([640, 480]) + 1e-6).all()
    for model, name in (("FULL_OPENCV", "rational_polynomial"), ("RADIAL_FISHEYE", "equidistant")):
        write_calibration(tmp_path / "c.yaml", lens(0, model), "ros")
        assert yaml.safe_load((tmp_path / "c.yaml").read_text())["distortion_model"] == name


@pytest.mark.parametrize("model", ["OPENCV", "OPENCV_FISHEYE"])
def test_ros_pair_is_rectified(tmp_path, model):
    """A point has the same row in both rectified images, and its disparity is f B / z."""
    rig = two(4, model)
    write_calibration(tmp_path / "ros", rig, "ros")
    infos = [yaml.safe_load((tmp_path / "ros" / f"{name}.yaml").read_text()) for name in rig.names]
    (R1, P1), (R2, P2) = (
        (
            np.reshape(i["rectification_matrix"]["data"], (3, 3)),
            np.reshape(i["projection_matrix"]["data"], (3, 4)),
        )
        for i in infos
    )
    left = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (30, 3))
    right = rig.cam_from_first()[1].act(left)
    a, b = (x @ R.T @ P[:, :3].T for x, R, P in ((left, R1, P1), (right, R2, P2)))
    a, b = a[:, :2] / a[:, 2:], b[:, :2] / b[:, 2:]
    np.testing.assert_allclose(a[:, 1], b[:, 1], atol=1e-6)
    depth = (left @ R1.T)[:, 2]
    np.testing.assert_allclose(b[:, 0] - a[:, 0], P2[0, 3] / depth, atol=1e-6)


def kalibr_project(entry: dict, points: np.ndarray) -> np.ndarray:
    """Kalibr's projections, written from its documentation; pixel centres at whole numbers."""
    x, y, z = points.T
    *shape, fu, fv, pu, pv = entry["intrinsics"]
    rho2, d = x * x + y * y, np.sqrt(x * x + y * y + z * z)
    if entry["camera_model"] == "pinhole":
        m = np.stack([x, y]) / z
    elif entry["camera_model"] == "omni":
        m = np.stack([x, y]) / (shape[0] * d + z)
    elif entry["camera_model"] == "eucm":
        alpha, beta = shape
        m = np.stack([x, y]) / (alpha * np.sqrt(beta * rho2 + z * z) + (1 - alpha) * z)
    else:
        xi, alpha = shape
        k = xi * d + z
        m = np.stack([x, y]) / (alpha * np.sqrt(rho2 + k * k) + (1 - alpha) * k)
    r2, c = (m * m).sum(axis=0), entry["distortion_coeffs"]
    if entry["distortion_model"] == "radtan":
        a, b = m
        radial = 1 + c[0] * r2 + c[1] * r2 * r2
        m = np.stack(
            [
                a * radial + 2 * c[2] * a * b + c[3] * (r2 + 2 * a * a),
                b * radial + 2 * c[3] * a * b + c[2] * (r2 + 2 * b * b),
            ]
        )
    elif entry["distortion_model"] == "equidistant":
        t = np.arctan(np.sqrt(r2))
        m = m * t * (1 + c[0] * t**2 + c[1] * t**4 + c[2] * t**6 + c[3] * t**8) / np.sqrt(r2)
    elif entry["distortion_model"] == "fov":
        m = m * np.arctan(2 * np.tan(c[0] / 2) * np.sqrt(r2)) / (c[0] * np.sqrt(r2))
    return (np.array([[fu], [fv]]) * m + np.array([[pu], [pv]])).T


@pytest.mark.parametrize("model", HELD["kalibr"])
def test_kalibr_means_the_same(tmp_path, model):
    rig = two(8, model)
    write_calibration(tmp_path / "camchain.yaml", rig, "kalibr")
    found = yaml.safe_load((tmp_path / "camchain.yaml").read_text())
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 3], (30, 3))
    for i, camera in enumerate(rig.cameras):
        entry = found[f"cam{i}"]
        seen = kalibr_project(entry, points) + 0.5
        np.testing.assert_allclose(seen, camera.project(points), atol=1e-9)
        # Kalibr's reader insists on floats and ints.
        assert all(isinstance(v, float) for v in entry["intrinsics"] + entry["distortion_coeffs"])
        assert entry["resolution"] == [640, 480] and entry["rostopic"] == f"/{rig.names[i]}/image_raw"
    np.testing.assert_allclose(found["cam1"]["T_cn_cnm1"], rig.cam_from_first()[1].matrix4(), atol=1e-12)
    assert "T_cn_cnm1" not in found["cam0"]


CHAIN = """\
cam0:
  camera_model: omni
  intrinsics: [0.8, 833.0, 830.345, 373.850, 253.749]
  distortion_model: none
  distortion_coeffs: []
  resolution: [752, 480]
cam1:
  T_cn_cnm1:
  - [0.99998854, 0.00216014, 0.00427195, -0.11003785]
  - [-0.00221074, 0.99992702, 0.01187697, 0.00045792]
  - [-0.00424598, -0.01188627, 0.99992034, -0.00064487]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0]
  camera_model: pinhole
  distortion_coeffs:
  - -0.27
  - 0.067
  - 8.7e-4
  - 0.00011
  distortion_model: equidistant
  intrinsics: [461.629, 460, 362.680, 246.049]
  resolution: [376, 240]
"""


def test_a_chain_as_kalibr_writes_it(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(CHAIN)
    rig = read_rig(path)
    assert rig.names == ("cam0", "cam1")
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 3], (30, 3))
    entries = yaml.safe_load(CHAIN)
    entries["cam1"]["distortion_coeffs"] = list(map(float, entries["cam1"]["distortion_coeffs"]))
    for name, camera in zip(rig.names, rig.cameras):
        np.testing.assert_allclose(
            camera.project(points), kalibr_project(entries[name], points) + 0.5, atol=1e-9
        )
    R = rig.cam_from_rig[1].rotation
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(R, np.array(entries["cam1"]["T_cn_cnm1"])[:3, :3], atol=1e-4)
    assert read_calibration(path, (376, 240)) == rig.cameras[1]
    for size in (None, (10, 10)):
        with pytest.raises(
            ValueError, match=r"found 2 \(cam0 of 752x480, cam1 of 376x240\); keep the one.*read_rig"
        ):
            read_calibration(path, size)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("camera_model: omni", "camera_model: fish", "cam0: expected one of pinhole, omni, eucm, ds"),
        ("distortion_model: none", "distortion_model: thin", "expected one of radtan"),
        ("[0.8, 833.0", "[833.0", "expected 5 numbers, found 4"),
        (
            "none\n  distortion_coeffs: []",
            "radtan\n  distortion_coeffs: [1, 2, 3, 4]",
            "no model for omni with radtan",
        ),
        ("[0.8,", "[-0.8,", "xi of omni"),
        ("833.0", "-833.0", "focal"),
        ("[752, 480]", "[752.5, 480]", "width and height"),
        ("[752, 480]", "[1e400, 480]", "finite"),
        ("cam1:", "cam2:", "without a gap"),
        ("T_cn_cnm1", "T_cam_imu", "T_cn_cnm1: expected the pose"),
        ("0.99998854", "0.5", "expected a rotation"),
        ("[0.0, 0.0, 0.0, 1.0]", "[0.0, 0.0, 0.0, 2.0]", "last row"),
        ("- -0.27", "- x", "finite numbers"),
    ],
)
def test_chains_that_are_wrong(tmp_path, old, new, message):
    path = tmp_path / "camchain.yaml"
    assert old in CHAIN
    path.write_text(CHAIN.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)


def test_pycolmap_reads_its_files(tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    rig = two(6)
    write_calibration(tmp_path / "cameras.txt", rig.cameras[0], "colmap")
    write_calibration(tmp_path / "model", rig, "colmap")
    theirs = pycolmap.Reconstruction(str(tmp_path / "model"))
    sensor = next(iter(theirs.rigs.values())).sensor_from_rig(
        pycolmap.sensor_t(pycolmap.SensorType.CAMERA, 2)
    )
    np.testing.assert_allclose(sensor.matrix(), rig.cam_from_first()[1].matrix4()[:3], atol=1e-12)
    assert list(theirs.cameras[2].params) == list(rig.cameras[1].params)
    assert (tmp_path / "cameras.txt").read_text().splitlines()[1].startswith("1 OPENCV 640 480 ")
    assert len(read_colmap(tmp_path / "model").rigs) == 1


def test_opencv_stereo_in_two_files(tmp_path):
    """As its sample writes them; the second is looked for beside the first, and the size is not in them."""
    cv2 = pytest.importorskip("cv2")
    rig = two(7)
    write_calibration(tmp_path / "one.yml", rig, "opencv")
    both = cv2.FileStorage(str(tmp_path / "one.yml"), cv2.FILE_STORAGE_READ)
    for name, keys in (("intrinsics.yml", ("M1", "D1", "M2", "D2")), ("extrinsics.yml", ("R", "T"))):
        if name == "extrinsics.yml":
            with pytest.raises(ValueError, match=r"expected R and T, .* extrinsics\.yml"):
                read_rig(tmp_path / "intrinsics.yml", (640, 480))
        storage = cv2.FileStorage(str(tmp_path / name), cv2.FILE_STORAGE_WRITE)
        for key in keys:
            storage.write(key, both.getNode(key).mat())
        storage.release()
    found = read_rig(tmp_path / "intrinsics.yml", (640, 480))
    assert_same_camera(found.cameras[1], rig.cameras[1])
    np.testing.assert_allclose(found.cam_from_rig[1].matrix4(), rig.cam_from_first()[1].matrix4(), atol=1e-12)
    with pytest.raises(ValueError, match="size"):
        read_rig(tmp_path / "intrinsics.yml")
    with pytest.raises(ValueError, match="found 2"):
        read_calibration(tmp_path / "intrinsics.yml", (640, 480))


MRCAL = """
import json, sys, numpy as np, mrcal
m = mrcal.cameramodel(sys.argv[1])
points = np.array(json.loads(sys.argv[2]))
cam = mrcal.transform_point_rt(m.extrinsics_rt_fromref(), points)
print(json.dumps([mrcal.project(cam, *m.intrinsics()).tolist(), list(map(int, m.imagersize()))]))
"""


@pytest.mark.parametrize("model", HELD["mrcal"])
def test_mrcal_reads_its_files(tmp_path, model):
    rig = two(9, model)
    write_calibration(tmp_path / "m", rig, "mrcal")
    path = tmp_path / "m" / "right.cameramodel"
    points = np.random.default_rng(0).uniform([-0.5, -0.5, 1], [0.5, 0.5, 2], (20, 3))
    points = rig.cam_from_rig[1].inverse().act(points)  # in front of the right camera
    held = ast.literal_eval(path.read_text())
    assert held["imagersize"] == [640, 480] and held["lensmodel"].startswith("LENSMODEL_")
    python = "/usr/bin/python3"
    if (
        not Path(python).exists()
        or subprocess.run([python, "-c", "import mrcal"], capture_output=True).returncode
    ):
        pytest.skip("needs mrcal")
    done = subprocess.run(
        [python, "-c", MRCAL, str(path), json.dumps(points.tolist())],
        capture_output=True,
        text=True,
        check=True,
    )
    pixels, size = json.loads(done.stdout)
    assert size == [640, 480]
    expected = rig.cameras[1].project(rig.cam_from_rig[1].act(points))
    np.testing.assert_allclose(np.array(pixels) + 0.5, expected, atol=1e-9)


# Files from outside.

GOOD_MODEL = {
    "lensmodel": "LENSMODEL_OPENCV4",
    "intrinsics": [500, 510, 319.5, 239.5, 0.1, 0.2, 0.01, 0.02],
    "extrinsics": [0, 0, 0, 0, 0, 0],
    "imagersize": [640, 480],
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('touch pwned')", "Python dictionary"),
        ("{'lensmodel': open('/etc/passwd').read()}", "Python dictionary"),
        ("{'lensmodel': 'LENSMODEL_OPENCV4' * 9}", "Python dictionary"),
        ("[1, 2]", "dictionary"),
        ("(" * 100_000, "Python dictionary"),
        ("-" * 100_000 + "1", "Python dictionary"),
        ("{", "Python dictionary"),
        ("", "Python dictionary"),
        (repr(GOOD_MODEL | {"lensmodel": "LENSMODEL_CAHVOR"}), "mrcal-convert-lensmodel"),
        (repr(GOOD_MODEL | {"lensmodel": 4}), "lensmodel"),
        (repr(GOOD_MODEL | {"intrinsics": [1, 2]}), "expected 8 numbers, found 2"),
        (repr(GOOD_MODEL | {"intrinsics": [[[1]]] * 8}), "finite numbers"),
        (repr(GOOD_MODEL | {"extrinsics": "x"}), "finite numbers"),
        (repr(GOOD_MODEL | {"imagersize": [0, 480]}), "width and height"),
        (repr(GOOD_MODEL | {"imagersize": [10**30, 480]}), "width and height"),
        (repr(GOOD_MODEL | {"imagersize": [True, 480]}), "finite numbers"),
    ],
    ids=lambda value: value[:30],
)
def test_cameramodels_that_are_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.cameramodel"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600
    assert not (tmp_path / "pwned").exists()


def test_a_cameramodel_of_mrcals(tmp_path):
    path = tmp_path / "c.cameramodel"
    path.write_text(f"# a note\n{GOOD_MODEL!r}\n")
    assert_same_camera(
        read_calibration(path), Camera("OPENCV", 640, 480, [500, 510, 320, 240, 0.1, 0.2, 0.01, 0.02])
    )


DEEP = 100_000


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "[" * DEEP, "nested too deeply"),
        ("c.yaml", "{a: " * DEEP, "nested too deeply"),
        ("c.yaml", "- " * DEEP + "1", "nested too deeply"),
        ("c.json", "[" * DEEP, "JSON"),
        ("c.xml", "<a>" * DEEP + "</a>" * DEEP, "nested too deeply"),
        ("c.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><opencv_storage><K>&b;</K></opencv_storage>", "entities"),
        ("c.yaml", "K: !!python/object/apply:os.system ['touch pwned']", "finite numbers"),
        ("c.yaml", "K: &a [*a]", "recursive"),
        ("c.yaml", "a: &a [" + "1, " * 3000 + "1]\nK: [" + "*a, " * 3000 + "*a]", "more than 1000"),
        (
            "c.yaml",
            "camera_matrix: {rows: 2000000000, cols: 2000000000, data: [1, 2]}",
            "3x3 camera matrix",
        ),
        ("c.yaml", "K: [1, 0, 1, 0, 1, 1, 0, 0, 1]\nimage_width: 1e18\nimage_height: 4", "width and height"),
        ("c.yaml", "a\0b: 1", "YAML"),
        ("c.yaml", b"\xff\xfe\x00", "UTF-8"),
        ("c.yaml", b" " * (9 << 20), "at most 8 MiB"),
        (
            "c.yaml",
            "cam0: {camera_model: pinhole, intrinsics: {data: [1]}, resolution: [1, 1]}",
            "expected 4",
        ),
        ("rig.json", '{"cameras": []}', "list of cameras"),
        ("rig.json", '{"cameras": [3]}', "expected name, camera"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_files_that_are_refused(tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_calibration(path, (640, 480))
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000
    assert not (tmp_path / "pwned").exists()


# rig.json


@given(seed=st.integers(0, 2**32 - 1), model=st.sampled_from(sorted(MODELS)))
@settings(max_examples=30)
def test_rig_json_is_exact(tmp_path_factory, seed, model):
    path = tmp_path_factory.getbasetemp() / "rig.json"
    rng = np.random.default_rng(seed)
    rig = CameraRig(("links", "водопад"), (lens(seed, model), lens(seed + 1, model)), (make_pose(rng),) * 2)
    write_rig_json(path, rig)
    found = read_rig_json(path)
    assert (found.names, found.cameras) == (rig.names, rig.cameras)
    for pose, expected in zip(found.cam_from_rig, rig.cam_from_rig):
        assert_same_pose(pose, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "expected a name"),
        ({"name": ""}, "name of its own"),
        ({"camera": {"model": "PINHOLE"}}, "height, params, width"),
        ({"cam_from_rig": 3}, "rotation_wxyz"),
        ({"cam_from_rig": {"rotation_wxyz": [0, 0, 0, 0], "translation_m": [0, 0, 0]}}, "quaternion"),
        ({"cam_from_rig": {"rotation_wxyz": [1, 0, 0, 0], "translation_m": [0, 0]}}, "expected 3 numbers"),
    ],
)
def test_rig_json_that_is_wrong(tmp_path, change, message):
    path = tmp_path / "rig.json"
    write_rig_json(path, two(0))
    content = json.loads(path.read_text())
    content["cameras"][1] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)


def test_what_is_no_rig(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rig(tmp_path / "none.json")
    with pytest.raises(ValueError, match="found nothing"):
        read_rig(tmp_path)
    write_calibration(tmp_path / "c.yaml", lens(0, "OPENCV"), "ros")
    with pytest.raises(ValueError, match="expected a rig"):
        read_rig(tmp_path / "c.yaml")
    write_calibration(tmp_path / "d.yaml", lens(0, "OPENCV"), "ros")
    with pytest.raises(ValueError, match="expected a stereo pair"):
        read_rig(tmp_path)
