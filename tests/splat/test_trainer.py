"""Training as a whole, on a made-up scene of a few Gaussians in small photos."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.io import read_splat_ply, write_transforms
from geo3d.render import load_views, read_checkpoint
from geo3d.render.evaluation import EvaluationOptions, evaluate
from geo3d.scene import Reconstruction, View
from geo3d.splat.engine import CpuEngine, StepInput
from geo3d.splat.initialisation import gaussians_at
from geo3d.splat.options import RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.splat.trainer import train
from geo3d.splat.training_memory import check_memory
from geo3d.splat.training_options import DensifyOptions, TrainingOptions
from geo3d.splat.training_photos import view_order
from geo3d.splat.training_start import start
from geo3d.util.progress import LineProgress, Progress
from tests.splat.scenes import NAMES

CAMERA = Camera("PINHOLE", 64, 48, [60, 60, 32, 24])
QUICK = TrainingOptions(
    iterations=80,
    budget=400,
    coarse=(),
    densify=DensifyOptions(interval=25),
    checkpoint_seconds=1e6,
    background="black",  # as the photos were made
)


def poses(count):
    found = []
    for k in range(count):
        a = 2 * np.pi * k / count
        center = np.array([3 * np.cos(a), 3 * np.sin(a), 0.8 + 0.3 * np.sin(3 * a)])
        z = -center / np.linalg.norm(center)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        rotation = np.stack([x, np.cross(z, x), z])
        found.append(SE3(rotation, -rotation @ center))
    return found


def truth():
    rng = np.random.default_rng(7)
    points = rng.uniform(-0.6, 0.6, (120, 3))
    made = gaussians_at(points, rng.random((120, 3)), 0, opacity=0.9)
    return replace(made, log_scales=made.log_scales - np.float32(0.3))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder with 16 photos, transforms.json and no points."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "images").mkdir()
    rasterizer, gaussians, views = CpuRasterizer(), truth(), {}
    for k, pose in enumerate(poses(16)):
        name = f"{k:02d}.png"
        color = rasterizer.forward(gaussians, CAMERA, pose, RenderOptions("cpu")).color
        Image.fromarray((np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)).save(folder / "images" / name)
        views[k + 1] = View(name, 1, pose)
    model = Reconstruction({1: CAMERA}, views)
    write_transforms(model, folder / "transforms.json")
    return folder


class Killed(Exception):
    """In place of a kill -9."""


def stop_at(monkeypatch, step):
    """Trainings end with Killed after the checkpoint of that step."""
    from geo3d.splat import trainer

    save = trainer._Training.save

    def dies(self):
        save(self)
        if self.clock.step == step:
            raise Killed

    monkeypatch.setattr(trainer._Training, "save", dies)


def run(scene, out, **changes):
    return train(scene, out, replace(QUICK, **changes))


def psnr(report):
    return np.mean([view.psnr_db for view in report.held_out])


@pytest.mark.parametrize("strategy", ["mcmc", "adc", "absgrad", "multiview"])
def test_training_learns_views_that_it_has_not_seen(scene, tmp_path, strategy):
    before = run(scene, tmp_path / "a", iterations=1, strategy=strategy)
    report = run(scene, tmp_path / "b", strategy=strategy)
    assert psnr(report) > psnr(before) + 3
    assert len(report.gaussians) <= QUICK.budget
    assert [view.name for view in report.held_out] == ["00.png", "08.png"]


def test_the_result_is_written(scene, tmp_path):
    report = run(scene, tmp_path / "splats", iterations=60)
    assert len(read_splat_ply(report.out / "splats.ply").gaussians) == len(report.gaussians)
    told = json.loads((report.out / "metrics.json").read_text())
    assert told["psnr_db"] == pytest.approx(psnr(report))
    assert told["finished"] and told["steps"] == 60 and told["options"]["iterations"] == 60
    with Image.open(report.out / "samples" / "00.png") as picture:
        assert picture.size == (128, 48)
    assert not (report.out / "checkpoint.npz").exists()


def test_what_there_is_so_far_is_written_with_the_checkpoint(scene, tmp_path, monkeypatch):
    stop_at(monkeypatch, 1)
    with pytest.raises(Killed):
        run(scene, tmp_path / "out", checkpoint_seconds=1e-6)
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert told["steps"] == 1 and told["psnr_db"] > 0 and not told["finished"]
    assert len(read_splat_ply(tmp_path / "out" / "splats.ply").gaussians) == told["gaussians"]


def test_what_a_killed_process_left_half_written_is_removed(scene, tmp_path):
    left = tmp_path / "out" / ".checkpoint.npz.abc.partial"
    left.mkdir(parents=True)
    (left / "checkpoint.npz").write_bytes(b"half")
    run(scene, tmp_path / "out", iterations=1)
    assert not left.exists()


def test_samples_of_photos_of_one_name_in_two_folders_do_not_replace_each_other(scene, tmp_path):
    views = load_views(scene).held_out
    named = [replace(view, name=f"{folder}/a.png") for view, folder in zip(views, ("left", "right"))]

    def black(camera, pose):
        return np.zeros((camera.height, camera.width, 3), np.float32)

    evaluate(black, named, EvaluationOptions(perceptual=False, samples=tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["left_a.png", "right_a.png"]


def test_progress_tells_loss_psnr_and_count(scene, tmp_path):
    shown = io.StringIO()
    options = replace(QUICK, iterations=5, checkpoint_seconds=1e-6)
    train(scene, tmp_path / "out", options, LineProgress(shown, interval_s=0.0))
    pattern = r"train: \d of 5, .*left \(loss 0\.\d{4}, PSNR of 00\.png \d+\.\d dB, \d+ Gaussians\)"
    assert re.search(pattern, shown.getvalue())


def test_the_same_seed_gives_the_same_result(scene, tmp_path):
    one, two = (run(scene, tmp_path / name, iterations=50).gaussians for name in "ab")
    other = run(scene, tmp_path / "c", iterations=50, seed=1).gaussians
    for name in ("means", "quaternions", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.means.shape != other.means.shape or not np.array_equal(one.means, other.means)


@pytest.mark.parametrize(
    "changes",
    [{}, {"exposure": True, "refine_poses": True, "antialiased": True}, {"strategy": "mcmc"}, {"sky": True}],
)
def test_a_killed_training_goes_on_as_if_nothing_had_been(scene, tmp_path, monkeypatch, changes):
    whole = run(scene, tmp_path / "whole", iterations=60, **changes)

    options = replace(QUICK, iterations=60, checkpoint_seconds=1e-6, **changes)
    stop_at(monkeypatch, 31)
    with pytest.raises(Killed):
        train(scene, tmp_path / "killed", options)
    monkeypatch.undo()
    heard = Heard()
    again = train(scene, tmp_path / "killed", replace(options, checkpoint_seconds=1e6), heard)
    assert "goes on at step 31" in heard.notes
    for name in ("means", "quaternions", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(whole.gaussians, name), getattr(again.gaussians, name))


@pytest.mark.slow
def test_kill_9_loses_at_most_a_checkpoint(scene, tmp_path):
    out = tmp_path / "out"
    code = (
        "from geo3d.splat.trainer import train\n"
        "from geo3d.splat.training_options import TrainingOptions\n"
        f"train({str(scene)!r}, {str(out)!r}, TrainingOptions(iterations=100000, budget=400, checkpoint_seconds=0.5))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        for _ in range(600):
            if (out / "checkpoint.npz").exists():
                break
            time.sleep(0.1)
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_checkpoint(out / "checkpoint.npz", "splats").header["step"] > 0


def test_time_ends_the_training_by_the_clock(scene, tmp_path):
    report = run(scene, tmp_path / "out", iterations=None, minutes=2 / 60, passes=10**6)
    assert 1.9 < report.seconds < 4
    assert report.steps > 10


def test_a_training_by_the_clock_that_was_killed_is_as_good_as_one_that_was_not(scene, tmp_path, monkeypatch):
    """On a machine that takes 10 ms a step, whatever this one does. Ten steps after its checkpoint are lost."""
    from geo3d.render import training_clock
    from geo3d.splat import trainer

    steps = []
    step = trainer._Training._step

    def counted(self, f):
        steps.append(f)
        step(self, f)
        if len(steps) == killed:
            raise Killed

    monkeypatch.setattr(training_clock.time, "monotonic", lambda: 0.01 * len(steps))
    monkeypatch.setattr(trainer._Training, "_step", counted)
    timed = {"iterations": None, "minutes": 3 / 60, "passes": 10**6, "checkpoint_seconds": 1.195}
    killed = -1
    whole = run(scene, tmp_path / "whole", **timed)
    steps.clear()
    killed = 130
    with pytest.raises(Killed):
        run(scene, tmp_path / "out", **timed)
    killed = -1
    again = run(scene, tmp_path / "out", **timed)
    assert len(steps) == whole.steps + 10 and again.steps == whole.steps == 300
    assert again.seconds == pytest.approx(whole.seconds)
    assert abs(psnr(again) - psnr(whole)) < 0.05


def test_few_photos_are_not_seen_without_end(scene, tmp_path):
    report = run(scene, tmp_path / "out", iterations=None, minutes=5, passes=3)
    assert report.steps == 3 * 14
    assert report.seconds < 60


def test_it_stops_at_the_target(scene, tmp_path):
    report = run(scene, tmp_path / "out", iterations=3000, target_psnr=15.0)
    assert report.steps < 3000
    assert "target" in report.stopped
    assert psnr(report) >= 15.0


def copied(scene, target, without=()):
    """A copy of the scene but for the photos of these names."""
    (target / "images").mkdir(parents=True)
    for path in (scene / "transforms.json", *(scene / "images").iterdir()):
        if path.name not in without:
            (target / path.relative_to(scene)).write_bytes(path.read_bytes())
    return target


class Heard(Progress):
    """Keeps what is said."""

    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)


def cut(photo):
    photo.write_bytes(photo.read_bytes()[:-200])


def test_damaged_photos_are_skipped_counted_and_named(scene, tmp_path):
    """00 is held out, 03 and 05 are trained on; of 11 not even the header is there."""
    copy, heard = copied(scene, tmp_path / "scene"), Heard()
    for name in ("00.png", "03.png", "05.png"):
        cut(copy / "images" / name)
    (copy / "images" / "11.png").write_bytes(b"")
    options = replace(QUICK, iterations=60, strategy="multiview", sky=True)
    report = train(copy, tmp_path / "out", options, heard)
    assert report.steps == 60 and [view.name for view in report.held_out] == ["08.png"]
    assert sorted(report.damaged) == ["00.png", "03.png", "05.png", "11.png"]
    for name in ("00.png", "03.png", "05.png"):
        assert sum(name in text and "damaged or truncated" in text for text in heard.warnings) == 1
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert told["photos_damaged"] == list(report.damaged) and told["photos_missing"] == []


def test_a_training_without_its_damaged_photos_goes_on_as_if_nothing_had_been(scene, tmp_path, monkeypatch):
    copy = copied(scene, tmp_path / "scene")
    cut(copy / "images" / "03.png")
    whole = run(copy, tmp_path / "whole", iterations=60)
    stop_at(monkeypatch, 31)
    with pytest.raises(Killed):
        run(copy, tmp_path / "out", iterations=60, checkpoint_seconds=1e-6)
    monkeypatch.undo()
    again = run(copy, tmp_path / "out", iterations=60)
    np.testing.assert_array_equal(whole.gaussians.means, again.gaussians.means)


def test_photos_of_which_none_can_be_read_end_it(scene, tmp_path):
    copy = copied(scene, tmp_path / "scene")
    for photo in (copy / "images").iterdir():
        cut(photo)
    start = truth()
    with pytest.raises(ValueError, match="none of the 14 photos can be read"):
        train(copy, tmp_path / "out", QUICK, initial=start)
    with pytest.raises(ValueError, match="none of 14 photos can be read"):
        train(copy, tmp_path / "out", QUICK)


def test_a_finished_training_is_not_done_again(scene, tmp_path):
    copy, heard = copied(scene, tmp_path / "scene"), Heard()
    options = replace(QUICK, iterations=10)
    first = train(copy, tmp_path / "out", options)
    written = (tmp_path / "out" / "splats.ply").stat().st_mtime_ns
    again = train(copy, tmp_path / "out", options, heard)
    assert (tmp_path / "out" / "splats.ply").stat().st_mtime_ns == written
    assert any("finished after 10 steps: nothing to do" in note for note in heard.notes)
    assert again.held_out == first.held_out and again.steps == 10
    np.testing.assert_array_equal(again.gaussians.means, first.gaussians.means)
    longer = train(copy, tmp_path / "out", replace(options, iterations=12), heard)
    assert longer.steps == 12 and any("which this one replaces" in note for note in heard.notes)
    photo = copy / "images" / "02.png"  # of the same size in bytes, with another content
    photo.write_bytes(photo.read_bytes()[:-8] + b"12345678")
    heard.notes.clear()
    train(copy, tmp_path / "out", replace(options, iterations=12), heard)
    assert "which this one replaces" in heard.notes[0]


def test_a_stopped_training_goes_on_to_another_end(scene, tmp_path, monkeypatch):
    stop_at(monkeypatch, 31)
    with pytest.raises(Killed):
        run(scene, tmp_path / "out", iterations=60, checkpoint_seconds=1e-6)
    monkeypatch.undo()
    heard = Heard()
    assert train(scene, tmp_path / "out", replace(QUICK, iterations=40), heard).steps == 40
    assert "goes on at step 31" in heard.notes


def test_missing_photos_are_counted_and_named(scene, tmp_path):
    copy = copied(scene, tmp_path / "scene", without=("03.png", "04.png"))
    run(copy, tmp_path / "out", iterations=5)
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(told["photos_missing"]) == 2


def test_poses_that_see_none_of_the_points_are_refused(scene):
    views = load_views(scene)
    colors = np.zeros((200, 3), np.uint8)
    ahead = replace(views, points=np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3)), point_colors=colors)
    assert len(start(ahead, QUICK, Progress())[0]) == 200
    turn = SE3(np.diag([-1.0, 1, -1]), np.zeros(3))
    away = [replace(view, cam_from_world=turn @ view.cam_from_world) for view in ahead.views]
    with pytest.raises(ValueError, match="none of the scene's 200 points is in view"):
        start(replace(ahead, views=away), QUICK, Progress())


def test_too_large_a_downscale_is_refused_by_its_name(scene, tmp_path):
    with pytest.raises(
        ValueError, match=r"downscale is 100, which leaves 0 of the 48 pixels of .*; at most 3 leaves"
    ):
        run(scene, tmp_path / "out", downscale=100.0)


def test_too_large_a_budget_is_refused_with_the_one_that_fits(scene):
    views = load_views(scene)
    with pytest.raises(MemoryError, match=r"a budget of [\d,]+ would fit"):
        check_memory(views, 1.0, TrainingOptions(budget=10_000_000), available=4 << 30)
    with pytest.raises(MemoryError, match="reduce the photos"):
        check_memory(views, 1.0, TrainingOptions(budget=1000), available=200 << 20)
    assert check_memory(views, 1.0, TrainingOptions(budget=100_000), available=8 << 30) > 0


def test_a_loss_that_is_no_number_ends_it_and_keeps_what_was_good(scene, tmp_path, monkeypatch):
    from geo3d.splat import engine

    right, calls = engine.photometric_loss, []

    def wrong(*arguments):
        calls.append(1)
        found = right(*arguments)
        return replace(found, loss=float("nan")) if len(calls) > 40 else found

    monkeypatch.setattr(engine, "photometric_loss", wrong)
    report = run(scene, tmp_path / "out")
    assert "no number" in report.stopped
    assert np.isfinite(report.gaussians.means).all()
    assert (report.out / "splats.ply").is_file()


def test_exposure_takes_up_what_the_cameras_did(scene, tmp_path):
    views = load_views(scene)
    from geo3d.render import PhotoStream

    with PhotoStream(views.views[:1]) as stream:
        photo = stream[0]
    engine = CpuEngine(truth(), replace(QUICK, exposure=True), 3.0, 2)
    darker = (0.5 * photo.color).astype(np.float32)
    seen = StepInput(0, darker, None, np.zeros(3, np.float32), photo.camera, views.views[0].cam_from_world)
    engine.adam.step = lambda *a, **k: None  # the Gaussians are right already
    first = engine.step(seen, 0, 0.0)
    for step in range(1, 120):
        last = engine.step(seen, step, 0.0)
    assert last < 0.7 * first


def test_poses_come_back_to_where_they_were(scene):
    views = load_views(scene)
    from geo3d.render import PhotoStream

    with PhotoStream(views.views[:1]) as stream:
        photo = stream[0]
    true = views.views[0].cam_from_world
    wrong = SE3.exp([0.02, -0.02, 0.02, 0.006, 0.006, -0.01]) @ true
    engine = CpuEngine(truth(), replace(QUICK, refine_poses=True), 3.0, 1)
    engine.adam.step = lambda *a, **k: None
    seen = StepInput(0, photo.color, None, np.zeros(3, np.float32), photo.camera, wrong)
    for step in range(200):
        engine.step(seen, step, step / 200)
    before = np.linalg.norm((wrong @ true.inverse()).log())
    after = np.linalg.norm((engine.poses.apply(0, wrong) @ true.inverse()).log())
    assert after < 0.3 * before


def test_each_photo_comes_once_in_a_round_and_the_order_can_be_taken_up():
    order = view_order(7, seed=3)
    first = [next(order) for _ in range(21)]
    assert [sorted(first[k : k + 7]) for k in (0, 7, 14)] == [list(range(7))] * 3
    later = view_order(7, seed=3, first=10)
    assert [next(later) for _ in range(11)] == first[10:]


def test_gaussians_that_no_photo_sees_stay_what_they_are(scene):
    views = load_views(scene)
    behind = truth()
    behind.means[:] += np.float32([0, 0, 500.0])
    engine = CpuEngine(behind, replace(QUICK, strategy="adc"), 3.0, 1)
    color = np.zeros((48, 64, 3), np.float32)
    seen = StepInput(0, color, None, np.zeros(3, np.float32), CAMERA, views.views[0].cam_from_world)
    before = behind.means.copy()
    assert engine.step(seen, 0, 0.0) == 0.0
    np.testing.assert_array_equal(engine.gaussians.means, before)
    assert not engine.statistics.views.any()


def test_gaussians_to_start_from_stay_as_they_are_and_fit_the_options(scene, tmp_path):
    given = truth()
    given.means[5, 0] = np.nan
    kept = [getattr(given, name).copy() for name in NAMES]
    options = replace(QUICK, iterations=3, antialiased=True, sh_degree=1)
    report = train(scene, tmp_path / "a", options, initial=given)
    for name, before in zip(NAMES, kept):
        np.testing.assert_array_equal(getattr(given, name), before)
    assert len(report.gaussians) == len(given) - 1
    assert report.gaussians.antialiased and report.gaussians.sh_degree == 1
    double = replace(given, **{name: getattr(given, name).astype(np.float64) for name in NAMES})
    again = train(scene, tmp_path / "b", options, initial=double)
    np.testing.assert_array_equal(again.gaussians.means, report.gaussians.means)
    nothing = replace(given, **{name: getattr(given, name)[:0] for name in NAMES})
    with pytest.raises(ValueError, match="initial: expected at least one"):
        train(scene, tmp_path / "c", options, initial=nothing)


def test_what_photos_show_becomes_opaque(scene, tmp_path):
    """Before black a veil is as good as a dark surface; before a background that changes it is not."""
    found = {}
    for background in ("black", "random"):
        gaussians = run(scene, tmp_path / background, iterations=300, background=background).gaussians
        pose = load_views(scene).held_out[0].cam_from_world
        found[background] = (
            CpuRasterizer().forward(gaussians, CAMERA, pose, RenderOptions("cpu")).alpha.mean()
        )
    assert found["random"] > found["black"] + 0.2


def test_what_was_chosen_for_the_user_is_said_once(scene, tmp_path):
    heard = Heard()
    train(scene, tmp_path, replace(QUICK, iterations=2, backend="auto"), heard)
    assert sum(note.startswith("trains on the ") for note in heard.notes) == 1
