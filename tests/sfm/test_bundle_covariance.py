"""Covariances of a bundle: against scattered repetitions and against pycolmap."""

import zlib  # noqa: F401, before pycolmap
from dataclasses import replace

import numpy as np
import pytest

from geo3d.geometry import SO3
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, solve_bundle
from geo3d.sfm.bundle_covariance import bundle_covariance, two_view_gauge
from geo3d.synthetic import make_scene
from tests.sfm.test_bundle_adjustment import problem_of

EXACT = BundleOptions(max_iterations=50, function_tolerance=1e-13)


@pytest.fixture(scope="module")
def adjusted() -> BundleProblem:
    """A small noisy scene at its minimum, gauge held by two views."""
    problem = problem_of(make_scene("orbit", views=5, points=60, noise_px=0.5, seed=0).reconstruction)
    problem = replace(problem, constant_pose=two_view_gauge(problem, 0, 1))
    result = solve_bundle(problem, EXACT)
    return replace(
        problem,
        rotations=result.rotations,
        translations=result.translations,
        cameras=result.cameras,
        points=result.points,
    )


def test_scatter_of_repetitions(adjusted):
    """400 fits to fresh noise scatter as the covariance says."""
    exact = replace(adjusted, obs_xy=adjusted.obs_xy.copy())
    for o, (v, p) in enumerate(zip(exact.obs_view, exact.obs_point)):
        exact.obs_xy[o] = exact.cameras[0].project(
            exact.rotations[v] @ exact.points[p] + exact.translations[v]
        )
    predicted = bundle_covariance(exact, sigma_px=0.3)
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(400):
        noisy = replace(exact, obs_xy=exact.obs_xy + 0.3 * rng.standard_normal(exact.obs_xy.shape))
        result = solve_bundle(noisy, BundleOptions(function_tolerance=1e-9, threads=1))
        turn = SO3(result.rotations[3] @ exact.rotations[3].T).log()
        samples.append(
            np.concatenate([turn, result.translations[3], result.cameras[0].params[[0, 3]], result.points[7]])
        )
    scatter = np.cov(np.array(samples).T)
    expected = [predicted.poses[3], predicted.cameras[0][np.ix_([0, 3], [0, 3])], predicted.points[7]]
    for rows, block in zip((slice(0, 6), slice(6, 8), slice(8, 11)), expected):
        sd = np.sqrt(np.diag(block))
        np.testing.assert_allclose(np.sqrt(np.diag(scatter[rows, rows])), sd, rtol=0.15)
        np.testing.assert_allclose(scatter[rows, rows] / np.outer(sd, sd), block / np.outer(sd, sd), atol=0.2)


def test_sigma_is_estimated(adjusted):
    estimated = bundle_covariance(adjusted)
    assert estimated.sigma_px == pytest.approx(0.5, rel=0.1)
    given = bundle_covariance(adjusted, sigma_px=1.0)
    np.testing.assert_allclose(estimated.poses, given.poses * estimated.sigma_px**2, rtol=1e-9)


def test_held_elements_have_none(adjusted):
    result = bundle_covariance(adjusted)
    held = adjusted.constant_pose
    assert held is not None
    assert held.sum() == 7
    for v in range(5):
        np.testing.assert_array_equal(np.diag(result.poses[v]) == 0, held[v])
        np.testing.assert_array_equal(result.poses[v], result.poses[v].T)
    np.testing.assert_array_equal(np.diag(result.cameras[0]) > 0, [True, False, False, True])
    assert (np.linalg.eigvalsh(result.points) > 0).all()


def test_a_free_gauge_is_refused(adjusted):
    with pytest.raises(ValueError, match="two_view_gauge"):
        bundle_covariance(replace(adjusted, constant_pose=None))


def test_a_point_of_one_view_is_not_determined(adjusted):
    keep = (adjusted.obs_point != 0) | (adjusted.obs_view == adjusted.obs_view[adjusted.obs_point == 0][0])
    alone = replace(
        adjusted,
        obs_view=adjusted.obs_view[keep],
        obs_point=adjusted.obs_point[keep],
        obs_xy=adjusted.obs_xy[keep],
    )
    result = bundle_covariance(alone, sigma_px=0.5)
    assert np.isnan(result.points[0]).all()
    assert np.isfinite(result.points[1:]).all()
    assert np.isfinite(result.poses).all()


def test_equals_pycolmap():
    pycolmap = pytest.importorskip("pycolmap")
    scene = make_scene("orbit", views=5, points=60, noise_px=0.5, seed=0).reconstruction
    model = pycolmap.Reconstruction()
    camera = scene.cameras[1]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model=camera.model, width=1000, height=750, params=camera.params)
    )
    for i, view in scene.views.items():
        image = pycolmap.Image(name=view.name, keypoints=view.keypoints, camera_id=1, image_id=i)
        pose = pycolmap.Rigid3d(
            np.column_stack([view.cam_from_world.rotation, view.cam_from_world.translation])
        )
        model.add_image_with_trivial_frame(image, pose)
    for track in scene.points:
        elements = [pycolmap.TrackElement(v, k) for v, k in zip(track.view_ids, track.keypoints)]
        model.add_point3D(track.xyz, pycolmap.Track(elements))
    config = pycolmap.BundleAdjustmentConfig()
    for i in scene.views:
        config.add_image(i)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    adjuster.solve()
    theirs = pycolmap.estimate_ba_covariance(
        pycolmap.BACovarianceOptions(params=pycolmap.BACovarianceOptionsParams.ALL), model, adjuster
    )

    problem = problem_of(scene)
    poses = [model.image(i).cam_from_world() for i in scene.registered()]
    problem = replace(
        problem,
        rotations=np.array([p.rotation.matrix() for p in poses]),
        translations=np.array([p.translation for p in poses]),
        cameras=[camera.with_params(model.camera(1).params)],
        points=np.array([model.point3D(i).xyz for i in sorted(model.points3D)]),
    )
    problem = replace(problem, constant_pose=two_view_gauge(problem, 0, 1))
    ours = bundle_covariance(problem, sigma_px=1.0)
    half = np.diag([0.5, 0.5, 0.5, 1, 1, 1])  # Ceres' quaternion tangent is half the rotation vector
    for v in (2, 3, 4):
        cov = half @ ours.poses[v] @ half
        np.testing.assert_allclose(cov, theirs.get_cam_cov_from_world(v + 1), rtol=1e-4, atol=1e-12)
    free = [0, 1, 2, 4, 5]  # COLMAP holds the same element of the second view
    cov = (half @ ours.poses[1] @ half)[np.ix_(free, free)]
    np.testing.assert_allclose(cov, theirs.get_cam_cov_from_world(2), rtol=1e-4, atol=1e-12)
    # COLMAP's covariance of a point takes everything else as known; ours does not, unless told so.
    known = replace(problem, constant_view=np.ones(5, bool), constant_camera=np.ones(1, bool))
    alone = bundle_covariance(known, sigma_px=1.0)
    for row, i in enumerate(sorted(model.points3D)):
        np.testing.assert_allclose(alone.points[row], theirs.get_point_cov(i), rtol=1e-4, atol=1e-12)
        assert (np.linalg.eigvalsh(ours.points[row] - alone.points[row]) > 0).all()


def test_a_loss_has_the_covariance_of_its_estimates():
    """Noise of two kinds, one far beyond the scale of the loss: 150 fits scatter as is said of the first."""
    truth = problem_of(make_scene("orbit", views=12, points=60, seed=2).reconstruction)
    truth = replace(truth, constant_pose=two_view_gauge(truth, 0, 1))
    options = BundleOptions(loss="cauchy", loss_scale_px=0.5, function_tolerance=1e-8, threads=1)
    rng = np.random.default_rng(0)
    samples, said = [], []
    for _ in range(150):
        sigma = np.where(rng.random((len(truth.obs_xy), 1)) < 0.1, 3.0, 0.4)
        noisy = replace(truth, obs_xy=truth.obs_xy + sigma * rng.standard_normal(truth.obs_xy.shape))
        fit = solve_bundle(noisy, options)
        samples.append(np.concatenate([fit.translations[2:].ravel(), fit.cameras[0].params[[0, 3]]]))
        if len(said) < 5:
            there = replace(noisy, rotations=fit.rotations, translations=fit.translations, points=fit.points,
                            cameras=fit.cameras)  # fmt: skip
            found = bundle_covariance(there, options, points=False)
            variances = [
                *np.einsum("vii->vi", found.poses[2:, 3:, 3:]).ravel(),
                *np.diag(found.cameras[0])[[0, 3]],
            ]
            said.append(variances)
    ratio = np.std(samples, axis=0) / np.sqrt(np.mean(said, axis=0))
    assert 0.85 < np.sqrt(np.mean(ratio**2)) < 1.15
