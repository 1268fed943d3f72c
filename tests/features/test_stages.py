"""The stages over a database: a killed run goes on, and ends in the same database."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.features import (
    SiftOptions,
    VerifyOptions,
    choose_pairs,
    exhaustive_pairs,
    extract_photos,
    extract_stage,
    match_photos,
    verify_matches,
)
from geo3d.io import ColmapDatabase
from geo3d.io.database_schema import PosePrior
from geo3d.util import memory
from geo3d.util.threads import map_threads

NAMES = ["a.png", "b 1.png", "sub/ä.png", "z.png"]
OPTIONS = SiftOptions(max_features=800)


class KilledError(Exception):
    """Stands for the signal that ends the process."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Views of a textured plane, and one of something else."""
    folder = tmp_path_factory.mktemp("scene") / "images"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    texture, other = (
        cv2.GaussianBlur(rng.integers(0, 256, (500, 500), np.uint8), (0, 0), 2.0) for _ in range(2)
    )
    texture, other = (cv2.normalize(t, None, 0, 255, cv2.NORM_MINMAX) for t in (texture, other))
    for i, name in enumerate(NAMES):
        corners = np.float32([[40, 60], [440, 50], [450, 430], [60, 420]]) + 12 * i * np.float32([[1, 0]])
        warp = cv2.getPerspectiveTransform(
            corners, np.float32([[0, 0], [320, 0], [320, 260 + 5 * i], [0, 260]])
        )
        Image.fromarray(cv2.warpPerspective(other if name == "z.png" else texture, warp, (320, 260))).save(
            folder / name
        )
    return folder


def database(path, names=NAMES):
    db = ColmapDatabase(path)
    with db.transaction():
        camera = db.add_camera(replace(Camera.from_focal("SIMPLE_PINHOLE", 320, 260, 350), prior_focal=True))
        for name in names:
            db.add_image(name, camera)
    return db


def contents(db):
    """All that the stages write."""
    features = {i: (db.keypoints(i), db.descriptors(i)) for i in db.keypoint_counts()}
    matches = {pair: db.matches(*pair) for pair in db.pairs_with_matches()}
    geometries = {pair: (r.config, r.matches, r.F, r.E, r.H) for pair, r in db.two_view_geometries().items()}
    return features, matches, geometries


def assert_same(a, b):
    for x, y in zip(contents(a), contents(b), strict=True):
        assert x.keys() == y.keys()
        for key in x:
            for p, q in zip(x[key], y[key], strict=True):
                np.testing.assert_array_equal(p, q)


def run(db, folder, progress=None, threads=None):
    failed = extract_photos(db, folder, OPTIONS, progress, threads=threads)
    match_photos(db, choose_pairs(db), progress=progress, threads=threads)
    verify_matches(db, VerifyOptions(seed=7), progress, threads=threads)
    return failed


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    db = database(tmp_path_factory.mktemp("db") / "whole.db")
    assert run(db, photos) == {}
    return db


def test_the_views_of_one_place_are_joined_and_the_other_is_not(whole):
    records = whole.two_view_geometries()
    assert set(records) == {(1, 2), (1, 3), (2, 3)}
    counts = whole.match_counts()
    assert len(counts) == 6 and {pair for pair, count in counts.items() if count > 0} == set(records)
    for (i, j), record in records.items():
        assert 15 <= len(record.matches) <= len(whole.matches(i, j))


def test_the_number_of_threads_changes_nothing(photos, whole, tmp_path):
    with database(tmp_path / "one.db") as db:
        run(db, photos, threads=1)
        assert_same(db, whole)


@pytest.mark.parametrize("die_at", [1, 3, 6, 9, 13])
def test_killed_and_resumed(photos, whole, tmp_path, die_at):
    calls = []

    def progress(done, total, text):
        calls.append((done, total, text))
        if len(calls) == die_at:
            raise KilledError

    path = tmp_path / "killed.db"
    with pytest.raises(KilledError), database(path) as db:
        run(db, photos, progress)
    with ColmapDatabase(path) as db:
        run(db, photos)
        assert_same(db, whole)


def test_nothing_is_done_twice(photos, whole, monkeypatch):
    for name in ("extract_stage._extract_file", "match_stage.match_overlapping", "match_stage.verify_pair"):
        monkeypatch.setattr(f"geo3d.features.{name}", lambda *a: pytest.fail("done again"))
    run(whole, photos)


def test_progress_counts_up_to_the_total(photos, tmp_path):
    calls = []
    with database(tmp_path / "a.db") as db:
        extract_photos(db, photos, OPTIONS, lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(i, 4) for i in range(5)]
    assert calls[-1][2] == "z.png"


def test_unreadable_photos_are_reported_and_tried_again(photos, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes((photos / "a.png").read_bytes())
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes((photos / "a.png").read_bytes()[:9000])
    with database(tmp_path / "a.db", ["a.png", "empty.png", "gone.png", "half.png"]) as db:
        failed = extract_photos(db, folder, OPTIONS)
        assert list(failed) == ["empty.png", "gone.png", "half.png"]
        assert "0 bytes" in failed["empty.png"]
        assert list(db.keypoint_counts()) == [1]
        assert match_photos(db, choose_pairs(db)) == 0
        (folder / "empty.png").write_bytes((photos / "z.png").read_bytes())
        assert list(extract_photos(db, folder, OPTIONS)) == ["gone.png", "half.png"]
        assert list(db.keypoint_counts()) == [1, 2]


def test_masks_and_alpha_keep_features_out(photos, tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    pixels = np.asarray(Image.open(photos / "a.png"))
    left = np.where(np.arange(320) < 160, 255, 0).astype(np.uint8) * np.ones((260, 1), np.uint8)
    Image.fromarray(pixels).save(images / "a.png")
    Image.fromarray(left).save(masks / "a.png.png")
    Image.fromarray(np.dstack([pixels] * 3 + [left])).save(images / "b.png")
    with database(tmp_path / "a.db", ["a.png", "b.png"]) as db:
        extract_photos(db, images, OPTIONS)
        for image_id in (1, 2):
            x = db.keypoints(image_id)[:, 0]
            assert len(x) > 50
            assert x.max() < 161


def test_wrong_names(whole):
    with pytest.raises(ValueError, match=r"expected two different images"):
        match_photos(whole, [("a.png", "none.png")])
    with pytest.raises(ValueError, match="matching must be one of auto"):
        choose_pairs(whole, "all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="0 of 4 photos say where"):
        choose_pairs(whole, "gps")


def test_choose_pairs(tmp_path):
    names = [f"{i}.jpg" for i in range(12)]
    with database(tmp_path / "a.db", names) as db:
        with db.transaction():
            for i in range(12):
                db.write_pose_prior(i + 1, PosePrior(np.array([40.0 + (i // 6), 8.0 + 1e-5 * i, np.nan])))
        assert choose_pairs(db) == choose_pairs(db, "exhaustive") == exhaustive_pairs(names)
        assert ("1.jpg", "2.jpg") in choose_pairs(db, "sequential")
        assert len(choose_pairs(db, "gps")) == 66
        (tmp_path / "pairs.txt").write_text("3.jpg 1.jpg\n")
        assert choose_pairs(db, "exhaustive", tmp_path / "pairs.txt") == [("1.jpg", "3.jpg")]


def test_of_many_photos_the_neighbours_are_taken(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("geo3d.features.choose.EXHAUSTIVE_UP_TO", 3)
    names = [*NAMES, *(f"far{i}.jpg" for i in range(9))]
    with database(tmp_path / "a.db", names) as db:
        for name in NAMES:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes((photos / name).read_bytes())
        extract_photos(db, tmp_path, OPTIONS)
        for image_id, latitude in ((5, 10.0), (13, 10.0001)):
            with db.transaction():
                db.write_pose_prior(image_id, PosePrior(np.array([latitude, 8.0, np.nan])))
        alike = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
        assert choose_pairs(db, "retrieval") == alike
        pairs = set(choose_pairs(db))
        assert pairs > set(alike) and ("far0.jpg", "far8.jpg") in pairs  # near each other
        assert ("far0.jpg", "far5.jpg") in pairs and ("far0.jpg", "far6.jpg") not in pairs  # next by name
        assert ("far0.jpg", "far8.jpg") not in choose_pairs(db, gps_radius_m=5)


def test_photos_too_large_for_the_memory_are_taken_one_by_one(tmp_path, photos, monkeypatch):
    """And what is written is the same."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 1)
    counts = []
    monkeypatch.setattr(
        extract_stage, "map_threads", lambda *given: counts.append(given[2]) or map_threads(*given)
    )
    some, whole = database(tmp_path / "a.db"), database(tmp_path / "b.db")
    extract_photos(some, photos, OPTIONS, threads=3)
    monkeypatch.undo()
    extract_photos(whole, photos, OPTIONS, threads=3)
    assert counts == [1]
    assert_same(some, whole)
