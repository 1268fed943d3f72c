"""Every line of docs/conventions.md, by the test of its name."""

import json
import re
import sqlite3
import zlib  # noqa: F401 - before pycolmap, whose own zlib would stand in its way
from pathlib import Path

import numpy as np
import pytest

import geo3d
from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SE3, SO3, EnuFrame, Sim3, rotation_angle, umeyama_robust
from geo3d.images import Gps, list_photos, photo_size, read_exif, read_image
from geo3d.io import (
    ColmapDatabase,
    read_calibration,
    read_colmap,
    read_transforms,
    write_calibration,
    write_colmap,
    write_transforms,
)
from geo3d.scene import Frame, Points, Reconstruction, Rig, Track, View
from geo3d.sfm import (
    BundleOptions,
    BundlePriors,
    BundleProblem,
    KnownPlace,
    bundle_adjust,
    georeference,
    photo_positions,
    read_ground_control,
    solve_bundle,
    transform_model,
)
from geo3d.synthetic import make_scene, make_two_view

ROOT = Path(__file__).parents[1]
PINHOLE = Camera("PINHOLE", 640, 480, [500, 510, 322, 238])


def rows_of_the_table():
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row not in ("item", "---")]


def test_each_line_of_the_table_has_its_test():
    names = {f"test_{re.sub(r'[^a-z0-9]+', '_', row.lower()).strip('_')}" for row in rows_of_the_table()}
    tests = {name for name in globals() if name.startswith("test_")} - {
        "test_each_line_of_the_table_has_its_test"
    }
    assert len(names) >= 20
    assert names == tests


@pytest.fixture
def scene():
    return make_scene(views=4, points=60, camera=PINHOLE, seed=3).reconstruction


def colmap_model(reconstruction, folder, kind="bin"):
    pycolmap = pytest.importorskip("pycolmap")
    write_colmap(reconstruction, folder, kind)
    return pycolmap.Reconstruction(str(folder))


def test_pose(scene, tmp_path):
    pose = SE3.exp([1.0, 2, 3, 0.4, 0.5, 0.6])
    x = np.array([0.3, -0.2, 0.9])
    np.testing.assert_allclose(pose.act(x), pose.rotation @ x + pose.translation)
    rig_from_world, cam_from_rig = pose, SE3.exp([0.1, 0, 0, 0, 0.2, 0])
    cam_from_world = cam_from_rig @ rig_from_world
    np.testing.assert_allclose(cam_from_world.act(x), cam_from_rig.act(rig_from_world.act(x)))
    model = colmap_model(scene, tmp_path / "model")
    for view_id, view in scene.views.items():
        theirs = model.images[view_id].cam_from_world().matrix()
        np.testing.assert_allclose(theirs, view.cam_from_world.matrix4()[:3], atol=1e-12)


def test_camera_axes():
    camera = Camera.from_focal("PINHOLE", 640, 480, 500)
    np.testing.assert_allclose(camera.project([0.0, 0, 1]), [320, 240])  # forward
    assert camera.project([0.1, 0, 1])[0] > 320  # right
    assert camera.project([0, 0.1, 1])[1] > 240  # down
    for axes in np.eye(3):
        assert np.cross(axes, np.roll(axes, 1)) @ np.roll(axes, 2) == 1  # right-handed


def test_world(scene):
    similarity = Sim3.exp([10.0, -5, 3, 0.5, 1.0, -0.3, 0.7])
    for view in scene.views.values():
        pose = view.cam_from_world
        rotation = pose.rotation @ similarity.rotation.T
        moved = SE3(rotation, similarity.scale * pose.translation - rotation @ similarity.translation)
        before = PINHOLE.project(pose.act(scene.points.xyz))
        after = PINHOLE.project(moved.act(similarity.act(scene.points.xyz)))
        np.testing.assert_allclose(after, before, atol=1e-8)


def test_world_of_a_scene(scene):
    frame = EnuFrame(46.6412, 8.0312, 1420.0)
    there = {v.name: frame.to_geodetic(v.cam_from_world.center()) for v in scene.views.values()}
    gps = {name: Gps(*place, horizontal_std_m=0.02, vertical_std_m=0.02) for name, place in there.items()}
    hidden = transform_model(scene, Sim3.exp([10.0, -5, 3, 0.5, 1.0, -0.3, 0.7]))
    placed = georeference([hidden], KnownPlace(photo_positions(gps)))
    origin = placed.result.to_json()["origin"]
    world = EnuFrame(origin["latitude_deg"], origin["longitude_deg"], origin["altitude_m"])
    for view_id, view in scene.views.items():
        there = world.to_geodetic(placed.models[0].views[view_id].cam_from_world.center())
        np.testing.assert_allclose(frame.from_geodetic(there), view.cam_from_world.center(), atol=1e-5)
    alone = georeference([hidden], KnownPlace()).models[0]
    up = np.mean([-v.cam_from_world.rotation[1] for v in alone.views.values()], axis=0)
    assert up[2] > 0.8 * np.linalg.norm(up)


def test_heights(tmp_path):
    (tmp_path / "gcp_list.txt").write_text("EPSG:32632\n425000 5165000 1432.25 10 20 a.jpg A\n")
    (point,) = read_ground_control(tmp_path / "gcp_list.txt").points
    assert point.geodetic[2] == 1432.25
    assert photo_positions({"a": Gps(46.0, 8.0, 1400.5)})[0].geodetic[2] == 1400.5


def test_pixels_of_ground_control(tmp_path):
    (tmp_path / "gcp_list.txt").write_text("EPSG:4326\n8 46 500 0 0 a.jpg A\n8 46 500 99 49 b.jpg A\n")
    (point,) = read_ground_control(tmp_path / "gcp_list.txt").points
    np.testing.assert_array_equal(point.clicks["a.jpg"], [0.5, 0.5])
    np.testing.assert_array_equal(point.clicks["b.jpg"], [99.5, 49.5])


def blob(x, y, size=(96, 80), sigma=4.0):
    """Photo (H, W) with one bright blob around the centre of pixel column x, row y."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    bright = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return (40 + 180 * bright).astype(np.uint8)


def test_pixel_centre():
    from geo3d.features import extract

    found = extract(blob(41, 30))
    nearest = np.abs(found.keypoints - [41.5, 30.5]).max(axis=1).min()
    assert nearest < 0.1
    # the image ends at its width and height, and a resize only scales
    camera = Camera.from_focal("SIMPLE_RADIAL", 640, 480, 500)
    np.testing.assert_allclose(camera.principal_point, [320, 240])
    np.testing.assert_allclose(camera.rescaled(320, 240).principal_point, [160, 120])
    small = camera.rescaled(160, 120)
    np.testing.assert_allclose(4 * small.project([0.3, -0.2, 1.5]), camera.project([0.3, -0.2, 1.5]))


def test_opencv_boundary():
    cv2 = pytest.importorskip("cv2")
    camera = Camera("OPENCV", 640, 480, [500, 510, 322, 238, -0.1, 0.02, 0.001, -0.002])
    x = np.random.default_rng(0).normal(size=(20, 3)) * [0.3, 0.2, 0.1] + [0, 0, 2]
    matrix = camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    theirs = cv2.projectPoints(x, np.zeros(3), np.zeros(3), matrix, np.array(camera.params[4:8]))[0][:, 0]
    np.testing.assert_allclose(camera.project(x), theirs + 0.5, atol=1e-9)


def test_pixel_centres_in_files(scene, tmp_path):
    np.savetxt(tmp_path / "K.txt", [[500, 0, 321.5], [0, 510, 237.5], [0, 0, 1]])
    np.testing.assert_allclose(read_calibration(tmp_path / "K.txt", size=(640, 480)).params, PINHOLE.params)
    model = colmap_model(scene, tmp_path / "model")
    np.testing.assert_array_equal(model.cameras[1].params, PINHOLE.params)
    np.testing.assert_allclose(model.images[1].points2D[0].xy, scene.views[1].keypoints[0])
    write_transforms(scene, tmp_path / "transforms.json")
    content = json.loads((tmp_path / "transforms.json").read_text())
    frame = {**content, **content["frames"][0]}
    np.testing.assert_allclose([frame["cx"], frame["cy"]], [322, 238])
    for format, shift in (
        ("geo3d", 0),
        ("colmap", 0),
        ("opencv", 0.5),
        ("ros", 0.5),
        ("kalibr", 0.5),
        ("mrcal", 0.5),
    ):
        write_calibration(tmp_path / "c", PINHOLE, format)
        numbers = set(re.findall(r"\d+\.\d+", (tmp_path / "c").read_text()))
        assert {str(322.0 - shift), str(238.0 - shift)} <= numbers


def write_png(path, pixels):
    from PIL import Image

    Image.fromarray(pixels).save(path)


def test_arrays(tmp_path):
    red = np.zeros((4, 7, 3), np.uint8)
    red[1, 5] = [255, 10, 0]
    write_png(tmp_path / "red.png", red)
    photo = read_image(tmp_path / "red.png")
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, red)
    points = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (2, 5, 3))
    pixels = PINHOLE.project(points)
    assert pixels.shape == (2, 5, 2)
    assert PINHOLE.unproject(pixels).shape == (2, 5, 3)
    right, below = PINHOLE.project([1.0, 0, 5]), PINHOLE.project([0, 1.0, 5])
    assert right[0] > below[0] and right[1] < below[1]


def test_sizes(tmp_path):
    write_png(tmp_path / "wide.png", np.zeros((4, 7, 3), np.uint8))
    assert photo_size(tmp_path / "wide.png") == (7, 4)
    camera = Camera("PINHOLE", 7, 4, [5, 5, 3.5, 2])
    assert (camera.width, camera.height) == (7, 4)
    twice = camera.rescaled(14, 8)
    assert (twice.width, twice.height) == (14, 8)


def test_quaternion(scene, tmp_path):
    half = SO3.exp([0, 0, np.pi / 2])
    np.testing.assert_allclose(half.quaternion(), [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    assert SO3.exp([0, 0, 3.5]).quaternion()[0] >= 0
    write_colmap(scene, tmp_path / "text", "txt")
    lines = (tmp_path / "text" / "images.txt").read_text().splitlines()
    first = next(line.split() for line in lines if line and not line.startswith("#"))
    written = np.array(first[1:5], float)
    expected = scene.views[int(first[0])].cam_from_world.quaternion()
    np.testing.assert_allclose(written * np.sign(written[0]), expected, atol=1e-12)


def test_tangent():
    np.testing.assert_allclose(SE3.exp([1, 2, 3, 0, 0, 0]).translation, [1, 2, 3])
    np.testing.assert_allclose(SE3.exp([0, 0, 0, 0, 0, 0.3]).rotation, SO3.exp([0, 0, 0.3]).matrix)
    np.testing.assert_allclose(Sim3.exp([0, 0, 0, 0, 0, 0, np.log(2)]).scale, 2)


def test_angles():
    right_angle = Camera.from_focal("PINHOLE", 1000, 500, 500)
    np.testing.assert_allclose(right_angle.field_of_view()[0], np.pi / 2)
    np.testing.assert_allclose(rotation_angle(SO3.exp([0, 0.25, 0]).matrix), 0.25)
    assert {"latitude_deg", "longitude_deg"} <= set(Gps.__dataclass_fields__)


def test_dtype(tmp_path):
    single = np.ones((4, 3), np.float32)
    assert PINHOLE.project(single).dtype == np.float64
    assert PINHOLE.unproject(single[:, :2]).dtype == np.float64
    assert SE3(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)).act(single).dtype == np.float64
    assert SO3.exp(single).matrix.dtype == np.float64
    from geo3d.features import extract

    assert extract(blob(41, 30)).descriptors.dtype == np.uint8


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.in_colmap])
def test_camera_models(name):
    pycolmap = pytest.importorskip("pycolmap")
    ours = Camera.from_focal(name, 640, 480, 420)
    rng = np.random.default_rng(1)
    params = np.array(ours.params)
    distortion = list(MODELS[name].distortion_params)
    params[distortion] += 0.01 * rng.uniform(0.2, 1, len(distortion))
    ours = ours.with_params(params)
    theirs = pycolmap.Camera(model=name, width=640, height=480, params=params)
    assert int(theirs.model.value) == MODELS[name].id == ours.model_id
    assert re.split(r"[,\s]+", theirs.params_info) == list(ours.param_names)
    points = rng.normal(size=(20, 3)) * [0.4, 0.3, 0.2] + [0, 0, 2]
    np.testing.assert_allclose(ours.project(points), theirs.img_from_cam(points), atol=1e-8)


def test_bearings():
    camera = Camera.from_focal("OPENCV_FISHEYE", 1000, 1000, 270)
    pixels = np.random.default_rng(0).uniform(0, 1000, (50, 2))
    rays = camera.unproject(pixels)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1)
    np.testing.assert_allclose(camera.project(7 * rays), pixels, atol=1e-6)
    behind = camera.unproject([500.0, 5.0])  # more than 90 degrees from the axis
    assert behind[2] < 0


def test_behind_the_camera():
    assert np.isnan(PINHOLE.project([[0.1, 0.1, -1], [0.1, 0.1, 0]])).all()
    assert not PINHOLE.valid([0.1, 0.1, -1.0])
    assert np.isfinite(PINHOLE.project([100.0, 0, 1])).all()  # outside of the image is still a pixel


def test_exif_orientation(tmp_path):
    from PIL import Image

    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees for display
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    photo = read_image(tmp_path / "turned.jpg")
    assert photo.shape == (40, 60, 3)
    assert photo[:15].min() > 200 and photo[25:].max() < 50
    assert read_exif(tmp_path / "turned.jpg").orientation == 6


def test_depth():
    from geo3d.synthetic import HabitatTruth, habitat_depth, habitat_poses
    from geo3d.synthetic.habitat import make_habitat, render_depth

    camera = Camera("PINHOLE", 60, 45, [30, 30, 30, 22.5])
    first, second = poses = habitat_poses("drone", 9)[4:6]
    truth = HabitatTruth(camera, ("1.jpg", "2.jpg"), tuple(poses), (0.0, 0.0, 0.0), np.zeros((8, 3)), 0)
    depth = habitat_depth(truth, "1.jpg")
    rows, columns = np.nonzero(np.isfinite(depth))
    rays = camera.unproject(np.stack([columns, rows], -1) + 0.5)
    depth = depth[rows, columns]
    misses = []
    for reach in (depth / rays[:, 2], depth):  # depth is z; if it were range, the points would be elsewhere
        x = second.act(first.inverse().act(reach[:, None] * rays))
        again = render_depth(make_habitat(0), x[None] / np.linalg.norm(x, axis=1, keepdims=True), second)[0]
        misses.append(np.median(np.abs(again - x[:, 2])))
    assert misses[0] < 1e-6 and misses[1] > 0.01


def test_optical_flow(tmp_path):
    from geo3d.flow import optical_flow, warp_backward
    from geo3d.io import read_flow, write_flow

    scene = np.random.default_rng(0).integers(0, 255, (8, 10), np.uint8).repeat(12, 0).repeat(12, 1)
    first, second = scene[4:84, 4:104], scene[4:84, 1:101]  # what is seen moves 3 to the right
    flow = optical_flow(first, second, method="dis").flow
    assert flow.shape == (80, 100, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow, axis=(0, 1)), [3, 0], atol=0.1)
    exact = np.full((80, 100, 2), np.float32([3, 0]))
    np.testing.assert_array_equal(warp_backward(second, exact)[:, :-3], first[:, :-3])
    exact[5, 7] = np.nan
    write_flow(tmp_path / "a.flo", exact)
    raw = np.fromfile(tmp_path / "a.flo", "<f4", offset=12).reshape(80, 100, 2)
    assert raw[5, 7, 0] > 1e9
    assert raw[5, 8].tolist() == [3, 0]
    assert np.isnan(read_flow(tmp_path / "a.flo")[5, 7]).all()


def test_transforms_json(scene, tmp_path):
    (tmp_path / "images").mkdir()
    for view in scene.views.values():
        write_png(tmp_path / "images" / view.name, np.zeros((480, 640, 3), np.uint8))
    write_transforms(scene, tmp_path / "transforms.json")
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    by_name = {Path(frame["file_path"]).name: np.array(frame["transform_matrix"]) for frame in frames}
    for view in scene.views.values():
        world_from_gl = by_name[view.name]
        world_from_cam = view.cam_from_world.inverse().matrix4()
        np.testing.assert_allclose(world_from_gl, world_from_cam @ np.diag([1, -1, -1, 1]), atol=1e-9)
    again = read_transforms(tmp_path / "transforms.json").reconstruction
    for view in scene.views.values():
        expected = view.cam_from_world.matrix4()
        np.testing.assert_allclose(again.view_named(view.name).cam_from_world.matrix4(), expected, atol=1e-9)


def test_covariance(scene):
    from dataclasses import replace

    from geo3d.sfm import BundleProblem, bundle_covariance, two_view_gauge

    views = [scene.views[i] for i in scene.registered()]
    track = scene.points
    problem = BundleProblem(
        np.array([view.cam_from_world.rotation for view in views]),
        np.array([view.cam_from_world.translation for view in views]),
        np.zeros(len(views), int),
        [PINHOLE],
        track.xyz,
        track.view_ids - 1,
        track.point_rows,
        np.array([views[v - 1].keypoints[k] for v, k in zip(track.view_ids, track.keypoints)]),
    )
    with pytest.raises(ValueError, match="gauge"):
        bundle_covariance(problem, sigma_px=1.0)
    gauge = two_view_gauge(problem, 0, 1)
    assert gauge[0].all() and gauge[1, 3:].sum() == 1 and gauge.sum() == 7
    found = bundle_covariance(replace(problem, constant_pose=gauge), sigma_px=1.0)
    np.testing.assert_array_equal(np.einsum("vii->vi", found.poses) == 0, gauge)
    # a world ten times as large and turned: radians stay, lengths grow, rotation first; the axes are the camera's
    turn = SO3.exp([0.5, 1.0, -0.3])
    other = replace(
        problem,
        rotations=problem.rotations @ turn.matrix.T,
        translations=10 * problem.translations,
        points=10 * turn.act(problem.points),
        constant_pose=gauge,
    )
    units = np.array([1, 1, 1, 10, 10, 10])
    again = bundle_covariance(other, sigma_px=1.0).poses
    np.testing.assert_allclose(again, found.poses * np.outer(units, units), rtol=1e-4, atol=1e-9)


def test_gravity():
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # looks along the world's y, x to the right
    tilted = SO3.exp([0.1, 0, 0.2]).matrix @ level
    points = np.random.default_rng(0).uniform([-2, 4, -2], [2, 8, 2], (30, 3))
    pixels = PINHOLE.project(points @ tilted.T)
    np.testing.assert_allclose(level @ [0, 0, -1], [0, 1, 0])
    priors = BundlePriors(down=(tilted @ [0, 0, -1])[None], down_sigmas=np.array([0.01]))
    fallen = points @ level.T  # the same points in a world that is the level camera's frame
    start = tilted @ level.T
    problem = BundleProblem(
        start[None], np.zeros((1, 3)), np.zeros(1, int), [PINHOLE], fallen, np.zeros(30, int), np.arange(30), pixels,
        constant_camera=np.ones(1, bool), priors=priors,
    )  # fmt: skip
    result = solve_bundle(problem, BundleOptions(max_iterations=200, function_tolerance=0.0))
    np.testing.assert_allclose(result.rotations[0] @ [0, 0, -1], tilted @ [0, 0, -1], atol=1e-4)


def test_rigs(scene):
    sensor_from_rig = SE3.exp([0.1, 0, 0, 0, 0.2, 0.1])
    left, right = scene.views[1], scene.views[2]
    right.camera_id, scene.cameras[2] = 2, scene.cameras[1]
    right.cam_from_world = sensor_from_rig @ left.cam_from_world
    scene.rigs, scene.frames = {1: Rig(1, {2: sensor_from_rig})}, {1: Frame(1, (1, 2), left.cam_from_world)}
    turned = SE3(SO3.exp([0.01, 0, 0]).matrix @ left.cam_from_world.rotation, left.cam_from_world.translation)
    left.cam_from_world = turned
    bundle_adjust(scene, BundleOptions(max_iterations=0))
    np.testing.assert_allclose(scene.frames[1].rig_from_world.rotation, turned.rotation, atol=1e-14)
    moved = sensor_from_rig @ scene.frames[1].rig_from_world
    np.testing.assert_allclose(right.cam_from_world.rotation, moved.rotation, atol=1e-14)
    np.testing.assert_allclose(right.cam_from_world.translation, moved.translation, atol=1e-14)


def test_ids(tmp_path):
    names = ["b/2.png", "b/10.png", "a.png", "c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_png(tmp_path / name, np.zeros((4, 7, 3), np.uint8))
    assert list_photos(tmp_path) == sorted(names)
    frames = [{"file_path": name, "transform_matrix": np.eye(4).tolist()} for name in names]
    content = {"fl_x": 5, "fl_y": 5, "cx": 3.5, "cy": 2, "w": 7, "h": 4, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    read = read_transforms(tmp_path / "transforms.json").reconstruction
    assert [read.views[i].name for i in range(1, 5)] == sorted(names)
    track = Track(np.zeros(3), np.zeros(3, np.uint8), 0.0, np.array([1, 2]), np.array([0, 0]))
    views = {i: View(f"{i}.jpg", 1, SE3.identity(), np.ones((1, 2))) for i in (1, 2)}
    model = Reconstruction({1: PINHOLE}, views, Points.from_tracks([track]))
    assert list(colmap_model(model, tmp_path / "model").points3D) == [1]
    assert sorted(read_colmap(tmp_path / "model").views) == [1, 2]


def test_stage_key(tmp_path):
    from geo3d.images import hash_photos
    from geo3d.util.progress import Progress
    from geo3d.util.stages import Stage, StageRunner

    photo = tmp_path / "a.jpg"
    runs = []

    def run(options, version=1):
        hashes, _ = hash_photos(tmp_path, ["a.jpg"], tmp_path / "hashes.json")
        stage = Stage("count", [hashes, options], lambda _: runs.append(1), version=version)
        StageRunner(tmp_path, Progress(), geo3d.__version__)(stage)
        return len(runs)

    photo.write_bytes(b"one")
    assert run("x") == 1
    assert run("x") == 1
    photo.touch()
    assert run("x") == 1  # another date, the same content
    assert run("y") == 2  # other options
    photo.write_bytes(b"another")
    assert run("y") == 3  # other content
    assert run("y", version=2) == 4


def test_database(tmp_path):
    path = tmp_path / "database.db"
    with ColmapDatabase(path) as database, database.transaction():
        database.add_camera(PINHOLE)
        other = sqlite3.connect(path)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.close()
    assert [file.name for file in tmp_path.iterdir()] == ["database.db"]
    closed = sqlite3.connect(path)
    assert closed.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    closed.close()


def test_randomness():
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is tested
    for _ in range(2):
        one, same, other = (make_two_view(noise_px=1.0, seed=seed) for seed in (5, 5, 6))
        np.testing.assert_array_equal(one.x1, same.x1)
        assert not np.array_equal(one.x1, other.x1)
    fits = [umeyama_robust(one.points, 2 * one.points + 1, 0.1, seed=1).transform for _ in range(2)]
    np.testing.assert_array_equal(fits[0].matrix4(), fits[1].matrix4())
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for path in (ROOT / "geo3d").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        used = set(re.findall(r"np\.random\.(\w+)", source)) - {"default_rng", "Generator", "SeedSequence"}
        assert not used, f"{path} uses NumPy's global random state: {used}"
        assert not re.search(r"^(import random|from random)\b", source, re.M), path
