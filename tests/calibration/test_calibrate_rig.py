"""Rigs: found exactly without noise, pairs not taken together named, moments found without names, boards turned."""

from types import SimpleNamespace

import numpy as np
import pytest

from geo3d.calibration import (
    CalibrateOptions,
    Checkerboard,
    Detection,
    calibrate,
    calibrate_rig,
    epipolar_distances,
    moments_by_name,
    sampson_distances,
)
from geo3d.calibration.board_fit import BoardState, Free, Mounted, Observations, linearize, residuals_of
from geo3d.calibration.rig_moments import agreeing
from geo3d.cameras import Camera
from geo3d.geometry import SE3, SO3, rotation_angle
from geo3d.optim import RobustLoss

from .common import TARGET

LEFT = Camera("OPENCV", 640, 480, [420, 415, 322, 236, -0.2, 0.05, 1e-3, -5e-4])
RIGHT = Camera("EUCM", 800, 600, [360, 361, 402, 296, 0.6, 1.1])
THIRD = Camera("PINHOLE", 640, 480, [450, 452, 318, 243])
RIGHT_FROM_LEFT = SE3(SO3.exp([0.02, -0.1, 0.01]).matrix, [-0.12, 0.004, 0.01])
THIRD_FROM_LEFT = SE3(SO3.exp([-0.05, 0.15, 0.3]).matrix, [0.15, 0.02, -0.01])
RIG = [(LEFT, SE3.identity()), (RIGHT, RIGHT_FROM_LEFT), (THIRD, THIRD_FROM_LEFT)]


def photograph_rig(cameras, count=14, noise_px=0.0, seed=0, target=TARGET):
    """Detections of each camera by name, and the poses of the board in the first one's frame."""
    rng = np.random.default_rng(seed)
    middle = target.points.mean(axis=0)
    found, poses = [{} for _ in cameras], []
    for v in range(count):
        turn = SO3.exp(rng.uniform(-0.6, 0.6, 3)).matrix
        place = np.array([*rng.uniform(-0.08, 0.08, 2), rng.uniform(0.4, 0.7)])
        poses.append(SE3(turn, place - turn @ middle))
        for c, (camera, from_first) in enumerate(cameras):
            pixels = camera.project((from_first @ poses[-1]).act(target.points))
            seen = np.flatnonzero(
                ((pixels > 5) & (pixels < [camera.width - 5, camera.height - 5])).all(axis=1)
            )
            if len(seen) > 15:
                noisy = pixels[seen] + noise_px * rng.standard_normal((len(seen), 2))
                found[c][f"{'abc'[c]}_{v:03d}.png"] = Detection(seen, noisy)
    return found, poses


def calibrate_all(found, cameras, target=TARGET, names=None):
    alone = [
        calibrate(photos, target, camera.width, camera.height, CalibrateOptions(camera.model, 0))
        for photos, (camera, _) in zip(found, cameras)
    ]
    return calibrate_rig(alone, found, target, names)


@pytest.mark.parametrize("count", [2, 3])
def test_without_noise_the_rig_is_found_exactly(count):
    cameras = RIG[:count]
    found, poses = photograph_rig(cameras)
    rig = calibrate_all(found, cameras)
    assert rig.by_name and not rig.apart and rig.rms_px < 1e-6
    for camera, pose, (true, from_first) in zip(rig.cameras, rig.cam_from_first, cameras):
        np.testing.assert_allclose(camera.params, true.params, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pose.translation, from_first.translation, atol=1e-7)
        assert rotation_angle(pose.rotation.T @ from_first.rotation) < 1e-6
    rows = [int(photos[0][1][2:5]) for photos in rig.moments]
    np.testing.assert_allclose(rig.translations, [poses[v].translation for v in rows], atol=1e-6)
    np.testing.assert_allclose(
        rig.baselines_m, [np.linalg.norm(p.translation) for _, p in cameras], atol=1e-7
    )


def test_with_noise_the_deviations_are_right():
    scaled = []
    for seed in range(8):
        found, _ = photograph_rig(RIG[:2], 12, 0.2, seed)
        rig = calibrate_all(found, RIG[:2])
        pose = rig.cam_from_first[1]
        turn = SO3(pose.rotation @ RIGHT_FROM_LEFT.rotation.T).log()
        error = np.concatenate([turn, pose.translation - RIGHT_FROM_LEFT.translation])
        scaled.append(
            [*(error / rig.pose_std[1]), *((rig.cameras[1].params - RIGHT.params) / rig.params_std[1])]
        )
        scaled[-1].append(
            (rig.baselines_m[1] - np.linalg.norm(RIGHT_FROM_LEFT.translation)) / rig.baselines_std_m[1]
        )
        assert rig.rms_px == pytest.approx(0.2 * np.sqrt(2), rel=0.1)
    assert 0.6 < np.sqrt(np.mean(np.square(scaled))) < 1.4


def test_pairs_that_were_not_taken_together_are_named_and_do_no_harm():
    found, poses = photograph_rig(RIG[:2], 14, 0.1)
    rng = np.random.default_rng(1)
    for v, shift in ((3, 0.004), (8, 0.1)):  # metres that the board moved on
        name = f"b_{v:03d}.png"
        moved = SE3(poses[v].rotation, poses[v].translation + np.array([shift, 0, 0]))
        pixels = RIGHT.project((RIGHT_FROM_LEFT @ moved).act(TARGET.points))[found[1][name].ids]
        found[1][name] = Detection(found[1][name].ids, pixels + 0.1 * rng.standard_normal(pixels.shape))
    rig = calibrate_all(found, RIG[:2])
    assert set(rig.apart) == {((0, f"a_{v:03d}.png"), (1, f"b_{v:03d}.png")) for v in (3, 8)}
    assert all(px > 1 for px in rig.apart.values())
    np.testing.assert_allclose(rig.cam_from_first[1].translation, RIGHT_FROM_LEFT.translation, atol=1e-3)
    assert len(rig.shared_moments) == 12 and len(rig.moments) == 16  # their photos still serve the lenses


@pytest.mark.parametrize("numbered", [False, True])
def test_moments_are_found_without_names(numbered):
    found, _ = photograph_rig(RIG, 12, 0.1)
    rng = np.random.default_rng(2)
    letters = [*"qwertzuiopasdfgh"]
    renamed = [  # in no order, or by numbers that each camera counts for itself
        {
            f"{k}.png" if numbered else name: photos[old]
            for k, (name, old) in enumerate(zip(rng.permutation(letters), rng.permutation([*photos])))
        }
        for photos in found
    ]
    truth = [
        {new: next(old for old in photos if photos[old] is d) for new, d in again.items()}
        for again, photos in zip(renamed, found)
    ]
    rig = calibrate_all(renamed, RIG)
    assert not rig.by_name and not rig.apart
    for photos in rig.moments:
        assert len({truth[c][name][2:] for c, name in photos}) == 1
    assert len(rig.shared_moments) == len({name[2:] for name in found[0]} | {name[2:] for name in found[1]})


def test_a_board_that_looks_the_same_turned_is_turned_back():
    target = Checkerboard(8, 6, 0.03)
    found, _ = photograph_rig(RIG[:2], 12, 0.05, target=target)
    for name in ("b_002.png", "b_005.png", "b_009.png"):
        seen = found[1][name]
        found[1][name] = Detection(target.ids_turned(seen.ids, 2), seen.pixels)
    rig = calibrate_all(found, RIG[:2], target)
    assert not rig.apart and rig.rms_px < 0.1
    np.testing.assert_allclose(rig.cam_from_first[1].translation, RIGHT_FROM_LEFT.translation, atol=1e-3)


def test_a_camera_that_shares_nothing_is_named():
    found, _ = photograph_rig(RIG[:2], 12)
    found[1] = {f"x{i}": d for i, d in enumerate(photograph_rig(RIG[:2], 12, seed=7)[0][1].values())}
    with pytest.raises(ValueError, match=r"porch: fewer than 3 moments are shared with door"):
        calibrate_all(found, RIG[:2], names=["door", "porch"])
    with pytest.raises(ValueError, match="at least two cameras"):
        calibrate_all(found[:1], RIG[:1])


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ([["1.jpg", "2.jpg", "3.png"], ["1.png", "2.png", "3.png"]], ["1", "2", "3"]),
        (
            [["left1.jpg", "left10.jpg", "left2.jpg"], ["right1.jpg", "right2.jpg", "right10.jpg"]],
            ["1", "10", "2"],
        ),
        (
            [["cam0_007.png", "cam0_008.png", "cam0_9.png"], ["cam1_7.png", "cam1_08.png", "cam1_9.png"]],
            ["7", "8", "9"],
        ),
    ],
)
def test_names_tell_moments(names, keys):
    found = moments_by_name(names)
    assert found is not None and [sorted(photos) for photos in found] == [sorted(keys)] * 2


def test_names_that_tell_nothing():
    assert moments_by_name([["a1", "a2", "a3"], ["b7", "b8", "b9"]]) is None
    assert moments_by_name([["one", "two", "three"], ["x", "y", "z"]]) is None


def test_normal_equations_of_a_rig_are_those_of_finite_differences():
    found, poses = photograph_rig(RIG[:2], 3, 0.5)
    photos = sorted((name[2:5], c, d) for c, of in enumerate(found) for name, d in of.items())
    counts = [len(d) for *_, d in photos]
    observations = Observations(
        TARGET.points,
        np.repeat([int(v) for v, *_ in photos], counts),
        np.concatenate([d.ids for *_, d in photos]),
        np.concatenate([d.pixels for *_, d in photos]),
        3,
        np.repeat([c for _, c, _ in photos], counts),
    )
    state = BoardState(
        LEFT,
        np.stack([p.rotation for p in poses]),
        np.stack([p.translation for p in poses]),
        np.array([1e-3, 2e-3, -1e-3]),
        (Mounted(RIGHT, RIGHT_FROM_LEFT),),
    )
    free, loss = Free(np.ones(14, bool)), RobustLoss("soft_l1", 0.7)
    free.params[5] = False  # one held
    system = linearize(observations, state, free, loss)

    def cost(params=None, shape=0.0, rig=None, pose=None):
        step = np.zeros(14) if params is None else params
        cameras = [
            Camera(m.model, m.width, m.height, m.params + s) for m, s in ((LEFT, step[:8]), (RIGHT, step[8:]))
        ]
        rig, pose = (np.zeros(6) if x is None else x for x in (rig, pose))
        mounted = SE3(
            SO3.exp(rig[:3]).matrix @ RIGHT_FROM_LEFT.rotation, RIGHT_FROM_LEFT.translation + rig[3:]
        )
        rotations, translations = state.rotations.copy(), state.translations.copy()
        rotations[1] = SO3.exp(pose[:3]).matrix @ rotations[1]
        translations[1] += pose[3:]
        moved = BoardState(
            cameras[0], rotations, translations, state.shape + shape, (Mounted(cameras[1], mounted),)
        )
        return 0.5 * loss.rho(np.sum(residuals_of(observations, moved) ** 2, axis=1)).sum()

    def slope(of, size, step=1e-6):
        return np.array([(of(step * e) - of(-step * e)) / (2 * step) for e in np.eye(size)])

    expected = [
        *slope(lambda d: cost(params=d), 14)[free.params],
        *slope(lambda d: cost(shape=d), 3, 1e-7),
        *slope(lambda d: cost(rig=d), 6),
    ]
    np.testing.assert_allclose(system.shared_gradient, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(
        system.group_gradient[1], slope(lambda d: cost(pose=d), 6), rtol=1e-4, atol=1e-2
    )


def test_epipolar_distances():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-0.3, 0.3, (200, 2)), rng.uniform(0.8, 2, 200)])
    first, second = LEFT.project(points), RIGHT.project(RIGHT_FROM_LEFT.act(points))
    exact = epipolar_distances(LEFT, RIGHT, RIGHT_FROM_LEFT, first, second)
    assert np.nanmax(exact) < 1e-9
    # moved by d along the line's normal, a pixel is d off; of moves to all sides it is the part along the normal
    noise = 0.2 * rng.standard_normal(second.shape)
    off = epipolar_distances(LEFT, RIGHT, RIGHT_FROM_LEFT, first, second + noise)
    assert np.sqrt(np.nanmean(off[:, 1] ** 2)) == pytest.approx(0.2, rel=0.15)
    assert (off[:, 1] <= np.linalg.norm(noise, axis=1) * 1.001).all()
    swapped = epipolar_distances(RIGHT, LEFT, RIGHT_FROM_LEFT.inverse(), second + noise, first)
    np.testing.assert_allclose(swapped[:, ::-1], off, rtol=1e-6, atol=1e-9)
    least = sampson_distances(off)
    assert (least <= off.min(axis=1) + 1e-12).all() and sampson_distances(exact * 0).max() == 0
    with pytest.raises(ValueError, match="baseline"):
        epipolar_distances(LEFT, RIGHT, SE3.identity(), first, second)


@pytest.mark.parametrize(
    ("target", "quarters"),
    [
        (Checkerboard(9, 6), (0,)),
        (Checkerboard(8, 6), (0, 2)),
        (Checkerboard(7, 7), (0, 2)),
        (Checkerboard(6, 6), (0, 1, 2, 3)),
    ],
)
def test_turns_under_which_a_board_looks_the_same(target, quarters):
    assert target.quarters == quarters
    ids = np.arange(len(target.points))
    for q in quarters:
        moved = target.turned(q).act(target.points)
        np.testing.assert_allclose(moved[target.ids_turned(ids, q)], target.points, atol=1e-9)
        again = np.unique(np.round(moved / target.square_m).astype(int), axis=0)
        np.testing.assert_array_equal(
            again, np.unique(np.round(target.points / target.square_m).astype(int), axis=0)
        )


def test_a_board_that_a_camera_should_not_see_at_all_is_apart_by_the_whole_image():
    pose = SE3(np.eye(3), np.array([-0.1, -0.1, 0.6]))
    alone = [
        SimpleNamespace(
            camera=THIRD, names=[name], rotations=pose.rotation[None], translations=pose.translation[None]
        )
        for name in ("a", "b")
    ]
    behind = SE3(SO3.exp([0, np.pi, 0]).matrix, [0.1, 0, 0])  # the second looks the other way
    photos = [(0, "a"), (1, "b")]
    agreed, px = agreeing(alone, TARGET, [SE3.identity(), behind], photos[0], photos, 3.0)
    assert agreed == {(0, "a"): 0} and px == pytest.approx(800)
    assert agreeing(alone, TARGET, [SE3.identity()] * 2, photos[0], photos, 3.0) == (
        dict.fromkeys(photos, 0),
        0.0,
    )
