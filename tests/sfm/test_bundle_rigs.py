"""Rigs in a bundle: the map from frames and sensors to views, what it recovers, what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest

from geo3d.geometry import SE3, SO3, EnuFrame, Sim3
from geo3d.io import read_components, read_mapped, write_components
from geo3d.optim import RobustLoss
from geo3d.optim.least_squares import levenberg_marquardt
from geo3d.optim.parallel import Workers
from geo3d.optim.reduced import ReducedOptions
from geo3d.scene import Frame, Reconstruction, Rig
from geo3d.sfm import KnownPlace, PhotoPosition, georeference, transform_model
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, bundle_adjust, solve_bundle
from geo3d.sfm.bundle_covariance import bundle_covariance, two_view_gauge
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.bundle_problem import free_parameters
from geo3d.sfm.bundle_rigs import BundleRigs
from geo3d.sfm.bundle_system import BundleSystem
from geo3d.synthetic import make_scene, perturbed
from tests.sfm.test_bundle_adjustment import problem_of
from tests.sfm.test_bundle_kernels import assembled, random_problem

EXACT = BundleOptions(max_iterations=100, function_tolerance=1e-14)
POSES = replace(EXACT, refine_focal=False, refine_distortion=False)


def rigged(
    p: BundleProblem, sensors: int = 2, free: bool = True, alone: int = 1, seed: int = 0
) -> BundleProblem:
    """Views grouped by `sensors` into frames, the last `alone` on their own; exactly at the problem's poses.

    The poses of the views change for that: all sensors but the first are where the first frame has them.
    """
    views = np.arange(len(p.rotations) - alone)
    frame = np.concatenate([views // sensors, np.full(alone, -1)])
    sensor = np.concatenate([views % sensors, np.full(alone, -1)])
    poses = [SE3(R, t) for R, t in zip(p.rotations, p.translations)]
    rng = np.random.default_rng(seed)
    base = SE3(SO3.exp(rng.normal(0, 0.2, 3)).matrix, rng.normal(0, 0.1, 3))  # the rig's frame is no camera's
    frames = [base @ poses[int(np.flatnonzero(frame == f)[0])] for f in range(frame.max() + 1)]
    from_rig = [poses[s] @ frames[0].inverse() for s in range(sensors)]
    rigs = BundleRigs(
        frame, sensor, np.array([f.rotation for f in frames]), np.array([f.translation for f in frames]),
        np.array([s.rotation for s in from_rig]), np.array([s.translation for s in from_rig]),
        free_sensor=np.arange(sensors) > 0 if free else None,
    )  # fmt: skip
    R, t = p.rotations.copy(), p.translations.copy()
    R[rigs.views], t[rigs.views] = rigs.view_poses()
    return replace(p, rotations=R, translations=t, rigs=rigs)


def observed(p: BundleProblem, noise: float = 0.0, seed: int = 0) -> BundleProblem:
    """With the pixels that its poses give."""
    xy = np.array([
        p.cameras[p.view_camera[v]].project(p.rotations[v] @ p.points[i] + p.translations[v])
        for v, i in zip(p.obs_view, p.obs_point)
    ])  # fmt: skip
    return replace(p, obs_xy=xy + noise * np.random.default_rng(seed).standard_normal(xy.shape))


def stereo(views: int = 13, noise: float = 0.0, free: bool = True) -> BundleProblem:
    """A ring of stereo frames, and one view alone."""
    p = problem_of(make_scene("orbit", views=views, points=100, seed=1).reconstruction)
    beside = SE3(SO3.exp(np.array([0.02, -0.1, 0.05])).matrix, np.array([-0.4, 0.02, 0.05]))
    for v in range(1, views - 1, 2):
        pose = beside @ SE3(p.rotations[v - 1], p.translations[v - 1])
        p.rotations[v], p.translations[v] = pose.rotation, pose.translation
    return observed(rigged(p, free=free), noise)


def system_of(p: BundleProblem, options: BundleOptions = EXACT, workers=None, **more) -> BundleSystem:
    return BundleSystem(p, RobustLoss(), *free_parameters(p, options), workers or Workers(1), **more)


def test_map_is_the_derivative_of_the_poses():
    p = rigged(random_problem(1, ("SIMPLE_RADIAL", "PINHOLE"), points=30), sensors=3, alone=3)
    constant = np.random.default_rng(0).random((2, 6)) < 0.2
    p = replace(p, rigs=replace(p.rigs, constant_frame=constant))
    system = system_of(p)
    mapping, blocks, starts = system._rig_map, system.blocks, system.normal.columns
    P = mapping.basis().matrix.toarray()
    h, m = 1e-6, P.shape[1]
    assert (
        m == P.shape[0] - 6 * 6 + (~constant).sum() + 2 * 6
    )  # six views became two frames and two free sensors
    for k in range(m):
        sides = [mapping.move(s * h * np.eye(m)[k]) for s in (1, -1)]
        turn = SO3(np.einsum("nij,nkj->nik", sides[0][0], sides[1][0])).log() / (2 * h)
        shift = (sides[0][1] - sides[1][1]) / (2 * h)
        for row, v in enumerate(p.rigs.views):
            at = starts[blocks.of_view[v]]
            np.testing.assert_allclose(P[at : at + 6, k], np.concatenate([turn[row], shift[row]]), atol=1e-8)
    others = np.setdiff1d(
        np.arange(P.shape[0]), (starts[blocks.of_view[p.rigs.views]][:, None] + np.arange(6)).ravel()
    )
    np.testing.assert_array_equal(P[others][:, : len(others)], np.eye(len(others)))


def test_step_and_covariance_are_those_of_the_mapped_equations():
    """Against the equations of views, made of plain matrices, times P on both sides."""
    p = rigged(random_problem(5, ("SIMPLE_RADIAL", "PINHOLE"), points=20), sensors=2, alone=1)
    p = replace(p, priors=BundlePriors(centres=np.zeros((9, 3)), centre_sigmas=np.ones((9, 3))))
    options = BundleOptions(refine_principal_point=True)
    _, H, g = assembled(p, RobustLoss())
    with Workers(1) as workers:
        system = system_of(p, options, workers)
        system.linearize()
        step = system.solve(1e-3)
        decrease = step.decrease
    b, n = system.blocks, system.normal
    unknown = np.concatenate([
        np.where(c < 6, 32 + 6 * b.view[k] + c, 16 * b.camera[k] + c - 6)
        for k, c in enumerate(b.columns[k, :w] for k, w in enumerate(b.widths))
    ])  # fmt: skip
    rows = np.concatenate([unknown, np.arange(32 + 54, len(H))])
    inner, dense = n.basis.matrix.toarray(), len(unknown)
    P = np.zeros((len(rows), inner.shape[1] + 60))
    P[:dense, : inner.shape[1]], P[dense:, inner.shape[1] :] = inner, np.eye(60)
    A, slope = P.T @ H[np.ix_(rows, rows)] @ P, P.T @ g[rows]
    assert system.gradient_norm() == pytest.approx(np.abs(slope).max())
    y = -np.linalg.solve(A + 1e-3 * np.diag(np.diag(A)), slope)
    np.testing.assert_allclose(n.basis_step, y[: inner.shape[1]], rtol=1e-6, atol=1e-9 * np.abs(y).max())
    assert decrease == pytest.approx(-slope @ y - 0.5 * y @ A @ y, rel=1e-8)
    ours = bundle_covariance(p, options, sigma_px=1.0)
    unknowns = np.linalg.inv(A)
    whole = P @ unknowns @ P.T
    place = np.full(len(H), -1)
    place[rows] = np.arange(len(rows))
    for v in range(9):
        s = place[32 + 6 * v + np.arange(6)]
        np.testing.assert_allclose(ours.poses[v], whole[np.ix_(s, s)], rtol=1e-6, atol=1e-9)
    for columns, blocks in ((system.rig_columns[0], ours.frames), (system.rig_columns[1], ours.sensors)):
        for row, block in zip(columns, blocks):
            expected = unknowns[np.ix_(row, row)] if (row >= 0).all() else np.zeros((6, 6))
            np.testing.assert_allclose(block, expected, rtol=1e-6, atol=1e-9)
    for i in range(20):
        s = place[86 + 3 * i + np.arange(3)]
        np.testing.assert_allclose(ours.points[i], whole[np.ix_(s, s)], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("free", [False, True])
def test_recovers_poses_and_the_rig(free):
    truth = stereo(free=free)
    rng, rigs = np.random.default_rng(2), truth.rigs
    start = replace(
        rigs,
        frame_rotations=SO3.exp(rng.normal(0, 0.01, (6, 3))).matrix @ rigs.frame_rotations,
        frame_translations=rigs.frame_translations + rng.normal(0, 0.03, (6, 3)),
    )
    if free:
        start = replace(
            start,
            sensor_rotations=SO3.exp([[0, 0, 0], [0.02, -0.03, 0.01]]).matrix @ rigs.sensor_rotations,
            sensor_translations=rigs.sensor_translations + np.array([[0, 0, 0], [0.05, -0.02, 0.03]]),
        )
    points = truth.points + rng.normal(0, 0.02, truth.points.shape)
    result = solve_bundle(replace(truth, points=points, rigs=start), POSES)
    assert result.cost < 1e-6
    found = result.rigs
    assert found is not None
    np.testing.assert_array_equal(found.sensor_rotations[0], rigs.sensor_rotations[0])
    np.testing.assert_allclose(found.sensor_rotations[1], rigs.sensor_rotations[1], atol=1e-6)
    R, t = found.view_poses()
    np.testing.assert_array_equal(R, result.rotations[found.views])
    np.testing.assert_array_equal(t, result.translations[found.views])
    if not free:
        np.testing.assert_array_equal(found.sensor_translations, rigs.sensor_translations)
        extent = [np.linalg.norm(x - x.mean(0), axis=1).mean() for x in (result.points, truth.points)]
        assert extent[0] == pytest.approx(extent[1], rel=1e-6)  # the rig is the ruler


def test_a_rig_of_one_sensor_changes_nothing():
    p = random_problem(3, ("RADIAL",), points=40)
    alone = rigged(p, sensors=1, alone=0, free=False)
    rigs = replace(
        alone.rigs,
        sensor_rotations=np.eye(3)[None],
        sensor_translations=np.zeros((1, 3)),
        frame_rotations=p.rotations,
        frame_translations=p.translations,
    )
    alone = replace(alone, rigs=rigs)
    plain, through = solve_bundle(p, EXACT), solve_bundle(alone, EXACT)
    np.testing.assert_allclose([t.cost for t in plain.trace], [t.cost for t in through.trace], rtol=1e-7)
    np.testing.assert_allclose(plain.points, through.points, atol=1e-5)


def test_constants_stay():
    p = stereo(noise=0.5)
    constant = np.zeros((6, 6), bool)
    constant[0], constant[1, 3:] = True, True
    p = replace(p, rigs=replace(p.rigs, constant_frame=constant))
    result = solve_bundle(p)
    found = result.rigs
    np.testing.assert_array_equal(found.frame_rotations[0], p.rigs.frame_rotations[0])
    np.testing.assert_array_equal(found.frame_translations[:2], p.rigs.frame_translations[:2])
    assert (found.frame_rotations[1] != p.rigs.frame_rotations[1]).any()
    assert (found.sensor_translations[1] != p.rigs.sensor_translations[1]).any()
    np.testing.assert_array_equal(result.rotations[0], p.rotations[0])
    held = solve_bundle(p, BundleOptions(refine_rigs=False)).rigs
    np.testing.assert_array_equal(held.sensor_translations, p.rigs.sensor_translations)
    assert (held.frame_rotations[1] != p.rigs.frame_rotations[1]).any()
    still = solve_bundle(p, BundleOptions(refine_poses=False))
    np.testing.assert_array_equal(still.rotations, p.rotations)
    np.testing.assert_array_equal(still.translations, p.translations)
    assert (still.points != p.points).any()


@pytest.mark.parametrize("flops", [np.inf, -1.0], ids=["band", "conjugate gradients"])
def test_sparse_ways_and_threads(flops):
    p = stereo(views=21, noise=0.3)
    constant = np.zeros((10, 6), bool)
    constant[0], constant[3, 3] = True, True
    p = replace(p, rigs=replace(p.rigs, constant_frame=constant))
    sparse = ReducedOptions(dense_columns=0, max_dense_columns=0, max_band_flops=flops)
    found = []
    for threads, how in ((1, None), (1, sparse), (3, sparse)):
        with Workers(threads) as workers:
            system = system_of(p, EXACT, workers, reduced=how)
            found.append((levenberg_marquardt(system, EXACT.minimizer()).cost, system))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9)
    np.testing.assert_allclose(found[1][1].points, found[0][1].points, atol=1e-4)
    np.testing.assert_array_equal(found[1][1].points, found[2][1].points)


def test_a_known_baseline_holds_the_scale_of_the_covariance():
    p = stereo(noise=0.3, free=False)
    constant = np.zeros((6, 6), bool)
    constant[0] = True
    p = replace(p, rigs=replace(p.rigs, constant_frame=constant))
    found = bundle_covariance(p, POSES)
    assert found.sigma_px == pytest.approx(0.3, rel=0.15)
    assert not found.frames[0].any()
    assert not found.sensors.any()
    assert (np.linalg.eigvalsh(found.frames[1:]) > 0).all()
    with pytest.raises(ValueError, match="gauge"):
        bundle_covariance(replace(p, rigs=replace(p.rigs, free_sensor=np.array([False, True]))), POSES)


def model_with_rig(known: bool = True) -> tuple[Reconstruction, SE3]:
    """Frames of two cameras, and a view alone; exact."""
    base = make_scene("orbit", views=13, points=100, seed=1).reconstruction
    cameras = {1: base.cameras[1], 2: base.cameras[1], 3: base.cameras[1]}
    beside = SE3(SO3.exp(np.array([0.02, -0.1, 0.05])).matrix, np.array([-0.4, 0.02, 0.05]))
    frames = {}
    for first in range(1, 13, 2):
        base.views[first + 1].cam_from_world = beside @ base.views[first].cam_from_world
        frames[first] = Frame(5, (first, first + 1), base.views[first].cam_from_world)
        base.views[first + 1].camera_id = 2
    base.views[13].camera_id = 3
    frames[13] = Frame(6, (13,), base.views[13].cam_from_world)
    base.cameras = cameras
    base.rigs = {5: Rig(1, {2: beside if known else None}), 6: Rig(3)}
    base.frames = frames
    for i, view in base.views.items():
        pose = view.cam_from_world
        for row, track in enumerate(base.points):
            for k in track.keypoints[track.view_ids == i]:
                view.keypoints[k] = cameras[1].project(
                    pose.rotation @ base.points.xyz[row] + pose.translation
                )
    return base, beside


@pytest.mark.parametrize("known", [True, False])
def test_bundle_adjust_holds_the_rigs_of_a_reconstruction(known):
    truth, beside = model_with_rig(known)
    model = perturbed(truth, rotation_deg=0.3, translation=0.02, point_sigma=0.02, seed=3)
    model.views[6].cam_from_world = None
    options = replace(POSES, refine_rigs=not known)
    report = bundle_adjust(model, options)
    assert report.error_px < 1e-4
    found = model.rigs[5].sensor_from_rig[2]
    np.testing.assert_allclose(found.rotation, beside.rotation, atol=1e-5)
    if known:
        assert found.translation.tolist() == beside.translation.tolist()
    assert model.views[6].cam_from_world is None
    for first in (1, 3, 7, 9, 11):
        frame = model.frames[first].rig_from_world
        a, b = model.views[first].cam_from_world, model.views[first + 1].cam_from_world
        np.testing.assert_allclose(a.rotation, frame.rotation, atol=1e-12)
        np.testing.assert_allclose(b.translation, (found @ frame).translation, atol=1e-12)
    frame, alone = model.frames[13].rig_from_world, model.views[13].cam_from_world
    np.testing.assert_array_equal(frame.translation, alone.translation)


def test_rigs_of_a_workspace_survive_what_comes_after_mapping(tmp_path):
    """Reading a workspace, placing its models by RTK with the last adjustment, writing, reading again."""
    truth, beside = model_with_rig()
    place = EnuFrame(46.6, 8.0, 400.0)
    names = [truth.views[i].name for i in truth.registered()]
    rng = np.random.default_rng(0)
    for view in truth.views.values():
        view.keypoints += rng.normal(0, 0.3, view.keypoints.shape)
    geodetic = place.to_geodetic(truth.centres() + rng.normal(0, 0.01, (len(names), 3)))
    gps = [PhotoPosition(n, x, np.array([0.02, 0.02, 0.03]), rtk=True) for n, x in zip(names, geodetic)]
    turn = Sim3.exp(np.random.default_rng(1).normal(size=7))
    write_components([transform_model(truth, turn)], tmp_path)
    done = georeference(read_mapped(tmp_path), KnownPlace(gps))
    assert done.result.models[0].adjusted
    write_components(done.models, tmp_path)
    (model,) = read_components(tmp_path)
    assert sorted(model.rigs) == sorted(truth.rigs) and sorted(model.frames) == sorted(truth.frames)
    found = model.rigs[5].sensor_from_rig[2]
    np.testing.assert_allclose(found.rotation, beside.rotation, atol=1e-3)
    np.testing.assert_allclose(found.translation, beside.translation, atol=0.01)  # metres again
    for i in (1, 3, 7, 9, 11):
        first, second = model.views[i].cam_from_world, model.views[i + 1].cam_from_world
        np.testing.assert_allclose(second.translation, (found @ first).translation, atol=1e-9)


def test_a_view_that_stays_holds_its_frame():
    truth, _ = model_with_rig()
    model = perturbed(truth, rotation_deg=0.3, translation=0.02, seed=3)
    model.views[3].cam_from_world = truth.views[3].cam_from_world
    bundle_adjust(model, replace(POSES, refine_rigs=False), constant_views=[3])
    np.testing.assert_allclose(
        model.views[3].cam_from_world.translation, truth.views[3].cam_from_world.translation, atol=1e-12
    )
    np.testing.assert_allclose(
        model.views[4].cam_from_world.translation, truth.views[4].cam_from_world.translation, atol=1e-12
    )


def test_bad_rigs_are_named():
    p = stereo()
    for field, value, words in (
        ("view_frame", p.rigs.view_frame[:3], "view_frame must have shape"),
        ("view_frame", p.rigs.view_frame + 9, "view_frame must hold rows"),
        ("view_sensor", np.zeros(13, int), "a frame and a sensor"),
        ("frame_translations", p.rigs.frame_translations * np.nan, "frame_translations must be finite"),
        ("free_sensor", np.ones(7, bool), "free_sensor must have shape"),
    ):
        with pytest.raises(ValueError, match=words):
            solve_bundle(replace(p, rigs=replace(p.rigs, **{field: value})))
    with pytest.raises(ValueError, match="constant_frame"):
        solve_bundle(replace(p, constant_view=np.ones(13, bool)))
    with pytest.raises(ValueError, match="constant_frame"):
        solve_bundle(replace(p, constant_pose=two_view_gauge(p, 0, 1)))
