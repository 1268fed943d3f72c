"""Photos of a training on the GPU's memory beside those that are read again and again."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.render.views import PosedView
from geo3d.splat.cuda_photos import CudaPhotos, photos_bytes
from geo3d.splat.training_options import TrainingOptions
from geo3d.splat.training_photos import TrainingPhotos, target
from geo3d.util.progress import StageProgress

CAMERA = Camera("PINHOLE", 320, 272, [200.0, 200.0, 160.0, 136.0])
BENT = Camera("SIMPLE_RADIAL", 320, 272, [200.0, 160.0, 136.0, 0.1])


@pytest.fixture
def views(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for k in range(5):
        smooth = np.kron(rng.integers(0, 256, (17, 20, 4)), np.ones((16, 16, 1))).astype(np.uint8)
        picture = smooth if k % 2 else smooth[..., :3]  # some with alpha
        path = tmp_path / f"{k}.png"
        Image.fromarray(picture).save(path)
        found.append(PosedView(path.name, BENT if k == 4 else CAMERA, SE3.identity(), path))
    return found


def both(views, options, leave_out=None) -> tuple[TrainingPhotos, CudaPhotos]:
    stage = StageProgress("photos", len(views))
    gpu = CudaPhotos(views, 2.0, options, torch.device("cpu"), stage, leave_out)
    assert stage.done == len(views) or leave_out is not None
    return TrainingPhotos(views, 2.0, options, 1 << 28, leave_out), gpu


@pytest.mark.parametrize("background", ["white", "random"])
def test_the_same_photos_in_the_same_order(views, background):
    options = TrainingOptions(background=background)
    read, kept = both(views, options)
    for step in range(12):
        (row, a), (same, b) = read.next(1.0), kept.next(1.0)
        assert row == same and read.place == kept.place and a.camera == b.camera
        ours, theirs = target(b, options, step), target(a, options, step)
        np.testing.assert_allclose(np.asarray(ours[0]), theirs[0], atol=1e-6)
        assert np.array_equal(ours[2], theirs[2])
        assert (ours[1] is None) == (theirs[1] is None)
        if theirs[1] is not None:
            assert np.array_equal(np.asarray(ours[1]), theirs[1])


def test_coarse_ones_are_averages_with_the_camera_that_fits(views):
    """The first of a coarse photo's pixels is the mean of the fine ones under it."""
    options = TrainingOptions()
    read, kept = both(views, options)
    row, a = read.next(1.0)
    kept.next(1.0)
    kept.place = read.place = 0
    same, b = kept.next(2.0)
    assert same == row and b.camera == a.camera.rescaled(80, 68)
    assert b.color.shape == (68, 80, 3)
    means = a.color.reshape(68, 2, 80, 2, 3).mean((1, 3))
    np.testing.assert_allclose(np.asarray(b.color), means, atol=1e-6)
    assert kept.next(1.0)[1].camera.width > 100


def test_too_small_photos_stay_as_large_as_they_have_to(views):
    _, kept = both(views, TrainingOptions())
    assert min(kept.next(8.0)[1].color.shape[:2]) >= 64


def test_it_goes_on_from_any_place(views):
    _, kept = both(views, TrainingOptions(seed=3))
    rows = [kept.next(1.0)[0] for _ in range(9)]
    again = both(views, TrainingOptions(seed=3))[1]
    again.place = 6
    assert [again.next(1.0)[0] for _ in range(3)] == rows[6:]


def test_some_are_those_of_the_generator(views):
    read, kept = both(views, TrainingOptions())
    read.next(1.0), kept.next(1.0)
    rows = [[row for row, _ in p.some(3, np.random.default_rng(1))] for p in (read, kept)]
    assert rows[0] == rows[1] and len(rows[0]) == 3


def test_photos_that_cannot_be_read_are_told_and_passed_over(views, caplog):
    caplog.set_level(logging.CRITICAL)
    views[2].photo.write_bytes(b"no photo")
    told = []
    _, kept = both(views, TrainingOptions(), lambda view, error: told.append(view.name))
    assert told == ["2.png"]
    assert {kept.next(1.0)[0] for _ in range(8)} == {0, 1, 3, 4}
    assert kept.place >= 9  # places of the one that is left out count
    for view in views:
        view.photo.write_bytes(b"no photo")
    _, empty = both(views, TrainingOptions(), lambda view, error: None)
    with pytest.raises(ValueError, match="none of the 5 photos can be read"):
        empty.next(1.0)


def test_the_bytes_bound_what_is_kept(views):
    _, kept = both(views, TrainingOptions())
    taken = sum(
        np.asarray(part).nbytes
        for p in kept._on_gpu.values()
        for part in (p.color, p.alpha, p.mask)
        if part is not None
    )
    assert 0 < taken <= photos_bytes(views, 2.0)
