"""hloc's features and matches in a database."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.io import ColmapDatabase, import_hloc

h5py = pytest.importorskip("h5py")

PHOTOS = ["a.jpg", "folder/b c.jpg", "вид.jpg"]


@pytest.fixture
def database(tmp_path):
    with ColmapDatabase(tmp_path / "database.db") as database:
        camera_id = database.add_camera(Camera("PINHOLE", 640, 480, [500, 500, 320, 240]))
        for name in PHOTOS:
            database.add_image(name, camera_id)
        yield database


def write_features(path, names=PHOTOS, count=10, dtype=np.float16):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"{name}/keypoints"] = rng.integers(0, 400, (count, 2)).astype(np.float16)
            file[f"{name}/descriptors"] = rng.normal(size=(256, count)).astype(dtype)
            file[f"{name}/image_size"] = np.array([640, 480])
    return path


def write_matches(path, *pairs, separator="/", count=10):
    with h5py.File(path, "w") as file:
        for a, b in pairs:
            name = separator.join(n.replace("/", "-") for n in (a, b))
            file[f"{name}/matches0"] = np.where(np.arange(count) % 2, np.arange(count)[::-1], -1).astype(
                np.int16
            )
            file[f"{name}/matching_scores0"] = np.ones(count, np.float16)
    return path


def test_features_and_matches(tmp_path, database):
    features = write_features(tmp_path / "features.h5", [*PHOTOS, "other.jpg"])
    matches = write_matches(
        tmp_path / "matches.h5", (PHOTOS[1], PHOTOS[0]), (PHOTOS[0], PHOTOS[1]), (PHOTOS[0], "no.jpg")
    )
    found = import_hloc(features, matches, database)
    assert (found.images, found.pairs, found.unknown) == (3, 1, ("other.jpg",))
    with h5py.File(features) as file:
        for image_id, image in database.images().items():
            expected = file[f"{image.name}/keypoints"][()].astype(np.float32) + 0.5
            assert np.array_equal(database.keypoints(image_id), expected)
            assert np.array_equal(database.descriptors(image_id), file[f"{image.name}/descriptors"][()].T)
            assert database.descriptors(image_id).dtype == np.float32
    assert database.matches(1, 2).tolist() == [[1, 8], [3, 6], [5, 4], [7, 2], [9, 0]]


def test_old_names_and_sift(tmp_path, database):
    features = write_features(tmp_path / "f.h5", dtype=np.uint8)
    matches = write_matches(tmp_path / "m.h5", (PHOTOS[2], PHOTOS[0]), separator="_")
    assert import_hloc(features, matches, database).pairs == 1
    assert len(database.matches(3, 1)) == 5
    assert database.descriptors(1).dtype == np.uint8


def change(path, key, value):
    with h5py.File(path, "a") as file:
        del file[key]
        if value is not None:
            file[key] = value


@pytest.mark.parametrize(
    "key, value",
    [
        ("a.jpg/keypoints", np.zeros((10, 3))),
        ("a.jpg/keypoints", np.zeros(10)),
        ("a.jpg/keypoints", np.full((10, 2), np.nan)),
        ("a.jpg/keypoints", np.array([[b"x", b"y"]])),
        ("a.jpg/descriptors", np.zeros((256, 9))),
    ],
)
def test_features_that_do_not_fit(tmp_path, database, key, value):
    features = write_features(tmp_path / "features.h5")
    change(features, key, value)
    with pytest.raises(ValueError, match=r"expected"):
        import_hloc(features, None, database)
    assert database.keypoint_counts() == {}


@pytest.mark.parametrize(
    "value", [np.full(10, 10), np.full(10, -2), np.zeros(9, int), np.zeros(10), np.zeros((5, 2), int)]
)
def test_matches_that_do_not_fit(tmp_path, database, value):
    features = write_features(tmp_path / "features.h5")
    matches = write_matches(tmp_path / "matches.h5", (PHOTOS[0], PHOTOS[2]))
    change(matches, f"{PHOTOS[0]}/{PHOTOS[2]}/matches0", value)
    with pytest.raises(ValueError, match="expected"):
        import_hloc(features, matches, database)
    assert database.keypoint_counts() == {} and database.pairs_with_matches() == []


def test_claimed_shapes_take_no_memory(tmp_path, database):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a.jpg/keypoints", (2**36, 2), np.float32, chunks=(1024, 2))
    with pytest.raises(ValueError, match="claims"):
        import_hloc(tmp_path / "f.h5", None, database)


def test_files_that_are_none(tmp_path, database):
    with pytest.raises(FileNotFoundError):
        import_hloc(tmp_path / "none.h5", None, database)
    features = write_features(tmp_path / "f.h5")
    whole = features.read_bytes()
    for size in range(0, len(whole), len(whole) // 20):
        features.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"f\.h5"):
            import_hloc(features, None, database)
    write_features(features, ["elsewhere.jpg"])
    with pytest.raises(ValueError, match="none of its 1 photos"):
        import_hloc(features, None, database)
    assert database.keypoint_counts() == {}


def test_pairs_that_can_be_read_in_two_ways(tmp_path):
    with ColmapDatabase(tmp_path / "x.db") as database:
        camera_id = database.add_camera(Camera("PINHOLE", 640, 480, [500, 500, 320, 240]))
        names = ["a_b", "c", "a", "b_c"]
        for name in names:
            database.add_image(name, camera_id)
        features = write_features(tmp_path / "f.h5", names)
        matches = write_matches(tmp_path / "m.h5", ("a_b", "c"), separator="_")
        with pytest.raises(ValueError, match="can mean 2"):
            import_hloc(features, matches, database)
