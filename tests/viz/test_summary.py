"""The figures of a model are what their names say."""

import numpy as np
import pytest

from geo3d.geometry import SE3
from geo3d.scene import Reconstruction
from geo3d.synthetic import make_scene
from geo3d.viz.summary import reprojection_errors, summarize


def test_errors_are_those_of_the_noise() -> None:
    scene = make_scene(views=5, points=200, noise_px=0.7, seed=3)
    model = scene.reconstruction
    errors = reprojection_errors(model)
    points = model.points
    expected = [
        np.linalg.norm(model.views[v].keypoints[k] - scene.exact_keypoints[v][k])
        for v, k in zip(points.view_ids.tolist(), points.keypoints.tolist())
    ]
    assert np.allclose(errors, expected, atol=1e-6)


def test_figures_are_counts_and_means() -> None:
    model = make_scene(views=4, points=100, noise_px=0.5, seed=1).reconstruction
    summary = summarize(model)
    errors = reprojection_errors(model)
    assert summary.registered == 4 and summary.points == 100 and summary.behind_camera == 0
    assert summary.observations == len(errors) == sum(v.observations for v in summary.views)
    assert summary.mean_error_px == pytest.approx(errors.mean())
    assert summary.median_error_px == pytest.approx(np.median(errors))
    assert summary.mean_track_length == pytest.approx(len(errors) / 100)
    by_view = sum(v.mean_error_px * v.observations for v in summary.views) / len(errors)
    assert by_view == pytest.approx(summary.mean_error_px)


def test_a_point_behind_its_camera_is_counted_and_left_out() -> None:
    model = make_scene(views=4, points=50, seed=1).reconstruction
    pose = model.views[1].cam_from_world
    assert pose is not None
    turned = np.diag([-1.0, 1.0, -1.0])  # half a turn about y: everything is behind now
    model.views[1].cam_from_world = SE3(turned @ pose.rotation, turned @ pose.translation)
    summary = summarize(model)
    assert summary.behind_camera == int((model.points.view_ids == 1).sum()) > 0
    assert summary.mean_error_px == pytest.approx(0, abs=1e-6)
    assert np.isnan(summary.views[0].mean_error_px)


def test_an_empty_model_has_no_figures() -> None:
    summary = summarize(Reconstruction())
    assert (summary.registered, summary.points, summary.mean_track_length) == (0, 0, 0.0)
    assert np.isnan(summary.mean_error_px)


def test_views_without_a_pose_do_not_count() -> None:
    model = make_scene(views=4, points=50, seed=1).reconstruction
    model.views[2].cam_from_world = None
    summary = summarize(model)
    assert [v.name for v in summary.views] == [model.views[i].name for i in (1, 3, 4)]
