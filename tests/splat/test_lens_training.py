"""Training through a fisheye lens by the unscented transform, on photos that are not resampled."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.io import write_transforms
from geo3d.render import load_views
from geo3d.render.photos import PhotoStream
from geo3d.scene import Reconstruction, View
from geo3d.splat.options import RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.trainer import train
from geo3d.splat.training_options import DensifyOptions, TrainingOptions
from tests.splat.test_trainer import poses, truth

FISHEYE = Camera("OPENCV_FISHEYE", 64, 48, [38, 38, 32, 24, 0.03, -0.01, 0.002, 0.001])
OPTIONS = TrainingOptions(
    iterations=120,
    budget=400,
    coarse=(),
    densify=DensifyOptions(interval=25),
    lens="unscented",
    background="black",  # as the photos were made
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder with 16 fisheye photos, rendered through their lens."""
    folder = tmp_path_factory.mktemp("fisheye")
    (folder / "images").mkdir()
    rasterizer, gaussians, views = CpuRasterizer(), truth(), {}
    for k, pose in enumerate(poses(16)):
        color = rasterizer.forward(gaussians, FISHEYE, pose, RenderOptions("cpu")).color
        name = f"{k:02d}.png"
        Image.fromarray((np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)).save(folder / "images" / name)
        views[k + 1] = View(name, 1, pose)
    write_transforms(Reconstruction({1: FISHEYE}, views), folder / "transforms.json")
    return folder


@pytest.mark.parametrize("changes", [{}, {"antialiased": True}, {"refine_poses": True}])
def test_it_learns_views_through_the_lens_itself(scene, tmp_path, changes):
    before = train(scene, tmp_path / "a", replace(OPTIONS, iterations=1))
    report = train(scene, tmp_path / "b", replace(OPTIONS, **changes))
    first, last = (np.mean([view.psnr_db for view in r.held_out]) for r in (before, report))
    assert last > first + 4
    with Image.open(report.out / "samples" / "00.png") as picture:
        both = np.asarray(picture, np.float64)
    with Image.open(scene / "images" / "00.png") as photo:
        np.testing.assert_array_equal(both[:, :64], np.asarray(photo))  # as it was taken


def test_photos_keep_their_lens_when_they_are_reduced(scene):
    views = load_views(scene).views
    with PhotoStream(views, 0.5, undistorted=False) as stream:
        photo = stream[0]
        assert photo.camera == stream.camera(0)
    assert photo.camera == views[0].camera.rescaled(32, 24)
    assert photo.camera.model == "OPENCV_FISHEYE" and photo.mask is None
    assert photo.color.shape == (24, 32, 3)


def test_the_filter_goes_by_the_distance_through_a_lens():
    smoothing = Smoothing([FISHEYE], poses(1))
    center, forward = poses(1)[0].center(), poses(1)[0].rotation[2]
    smoothing.measure(np.stack([center + 2 * forward, center + 4 * forward, center - 3 * forward]))
    near, far, behind = smoothing.variance
    assert far == pytest.approx(4 * near, rel=1e-4)
    assert behind == far  # of one that no photo sees the widest
    assert near == pytest.approx(0.2 * (2 / FISHEYE.mean_focal) ** 2, rel=1e-4)


def test_the_gpu_does_not_know_lenses():
    with pytest.raises(ValueError, match="lens unscented renders on the CPU only: give backend cpu"):
        TrainingOptions(lens="unscented", backend="cuda")
    with pytest.raises(ValueError, match="lens is 'fisheye'; choose one of undistort, unscented"):
        TrainingOptions(lens="fisheye")  # pyright: ignore[reportArgumentType]
