"""COLMAP models: what is written is read back, by us and by pycolmap; what is broken is refused."""

import dataclasses
import struct
import time
import zlib  # noqa: F401  before pycolmap, which brings its own
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io import colmap_format, read_colmap, write_colmap
from geo3d.io.colmap_binary import read_cameras, read_frames, read_images, read_points, read_rigs
from geo3d.scene import Points, Reconstruction, Track, View

from .scenes import assert_same, assert_same_pose, make_camera, make_scene, scenes

FORMATS = ("bin", "txt")


@given(scenes, st.sampled_from(FORMATS))
@settings(max_examples=40)
def test_what_is_written_is_read(tmp_path_factory, scene, format):
    folder = tmp_path_factory.mktemp("model")
    write_colmap(scene, folder, format)
    assert sorted(p.stem for p in folder.iterdir()) == ["cameras", "frames", "images", "points3D", "rigs"]
    found = read_colmap(folder)
    assert_same(found, scene)
    assert set(found.rigs) >= set(scene.rigs) and set(found.frames) >= set(scene.frames)
    for rig_id, rig in scene.rigs.items():
        assert found.rigs[rig_id].ref_camera_id == rig.ref_camera_id
        for camera_id, pose in rig.sensor_from_rig.items():
            assert_same_pose(found.rigs[rig_id].sensor_from_rig[camera_id], pose)
    for frame_id, frame in scene.frames.items():
        assert found.frames[frame_id].view_ids == frame.view_ids
        assert_same_pose(found.frames[frame_id].rig_from_world, frame.rig_from_world)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(FORMATS))
@settings(max_examples=15)
def test_pycolmap_reads_what_is_written(tmp_path_factory, seed, rigged, format):
    pycolmap = pytest.importorskip("pycolmap")
    scene = make_scene(seed, 5, 25, rigged)
    if format == "txt":  # COLMAP's own reader of text cuts names at the first space
        for view in scene.views.values():
            view.name = view.name.replace(" ", "_")
    folder = tmp_path_factory.mktemp("model")
    write_colmap(scene, folder, format)
    model = pycolmap.Reconstruction(str(folder))
    assert sorted(model.reg_image_ids()) == scene.registered()
    for camera_id, camera in scene.cameras.items():
        other = model.cameras[camera_id]
        assert (other.model.name, other.width, other.height) == (camera.model, camera.width, camera.height)
        assert np.array_equal(other.params, camera.params)
    for view_id in scene.registered():
        image, view = model.images[view_id], scene.views[view_id]
        assert (image.name, image.camera_id) == (view.name, view.camera_id)
        np.testing.assert_allclose(
            image.cam_from_world().matrix()[:, :3], view.cam_from_world.rotation, atol=1e-13
        )
        np.testing.assert_allclose(
            image.cam_from_world().matrix()[:, 3], view.cam_from_world.translation, rtol=1e-9
        )
        assert np.array_equal(np.array([p.xy for p in image.points2D]).reshape(-1, 2), view.keypoints)
    assert len(model.points3D) == len(scene.points)
    for row, track in enumerate(scene.points):
        point = model.points3D[row + 1]
        assert np.array_equal(point.xyz, track.xyz) and np.array_equal(point.color, track.color)
        assert point.error == (-1 if np.isnan(track.error_px) else track.error_px)
        seen = {(e.image_id, e.point2D_idx) for e in point.track.elements}
        assert seen == set(zip(track.view_ids.tolist(), track.keypoints.tolist(), strict=True))
        assert all(model.images[i].points2D[k].point3D_id == row + 1 for i, k in seen)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rigged", [False, True])
def test_reads_what_pycolmap_writes(tmp_path, format, rigged):
    pycolmap = pytest.importorskip("pycolmap")
    scene = make_scene(5, 6, 30, rigged)
    for view in scene.views.values():
        view.name = view.name.replace(" ", "_")
    write_colmap(scene, tmp_path / "ours")
    model = pycolmap.Reconstruction(str(tmp_path / "ours"))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (model.write_binary if format == "bin" else model.write_text)(str(theirs))
    found = read_colmap(theirs)
    assert set(found.cameras) == set(scene.cameras) and list(found.views) == scene.registered()
    for camera_id, camera in found.cameras.items():
        np.testing.assert_allclose(camera.params, scene.cameras[camera_id].params, rtol=1e-15)
    np.testing.assert_allclose(found.points.xyz, scene.points.xyz, rtol=1e-15)
    assert np.array_equal(found.points.track_lengths, scene.points.track_lengths)
    assert bool(found.rigs) == rigged


@pytest.mark.parametrize("format", FORMATS)
def test_models_of_older_colmap_have_no_rigs(tmp_path, format):
    scene = make_scene(1)
    write_colmap(scene, tmp_path, format)
    for stem in ("rigs", "frames"):
        (tmp_path / f"{stem}.{format}").unlink()
    assert_same(read_colmap(tmp_path), scene)


def test_frames_without_rigs_are_refused(tmp_path):
    write_colmap(make_scene(1), tmp_path)
    (tmp_path / "rigs.bin").unlink()
    with pytest.raises(FileNotFoundError, match="rigs"):
        read_colmap(tmp_path)


def test_binary_is_preferred_and_the_missing_model_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cameras.bin, images.bin, points3D.bin.*nothing"):
        read_colmap(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_colmap(tmp_path / "not there")
    write_colmap(make_scene(1), tmp_path / "a", "bin")
    write_colmap(make_scene(2), tmp_path / "b", "txt")
    assert (colmap_format(tmp_path / "a"), colmap_format(tmp_path / "b")) == ("bin", "txt")
    for path in (tmp_path / "b").iterdir():
        path.rename(tmp_path / "a" / path.name)
    assert_same(read_colmap(tmp_path / "a"), make_scene(1))


def test_writing_replaces_a_model_and_nothing_else(tmp_path):
    folder = tmp_path / "0"
    write_colmap(make_scene(1), folder, "txt")
    write_colmap(make_scene(2), folder, "bin")
    assert {p.suffix for p in folder.iterdir()} == {".bin"}
    (folder / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"holiday\.jpg"):
        write_colmap(make_scene(3), folder)
    assert_same(read_colmap(folder), make_scene(2))
    assert [p.name for p in tmp_path.iterdir()] == ["0"]


def test_a_failed_write_leaves_the_old_model(tmp_path, monkeypatch):
    write_colmap(make_scene(1), tmp_path / "0")
    monkeypatch.setattr("geo3d.io.colmap_binary.pack_points", lambda points: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_colmap(make_scene(2), tmp_path / "0")
    assert_same(read_colmap(tmp_path / "0"), make_scene(1))
    assert [p.name for p in tmp_path.iterdir()] == ["0"]


def _one_view(**changes) -> Reconstruction:
    view = View("a.jpg", 1, SE3.identity(), np.zeros((3, 2)))
    scene = Reconstruction({1: make_camera(np.random.default_rng(0), "PINHOLE")}, {1: view})
    return dataclasses.replace(scene, **changes)


def _points(*observations: list[tuple[int, int]]) -> Points:
    tracks = [
        Track(
            np.zeros(3), np.zeros(3, np.uint8), 0.0, np.array([v for v, _ in o]), np.array([k for _, k in o])
        )
        for o in observations
    ]
    return Points.from_tracks(tracks)


@pytest.mark.parametrize(
    "scene, message",
    [
        (
            _one_view(
                cameras={1: Camera("BROWN_CONRADY_5", 640, 480, [300, 300, 320, 240, 0.1, 0, 0, 0, 0])}
            ),
            "nearest",
        ),
        (_one_view(points=_points([(1, 3)])), "keypoint 3 of image 1, which has 3"),
        (_one_view(points=_points([(1, -1)])), "keypoint -1"),
        (_one_view(points=_points([(2, 0)])), "image 2, which is not there"),
        (_one_view(points=_points([(1, 0)], [(1, 0)])), "same keypoint of view 1"),
        (_one_view(views={1: View("../a.jpg", 1, SE3.identity())}), "outside|below"),
        (_one_view(views={1: View("/a.jpg", 1, SE3.identity())}), "below"),
        (_one_view(views={1: View("a\n.jpg", 1, SE3.identity())}), "below"),
        (_one_view(views={1: View("a.jpg", 2, SE3.identity())}), "camera 2"),
        (_one_view(views={2**32: View("a.jpg", 1, SE3.identity())}), "ids"),
    ],
)
def test_scenes_that_colmap_cannot_hold(tmp_path, scene, message):
    with pytest.raises(ValueError, match=message):
        write_colmap(scene, tmp_path / "0")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stem", ["cameras", "images", "points3D", "rigs", "frames"])
def test_truncated_binary(tmp_path, stem):
    write_colmap(make_scene(4, 4, 12, rigged=True), tmp_path)
    path = tmp_path / f"{stem}.bin"
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"{stem}\.bin.*expected|claims"):
            read_colmap(tmp_path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="more bytes"):
        read_colmap(tmp_path)


@pytest.mark.parametrize("stem", ["cameras", "images", "points3D", "rigs", "frames"])
def test_truncated_text_is_read_as_less_or_refused(tmp_path, stem):
    scene = make_scene(4, 4, 12, rigged=True)
    write_colmap(scene, tmp_path, "txt")
    path = tmp_path / f"{stem}.txt"
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        try:
            read_colmap(tmp_path)  # a cut at the end of a line, or inside of the last number, cannot be seen
        except ValueError as error:
            assert str(tmp_path) in str(error)


@pytest.fixture(scope="module", params=FORMATS)
def model(request, tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """Folder and files of a model with a rig."""
    folder = tmp_path_factory.mktemp(request.param)
    write_colmap(make_scene(4, 3, 8, rigged=True), folder, request.param)
    return folder, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


JUNK = st.sampled_from([b"", b"-1", b"x", b"1e999", b"nan", b"9" * 30, b"\n", b"\0", b"0", b"\xff", b"1_0"])


@given(st.data())
@settings(max_examples=200)
def test_damaged_files_give_a_value_error_or_a_scene(model, data):
    folder, files = model
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    for _ in range(data.draw(st.integers(1, 3))):
        if name.endswith(".txt"):
            tokens = content.split(b" ")
            tokens[data.draw(st.integers(0, len(tokens) - 1))] = data.draw(JUNK)
            content = b" ".join(tokens)
        else:
            at = data.draw(st.integers(0, len(content) - 1))
            content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    (folder / name).write_bytes(content)
    try:
        read_colmap(folder)
    except ValueError as error:
        assert str(folder) in str(error)
    finally:
        (folder / name).write_bytes(files[name])


@pytest.mark.parametrize("count", [2**20, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("read", [read_cameras, read_images, read_points, read_rigs, read_frames])
def test_claimed_counts_take_no_memory(tmp_path, read, count):
    path = tmp_path / "x.bin"
    path.write_bytes(struct.pack("<Q", count) + bytes(200))
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=f"claims {count}"):
        read(path)
    assert time.perf_counter() - begin < 1


def test_claimed_lengths_take_no_memory(tmp_path):
    image = struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 0, 1) + b"a.jpg\0"
    point = struct.pack("<Q3d3Bd", 1, 0, 0, 0, 1, 2, 3, 0.5)
    for read, record in ((read_images, image), (read_points, point)):
        (tmp_path / "x.bin").write_bytes(struct.pack("<Q", 1) + record + struct.pack("<Q", 2**62) + bytes(99))
        with pytest.raises(ValueError, match=r"claims"):
            read(tmp_path / "x.bin")


@pytest.mark.parametrize("name", ["../b.jpg", "/etc/passwd", "a/../../b.jpg", "C:\\b.jpg", "..\\b.jpg"])
@pytest.mark.parametrize("format", FORMATS)
def test_names_that_lead_out_of_the_folder(tmp_path, name, format):
    write_colmap(_one_view(), tmp_path, format)
    path = tmp_path / f"images.{format}"
    path.write_bytes(path.read_bytes().replace(b"a.jpg", name.encode()))
    with pytest.raises(ValueError, match="below the images folder"):
        read_colmap(tmp_path)


def test_point_ids_give_the_order(tmp_path):
    """COLMAP's ids have gaps and come in any order; ours are rows."""
    write_colmap(_one_view(), tmp_path)
    record = struct.Struct("<Q3d3BdQ")
    points = [record.pack(i, i, 0, 0, 1, 2, 3, -1.0, 0) for i in (70, 5, 2**40)]
    (tmp_path / "points3D.bin").write_bytes(struct.pack("<Q", 3) + b"".join(points))
    assert read_colmap(tmp_path).points.xyz[:, 0].tolist() == [5, 70, 2**40]
    (tmp_path / "points3D.bin").write_bytes(struct.pack("<Q", 2) + points[0] * 2)
    with pytest.raises(ValueError, match="twice"):
        read_colmap(tmp_path)


def test_rig_poses_follow_the_views(tmp_path):
    """The views' poses count: a frame whose pose is not known gets it from a view, also of another sensor."""
    scene = make_scene(3, 4, 10, rigged=True)
    expected = scene.frames[3].rig_from_world
    for keep in (0, 1):
        frame = scene.frames[3]
        views = (frame.view_ids[keep],)
        part = dataclasses.replace(
            scene, frames={3: dataclasses.replace(frame, view_ids=views, rig_from_world=None)}
        )
        if keep == 1:
            part.views = {i: v for i, v in scene.views.items() if i != frame.view_ids[0]}
            part.points = Points.empty()
        write_colmap(part, tmp_path / str(keep))
        assert_same_pose(read_colmap(tmp_path / str(keep)).frames[3].rig_from_world, expected)


@pytest.mark.parametrize("format", FORMATS)
def test_large_models_are_fast(tmp_path: Path, format):
    """100,000 points with 400,000 observations (a quarter as text): a fraction of a second each way."""
    count, views = (100_000 if format == "bin" else 25_000), 40
    rng = np.random.default_rng(0)
    rows = np.arange(4 * count) // views
    scene = _one_view(
        views={
            i + 1: View(f"{i}.jpg", 1, SE3.identity(), rng.random((4 * count // views, 2)))
            for i in range(views)
        },
        points=Points(
            rng.normal(size=(count, 3)),
            rng.integers(0, 256, (count, 3)).astype(np.uint8),
            rng.random(count),
            np.arange(0, 4 * count + 1, 4),
            np.arange(4 * count) % views + 1,
            rows,
        ),
    )
    begin = time.process_time()
    write_colmap(scene, tmp_path / "0", format)
    assert_same(read_colmap(tmp_path / "0"), scene)
    assert time.process_time() - begin < 8  # far above what it takes, so that a slow machine passes
