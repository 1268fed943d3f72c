"""Training of a field as a whole, on three balls in small photos."""

import io
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf import trainer
from geo3d.nerf.engine import CpuEngine, field_shape
from geo3d.nerf.model import read_model
from geo3d.nerf.ray_pool import PixelBatch, RayPool
from geo3d.nerf.scene_bounds import scene_bounds
from geo3d.nerf.trainer import train
from geo3d.nerf.training_memory import check_memory
from geo3d.nerf.training_options import FieldRates, SampleOptions, TrainingOptions
from geo3d.render import load_views
from geo3d.render.exposure import Exposure
from geo3d.util.progress import LineProgress, Progress
from tests.nerf.scenes import CAMERA, CENTERS, picture, poses, write_scene

SAMPLES = SampleOptions(first=2048, last=4096, steps_per_side=48, grid=32)
QUICK = TrainingOptions(
    iterations=60,
    levels=4,
    log2_entries=10,
    finest=48,
    samples=SAMPLES,
    checkpoint_seconds=1e6,
    backend="cpu",
)


class Heard(Progress):
    """Keeps what is said."""

    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)


class Killed(Exception):
    """In place of a kill -9."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder with 16 photos that have alpha, and transforms.json."""
    return write_scene(tmp_path_factory.mktemp("balls") / "scene")


@pytest.fixture(scope="module")
def opaque(tmp_path_factory):
    """The same before grey, without alpha."""
    return write_scene(tmp_path_factory.mktemp("grey") / "scene", alpha=False)


def run(scene, out, heard=None, **changes):
    return train(scene, out, replace(QUICK, **changes), heard)


def psnr(report):
    return np.mean([view.psnr_db for view in report.held_out])


def same(one, two):
    return all(np.array_equal(one.parameters[name], two.parameters[name]) for name in one.parameters)


def stop_at(monkeypatch, step):
    """Trainings end with Killed after the checkpoint of that step."""
    save = trainer._Training.save

    def dies(self):
        save(self)
        if self.clock.step == step:
            raise Killed

    monkeypatch.setattr(trainer._Training, "save", dies)


def test_it_learns_views_that_it_has_not_seen_and_where_there_is_nothing(scene, tmp_path):
    before = run(scene, tmp_path / "a", iterations=1)
    report = run(scene, tmp_path / "b", iterations=400)
    assert psnr(report) > max(18.5, psnr(before) + 5)
    assert [view.name for view in report.held_out] == ["00.png", "08.png"]
    assert not report.model.box.unbounded and 1.2 < report.model.box.side < 2.2
    occupied = report.model.grid().share
    assert 0.01 < occupied < 0.6


def test_a_scene_without_alpha_is_learnt_to_its_horizon(opaque, tmp_path):
    report = run(opaque, tmp_path, iterations=250)
    assert report.model.box.unbounded
    assert psnr(report) > 19


def test_what_comes_out_is_written(scene, tmp_path):
    report = run(scene, tmp_path / "out", iterations=20)
    read = read_model(report.out / "nerf.pt")
    assert same(read, report.model) and read.box == report.model.box
    told = json.loads((report.out / "metrics.json").read_text())
    assert told["psnr_db"] == pytest.approx(psnr(report)) and told["finished"]
    assert told["steps"] == 20 and told["samples"] == report.samples > 0
    with Image.open(report.out / "samples" / "00.png") as shown:
        assert shown.size == (2 * CAMERA.width, CAMERA.height)
    assert not (report.out / "checkpoint.pt").exists()


def test_what_there_is_so_far_is_written_with_the_checkpoint(scene, tmp_path, monkeypatch):
    stop_at(monkeypatch, 1)
    with pytest.raises(Killed):
        run(scene, tmp_path, checkpoint_seconds=1e-6)
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told["steps"] == 1 and told["psnr_db"] > 0 and not told["finished"]
    assert read_model(tmp_path / "nerf.pt").shape.levels == QUICK.levels


def test_progress_tells_loss_psnr_and_rate(scene, tmp_path):
    shown = io.StringIO()
    train(
        scene,
        tmp_path,
        replace(QUICK, iterations=4, checkpoint_seconds=1e-6),
        LineProgress(shown, interval_s=0),
    )
    pattern = r"train: \d of 4, .*\(loss 0\.\d{4}, PSNR of 00\.png \d+\.\d dB, \d+\.\d\d million samples/s\)"
    assert re.search(pattern, shown.getvalue())


def test_the_same_seed_gives_the_same_field(scene, tmp_path):
    one, two = (run(scene, tmp_path / name, iterations=40).model for name in "ab")
    assert same(one, two)
    assert not same(one, run(scene, tmp_path / "c", iterations=40, seed=1).model)


@pytest.mark.parametrize(
    "changes",
    [{}, {"exposure": True, "refine_poses": True, "appearance": 4, "distortion_weight": 0.01, "loss": "mse"}],
)
def test_a_killed_training_goes_on_as_if_nothing_had_been(scene, tmp_path, monkeypatch, changes):
    whole = run(scene, tmp_path / "whole", **changes)
    stop_at(monkeypatch, 31)
    with pytest.raises(Killed):
        run(scene, tmp_path / "killed", checkpoint_seconds=1e-6, **changes)
    monkeypatch.undo()
    heard = Heard()
    again = run(scene, tmp_path / "killed", heard, **changes)
    assert "goes on at step 31" in heard.notes
    assert same(whole.model, again.model) and again.samples == whole.samples
    np.testing.assert_array_equal(whole.model.occupancy, again.model.occupancy)
    assert psnr(again) == psnr(whole)


def test_a_checkpoint_of_other_options_is_not_taken(scene, tmp_path, monkeypatch):
    stop_at(monkeypatch, 1)
    with pytest.raises(Killed):
        run(scene, tmp_path, checkpoint_seconds=1e-6)
    monkeypatch.undo()
    heard = Heard()
    assert run(scene, tmp_path, heard, seed=3, iterations=2).steps == 2
    assert any("is damaged or of another training" in note for note in heard.notes)


def test_a_finished_training_is_not_done_again(scene, tmp_path):
    heard = Heard()
    first = run(scene, tmp_path, iterations=5)
    again = run(scene, tmp_path, heard, iterations=5)
    assert any("finished after 5 steps: nothing to do" in note for note in heard.notes)
    assert again.held_out == first.held_out and same(again.model, first.model)
    assert run(scene, tmp_path, heard, iterations=6).steps == 6
    assert any("which this one replaces" in note for note in heard.notes)


def test_time_ends_the_training_by_the_clock(scene, tmp_path):
    report = run(scene, tmp_path, iterations=None, minutes=1 / 60)
    assert 0.95 < report.seconds < 3 and report.steps > 3


def test_it_stops_at_the_target(scene, tmp_path):
    report = run(scene, tmp_path, iterations=3000, target_psnr=12.0)
    assert report.steps < 3000 and "target" in report.stopped and psnr(report) >= 12.0


def test_damaged_and_missing_photos_are_left_out_and_named(tmp_path):
    copy, heard = write_scene(tmp_path / "scene"), Heard()
    for name in ("00.png", "03.png"):  # held out, and trained on
        photo = copy / "images" / name
        photo.write_bytes(photo.read_bytes()[:-60])
    (copy / "images" / "05.png").unlink()
    report = run(copy, tmp_path / "out", heard, iterations=5)
    assert sorted(report.damaged) == ["00.png", "03.png"] and len(report.missing) == 1
    for name in ("00.png", "03.png"):
        assert sum(name in text for text in heard.warnings) == 1
    for photo in (copy / "images").iterdir():
        photo.write_bytes(photo.read_bytes()[:-60])
    with pytest.raises(ValueError, match=r"none of .* photos can be read"):
        run(copy, tmp_path / "none", iterations=5)


def test_what_was_chosen_for_the_user_is_said_once(scene, tmp_path):
    heard = Heard()
    run(scene, tmp_path, heard, iterations=1, backend="auto")
    assert sum(note.startswith("trains on the ") for note in heard.notes) == 1


def test_photos_from_one_side_are_told(tmp_path):
    scene, heard = write_scene(tmp_path / "scene", count=24), Heard()
    for photo in sorted((scene / "images").iterdir())[5:]:
        photo.unlink()
    run(scene, tmp_path / "out", heard, iterations=1)
    assert any("from one side, an arc of" in note for note in heard.notes)


def test_photos_that_show_nothing_are_refused(tmp_path):
    copy = write_scene(tmp_path / "scene", count=8)
    for photo in (copy / "images").iterdir():
        Image.fromarray(np.zeros((CAMERA.height, CAMERA.width, 4), np.uint8)).save(photo)
    with pytest.raises(ValueError, match="transparent everywhere"):
        run(copy, tmp_path / "out")


def test_a_loss_that_is_no_number_ends_it_and_keeps_what_was_good(scene, tmp_path, monkeypatch):
    step, kept = CpuEngine.step, {}

    def wrong(self, pixels, background, number, f):
        if number == 10:
            kept.update({name: array.copy() for name, array in self.parameters.items()})
            pixels = replace(pixels, color=pixels.color * np.nan)
        return step(self, pixels, background, number, f)

    monkeypatch.setattr(CpuEngine, "step", wrong)
    heard = Heard()
    report = run(scene, tmp_path, heard)
    assert report.steps == 10 and "no number at step 10" in report.stopped and "rates" in heard.warnings[0]
    assert all(np.array_equal(report.model.parameters[name], kept[name]) for name in kept)
    assert np.isfinite(psnr(report))


def broken_at(monkeypatch, first):
    """A weight of the field is no number after step `first`; ReLU hides it from the loss."""
    step = CpuEngine.step

    def wrong(self, pixels, background, number, f):
        loss = step(self, pixels, background, number, f)
        if number == first:
            self.parameters["density_0"][0, 0] = np.nan
        return 0.1 if number >= first else loss

    monkeypatch.setattr(CpuEngine, "step", wrong)


def test_a_field_that_is_no_number_is_taken_back_to_the_checkpoint(scene, tmp_path, monkeypatch):
    stop_at(monkeypatch, 10)
    with pytest.raises(Killed):
        run(scene, tmp_path / "o", iterations=15, checkpoint_seconds=1e-6)
    monkeypatch.undo()
    broken_at(monkeypatch, 12)
    heard = Heard()
    report = run(scene, tmp_path / "o", heard, iterations=15)
    assert report.steps == 10 and "of 10 steps" in report.stopped and "rates" in heard.warnings[0]
    read = read_model(tmp_path / "o" / "nerf.pt")
    assert same(read, report.model)
    run(scene, tmp_path / "o", heard, iterations=15)
    assert "what was good is kept" in heard.notes[-1]


def test_a_field_that_is_no_number_without_a_checkpoint_is_not_written(scene, tmp_path, monkeypatch):
    broken_at(monkeypatch, 3)
    with pytest.raises(ValueError, match="no checkpoint yet to go back to"):
        run(scene, tmp_path, iterations=6)
    assert not (tmp_path / "nerf.pt").exists()


def test_a_gradient_that_is_no_number_is_not_learnt(scene, monkeypatch):
    engine, pool, _ = engine_and_pixels(scene, refine_poses=True)
    backward = engine.field.backward

    def wrong(*args, **changes):
        gradients = backward(*args, **changes)
        gradients["density_1"][0, 0] = np.inf
        return gradients

    monkeypatch.setattr(engine.field, "backward", wrong)
    before = {name: array.copy() for name, array in engine.arrays().items() if name != "told"}
    assert np.isnan(engine.advance(pool, 0, 0.0))
    after = engine.arrays()
    assert all(np.array_equal(array, after[name]) for name, array in before.items())


def test_a_photo_held_out_that_its_mask_covers_is_left_out(tmp_path):
    copy, heard = write_scene(tmp_path / "scene", alpha=False), Heard()
    (copy / "masks").mkdir()
    for photo in (copy / "images").iterdir():
        shown = np.full((CAMERA.height, CAMERA.width), 0 if photo.name == "00.png" else 255, np.uint8)
        Image.fromarray(shown).save(copy / "masks" / photo.name)
    report = run(copy, tmp_path / "out", heard, iterations=3, checkpoint_seconds=1e-6)
    assert [view.name for view in report.held_out] == ["08.png"] and report.damaged == ("00.png",)
    assert sum("mask leaves no pixel to compare" in text for text in heard.warnings) == 1


def test_too_large_a_field_is_refused_before_it_begins(scene):
    with pytest.raises(MemoryError, match="log2_entries"):
        check_memory(load_views(scene), 1.0, TrainingOptions(levels=16, log2_entries=24), available=2 << 30)
    assert check_memory(load_views(scene), 1.0, TrainingOptions(), available=8 << 30) >= 64 << 20


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"minutes": 3, "iterations": 5}, "minutes and iterations"),
        ({"minutes": 0}, "minutes"),
        ({"iterations": 0}, "iterations"),
        ({"hold_out_every": 1}, "hold_out_every"),
        ({"hold_out_every": 0, "target_psnr": 30}, "hold_out_every"),
        ({"background": "pink"}, "background"),
        ({"loss": "l3"}, "loss"),
        ({"downscale": 0.5}, "downscale"),
        ({"log2_entries": 30}, "log2_entries"),
        ({"appearance": -1}, "appearance"),
        ({"distortion_weight": float("nan")}, "distortion_weight"),
    ],
)
def test_options_that_cannot_be_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        TrainingOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"first": 0}, {"grid": 22}, {"decay": 1.5}, {"cone_angle": -1.0}])
def test_samples_that_cannot_be_are_named(wrong):
    with pytest.raises(ValueError, match=f"samples.{next(iter(wrong))}"):
        SampleOptions(**wrong)


def engine_and_pixels(scene, given=None, **changes):
    """An engine of a trained field, and pixels of its photos; its photos may be `given` other poses."""
    views = load_views(scene)
    options = replace(QUICK, **changes)
    pool = RayPool(views.views, 1.0, False, 1 << 26, 0)
    right = [view.cam_from_world for view in views.views]
    engine = CpuEngine(options, field_shape(options), scene_bounds(views, options), given or right)
    return engine, pool, right


@pytest.mark.parametrize("unbounded", [False, True])
def test_the_gradient_by_a_pose_is_the_slope_along_its_motions(scene, opaque, monkeypatch, unbounded):
    """Of a loss that is linear in the places of the samples in the unit cube."""
    engine, pool, _ = engine_and_pixels(opaque if unbounded else scene, refine_poses=True)
    pixels = replace(pool.draw(0, 200), rows=np.full(200, 2, np.int32))
    box, rays = engine.bounds.box, engine.rays(pixels)
    assert box.unbounded == unbounded
    marched = engine._marched(rays, 1)
    slope = np.random.default_rng(0).normal(size=marched.positions.shape).astype(np.float32)

    def loss():
        places = marched.samples.positions(box.local_rays(engine.rays(pixels))).astype(np.float64)
        return float((box.in_box_frame().unit_positions(places) * slope).sum())

    moved = {}
    monkeypatch.setattr(
        engine.poses, "step", lambda row, pose, d_pose, rate: moved.update({row: (pose, d_pose)})
    )
    engine._move_poses(rays, pixels, marched, slope, 0.5)
    assert list(moved) == [2]
    pose, d_pose = moved[2]
    found, slopes = [], []
    for tangent in np.eye(6):
        around = []
        for size in (5e-4, -5e-4):
            engine.poses.motions[2] = SE3.exp(size * tangent).matrix4()
            around.append(loss())
        slopes.append((around[0] - around[1]) / 1e-3)
        turned = [(SE3.exp(size * tangent) @ pose).matrix4()[:3] for size in (1e-6, -1e-6)]
        found.append(float(((turned[0] - turned[1]) / 2e-6 * d_pose).sum()))
    np.testing.assert_allclose(found, slopes, atol=0.04 * np.abs(slopes).max())


def test_poses_come_back_to_where_they_were(scene):
    """In a field that was trained with the right ones and stays as it is."""
    samples = replace(SAMPLES, first=8192, last=8192)
    engine, pool, right = engine_and_pixels(
        scene, refine_poses=True, samples=samples, rates=FieldRates(poses=2e-3)
    )
    rng = np.random.default_rng(1)

    def steps(count):
        for step in range(count):
            pixels = pool.draw(step, engine.rays_wanted(0.5))
            engine.step(pixels, rng.random((len(pixels.rows), 3), np.float32), step, 0.5)

    apply, engine.poses = engine.poses, None
    steps(300)
    engine.poses, engine._learn = apply, lambda *a: None
    engine.given = [SE3.exp(rng.normal(0, 0.02, 6)) @ pose for pose in right]

    def off(poses):
        """Mean distance in the photos of where the balls are from where they should be, pixels."""
        at = [[CAMERA.project(pose.act(CENTERS)) for pose in each] for each in (poses, right)]
        return np.mean(np.linalg.norm(np.subtract(*at), axis=-1))

    steps(150)
    after = off([engine.poses.apply(row, given) for row, given in enumerate(engine.given)])
    assert after < 0.5 * off(engine.given)


def test_exposure_takes_up_what_the_cameras_did():
    """Of cameras of which half are darker and half brighter by as much."""
    exposure = Exposure(14)
    colors = np.random.default_rng(0).random((400, 3), np.float32)
    rows = np.arange(400) % 14
    gain = np.where(rows % 2, 0.8, 1.2).astype(np.float32)[:, None]
    for _ in range(400):
        changed = exposure.apply_rays(rows, colors)
        d_changed = (2 * (changed - gain * colors) / changed.size).astype(np.float32)
        d_colors = exposure.step_rays(rows, colors, d_changed, 2e-3)
    np.testing.assert_allclose(exposure.apply_rays(rows, colors), gain * colors, atol=0.02)
    np.testing.assert_allclose(exposure.matrices.mean(axis=0), np.eye(3, 4), atol=1e-5)
    assert d_colors.shape == (400, 3)


def test_pixels_are_a_function_of_seed_and_step_and_of_the_photo_they_say(scene):
    views = load_views(scene).views
    pool = RayPool(views, 1.0, False, 1 << 26, seed=4)
    batch = pool.draw(7, 500)
    again = RayPool(views, 1.0, False, 1 << 26, seed=4).draw(7, 500)
    for name in ("rows", "bearings", "color", "alpha"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
    assert not np.array_equal(batch.color, pool.draw(8, 500).color)
    pixels = np.floor(CAMERA.project(batch.bearings)).astype(int)
    for row in range(len(views)):
        color, alpha = picture(CAMERA, views[row].cam_from_world)
        own = batch.rows == row
        x, y = pixels[own].T
        np.testing.assert_allclose(batch.color[own], color[y, x], atol=0.003)
        np.testing.assert_allclose(batch.alpha[own], alpha[y, x])


def test_photos_that_do_not_fit_take_turns(scene):
    views = load_views(scene).views
    bytes_each = 4 * CAMERA.width * CAMERA.height
    pool = RayPool(views, 1.0, False, 5 * bytes_each, seed=0)
    seen = [set(pool.draw(step, 400).rows.tolist()) for step in (0, 249, 250, 1000, 2000, 3000)]
    assert seen[0] == seen[1] != seen[2] and all(len(rows) == 5 for rows in seen)
    assert len(set.union(*seen)) > 10
    np.testing.assert_array_equal(
        pool.draw(249, 50).color, RayPool(views, 1.0, False, 5 * bytes_each, seed=0).draw(249, 50).color
    )


def test_masks_leave_out_or_empty(opaque, tmp_path):
    copy = write_scene(tmp_path / "scene", count=6, alpha=False)
    (copy / "masks").mkdir()
    half = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    half[:, : CAMERA.width // 2] = 255
    for photo in (copy / "images").iterdir():
        Image.fromarray(half).save(copy / "masks" / photo.name)
    views = load_views(copy).views
    ignored = RayPool(views, 1.0, False, 1 << 26, 0).draw(0, 2000)
    assert ignored.alpha is None and (ignored.bearings[:, 0] < 0).all()
    emptied = RayPool(views, 1.0, True, 1 << 26, 0).draw(0, 2000)
    assert emptied.alpha is not None
    np.testing.assert_array_equal(emptied.alpha > 0.5, emptied.bearings[:, 0] < 0)
    assert not emptied.color[emptied.alpha == 0].any()


def test_a_fisheye_is_trained_through_its_lens(tmp_path):
    camera = Camera("OPENCV_FISHEYE", 40, 32, [24, 24, 20, 16, 0.05, -0.01, 0.0, 0.0])
    scene = write_scene(tmp_path / "scene", camera=camera)
    report = run(scene, tmp_path / "out", iterations=200)
    assert psnr(report) > 20


def test_an_engine_without_rays_that_meet_anything_learns_nothing(scene):
    engine, _, _ = engine_and_pixels(scene)
    away = np.tile(np.float32([0, 0, -1]), (64, 1))
    batch = PixelBatch(np.zeros(64, np.int32), away, np.zeros((64, 3), np.float32), np.zeros(64, np.float32))
    before = engine.parameters["grid"].copy()
    assert engine.step(batch, np.random.default_rng(0).random((64, 3), np.float32), 1, 0.0) == 0.0
    np.testing.assert_array_equal(engine.parameters["grid"], before)
    assert poses(1)


def test_what_writes_the_files_is_missed_before_the_training(scene, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'geo3d\[torch\]'"):
        train(scene, tmp_path / "out", TrainingOptions(iterations=2), Heard())
    assert not (tmp_path / "out").exists()
