"""COLMAP's database: read back by us and by pycolmap, also those of older versions; broken ones are refused."""

import itertools
import os
import sqlite3
import subprocess
import sys
import zlib  # noqa: F401  before pycolmap, which brings its own

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, skew, umeyama
from geo3d.io import ColmapDatabase, PosePrior, TwoViewRecord, pair_id, pair_of, read_colmap
from geo3d.scene import Frame, Rig

from .scenes import NAMES, assert_same_pose, make_camera, make_pose

RADIAL = Camera("SIMPLE_RADIAL", 640, 480, [500, 320, 240, 0.1], prior_focal=True)


def fill(database: ColmapDatabase, seed: int = 0, columns: int = 4) -> np.random.Generator:
    """Two cameras, four images, features of three, matches and geometry of two pairs, a prior."""
    rng = np.random.default_rng(seed)
    with database.transaction():
        cameras = [database.add_camera(make_camera(rng, "OPENCV")), database.add_camera(RADIAL)]
        ids = [database.add_image(NAMES[i], cameras[i % 2]) for i in range(4)]
        for i in ids[:3]:
            database.write_keypoints(i, rng.uniform(1, 500, (20 + i, columns)).astype(np.float32))
            database.write_descriptors(i, rng.integers(0, 256, (20 + i, 128)).astype(np.uint8))
        for a, b in ((1, 2), (3, 1)):
            database.write_matches(a, b, rng.integers(0, 20, (9, 2)).astype(np.uint32))
            database.write_two_view_geometry(a, b, make_record(rng))
        database.write_pose_prior(2, PosePrior(np.array([46.8, 8.2, 1500.0])))
    return rng


def make_record(rng: np.random.Generator) -> TwoViewRecord:
    matches = rng.integers(0, 20, (7, 2)).astype(np.uint32)
    return TwoViewRecord(2, matches, *rng.normal(size=(3, 3, 3)), make_pose(rng))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data base.db"


@pytest.mark.parametrize("columns", [2, 4, 6])
def test_what_is_written_is_read(path, columns):
    with ColmapDatabase(path) as database:
        fill(database, columns=columns)
        rng = np.random.default_rng(0)
        assert database.cameras() == {1: make_camera(rng, "OPENCV"), 2: RADIAL}
        assert database.cameras()[2].prior_focal and not database.cameras()[1].prior_focal
        assert [(i.name, i.camera_id) for i in database.images().values()] == list(
            zip(NAMES[:4], [1, 2, 1, 2])
        )
        for i in (1, 2, 3):
            assert np.array_equal(
                database.keypoints(i), rng.uniform(1, 500, (20 + i, columns)).astype(np.float32)
            )
            assert np.array_equal(
                database.descriptors(i), rng.integers(0, 256, (20 + i, 128)).astype(np.uint8)
            )
        assert database.keypoints(4).shape == (0, 2) and database.descriptors(4).shape == (0, 128)
        assert database.keypoint_counts() == {1: 21, 2: 22, 3: 23}
        assert database.pairs_with_matches() == [(1, 2), (1, 3)]
        prior = database.pose_priors()[2]
        assert prior.position.tolist() == [46.8, 8.2, 1500.0] and prior.coordinate_system == "WGS84"
        assert prior.covariance is None and prior.gravity is None


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=20)
def test_pairs_can_be_told_in_both_orders(tmp_path_factory, seed, swapped):
    rng = np.random.default_rng(seed)
    a, b = (2, 1) if swapped else (1, 2)
    with ColmapDatabase(tmp_path_factory.mktemp("db") / "x.db") as database:
        fill(database)
        matches, record = rng.integers(0, 20, (5, 2)), make_record(rng)
        database.write_matches(a, b, matches)
        database.write_two_view_geometry(a, b, record)
        assert np.array_equal(database.matches(a, b), matches)
        assert np.array_equal(database.matches(b, a), matches[:, ::-1])
        for found, expected in (
            (database.two_view_geometry(a, b), record),
            (database.two_view_geometry(b, a), record.inverted()),
            (database.two_view_geometries()[1, 2], record.inverted() if swapped else record),
        ):
            assert found is not None and found.config == 2
            assert np.array_equal(found.matches, expected.matches)
            np.testing.assert_allclose(found.F, expected.F)
            np.testing.assert_allclose(found.E, expected.E)
            np.testing.assert_allclose(found.H, expected.H, rtol=1e-6)
            assert_same_pose(found.cam2_from_cam1, expected.cam2_from_cam1)


@given(st.integers(0, 2**31 - 2), st.integers(0, 2**31 - 2))
def test_pair_ids(a, b):
    if a == b:
        with pytest.raises(ValueError, match="two different"):
            pair_id(a, b)
    else:
        assert pair_of(pair_id(a, b)) == (min(a, b), max(a, b))


def test_pycolmap_reads_what_is_written(path):
    pycolmap = pytest.importorskip("pycolmap")
    with ColmapDatabase(path) as database:
        fill(database)
        records = database.two_view_geometries()
        expected = {i: (database.keypoints(i), database.descriptors(i)) for i in (1, 2, 3)}
        cameras = database.cameras()
    with pycolmap.Database.open(str(path)) as other:
        assert {i.image_id: i.name for i in other.read_all_images()} == dict(enumerate(NAMES[:4], start=1))
        for camera in other.read_all_cameras():
            ours = cameras[camera.camera_id]
            assert camera.model.name == ours.model and np.array_equal(camera.params, ours.params)
            assert camera.has_prior_focal_length == ours.prior_focal
        for i, (keypoints, descriptors) in expected.items():
            assert np.array_equal(other.read_keypoints(i), keypoints)
            assert np.array_equal(other.read_descriptors(i).data, descriptors)
            assert other.read_descriptors(i).type == pycolmap.FeatureExtractorType.SIFT
        assert len(other.read_all_rigs()) == 2 and len(other.read_all_frames()) == 4
        assert all(image.frame_id == image.image_id for image in other.read_all_images())
        for (a, b), record in records.items():
            theirs = other.read_two_view_geometry(a, b)
            assert int(theirs.config) == record.config
            assert np.array_equal(theirs.inlier_matches, record.matches)
            for name in "FEH":
                np.testing.assert_allclose(getattr(theirs, name), getattr(record, name))
            matrix = theirs.cam2_from_cam1.matrix()
            np.testing.assert_allclose(matrix[:, :3], record.cam2_from_cam1.rotation, atol=1e-12)
            np.testing.assert_allclose(matrix[:, 3], record.cam2_from_cam1.translation, rtol=1e-12)
        (prior,) = other.read_all_pose_priors()
        assert prior.corr_data_id.id == 2 and prior.position.tolist() == [46.8, 8.2, 1500.0]


def test_reads_what_pycolmap_writes(path):
    pycolmap = pytest.importorskip("pycolmap")
    rng = np.random.default_rng(3)
    keypoints, matches = rng.uniform(0, 100, (12, 4)).astype(np.float32), rng.integers(0, 12, (5, 2))
    geometry = pycolmap.TwoViewGeometry()
    geometry.config, geometry.inlier_matches = 3, matches
    geometry.F = rng.normal(size=(3, 3))
    with pycolmap.Database.open(str(path)) as other:
        camera = pycolmap.Camera.create_from_model_id(
            0, pycolmap.CameraModelId.SIMPLE_RADIAL, 700.0, 640, 480
        )
        camera_id = other.write_camera(camera)
        ids = [other.write_image(pycolmap.Image(name=n, camera_id=camera_id)) for n in ("ж.jpg", "b.jpg")]
        for i in ids:
            other.write_keypoints(i, keypoints)
        other.write_matches(ids[1], ids[0], matches)
        other.write_two_view_geometry(ids[1], ids[0], geometry)
    for readonly in (True, False):
        with ColmapDatabase(path, readonly=readonly) as database:
            assert [image.name for image in database.images().values()] == ["ж.jpg", "b.jpg"]
            assert np.array_equal(database.keypoints(ids[0]), keypoints)
            assert np.array_equal(database.matches(ids[1], ids[0]), matches)
            record = database.two_view_geometry(ids[1], ids[0])
            assert (
                record is not None
                and record.config == 3
                and record.E is None
                and record.cam2_from_cam1 is None
            )
            np.testing.assert_allclose(record.F, geometry.F)


def old_database(path, version: int) -> None:
    """A database as COLMAP 3.6 (no qvec, prior columns in images), 3.8 or 3.9 (pose_priors by image) left it."""
    priors = ", prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL, prior_tx REAL, prior_ty REAL, prior_tz REAL"
    pose = ", qvec BLOB, tvec BLOB" if version >= 38 else ""
    f = np.zeros(9).tobytes()
    with sqlite3.connect(path) as db:
        db.executescript(f"""
            CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, model INTEGER NOT NULL,
                width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB, prior_focal_length INTEGER NOT NULL);
            CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL UNIQUE,
                camera_id INTEGER NOT NULL{priors if version < 39 else ""});
            CREATE UNIQUE INDEX index_name ON images(name);
            CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
                cols INTEGER NOT NULL, data BLOB);
            CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
                cols INTEGER NOT NULL, data BLOB);
            CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
                data BLOB);
            CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
                cols INTEGER NOT NULL, data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB{pose});""")
        db.execute(
            "INSERT INTO cameras VALUES (1, 2, 640, 480, ?, 1)", (np.array([500, 320, 240, 0.1]).tobytes(),)
        )
        for i in (1, 2):
            db.execute("INSERT INTO images (image_id, name, camera_id) VALUES (?, ?, 1)", (i, f"{i}.jpg"))
            db.execute("INSERT INTO keypoints VALUES (?, 3, 6, ?)", (i, np.arange(18, dtype="<f4").tobytes()))
            db.execute("INSERT INTO descriptors VALUES (?, 3, 128, ?)", (i, bytes([i]) * 384))
        pairs = np.array([[0, 2], [1, 1]], "<u4").tobytes()
        db.execute("INSERT INTO matches VALUES (?, 2, 2, ?)", (pair_id(1, 2), pairs))
        row = [pair_id(1, 2), 2, 2, pairs, 3, np.arange(9.0).tobytes(), f, f]
        row += [np.array([1.0, 0, 0, 0]).tobytes(), np.zeros(3).tobytes()] if version >= 38 else []
        db.execute(f"INSERT INTO two_view_geometries VALUES ({', '.join('?' * len(row))})", row)
        if version >= 39:
            db.execute("CREATE TABLE pose_priors (image_id INTEGER PRIMARY KEY NOT NULL, position BLOB, "
                       "coordinate_system INTEGER NOT NULL, position_covariance BLOB)")  # fmt: skip
            place, unknown = np.array([1.0, 2, 3]).tobytes(), np.full(9, np.nan).tobytes()
            db.execute("INSERT INTO pose_priors VALUES (2, ?, 0, ?)", (place, unknown))
    db.close()


@pytest.mark.parametrize("version", [36, 38, 39])
@pytest.mark.parametrize("readonly", [True, False])
def test_databases_of_older_colmap(path, version, readonly):
    old_database(path, version)
    before = path.read_bytes()
    with ColmapDatabase(path, readonly=readonly) as database:
        assert database.cameras() == {1: RADIAL}
        assert [i.name for i in database.images().values()] == ["1.jpg", "2.jpg"]
        assert database.keypoints(1).shape == (3, 6) and database.keypoints(1)[2].tolist() == [
            12,
            13,
            14,
            15,
            16,
            17,
        ]
        assert np.array_equal(database.descriptors(2), np.full((3, 128), 2, np.uint8))
        assert database.matches(2, 1).tolist() == [[2, 0], [1, 1]]
        record = database.two_view_geometries()[1, 2]
        assert record.F is not None and record.F.ravel().tolist() == list(range(9))
        assert record.E is None and record.H is None and record.cam2_from_cam1 is None
        assert {i: p.position.tolist() for i, p in database.pose_priors().items()} == (
            {2: [1.0, 2.0, 3.0]} if version == 39 else {}
        )
        assert database.rigs() == ({} if readonly else {1: Rig(1)})
        if not readonly:
            assert database.frames() == {1: Frame(1, (1,)), 2: Frame(1, (2,))}
            with database.transaction():
                database.write_descriptors(1, np.zeros((3, 128), np.uint8))
                database.add_image("3.jpg", database.add_camera(RADIAL))
    assert (path.read_bytes() == before) == readonly
    if not readonly:
        pycolmap = pytest.importorskip("pycolmap")
        with pycolmap.Database.open(str(path)) as other:
            assert len(other.read_all_frames()) == 3
            assert len(other.read_all_pose_priors()) == (version == 39)
            assert other.read_two_view_geometry(1, 2).inlier_matches.tolist() == [[0, 2], [1, 1]]


def test_the_journal_is_folded_back(path):
    with ColmapDatabase(path) as database:
        fill(database)
        assert path.with_name(path.name + "-wal").exists()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()


def test_transactions_are_whole_or_nothing(path):
    with ColmapDatabase(path) as database:
        fill(database)
        with pytest.raises(RuntimeError), database.transaction():
            database.clear_features()
            database.add_camera(RADIAL)
            raise RuntimeError
        assert len(database.cameras()) == 2 and database.keypoint_counts()
        with pytest.raises(ValueError, match=r"UNIQUE|twice"), database.transaction():
            database.write_keypoints(1, np.zeros((0, 2)))
            database.add_image(NAMES[0], 1)
        assert database.keypoint_counts()[1] == 21


def test_a_killed_process_loses_only_its_open_transaction(path):
    with ColmapDatabase(path) as database:
        fill(database)
    code = f"""
import os, numpy as np
from geo3d.io import ColmapDatabase
database = ColmapDatabase({str(path)!r})
with database.transaction():
    database.write_keypoints(4, np.zeros((5, 2)))
database._execute("BEGIN")
database.clear_features()
os.kill(os.getpid(), 9)"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with ColmapDatabase(path) as database:
        assert database.keypoint_counts() == {1: 21, 2: 22, 3: 23, 4: 5}


def test_what_is_no_longer_wanted_goes(path):
    with ColmapDatabase(path) as database:
        fill(database)
        assert database.pairs_with_matches() and database.two_view_geometries()
        database.clear_two_view_geometries()
        assert database.pairs_with_matches() and database.two_view_geometries() == {}
        database.clear_matches()
        assert database.pairs_with_matches() == [] and database.two_view_geometries() == {}
        database.clear_features()
        assert database.keypoint_counts() == {} and database.descriptors(2).shape == (0, 128)
        camera = Camera("PINHOLE", 10, 10, [5, 5, 5, 5])
        database.update_camera(2, camera)
        assert database.cameras()[2] == camera


def test_features_are_taken_over_under_other_ids(path, tmp_path):
    with ColmapDatabase(path) as old:
        fill(old)
        kept = {i: (old.keypoints(i), old.descriptors(i)) for i in (1, 2, 3)}
        matches, geometry = old.matches(1, 3), old.two_view_geometry(1, 3)
    with ColmapDatabase(tmp_path / "new.db") as new:
        with new.transaction():
            camera = new.add_camera(RADIAL)
            for name in "abcde":
                new.add_image(name, camera)
        new.copy_features(path, {1: 2, 3: 5}, [1])
        for i, j in ((1, 2), (3, 5)):
            np.testing.assert_array_equal(new.keypoints(j), kept[i][0])
            np.testing.assert_array_equal(new.descriptors(j), kept[i][1])
        np.testing.assert_array_equal(new.matches(2, 5), matches)
        assert new.pairs_with_matches() == [(2, 5)] and not new.two_view_geometries()
    with ColmapDatabase(tmp_path / "other.db") as new:
        with new.transaction():
            camera = new.add_camera(RADIAL)
            for name in "abcde":
                new.add_image(name, camera)
        new.copy_features(path, {1: 4, 2: 3, 3: 5}, [1, 3])
        assert new.pairs_with_matches() == [(4, 5)]  # (1, 2) would come in the other order
        found = new.two_view_geometry(4, 5)
        np.testing.assert_array_equal(found.matches, geometry.matches)
        with pytest.raises(ValueError):
            new.copy_features(path, {2: 9})
        assert new.keypoint_counts().keys() == {3, 4, 5}


def test_features_and_pairs_are_removed(path):
    with ColmapDatabase(path) as database:
        fill(database)
        database.keep_pairs([(3, 1)])
        assert database.pairs_with_matches() == [(1, 3)] and set(database.two_view_geometries()) <= {(1, 3)}
        assert database.match_counts() == {(1, 3): len(database.matches(1, 3))}
        database.remove_features([3])
        assert database.pairs_with_matches() == [] and database.keypoint_counts().keys() == {1, 2}
        assert database.descriptors(3).shape == (0, 128) and len(database.images()) == 4


def test_rigs(path):
    rng = np.random.default_rng(0)
    pose = make_pose(rng)
    with ColmapDatabase(path) as database:
        fill(database)
        rigs = {5: Rig(2, {1: pose})}
        frames = {9: Frame(5, (1, 2)), 10: Frame(5, (3, 4))}
        with database.transaction():
            database.write_rigs(rigs, frames)
        assert database.rigs()[5].ref_camera_id == 2 and database.frames() == frames
        assert_same_pose(database.rigs()[5].sensor_from_rig[1], pose)
        assert database.add_image("new.jpg", 1) == 5 and database.frames()[5] == Frame(5, (5,))
        with pytest.raises(ValueError, match="each camera"):
            database.write_rigs({5: Rig(2)}, frames)
    pycolmap = pytest.importorskip("pycolmap")
    with pycolmap.Database.open(str(path)) as other:
        (rig,) = other.read_all_rigs()
        assert rig.num_sensors() == 2 and len(other.read_all_frames()) == 3


def test_descriptors_that_are_not_sift(path):
    values = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    with ColmapDatabase(path) as database:
        fill(database)
        database.write_descriptors(1, values)
        assert np.array_equal(database.descriptors(1), values)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.add_image("../a.jpg", 1),
        lambda d: d.add_image("new.jpg", 77),
        lambda d: d.add_camera(Camera("BROWN_CONRADY_5", 640, 480, [300, 300, 320, 240, 0, 0, 0, 0, 0])),
        lambda d: d.write_keypoints(1, np.zeros((3, 3))),
        lambda d: d.write_keypoints(1, np.full((3, 2), np.nan)),
        lambda d: d.write_keypoints(99, np.zeros((3, 2))),
        lambda d: d.write_descriptors(1, np.zeros((3, 128))),
        lambda d: d.write_matches(1, 1, np.zeros((3, 2), int)),
        lambda d: d.write_matches(1, 2, np.zeros((3, 2))),
        lambda d: d.write_matches(1, 2, np.full((3, 2), -1)),
        lambda d: d.write_pose_prior(99, PosePrior(np.zeros(3))),
        lambda d: d.update_camera(99, RADIAL),
    ],
)
def test_what_cannot_be_written(path, call):
    with ColmapDatabase(path) as database:
        fill(database)
        with pytest.raises(ValueError):
            call(database)


BROKEN = [
    ("UPDATE keypoints SET rows = 1000000000000 WHERE image_id = 1", lambda d: d.keypoints(1)),
    ("UPDATE keypoints SET rows = -1 WHERE image_id = 1", lambda d: d.keypoints(1)),
    ("UPDATE keypoints SET rows = 'many' WHERE image_id = 1", lambda d: d.keypoint_counts()),
    ("UPDATE keypoints SET data = 'text' WHERE image_id = 1", lambda d: d.keypoints(1)),
    ("UPDATE keypoints SET data = NULL WHERE image_id = 1", lambda d: d.keypoints(1)),
    ("UPDATE keypoints SET rows = 28, cols = 3 WHERE image_id = 1", lambda d: d.keypoints(1)),
    ("UPDATE descriptors SET cols = 64", lambda d: d.descriptors(1)),
    ("UPDATE matches SET rows = 3", lambda d: d.matches(1, 2)),
    ("UPDATE matches SET rows = 18, cols = 1", lambda d: d.matches(1, 2)),
    ("UPDATE keypoints SET rows = 2", lambda d: d.matches(1, 2)),
    ("UPDATE keypoints SET rows = 2", lambda d: d.two_view_geometries()),
    ("UPDATE two_view_geometries SET F = x'00'", lambda d: d.two_view_geometries()),
    ("UPDATE two_view_geometries SET config = 'x'", lambda d: d.two_view_geometries()),
    ("UPDATE cameras SET model = 99", lambda d: d.cameras()),
    ("UPDATE cameras SET params = x'0000'", lambda d: d.cameras()),
    ("UPDATE cameras SET width = -5", lambda d: d.cameras()),
    ("UPDATE cameras SET width = 'wide'", lambda d: d.cameras()),
    ("UPDATE cameras SET width = 9000000000000000000", lambda d: d.cameras()),
    ("UPDATE images SET name = '../../etc/passwd' WHERE image_id = 1", lambda d: d.images()),
    ("UPDATE images SET name = CAST(x'ff41' AS TEXT) WHERE image_id = 1", lambda d: d.images()),
    ("UPDATE images SET name = x'41' WHERE image_id = 1", lambda d: d.images()),
    ("UPDATE images SET camera_id = 77 WHERE image_id = 1", lambda d: d.images()),
    ("UPDATE pose_priors SET position = x'00'", lambda d: d.pose_priors()),
    ("UPDATE pose_priors SET coordinate_system = 7", lambda d: d.pose_priors()),
]


@pytest.mark.parametrize("sql, read", BROKEN, ids=[sql for sql, _ in BROKEN])
def test_rows_that_lie(path, sql, read):
    with ColmapDatabase(path) as database:
        fill(database)
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()
    with ColmapDatabase(path) as database, pytest.raises(ValueError, match=r"expected|keypoint"):
        read(database)


def read_everything(path, readonly: bool) -> None:
    with ColmapDatabase(path, readonly=readonly) as database:
        database.cameras(), database.rigs(), database.frames(), database.pose_priors()
        for image_id in database.images():
            database.keypoints(image_id), database.descriptors(image_id)
        for pair in database.pairs_with_matches():
            database.matches(*pair)
        database.two_view_geometries()


def test_files_that_are_damaged(path, tmp_path):
    with ColmapDatabase(path) as database:
        fill(database)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    broken = tmp_path / "broken.db"
    for size in [*range(1, 101, 9), *range(4096, len(whole), 3001)]:
        broken.write_bytes(whole[:size])
        with pytest.raises((ValueError, OSError), match="broken"):
            read_everything(broken, readonly=True)
    for _ in range(60):
        content = bytearray(whole)
        at = int(rng.integers(0, len(whole) - 40))
        content[at : at + 40] = rng.bytes(40)
        broken.write_bytes(content)
        try:
            read_everything(broken, readonly=True)
        except (ValueError, OSError) as error:
            assert "broken" in str(error)


def test_other_files(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="no database"):
        ColmapDatabase(path, readonly=True)
    path.write_bytes(b"this is a letter and not a database, as long as it may be" * 9)
    with pytest.raises(ValueError, match="no database"):
        ColmapDatabase(path)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE contacts (name TEXT)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(ValueError, match="not a COLMAP database"):
        ColmapDatabase(other)
    assert other.read_bytes() == before
    (tmp_path / "empty.db").touch()
    with ColmapDatabase(tmp_path / "empty.db") as database:
        fill(database)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_database_of_colmap_in_a_folder_that_cannot_be_written(path):
    pycolmap = pytest.importorskip("pycolmap")
    with pycolmap.Database.open(str(path)):
        pass  # COLMAP leaves it in WAL mode
    path.parent.chmod(0o555)
    try:
        with ColmapDatabase(path, readonly=True) as database:
            assert database.images() == {}
        with pytest.raises(OSError, match="data base"):
            ColmapDatabase(path)
    finally:
        path.parent.chmod(0o755)


def test_colmap_reconstructs_from_it(path, tmp_path):
    """COLMAP's incremental mapper on exact keypoints and matches of ours finds the poses up to a similarity."""
    pycolmap = pytest.importorskip("pycolmap")
    rng = np.random.default_rng(0)
    camera = Camera("PINHOLE", 640, 480, [500, 500, 320, 240], prior_focal=True)
    points = rng.uniform(-1, 1, (300, 3))
    poses = []
    for angle in np.linspace(-0.6, 0.6, 8):
        rotation = SO3.exp(np.array([0, angle, 0])).matrix
        poses.append(SE3(rotation, np.array([0.0, 0.1 * angle, 4.0])))
    with ColmapDatabase(path) as database, database.transaction():
        camera_id = database.add_camera(camera)
        ids = [database.add_image(f"{i}.jpg", camera_id) for i in range(len(poses))]
        for i, pose in zip(ids, poses, strict=True):
            database.write_keypoints(i, camera.project(pose.act(points)))
        same = np.stack([np.arange(len(points))] * 2, axis=1)
        for a, b in itertools.combinations(ids, 2):
            database.write_matches(a, b, same)
            relative = poses[b - 1] @ poses[a - 1].inverse()
            unit = SE3(relative.rotation, relative.translation / np.linalg.norm(relative.translation))
            E = skew(unit.translation) @ unit.rotation
            database.write_two_view_geometry(a, b, TwoViewRecord(2, same, None, E, None, unit))
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    models = pycolmap.incremental_mapping(str(path), str(tmp_path), str(tmp_path / "sparse"), options)
    assert models[0].num_reg_images() == len(ids) and models[0].num_points3D() > 290
    found = read_colmap(tmp_path / "sparse" / "0")
    truth = np.array([p.center() for p in poses])
    fit = umeyama(found.centres(), truth)
    np.testing.assert_allclose(fit.act(found.centres()), truth, atol=1e-3)
