"""Lens terms are freed when the photos determine them, and left alone when they do not."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.cameras import MODELS, Camera
from geo3d.geometry import SE3
from geo3d.sfm import (
    BundleOptions,
    LensSample,
    MapperOptions,
    camera_deviations,
    lens_prior,
    map_incrementally,
    self_calibrate,
)
from geo3d.sfm.lens_fit import LensFit, lens_sample
from geo3d.sfm.self_calibration import _weak_focal
from geo3d.synthetic import make_scene

BUNDLE = BundleOptions(threads=1)


@pytest.fixture
def mapped(graph_of):
    """A model of an orbit, from photos by the true camera, when the mapper starts with another."""

    def run(true: Camera, start: Camera, views=12, noise_px=0.3, bundle=BUNDLE):
        scene = make_scene("orbit", views=views, points=900, camera=true, noise_px=noise_px, seed=4)
        return map_incrementally(graph_of(scene, cameras={1: start}), MapperOptions(bundle=bundle)).models[0]

    return run


def camera(model, *params):
    return Camera(model, 1536, 1024, np.array(params, np.float64))


START = camera("SIMPLE_RADIAL", 1400, 768, 512, 0)


def test_an_offset_principal_point_is_found_to_its_deviation(mapped):
    true = camera("SIMPLE_RADIAL", 1380, 759, 503, -0.01)
    model = mapped(true, START)
    (found,) = model.cameras
    assert found.model == "SIMPLE_RADIAL" and model.free_params[0].all()
    (deviations,) = camera_deviations(model, BUNDLE)
    error = np.abs(found.params - true.params)
    assert (error < 4 * deviations).all(), (found.params, deviations)
    assert error[1:3].max() < 1.5 and deviations[1:3].max() < 2


def test_a_view_with_hardly_an_observation_in_the_sample_is_not_held_out(mapped):
    model = mapped(camera("SIMPLE_RADIAL", 1380, 759, 503, -0.01), START)
    rows = model.observations_of(3)
    model.used[rows[model.used[rows]][5:]] = False
    train, held = lens_sample(model, LensSample())
    seen = set(model.obs_view[train].tolist())
    assert 3 not in seen and set(model.obs_view[held].tolist()) <= seen and len(seen) == 11
    self_calibrate(model, BUNDLE, np.zeros(1, bool))


def test_a_centred_principal_point_is_left_alone(mapped):
    model = mapped(camera("SIMPLE_RADIAL", 1380, 768, 512, -0.01), START)
    assert model.free_params[0] is None
    np.testing.assert_array_equal(model.cameras[0].params[1:3], [768, 512])


def test_a_second_radial_term_is_found_and_the_model_grows(mapped):
    true = camera("RADIAL", 1380, 768, 512, -0.25, 0.12)
    model = mapped(true, START)
    (found,) = model.cameras
    assert found.model == "RADIAL"
    np.testing.assert_allclose(found.params[3:], true.params[3:], atol=0.02)


def test_tangential_terms_wait_for_the_others(mapped):
    true = camera("OPENCV", 1380, 1386, 757, 505, -0.25, 0.12, 0.004, -0.005)
    model = mapped(true, START, views=16, noise_px=0.1)
    (found,) = model.cameras
    assert found.model == "OPENCV"
    np.testing.assert_allclose(found.params[:4], true.params[:4], atol=4)
    np.testing.assert_allclose(found.params[6:], true.params[6:], atol=0.001)


@pytest.mark.parametrize("bent_px", [0.0, 3.0])
def test_a_focal_length_that_only_exif_knows_stays(graph_of, bent_px):
    """Straight down on a plane it is focal length or height; errors that go together look as if they said which."""
    true = camera("SIMPLE_PINHOLE", 1380, 768, 512)
    scene = make_scene("grid", views=16, points=900, camera=true, noise_px=0.5, seed=4)
    flat = scene.reconstruction
    flat.points.xyz[:, 2] = flat.points.xyz[:, 2].mean()
    down = np.diag([1.0, -1, -1])
    for i, view in flat.views.items():
        rng = np.random.default_rng(i)
        view.cam_from_world = SE3(down, -down @ view.cam_from_world.center())
        seen = true.project(view.cam_from_world.act(flat.points.xyz[scene.point_rows[i]]))
        bent = bent_px * np.sin(seen / 150 + rng.uniform(0, 2 * np.pi, 2))
        view.keypoints = seen + bent + rng.normal(0, 0.5, seen.shape)
    start = Camera("SIMPLE_RADIAL", 1536, 1024, np.array([1450.0, 768, 512, 0]), prior_focal=True)
    model = map_incrementally(graph_of(scene, cameras={1: start}), MapperOptions(bundle=BUNDLE)).models[0]
    assert model.registered.all()
    assert abs(model.cameras[0].params[0] - 1450) < 15
    if bent_px:
        assert not model.free_params[0][0]


def test_three_views_free_nothing(mapped):
    model = mapped(camera("SIMPLE_RADIAL", 1380, 759, 503, -0.01), START, views=3)
    assert model.free_params[0] is None


def test_known_cameras_are_not_looked_at(mapped):
    true = camera("SIMPLE_RADIAL", 1380, 759, 503, -0.01)
    fixed = BundleOptions(threads=1, refine_focal=False, refine_distortion=False)
    model = mapped(true, true, bundle=fixed)
    np.testing.assert_array_equal(model.cameras[0].params, true.params)
    assert self_calibrate(model, fixed, np.zeros(1, bool)) == []
    assert self_calibrate(model, BUNDLE, np.ones(1, bool)) == []
    np.testing.assert_array_equal(camera_deviations(model, fixed)[0], 0)


def test_trials_say_what_was_seen(mapped):
    true = camera("SIMPLE_RADIAL", 1380, 768, 512, -0.01)
    model = mapped(true, START)
    trials = self_calibrate(model, BUNDLE, np.zeros(1, bool))
    assert [t.term for t in trials] == ["principal point", "second radial term", "all terms"]
    for trial in trials:
        assert not trial.freed and abs(trial.gain) < 0.01


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.focal_params])
def test_priors_are_soft_bounds_about_the_start(name):
    start = Camera.from_focal("SIMPLE_RADIAL", 1600, 1200, 1300.0)
    grown = Camera.from_focal(name, 1600, 1200, 1250.0)
    means, sigmas = lens_prior(start, grown)
    info = MODELS[name]
    np.testing.assert_array_equal(means[list(info.focal_params)], 1300)
    assert np.isinf(sigmas[list(info.focal_params)]).all()  # a guess
    np.testing.assert_allclose(sigmas[list(info.principal_params)], 24)
    known = Camera("SIMPLE_RADIAL", 1600, 1200, start.params, prior_focal=True)
    np.testing.assert_allclose(lens_prior(known, grown)[1][list(info.focal_params)], 65)
    assert (sigmas > 0).all()


@settings(deadline=None, max_examples=20)
@given(k=st.floats(-0.3, 0.3))
def test_the_prior_of_the_first_radial_term_goes_along_to_richer_models(k):
    start = camera("SIMPLE_RADIAL", 1300, 768, 512, k)
    for name, column in (("SIMPLE_RADIAL", 3), ("RADIAL", 3), ("OPENCV", 4)):
        assert lens_prior(start, Camera.from_focal(name, 1536, 1024, 1300.0))[0][column] == k


@pytest.mark.parametrize("views", [2, 3])
def test_few_views_have_deviations_too(mapped, views):
    model = mapped(camera("SIMPLE_RADIAL", 1380, 768, 512, -0.01), START, views=views)
    (deviations,) = camera_deviations(model, BUNDLE)
    assert model.registered.sum() == views
    assert (deviations[[0, 3]] > 0).all() and (deviations[1:3] == 0).all()


def test_what_the_sample_does_not_show_is_not_called_certain(graph_of):
    lens = camera("SIMPLE_RADIAL", 1380, 768, 512, -0.01)
    scene = make_scene("orbit", views=8, points=300, camera=[lens] * 8, noise_px=0.3, seed=4)
    model = map_incrementally(graph_of(scene), MapperOptions(bundle=BUNDLE)).models[0]
    found = camera_deviations(model, BUNDLE, LensSample(views=5))
    known = [np.isfinite(deviations).all() for deviations in found]
    assert sum(known) == 5
    for deviations in found:
        assert deviations[0] > 0 and deviations[3] > 0 and (deviations[1:3] == 0).all()


@pytest.mark.parametrize(
    ("relative_std", "weak"), [(0.001, False), (0.012, False), (0.02, True), (0.04, True)]
)
def test_a_focal_length_of_exif_gives_way_only_to_one_that_is_known_much_better(mapped, relative_std, weak):
    start = replace(START, prior_focal=True)
    model = mapped(START, start, views=4)

    class Fit:
        cameras, masks = model.cameras, [np.array([True, False, False, True])]

        def deviations(self, camera: int) -> np.ndarray:
            return np.array([relative_std * start.mean_focal, 0, 0, 0.01])

    assert _weak_focal(model, cast(LensFit, Fit()), 0) == weak
    model.graph.cameras[1] = START  # a guess holds nothing
    assert not _weak_focal(model, cast(LensFit, Fit()), 0)
