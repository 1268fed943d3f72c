"""A far background: where it is put, that it stays, and that it is worth it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SH_C0
from geo3d.io import read_splat_ply, write_transforms
from geo3d.render.visual_hull import Silhouette
from geo3d.scene import Gaussians, Reconstruction, View
from geo3d.splat.edit import merge
from geo3d.splat.engine import CpuEngine, StepInput
from geo3d.splat.initialisation import gaussians_at
from geo3d.splat.options import RenderOptions
from geo3d.splat.rasterizer import CpuRasterizer
from geo3d.splat.sky import lattice, sky_gaussians
from geo3d.splat.trainer import train
from geo3d.splat.training_options import DensifyOptions, TrainingOptions

CAMERA = Camera("PINHOLE", 64, 48, [40, 40, 32, 24])
UP = np.array([0.0, 0.0, 1.0])
NAMES = ("means", "quaternions", "log_scales", "logit_opacities", "sh")


def looking(angle, center, tilt=0.15):
    """Camera at `center`, turned by `angle` about the vertical and up by `tilt`."""
    z = np.array([np.cos(angle) * np.cos(tilt), np.sin(angle) * np.cos(tilt), np.sin(tilt)])
    x = np.cross(z, UP)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return SE3(rotation, -rotation @ np.asarray(center, np.float64))


def dome_color(directions):
    """A sky that changes with the direction."""
    return 0.5 + 0.4 * np.stack([directions[:, 0], np.sin(3 * directions[:, 1]), directions[:, 2]], axis=1)


def near_points():
    """What stands on the ground, all around."""
    rng = np.random.default_rng(5)
    angle, distance = rng.uniform(0, 2 * np.pi, 600), rng.uniform(3, 5, 600)
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(-1.5, 0.2, 600)])


@pytest.fixture(scope="module")
def panorama(tmp_path_factory):
    """Photos all around from a small circle, of things near and a coloured dome at 300 times their distance."""
    folder = tmp_path_factory.mktemp("dome")
    (folder / "images").mkdir()
    directions = lattice(6000)
    dome = gaussians_at(1200 * directions, dome_color(directions), 0, opacity=0.99)
    points = near_points()
    near = gaussians_at(points, np.random.default_rng(6).random((600, 3)), 0, opacity=0.9)
    near = replace(near, log_scales=np.full_like(near.log_scales, -2.0))
    whole, rasterizer, views = merge(dome, near), CpuRasterizer(), {}
    for k in range(24):
        angle = 2 * np.pi * k / 24
        pose = looking(angle, [0.8 * np.sin(5 * angle), 0.8 * np.cos(5 * angle), 0.0])
        color = rasterizer.forward(whole, CAMERA, pose, RenderOptions("cpu")).color
        name = f"{k:02d}.png"
        Image.fromarray((np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)).save(folder / "images" / name)
        views[k + 1] = View(name, 1, pose)
    write_transforms(Reconstruction({1: CAMERA}, views), folder / "transforms.json")
    return folder, near


def test_views_of_a_far_dome_are_better_with_a_sky(panorama, tmp_path):
    folder, near = panorama
    start = replace(near, logit_opacities=np.zeros_like(near.logit_opacities), sh=0 * near.sh)
    options = TrainingOptions(iterations=250, budget=4000, coarse=(), densify=DensifyOptions(interval=50))
    quality = {}
    for sky in (False, True):
        report = train(folder, tmp_path / str(sky), replace(options, sky=sky), initial=start)
        quality[sky] = np.mean([view.psnr_db for view in report.held_out])
        assert len(report.gaussians) <= 4000
    assert quality[True] > quality[False] + 3
    written = read_splat_ply(tmp_path / "True" / "splats.ply").gaussians
    assert 450 < np.count_nonzero(np.linalg.norm(written.means, axis=1) > 20) <= 500


def silhouettes(count=12):
    found = []
    for k in range(count):
        pose = looking(2 * np.pi * k / count, [0, 0, 0])
        rays = CAMERA.unproject(np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5), -1))
        world = rays.reshape(-1, 3) @ pose.rotation
        found.append(Silhouette(CAMERA, pose, dome_color(world).reshape(48, 64, 3), None))
    return found


def test_it_is_where_no_point_is_and_has_the_colour_of_its_direction():
    points = 20 * lattice(40_000)
    points = points[points[:, 0] < 0]
    sky = sky_gaussians(silhouettes(), points, points, 1, budget=8000)
    assert sky is not None and 800 < len(sky) <= 1000
    distance = np.linalg.norm(sky.means, axis=1)
    np.testing.assert_allclose(distance, distance[0], rtol=1e-4)
    assert distance[0] > 5 * 20
    directions = sky.means / distance[:, None]
    assert -0.11 < directions[:, 0].min() < -0.05  # a little behind the edge
    inside = (np.abs(directions[:, 2]) < 0.5) & (directions[:, 0] > 0.1)
    np.testing.assert_allclose(
        0.5 + SH_C0 * sky.sh[inside, 0], dome_color(directions[inside]), atol=0.08
    )  # a pixel's width of change


def test_a_small_hole_among_the_points_is_no_sky():
    points = 20 * lattice(40_000)
    for cosine, found in ((np.cos(0.06), False), (np.cos(0.25), True)):
        holed = points[points @ [1.0, 0.0, 0.0] < 20 * cosine]
        assert (sky_gaussians(silhouettes(), holed, points, 0, budget=8000) is not None) == found


def test_the_ground_is_no_sky_where_the_world_has_an_up():
    free = sky_gaussians(silhouettes(), np.zeros((0, 3)), near_points(), 0, budget=8000)
    held = sky_gaussians(silhouettes(), np.zeros((0, 3)), near_points(), 0, budget=8000, up=UP)
    assert free is not None and held is not None
    assert free.means[:, 2].min() < -0.2 * np.linalg.norm(free.means[0])
    assert held.means[:, 2].min() > -0.03 * np.linalg.norm(held.means[0])


def test_points_all_around_leave_no_sky():
    assert sky_gaussians(silhouettes(), 20 * lattice(40_000), near_points(), 0, budget=8000) is None
    assert sky_gaussians(silhouettes(), np.zeros((0, 3)), near_points(), 0, budget=7) is None


@pytest.mark.parametrize("strategy", ["mcmc", "adc", "absgrad", "multiview"])
def test_it_keeps_its_places_through_steps_and_changes(strategy):
    sky = sky_gaussians(silhouettes(), np.zeros((0, 3)), near_points(), 1, budget=800, up=UP)
    assert sky is not None
    near = gaussians_at(near_points(), np.full((600, 3), 0.5), 1)
    start = merge(sky, near)
    before = Gaussians(*(getattr(start, name).copy() for name in NAMES))
    options = TrainingOptions(
        budget=2000, strategy=strategy, opacity_weight=0.01, scale_weight=0.01, backend="cpu"
    )
    engine = CpuEngine(start, options, 1.0, 12, sky=len(sky))
    photos = [
        StepInput(k, s.color.astype(np.float32), None, np.zeros(3, np.float32), s.camera, s.cam_from_world)
        for k, s in enumerate(silhouettes())
    ]
    for step in range(24):
        engine.step(photos[step % 12], step, step / 24)
        if step % 8 == 7:
            engine.densify(200, step, engine.scores(photos[:4], 0.5) if strategy == "multiview" else None)
    engine.remove_useless()
    assert engine.sky == len(sky) and engine.count > len(start)
    np.testing.assert_array_equal(engine.gaussians.means[: len(sky)], before.means[: len(sky)])
    assert not np.array_equal(engine.gaussians.sh[: len(sky)], before.sh[: len(sky)])


def test_a_damaged_part_of_it_is_removed():
    sky = sky_gaussians(silhouettes(), np.zeros((0, 3)), near_points(), 0, budget=800)
    assert sky is not None
    start = merge(sky, gaussians_at(near_points(), np.full((600, 3), 0.5), 0))
    start.log_scales[3] = np.nan
    engine = CpuEngine(start, TrainingOptions(backend="cpu"), 1.0, 1, sky=len(sky))
    assert engine.remove_useless() == 1
    assert engine.sky == len(sky) - 1 and len(engine.gaussians) == len(start) - 1


@pytest.mark.parametrize("count", [1, 2, 777])
def test_the_lattice_is_even(count):
    found = lattice(count)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.linalg.norm(found.mean(axis=0)) < 2 / count + 1e-12
