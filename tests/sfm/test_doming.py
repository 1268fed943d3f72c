"""A flat block seen straight down with a lens of its own finding is warned of; what prevents bending silences it."""

import numpy as np
import pytest

from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, Sim3
from geo3d.sfm import BundleOptions, block_shape, bundle_adjust, doming_warning, transform_model
from geo3d.synthetic import make_scene

CAMERA = Camera("SIMPLE_RADIAL", 1000, 750, [900.0, 500.0, 375.0, -0.05])
FREE, HELD = {1: np.array([9.0, 0, 0, 0.01])}, {1: np.array([9.0, 0, 0, 0])}


def flat_block(tilt_deg=0.0, relief=0.2, seed=0):
    """A grid of photos straight down; every second one tilted, its points' heights scaled by `relief`."""
    model = make_scene("grid", views=16, points=600, camera=CAMERA, seed=seed).reconstruction
    model.points.xyz = model.points.xyz * [1, 1, relief]
    for i, view in model.views.items():
        pose = view.cam_from_world
        assert pose is not None
        turn = SO3.exp([np.deg2rad(tilt_deg) * (i % 2), 0, 0]).matrix
        view.cam_from_world = SE3(turn @ pose.rotation, turn @ pose.translation)
        xyz = model.points.xyz[model.points.point_rows[model.points.view_ids == i]]
        view.keypoints = CAMERA.project(view.cam_from_world.act(xyz))
    return model


def test_nadir_over_flat_ground_is_warned_of():
    words = doming_warning(flat_block(), FREE)
    assert words is not None and "bowl" in words and "ground control" in words and "tilted" in words


@pytest.mark.parametrize(
    ("model", "deviations"),
    [
        (flat_block(tilt_deg=25), FREE),
        (flat_block(relief=2.0), FREE),
        (flat_block(), HELD),
        (flat_block(), {}),
        (make_scene("orbit", views=8, points=300).reconstruction, FREE),
        (make_scene("grid", views=3, points=100).reconstruction, FREE),
    ],
)
def test_what_prevents_it_silences_it(model, deviations):
    assert doming_warning(model, deviations) is None


def test_the_shape_of_a_block_needs_no_frame_and_no_scale():
    model = flat_block()
    moved = transform_model(model, Sim3.exp([3.0, 1, 2, 0.5, -1, 0.7, 1.5]))
    one, two = block_shape(model), block_shape(moved)
    assert one is not None and two is not None
    assert one.axes_deg == pytest.approx(two.axes_deg) and one.relief == pytest.approx(two.relief)
    model.points.xyz[:20] += [0, 0, 500.0]  # a few stray points
    stray = block_shape(model)
    assert stray is not None and stray.may_bend


def test_the_danger_is_real():
    """The same wrong distortion bends the nadir block at no cost to the photos; tilted photos would object."""
    bent, error = [], []
    for tilt in (0.0, 25.0):
        truth, model = flat_block(tilt), flat_block(tilt)
        model.cameras[1] = CAMERA.with_params([900.0, 500.0, 375.0, -0.03])
        report = bundle_adjust(model, BundleOptions(refine_focal=True, refine_distortion=False))
        up = model.points.xyz[:, 2] - truth.points.xyz[:, 2]
        ground = truth.points.xyz[:, :2] - truth.points.xyz[:, :2].mean(0)
        square = (ground**2).sum(1)
        design = np.column_stack([np.ones(len(up)), ground, square])
        bent.append(abs(np.linalg.lstsq(design, up, rcond=None)[0][3]) * square.max())
        error.append(report.error_px)
    assert error[1] > 1.3 * error[0]
    assert bent[0] > 0.1
