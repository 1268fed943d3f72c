"""The main job as a user meets it: good photos, bad photos, and being interrupted."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from geo3d import pipeline
from geo3d.cameras import Camera
from geo3d.geometry import EnuFrame, umeyama
from geo3d.io import ColmapDatabase, read_transforms
from geo3d.options import ReconstructOptions
from geo3d.pipeline import reconstruct
from geo3d.sfm import global_mapper
from geo3d.synthetic import HabitatOptions, render_habitat
from geo3d.util.files import folder_lock
from geo3d.util.progress import Progress
from geo3d.util.snapshots import Snapshots

QUICK = ReconstructOptions(quality="low", threads=2)
SCAN = ReconstructOptions(until_stage="scan")


@pytest.fixture(scope="session")
def habitat(tmp_path_factory):
    """Eight small photos of one place, and what is true of them."""
    folder = tmp_path_factory.mktemp("habitat") / "photos"
    camera = Camera("SIMPLE_RADIAL", 480, 360, [380.0, 240, 180, -0.05])
    truth = render_habitat(folder, HabitatOptions(path="drone", photos=8, camera=camera, samples=2))
    return folder, truth


@pytest.fixture(scope="session")
def finished(habitat, tmp_path_factory):
    """A scene of them, done without interruption."""
    scene = tmp_path_factory.mktemp("finished") / "scene"
    return scene, reconstruct(habitat[0], scene, QUICK)


@pytest.fixture
def noise(tmp_path):
    """A folder of two intact photos of nothing in particular, to put bad ones beside."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        save(folder / f"good{i}.jpg", i)
    return folder


def save(path, seed, size=(120, 90), mode="RGB", **options):
    rng = np.random.default_rng(seed)
    pixels = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8))
    pixels.convert(mode).save(path, **options)


def digest(folder):
    """Hash of every file of the sparse models."""
    files = sorted(path for path in (folder / "sparse").rglob("*") if path.is_file())
    return [(str(f.relative_to(folder)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files]


# ------------------------------------------------------------------------------------------------------------ good


def test_poses_of_the_habitat_are_right(habitat, finished):
    _, truth = habitat
    _, report = finished
    (model,) = report.components
    assert len(model.registered()) == 8 and not report.unregistered
    true = dict(zip(truth.names, truth.poses))
    views = [model.views[i] for i in model.registered()]
    fit = umeyama(model.centres(), np.array([true[v.name].center() for v in views]))
    off = np.linalg.norm(fit.act(model.centres()) - [true[v.name].center() for v in views], axis=1)
    assert off.max() < 0.15  # metres, flying at 17
    assert np.nanmean(model.points.error_px) < 0.8


def test_deviations_of_the_report_are_of_the_cameras_that_are_written():
    """Of the largest model that has them, after its last adjustment."""
    models = [{"camera_std": {"1": [3.0, None]}}, {"camera_std": {"1": [4.0, 4.0], "2": [5.0, 5.0]}}]
    results = {"poses": {"camera_std": {"1": [9.0, 9.0], "2": [9.0, 9.0], "3": [7.0, None]}}}
    mapped = pipeline._written_deviations(SimpleNamespace(results=results))  # pyright: ignore[reportArgumentType]
    assert {i: std.tolist() for i, std in mapped.items()} == {1: [9, 9], 2: [9, 9], 3: [7, np.inf]}
    job = SimpleNamespace(results={**results, "georeference": {"models": models}})
    written = pipeline._written_deviations(job)  # pyright: ignore[reportArgumentType]
    assert {i: std.tolist() for i, std in written.items()} == {1: [3, np.inf], 2: [5, 5], 3: [7, np.inf]}


def test_the_habitat_stands_where_it_is(habitat, finished):
    """GPS with errors of 0.8 m a photo: the world is east, north, up in metres, and the report says how good."""
    scene, report = finished
    _, truth = habitat
    record = json.loads((scene / "georeference.json").read_text())
    assert record == report.georeference and record["utm"]["epsg"] == 32632
    origin = [record["origin"][name] for name in ("latitude_deg", "longitude_deg", "altitude_m")]
    (model,) = report.components
    true = dict(zip(truth.names, truth.poses))
    there = EnuFrame(*truth.origin).from_geodetic(EnuFrame(*origin).to_geodetic(model.centres()))
    off = there - [true[model.views[i].name].center() for i in model.registered()]
    assert np.linalg.norm(off.mean(0)) < 2.0
    assert record["models"][0]["scale_std"] < 0.1
    page = (scene / "report.html").read_text()
    assert "Scale and place" in page and "EPSG:32632" in page


def test_another_scale_starts_from_the_mapped_model_again(habitat, finished, tmp_path):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    (model,) = finished[1].components
    places = {model.views[i].name: c for i, c in zip(model.registered(), model.centres())}
    length = float(np.linalg.norm(places["drone_001.jpg"] - places["drone_003.jpg"]))
    distance = ("drone_001.jpg", "drone_003.jpg", 1.01 * length)  # more would be refuted by the GPS
    again = reconstruct(habitat[0], scene, replace(QUICK, distance=[distance]))
    (model,) = again.components
    places = {model.views[i].name: c for i, c in zip(model.registered(), model.centres())}
    assert np.linalg.norm(places["drone_001.jpg"] - places["drone_003.jpg"]) == pytest.approx(
        1.01 * length, rel=1e-6
    )
    reconstruct(habitat[0], scene, QUICK)
    assert digest(scene) == digest(finished[0])


def test_the_scene_holds_what_it_promises(finished):
    scene, _ = finished
    for name in (
        "images",
        "database.db",
        "sparse/0/cameras.bin",
        "points.ply",
        "transforms.json",
        "report.html",
    ):
        assert (scene / name).exists(), name
    page = (scene / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "8" in page
    assert len(read_transforms(scene / "transforms.json").reconstruction.views) == 8
    assert not list(scene.rglob("*-wal"))


def test_a_second_run_repeats_nothing(habitat, finished):
    scene, report = finished
    before = digest(scene), (scene / "report.html").stat().st_mtime_ns
    again = reconstruct(habitat[0], scene, QUICK)
    assert (digest(scene), (scene / "report.html").stat().st_mtime_ns) == before
    assert len(again.components[0].points) == len(report.components[0].points)


def test_a_database_made_elsewhere_is_taken(habitat, finished, tmp_path):
    scene = tmp_path / "scene"
    scene.mkdir()
    shutil.copy(finished[0] / "database.db", scene / "database.db")
    report = reconstruct(habitat[0], scene, QUICK)
    assert digest(scene) == digest(finished[0])
    assert len(report.components[0].registered()) == 8


def test_hloc_files_are_taken(habitat, finished, tmp_path):
    import h5py

    scene = tmp_path / "scene"
    scene.mkdir()
    with (
        ColmapDatabase(finished[0] / "database.db") as database,
        h5py.File(scene / "features.h5", "w") as features,
        h5py.File(scene / "matches.h5", "w") as matched,
    ):
        names = {i: image.name for i, image in database.images().items()}
        for i, name in names.items():
            keypoints, descriptors = database.keypoints(i)[:, :2], database.descriptors(i)
            features[f"{name}/keypoints"] = keypoints - 0.5
            features[f"{name}/descriptors"] = descriptors.T.astype(np.float32)
        for i, j in database.pairs_with_matches():
            row = np.full(len(database.keypoints(i)), -1)
            pair = database.matches(i, j)
            row[pair[:, 0]] = pair[:, 1]
            matched[f"{names[i]}/{names[j]}/matches0"] = row
    report = reconstruct(habitat[0], scene, QUICK)
    assert len(report.components[0].registered()) == 8
    assert len(report.components[0].points) == pytest.approx(len(finished[1].components[0].points), rel=0.02)


def test_masks_keep_features_out(noise, tmp_path):
    masks = noise / "masks"
    masks.mkdir()
    half = np.zeros((90, 120), np.uint8)
    half[:, :60] = 255
    Image.fromarray(half).save(masks / "good0.jpg.png")
    Image.fromarray(half).save(masks / "god1.png")
    report = reconstruct(noise, tmp_path / "scene", ReconstructOptions(until_stage="features", quality="low"))
    with ColmapDatabase(tmp_path / "scene" / "database.db") as database:
        row = {image.name: i for i, image in database.images().items()}
        assert database.keypoints(row["good0.jpg"])[:, 0].max() < 61
        assert database.keypoints(row["good1.jpg"])[:, 0].max() > 61
    (warning,) = report.warnings
    assert "1 of the masks" in warning and "god1.png" in warning


class Noted(Progress):
    """Keeps what is said of stages that are skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_mask_that_does_not_fit_is_named_and_costs_one_run(habitat, tmp_path, work):
    photos, scene = tmp_path / "photos", tmp_path / "scene"
    shutil.copytree(habitat[0], photos)
    (photos / "masks").mkdir()
    Image.fromarray(np.full((90, 480), 255, np.uint8)).save(photos / "masks" / "drone_002.jpg.png")
    report = reconstruct(photos, scene, QUICK)
    assert "a mask of 480x90 for a photo of 480x360" in report.unregistered["drone_002.jpg"][0]
    work()
    reconstruct(photos, scene, QUICK, progress := Noted())
    assert len([note for note in progress.notes if note.endswith("done before, unchanged")]) == 6
    assert work() == {"extract": 0, "match": 0, "verify": 0}


def test_known_intrinsics_are_kept(habitat, tmp_path):
    folder, truth = habitat
    options = ReconstructOptions(
        camera_model="SIMPLE_RADIAL",
        camera_params=tuple(truth.camera.params),
        fix_intrinsics=True,
        quality="low",
    )
    report = reconstruct(folder, tmp_path / "scene", options)
    (camera,) = report.components[0].cameras.values()
    assert np.array_equal(camera.params, truth.camera.params)
    assert len(report.components[0].registered()) == 8


# ------------------------------------------------------------------------------------------------------------- bad


def test_no_photos(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(ValueError, match=r"no photos in .*1 other files"):
        reconstruct(tmp_path, tmp_path / "scene")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        reconstruct(tmp_path / "nowhere", tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


def test_one_photo(tmp_path):
    save(tmp_path / "a.jpg", 0)
    with pytest.raises(ValueError, match="only one photo"):
        reconstruct(tmp_path, tmp_path / "scene")


def test_damaged_photos_are_named_and_the_others_used(noise, tmp_path):
    whole = (noise / "good0.jpg").read_bytes()
    (noise / "zero.jpg").write_bytes(b"")
    (noise / "text.jpg").write_text("not a photo")
    (noise / "cut.jpg").write_bytes(whole[: len(whole) // 2][:-7])
    (noise / "twin.jpg").write_bytes(whole)
    scene = tmp_path / "scene"
    report = reconstruct(noise, scene, ReconstructOptions(until_stage="features", quality="low"))
    assert set(report.unregistered) == {"zero.jpg", "text.jpg", "cut.jpg", "twin.jpg"}
    assert "the same photo as good0.jpg" in report.unregistered["twin.jpg"][0]
    for name in ("zero.jpg", "text.jpg", "cut.jpg"):
        assert name in report.unregistered[name][0]


def test_every_photo_twice_gives_the_same_model(habitat, finished, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(habitat[0], photos)
    (photos / "backup").mkdir()
    for path in sorted(photos.glob("*.jpg")):
        shutil.copy(path, photos / "backup" / path.name)
        shutil.copy(path, photos / f"{path.stem} (copy).jpg")
    report = reconstruct(photos, tmp_path / "scene", QUICK)
    assert digest(tmp_path / "scene") == digest(finished[0])
    assert len(report.photos) == 8 and len(report.unregistered) == 16
    assert report.unregistered["backup/drone_003.jpg"][0] == "the same photo as drone_003.jpg, which is used"
    page = (tmp_path / "scene" / "report.html").read_text()
    assert "drone_003 (copy).jpg" in page and "Files that were not used" in page
    known = replace(QUICK, distance=(("drone_001 (copy).jpg", "backup/drone_008.jpg", 5.0),))
    report = reconstruct(photos, tmp_path / "scene", known)
    assert [x["name"] for x in report.georeference["models"][0]["lengths"]] == [
        "drone_001.jpg to drone_008.jpg"
    ]


def test_a_truncated_photo_does_not_stop_the_others(habitat, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(habitat[0], photos)
    whole = (photos / "drone_001.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "bad\nname.jpg").write_bytes(whole)
    report = reconstruct(photos, tmp_path / "scene", QUICK)
    assert len(report.components[0].registered()) == 8
    assert "truncated" in report.unregistered["cut.jpg"][0]
    assert "cannot be read" in report.unregistered["gone.jpg"][0]
    assert any("control characters" in reason for reason, _ in report.unregistered.values())
    assert (tmp_path / "scene" / "report.html").exists()


def test_a_lens_that_transforms_json_cannot_say_costs_that_file_only(habitat, tmp_path):
    report = reconstruct(
        habitat[0], tmp_path / "scene", ReconstructOptions(quality="low", camera_model="FOV")
    )
    assert len(report.components[0].registered()) == 8
    assert (tmp_path / "scene" / "report.html").exists()
    assert not (tmp_path / "scene" / "transforms.json").exists()
    assert any("transforms.json" in warning and "undistort" in warning for warning in report.warnings)


def test_a_speck_is_no_photo(noise, tmp_path):
    save(noise / "speck.png", 3, size=(4, 4))
    report = reconstruct(noise, tmp_path / "scene", SCAN)
    assert "4x4" in report.unregistered["speck.png"][0]


def test_all_photos_damaged(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode() * 10)
    with pytest.raises(ValueError, match=r"0 of the 2 photos .* two are needed"):
        reconstruct(tmp_path, tmp_path / "scene")


def test_every_kind_of_pixel_and_name(noise, tmp_path):
    save(noise / "grey.png", 3, mode="L")
    save(noise / "cmyk.jpg", 4, mode="CMYK")
    save(noise / "alpha.png", 5, mode="RGBA")
    Image.fromarray((np.arange(120 * 90).reshape(90, 120) * 6).astype(np.uint16)).save(noise / "deep.png")
    (noise / "ein Ordner").mkdir()
    save(noise / "ein Ordner" / "Höhle 洞穴 01.jpg", 6)
    save(noise / "large.jpg", 7, size=(200, 100))
    report = reconstruct(
        noise,
        tmp_path / "scene",
        ReconstructOptions(until_stage="features", quality="low", camera_per="exif"),
    )
    assert not report.unregistered and len(report.photos) == 8
    with ColmapDatabase(tmp_path / "scene" / "database.db") as database:
        assert {image.name for image in database.images().values()} == set(report.photos)
        assert len(database.cameras()) == 2  # by size


def test_nothing_in_common_is_said(noise, tmp_path):
    with pytest.raises(ValueError, match="no two of the 2 photos share enough"):
        reconstruct(noise, tmp_path / "scene", ReconstructOptions(quality="low"))


def test_a_folder_that_holds_something_else_is_left_alone(noise, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        reconstruct(noise, other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    with pytest.raises(ValueError, match="same folder"):
        reconstruct(noise, noise)
    with pytest.raises(ValueError, match="is a file"):
        reconstruct(noise, other / "thesis.tex")


def test_photos_of_the_user_in_the_scene_are_never_touched(noise, tmp_path):
    scene = tmp_path / "scene"
    (scene / "images").mkdir(parents=True)
    save(scene / "images" / "precious.jpg", 40)
    reconstruct(noise, scene, SCAN)
    (noise / "good1.jpg").rename(noise / "other.jpg")
    reconstruct(noise, scene, SCAN)
    assert sorted(p.name for p in (scene / "images").iterdir()) == ["good0.jpg", "other.jpg", "precious.jpg"]

    second = tmp_path / "second"
    (second / "images").mkdir(parents=True)
    save(second / "images" / "good0.jpg", 41)
    before = (second / "images" / "good0.jpg").read_bytes()
    with pytest.raises(ValueError, match=r"good0\.jpg is not the same file"):
        reconstruct(noise, second, SCAN)
    assert (second / "images" / "good0.jpg").read_bytes() == before

    third = tmp_path / "third"
    third.mkdir()
    (third / "images").symlink_to(tmp_path / "second" / "images")
    with pytest.raises(ValueError, match="is a link"):
        reconstruct(noise, third, SCAN)
    assert len(list((second / "images").iterdir())) == 1


def counts(scene):
    with ColmapDatabase(scene / "database.db") as database:
        return sum(database.keypoint_counts().values()), len(database.pairs_with_matches())


@pytest.mark.parametrize("stage", ["scan", "features", "matches"])
def test_what_rests_on_a_stage_is_done_again_after_it(habitat, finished, tmp_path, stage):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    reconstruct(habitat[0], scene, replace(QUICK, from_stage=stage, until_stage=stage))
    reconstruct(habitat[0], scene, QUICK)
    assert counts(scene) == counts(finished[0])
    assert digest(scene) == digest(finished[0])


@pytest.mark.parametrize("lost", ["database.db", "images/drone_003.jpg", "sparse/0", "report.html"])
def test_what_was_lost_is_made_again(habitat, finished, tmp_path, lost):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    path = scene / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = reconstruct(habitat[0], scene, QUICK)
    assert path.exists() and counts(scene) == counts(finished[0])
    assert digest(scene) == digest(finished[0]) and len(report.components[0].registered()) == 8


def _counted(function, calls):
    """The function, which also notes its arguments."""

    def counted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return counted


@pytest.fixture
def work(monkeypatch):
    """Counts what is done: photos extracted, pairs matched, pairs verified."""
    done = {"extract": [], "match": [], "verify": []}
    places = {"extract": "extract_stage._extract_file", "match": "match_stage.match_overlapping"}
    for kind, place in {**places, "verify": "match_stage.verify_pair"}.items():
        module, name = place.split(".")
        function = getattr(import_module(f"geo3d.features.{module}"), name)
        monkeypatch.setattr(f"geo3d.features.{place}", _counted(function, done[kind]))

    def counts():
        found = {kind: len(calls) for kind, calls in done.items()}
        for calls in done.values():
            calls.clear()
        return found

    return counts


def test_a_photo_more_or_less_costs_that_photo_and_the_scene_is_as_if_made_at_once(
    habitat, finished, tmp_path, work
):
    scene, photos = tmp_path / "scene", tmp_path / "photos"
    shutil.copytree(habitat[0], photos)
    (photos / "drone_004.jpg").rename(tmp_path / "late.jpg")
    reconstruct(photos, scene, QUICK)
    seven = digest(scene)
    assert work()["extract"] == 7
    shutil.copy(tmp_path / "late.jpg", photos / "drone_004.jpg")
    reconstruct(photos, scene, QUICK)
    assert digest(scene) == digest(finished[0]) and counts(scene) == counts(finished[0])
    assert work() == {"extract": 1, "match": 7, "verify": 7}
    (photos / "drone_004.jpg").unlink()
    reconstruct(photos, scene, QUICK)
    assert digest(scene) == seven and work() == {"extract": 0, "match": 0, "verify": 0}


def test_another_camera_keeps_features_and_matches(habitat, finished, tmp_path, work):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    camera = tuple(habitat[1].camera.params)
    known = replace(QUICK, camera_model="SIMPLE_RADIAL", camera_params=camera)
    reconstruct(habitat[0], scene, known)
    assert work() == {"extract": 0, "match": 0, "verify": 28}
    reconstruct(habitat[0], scene, replace(known, fix_intrinsics=True))
    assert work() == {"extract": 0, "match": 0, "verify": 0}
    reconstruct(habitat[0], tmp_path / "fresh", replace(known, fix_intrinsics=True))
    assert digest(scene) == digest(tmp_path / "fresh")


def test_what_features_and_pairs_depend_on_is_redone(habitat, finished, tmp_path, work):
    scene, photos = tmp_path / "scene", tmp_path / "photos"
    shutil.copytree(finished[0], scene)
    shutil.copytree(habitat[0], photos)
    matched = replace(QUICK, until_stage="matches")
    reconstruct(photos, scene, replace(matched, seed=1))
    assert work() == {"extract": 0, "match": 0, "verify": 28}
    (tmp_path / "pairs.txt").write_text("drone_001.jpg drone_002.jpg\ndrone_002.jpg drone_003.jpg\n")
    reconstruct(photos, scene, replace(matched, seed=1, pairs=tmp_path / "pairs.txt"))
    assert work() == {"extract": 0, "match": 0, "verify": 0} and counts(scene)[1] == 2
    (photos / "masks").mkdir()
    Image.fromarray(np.full((360, 480), 255, np.uint8)).save(photos / "masks" / "drone_002.jpg.png")
    reconstruct(photos, scene, replace(matched, seed=1))
    assert work() == {"extract": 1, "match": 28, "verify": 28}
    shutil.copy(
        photos / "drone_001.jpg", photos / "drone_005.jpg"
    )  # now a twin, and another photo than before
    reconstruct(photos, scene, replace(matched, seed=1))
    assert work() == {"extract": 0, "match": 0, "verify": 0}
    reconstruct(photos, scene, replace(matched, seed=1, max_size=300))
    assert work()["extract"] == 7


def test_a_photo_that_could_not_be_read_is_tried_again(habitat, finished, tmp_path, monkeypatch, work):
    scene = tmp_path / "scene"
    with monkeypatch.context() as patch:
        from geo3d.features import extract_stage

        whole = extract_stage._extract_file

        def broken(folder, name, *more):
            if name == "drone_004.jpg":
                raise OSError("the network is gone")
            return whole(folder, name, *more)

        patch.setattr(extract_stage, "_extract_file", broken)
        report = reconstruct(habitat[0], scene, QUICK)
    assert "the network is gone" in report.unregistered["drone_004.jpg"][0]
    work()
    report = reconstruct(habitat[0], scene, QUICK)
    assert not report.unregistered and digest(scene) == digest(finished[0])
    assert work() == {"extract": 1, "match": 7, "verify": 7}


def test_wrong_options_cost_nothing_of_a_finished_scene(habitat, finished, tmp_path):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    (tmp_path / "K.txt").write_text("1 2 3\n4 5 6\n")
    (tmp_path / "pairs.txt").write_text("one.jpg two.jpg\n")
    (tmp_path / "gcp.txt").write_text("EPSG:4326\n8 46 500 10 10 elsewhere.jpg A\n")
    for wrong in (
        {"calib": tmp_path / "K.txt"},
        {"pairs": tmp_path / "pairs.txt"},
        {"gcp": tmp_path / "pairs.txt"},
        {"gcp": tmp_path / "gcp.txt"},
        {"distance": [("drone_001.jpg", "pairs.txt", 3.0)]},
    ):
        with pytest.raises(ValueError, match=r"K\.txt|pairs\.txt|none of the 1 photos"):
            reconstruct(habitat[0], scene, replace(QUICK, **wrong))
    before = (scene / "database.db").stat().st_mtime_ns
    reconstruct(habitat[0], scene, QUICK)
    assert digest(scene) == digest(finished[0]) and (scene / "database.db").stat().st_mtime_ns == before


def test_a_database_put_into_an_existing_scene_is_not_thrown_away(habitat, finished, tmp_path):
    scene = tmp_path / "scene"
    shutil.copytree(finished[0], scene)
    (scene / "database.db").unlink()
    with ColmapDatabase(scene / "database.db") as database, database.transaction():
        database.add_camera(Camera("SIMPLE_PINHOLE", 480, 360, [400, 240, 180]))
    with pytest.raises(ValueError, match="is not the one that geo3d made"):
        reconstruct(habitat[0], scene, replace(QUICK, camera_per="photo"))
    with ColmapDatabase(scene / "database.db") as database:
        assert len(database.cameras()) == 1


def test_a_given_database_keeps_its_cameras_and_what_one_side_lacks_is_said(habitat, finished, tmp_path):
    scene, photos = tmp_path / "scene", tmp_path / "photos"
    scene.mkdir()
    shutil.copy(finished[0] / "database.db", scene / "database.db")
    shutil.copytree(habitat[0], photos)
    (photos / "drone_008.jpg").write_bytes(b"")
    save(photos / "late.jpg", 1, size=(480, 360))
    camera = tuple(habitat[1].camera.params)
    options = replace(QUICK, camera_model="SIMPLE_RADIAL", camera_params=camera, fix_intrinsics=True)
    report = reconstruct(photos, scene, options)
    assert set(report.unregistered) >= {"drone_008.jpg", "late.jpg"}
    assert np.array_equal(next(iter(report.components[0].cameras.values())).params, camera)
    with (
        ColmapDatabase(scene / "database.db") as given,
        ColmapDatabase(finished[0] / "database.db") as original,
    ):
        assert given.cameras() == original.cameras()


def test_photos_may_lie_where_colmap_has_them(noise, tmp_path):
    scene = tmp_path / "scene"
    scene.mkdir()
    shutil.copytree(noise, scene / "images")
    save(scene / "images" / "twin.jpg", 0)
    report = reconstruct(scene / "images", scene, SCAN)
    assert report.photos == ["good0.jpg", "good1.jpg"] and "twin.jpg" in report.unregistered
    assert (scene / "images" / "twin.jpg").exists()


def test_two_at_once_in_one_scene_are_refused_and_leftovers_are_swept(noise, tmp_path):
    scene = tmp_path / "scene"
    reconstruct(noise, scene, SCAN)
    (scene / ".sparse.abc.partial").mkdir()
    with folder_lock(scene / ".geo3d"), pytest.raises(BlockingIOError, match="another geo3d is at work"):
        reconstruct(noise, scene, SCAN)
    assert (scene / ".sparse.abc.partial").exists()
    reconstruct(noise, scene, SCAN)
    assert not (scene / ".sparse.abc.partial").exists()


@pytest.mark.parametrize("name", ["stages.json", "given.json", "hashes.json", "brought.json", "masks.json"])
@pytest.mark.parametrize("text", ["{", "[1]", '{"x": 1}', '{"format": 1}', ""])
def test_damaged_records_count_as_absent(noise, tmp_path, name, text):
    scene = tmp_path / "scene"
    reconstruct(noise, scene, SCAN)
    (scene / ".geo3d" / name).write_text(text)
    assert reconstruct(noise, scene, SCAN).photos == ["good0.jpg", "good1.jpg"]


def test_a_scene_inside_of_the_photos_is_not_taken_for_photos(noise):
    for _ in range(2):
        report = reconstruct(noise, noise / "scene", SCAN)
        assert report.photos == ["good0.jpg", "good1.jpg"]


def test_a_calibration_that_cannot_fit(noise, tmp_path):
    with pytest.raises(ValueError, match="--fix-intrinsics needs a calibration"):
        reconstruct(noise, tmp_path / "scene", ReconstructOptions(fix_intrinsics=True, until_stage="scan"))
    options = ReconstructOptions(
        camera_model="PINHOLE", camera_params=(800, 800, 640, 480), until_stage="scan"
    )
    with pytest.raises(ValueError, match=r"principal point at \(640.0, 480.0\), outside of photos of 120x90"):
        reconstruct(noise, tmp_path / "scene", options)
    save(noise / "tall.jpg", 9, size=(90, 160))
    options = ReconstructOptions(camera_model="PINHOLE", camera_params=(100, 100, 60, 45), until_stage="scan")
    with pytest.raises(ValueError, match="one calibration cannot fit photos of"):
        reconstruct(noise, tmp_path / "scene", options)


def test_photos_added_later_are_taken_up(noise, tmp_path):
    scene = tmp_path / "scene"
    assert len(reconstruct(noise, scene, SCAN).photos) == 2
    save(noise / "new.jpg", 5)
    assert reconstruct(noise, scene, SCAN).photos == ["good0.jpg", "good1.jpg", "new.jpg"]
    (noise / "good1.jpg").unlink()
    assert reconstruct(noise, scene, SCAN).photos == ["good0.jpg", "new.jpg"]
    assert not (scene / "images" / "good1.jpg").exists()


def test_a_model_goes_with_its_photos_but_stays_when_some_are_added(habitat, finished, tmp_path):
    scene, mine = tmp_path / "scene", tmp_path / "mine"
    shutil.copytree(finished[0], scene)
    shutil.copytree(habitat[0], mine)
    save(mine / "more.jpg", 3)
    scan_only = replace(QUICK, until_stage="scan")
    reconstruct(mine, scene, scan_only)
    assert (scene / "sparse" / "0").exists() and (scene / "report.html").exists()
    said = []
    progress = Progress()
    progress.note = said.append
    for path in mine.iterdir():
        path.unlink()
    for i, name in enumerate(("drone_000.jpg", "drone_001.jpg")):
        save(mine / name, i)
    with pytest.raises(ValueError, match="no two of the 2 photos share enough"):
        reconstruct(mine, scene, QUICK, progress)
    for name in ("sparse", "report.html", "points.ply", "transforms.json", "georeference.json"):
        assert not (scene / name).exists()
    assert any("the model made of them was removed" in text for text in said)


# ----------------------------------------------------------------------------------------- interrupted, no room left


def command(folder, scene, *more):
    return [
        sys.executable,
        "-m",
        "geo3d",
        "reconstruct",
        folder,
        "-o",
        scene,
        "--quality",
        "low",
        "--json",
        *more,
    ]


def test_an_output_that_cannot_be_written(noise, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = subprocess.run(command(noise, blocked / "scene"), capture_output=True, text=True)
    assert run.returncode == 1 and not run.stderr
    assert str(blocked) in json.loads(run.stdout.splitlines()[-1])["message"]


def test_no_room_left(noise, tmp_path):
    # A limit on the size of files stands in for a full disk: writing fails in the midst of the database.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    run = subprocess.run(
        command(noise, tmp_path / "scene"),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env=no_cache_writes(),
    )
    assert run.returncode == 1 and not run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["event"] == "error"
    report = reconstruct(noise, tmp_path / "scene", ReconstructOptions(until_stage="features", quality="low"))
    assert len(report.photos) == 2


def test_a_mapping_cut_short_goes_on_from_its_snapshot(habitat, finished, tmp_path, monkeypatch):
    """The relative poses are not estimated again, and the end is the same to the bit."""
    scene, calls = tmp_path / "scene", []
    build = global_mapper.build_view_graph
    monkeypatch.setattr(global_mapper, "build_view_graph", lambda *a: calls.append(1) or build(*a))
    monkeypatch.setattr(pipeline, "Snapshots", partial(Snapshots, interval_s=0))
    finish = global_mapper.finish

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(global_mapper, "finish", stopped)
    with pytest.raises(KeyboardInterrupt):
        reconstruct(habitat[0], scene, QUICK)
    assert list((scene / ".geo3d" / "mapping").glob("*.npz"))
    monkeypatch.setattr(global_mapper, "finish", finish)
    reconstruct(habitat[0], scene, QUICK)
    assert calls == [1] and digest(scene) == digest(finished[0])
    assert not (scene / ".geo3d" / "mapping").exists()


def test_a_second_mapping_cut_short_goes_on_as_well(habitat, tmp_path, monkeypatch):
    """Photos that turn out to have lenses of their own are mapped twice; neither is started anew."""
    calls, finished_models = [], []
    build, finish = global_mapper.build_view_graph, global_mapper.finish

    def other_lenses(graph, odd):
        cameras = {i: camera.with_params(camera.params * 1.001) for i, camera in graph.cameras.items()}
        return replace(graph, cameras=cameras), []

    def stopped(*arguments, **options):
        if finished_models:
            raise KeyboardInterrupt
        finished_models.append(1)
        finish(*arguments, **options)

    monkeypatch.setattr(global_mapper, "build_view_graph", lambda *a: calls.append(1) or build(*a))
    monkeypatch.setattr(pipeline, "Snapshots", partial(Snapshots, interval_s=0))
    monkeypatch.setattr(pipeline, "find_odd_lenses", lambda *a: [1])
    monkeypatch.setattr(pipeline, "with_own_lenses", other_lenses)
    monkeypatch.setattr(global_mapper, "finish", stopped)
    with pytest.raises(KeyboardInterrupt):
        reconstruct(habitat[0], tmp_path / "scene", QUICK)
    assert calls == [1, 1]
    monkeypatch.setattr(global_mapper, "finish", finish)
    reconstruct(habitat[0], tmp_path / "scene", QUICK)
    assert calls == [1, 1]


def no_cache_writes():
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_and_resumed_the_result_is_the_same(habitat, finished, tmp_path, signal_number):
    scene = tmp_path / "scene"
    # Each stage is killed a little later than its start, several times; each run goes on where the last was killed.
    for stage, delays in {
        "scan": [0.02],
        "features": [0.1, 0.5],
        "matches": [0.1, 0.3],
        "poses": [0, 0.2],
    }.items():
        for delay in [*delays, 0.05]:
            process = subprocess.Popen(
                command(habitat[0], scene),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                # A shell's jobs in the background ignore SIGINT, and so would this one.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            for line in process.stdout:
                if json.loads(line).get("stage") == stage:
                    time.sleep(delay)
                    break
            process.send_signal(signal_number)
            process.communicate()
            assert process.returncode in (-signal_number, 130, 0)
    events = subprocess.run(command(habitat[0], scene), capture_output=True, text=True, check=True).stdout
    assert [json.loads(line) for line in events.splitlines()]
    assert digest(scene) == digest(finished[0])
    assert {p.name for p in scene.iterdir()} == {p.name for p in finished[0].iterdir()}


@pytest.mark.slow
def test_freshly_compiled_and_cached_kernels_give_the_same_bits(habitat, finished, tmp_path):
    for _ in range(2):
        shutil.rmtree(tmp_path / "scene", ignore_errors=True)
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
        subprocess.run(
            command(habitat[0], tmp_path / "scene"), check=True, capture_output=True, env=environment
        )
        assert digest(tmp_path / "scene") == digest(finished[0])
