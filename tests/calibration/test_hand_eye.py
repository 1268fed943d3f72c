"""The camera's place on a robot: exactly without noise, with deviations that hold, refused where it stays open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.calibration import Detection, HandEye, hand_eye, hand_eye_corners
from geo3d.calibration.board_shape import shape_terms
from geo3d.calibration.calibrate import observe
from geo3d.calibration.hand_eye_daniilidis import hand_eye_daniilidis
from geo3d.calibration.hand_eye_motions import motions_of
from geo3d.calibration.hand_eye_park import hand_eye_park
from geo3d.calibration.hand_eye_refine import linearize_corners, linearize_poses
from geo3d.geometry import SE3, SO3
from geo3d.synthetic import BoardOptions, board_poses

from .common import LENSES, TARGET

SETUPS, METHODS = ("eye_in_hand", "eye_to_hand"), ("park", "daniilidis")
_few = settings(deadline=None, max_examples=10)
_seeds = st.integers(0, 2**32 - 1)


def anywhere(rng, turn=np.pi, shift=1.0):
    """A motion by up to so many radians and metres."""
    axis = rng.normal(size=3)
    return SE3.exp([0, 0, 0, *(turn * rng.random() * axis / np.linalg.norm(axis))]) @ SE3(
        np.eye(3), shift * rng.uniform(-1, 1, 3)
    )


def shaken(pose, rng, turn, shift):
    """A pose with noise of so many radians and metres a coordinate, in its left frame."""
    noise = SO3.exp(turn * rng.standard_normal(3)).matrix
    return SE3(noise @ pose.rotation, pose.translation + shift * rng.standard_normal(3))


def robot_pose(setup, cam_from_board, X, Z):
    """The robot's pose from which the camera sees the board so."""
    left = Z @ cam_from_board.inverse() @ X.inverse()
    return left if setup == "eye_in_hand" else left.inverse()


def work(rng, count, setup="eye_in_hand", robot_noise=(0.0, 0.0), board_noise=(0.0, 0.0)):
    """X, Z, and poses of robot and board by name: the board half a metre away, tilted to all sides."""
    X, Z = anywhere(rng), anywhere(rng)
    robot, boards = {}, {}
    for i in range(count):
        seen = SE3(SO3.exp(0.6 * rng.standard_normal(3)).matrix, [0, 0, 0.5] + 0.1 * rng.standard_normal(3))
        robot[f"{i:02d}"] = shaken(robot_pose(setup, seen, X, Z), rng, *robot_noise)
        boards[f"{i:02d}"] = shaken(seen, rng, *board_noise)
    return X, Z, robot, boards


def off(found: SE3, truth: SE3) -> np.ndarray:
    """(6,) rotation and translation by which a pose is off."""
    return np.concatenate(
        [SO3(found.rotation @ truth.rotation.T).log(), found.translation - truth.translation]
    )


@pytest.mark.parametrize("solve", [hand_eye_park, hand_eye_daniilidis])
@_few
@given(seed=_seeds, count=st.integers(3, 12), unit=st.sampled_from([1.0, 1000.0]))
def test_closed_forms_are_exact(solve, seed, count, unit):
    rng = np.random.default_rng(seed)
    X, Z = anywhere(rng, shift=unit), anywhere(rng, shift=unit)
    # Turned by less than a quarter turn, so that no two of them are half a turn apart.
    seen = [
        SE3(SO3.exp(rng.uniform(-0.8, 0.8, 3)).matrix, unit * rng.standard_normal(3)) for _ in range(count)
    ]
    left = [Z @ pose.inverse() @ X.inverse() for pose in seen]
    stacked = [
        SE3(np.stack([p.rotation for p in all_]), np.stack([p.translation for p in all_]))
        for all_ in (left, seen)
    ]
    found = solve(motions_of(*stacked))
    turned = SO3(np.swapaxes(stacked[1].rotation, 1, 2)).log()
    spread = np.linalg.svd(turned - turned.mean(axis=0), compute_uv=False)[1]  # about a second axis
    np.testing.assert_allclose(off(found, X) / [1, 1, 1, unit, unit, unit], 0, atol=1e-9 / min(spread, 1))


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("method", METHODS)
@_few
@given(seed=_seeds, count=st.integers(4, 15))
def test_without_noise_all_is_exact(setup, method, seed, count):
    X, Z, robot, boards = work(np.random.default_rng(seed), count, setup)
    found = hand_eye(robot, boards, setup, method)
    np.testing.assert_allclose(found.X.matrix4(), X.matrix4(), atol=1e-9)
    np.testing.assert_allclose(found.Z.matrix4(), Z.matrix4(), atol=1e-9)
    assert found.names == sorted(robot) and not found.rejected
    assert found.rotation_errors_deg.max() < 1e-9 and found.translation_errors_m.max() < 1e-9


@_few
@given(seed=_seeds)
def test_the_frame_of_the_base_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    _, _, robot, boards = work(rng, 8, robot_noise=(1e-3, 1e-3), board_noise=(1e-3, 1e-3))
    new_from_base = anywhere(rng, shift=10.0)
    one = hand_eye(robot, boards)
    two = hand_eye({name: new_from_base @ pose for name, pose in robot.items()}, boards)
    np.testing.assert_allclose(two.X.matrix4(), one.X.matrix4(), atol=1e-8)
    np.testing.assert_allclose(two.Z.matrix4(), (new_from_base @ one.Z).matrix4(), atol=1e-7)
    np.testing.assert_allclose(two.X_std, one.X_std, rtol=1e-3)


@_few
@given(seed=_seeds)
def test_both_starts_end_at_the_same_minimum(seed):
    _, _, robot, boards = work(np.random.default_rng(seed), 9, "eye_to_hand", (2e-3, 1e-3), (1e-3, 1e-3))
    one, two = (hand_eye(robot, boards, "eye_to_hand", method) for method in METHODS)
    np.testing.assert_allclose(one.X.matrix4(), two.X.matrix4(), atol=1e-6)


@pytest.mark.parametrize("count", [6, 20])
@pytest.mark.parametrize("noise", [{"board_noise": (1e-3, 1e-3)}, {"robot_noise": (1e-3, 3e-4)}])
def test_with_noise_errors_are_as_large_as_the_deviations_say(count, noise):
    scaled = []
    for seed in range(25):
        X, Z, robot, boards = work(np.random.default_rng(seed), count, **noise)
        found = hand_eye(robot, boards)
        scaled.append(np.concatenate([off(found.X, X) / found.X_std, off(found.Z, Z) / found.Z_std]))
    assert 0.8 < np.sqrt(np.mean(np.square(scaled))) < 1.3
    assert np.abs(np.mean(scaled, axis=0)).max() < 0.8  # of 25: four standard deviations


@pytest.mark.parametrize("setup", SETUPS)
@_few
@given(seed=_seeds)
def test_wrong_poses_are_named_and_left_out(setup, seed):
    rng = np.random.default_rng(seed)
    X, _, robot, boards = work(rng, 14, setup, (5e-4, 3e-4), (5e-4, 3e-4))
    boards["03"] = boards["03"] @ SE3.exp([0, 0, 0, 0, 0, np.pi])  # the board taken the other way round
    robot["05"] = SE3(np.eye(3), [0.02, 0, 0]) @ robot["05"]
    robot["07"], robot["09"] = robot["09"], robot["07"]  # two photos mixed up
    found = hand_eye(robot, boards, setup)
    assert {"03", "05", "07", "09"} <= set(found.rejected)
    assert len(found.names) >= 8 and set(found.names) | set(found.rejected) == set(robot)
    assert "by 180 degrees" in found.rejected["03"]
    assert np.abs(off(found.X, X)).max() < 5e-3


def _moved(X, Z, step):
    turns = SO3.exp(step.reshape(2, 2, 3)[:, 0]).matrix
    return (
        SE3(turns[0] @ X.rotation, X.translation + step[3:6]),
        SE3(turns[1] @ Z.rotation, Z.translation + step[9:]),
    )


def test_derivatives_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    camera = LENSES["OPENCV"]
    detections, robot, X, Z, _ = photographed(rng, camera, 5, "eye_in_hand", 0.3)
    _, observations = observe(detections, TARGET)
    left = SE3(
        np.stack([p.rotation for p in robot.values()]), np.stack([p.translation for p in robot.values()])
    )
    # Far from the minimum, where the derivative of the logarithm matters.
    right = SE3(SO3.exp(rng.uniform(-1, 1, (5, 3))).matrix, rng.standard_normal((5, 3)))
    for linearize in (
        lambda X, Z: linearize_poses(left, right, X, Z),
        lambda X, Z: linearize_corners(left, observations, camera, X, Z),
    ):
        _, J = linearize(X, Z)
        for i, step in enumerate(1e-6 * np.eye(12)):
            slope = (linearize(*_moved(X, Z, step))[0] - linearize(*_moved(X, Z, -step))[0]) / 2e-6
            np.testing.assert_allclose(J[..., i], slope, rtol=1e-5, atol=1e-5 * np.abs(J).max())


def photographed(rng, camera, count, setup, noise_px, robot_noise=(0.0, 0.0), shape=()):
    """Detections and poses of the robot by name, X, Z and the poses of the board."""
    X, Z = anywhere(rng, shift=0.3), anywhere(rng)
    poses = board_poses(camera, count, BoardOptions(TARGET.columns, TARGET.rows, TARGET.square_m), seed=3)
    points = TARGET.points.copy()
    points[:, 2] += shape_terms(points, len(shape)) @ np.asarray(shape)
    detections, robot = {}, {}
    for i, pose in enumerate(poses):
        pixels = camera.project(pose.act(points))
        pixels = pixels + noise_px * rng.standard_normal(pixels.shape)
        detections[f"{i:02d}"] = Detection(np.arange(len(points)), pixels)
        robot[f"{i:02d}"] = shaken(robot_pose(setup, pose, X, Z), rng, *robot_noise)
    return detections, robot, X, Z, poses


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("model", ["OPENCV", "OPENCV_FISHEYE"])
def test_corners_without_noise_are_exact(setup, model):
    bow = (0.002, -0.001)
    detections, robot, X, Z, _ = photographed(
        np.random.default_rng(1), LENSES[model], 8, setup, 0.0, shape=bow
    )
    found = hand_eye_corners(robot, detections, TARGET, LENSES[model], setup, np.array(bow))
    np.testing.assert_allclose(found.X.matrix4(), X.matrix4(), atol=1e-8)
    np.testing.assert_allclose(found.Z.matrix4(), Z.matrix4(), atol=1e-8)
    assert found.errors_px is not None and found.errors_px.max() < 1e-5


@pytest.mark.parametrize(("noise_px", "robot_noise"), [(0.3, (0.0, 0.0)), (0.1, (5e-4, 3e-4))])
def test_corners_with_noise_are_as_far_off_as_the_deviations_say(noise_px, robot_noise):
    camera, scaled = LENSES["PINHOLE"], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        detections, robot, X, Z, _ = photographed(rng, camera, 10, "eye_in_hand", noise_px, robot_noise)
        found = hand_eye_corners(robot, detections, TARGET, camera)
        scaled.append(np.concatenate([off(found.X, X) / found.X_std, off(found.Z, Z) / found.Z_std]))
    assert 0.7 < np.sqrt(np.mean(np.square(scaled))) < 1.4


def test_a_photo_of_another_place_is_left_out_by_its_corners():
    rng = np.random.default_rng(2)
    camera = LENSES["OPENCV"]
    detections, robot, X, _, _ = photographed(rng, camera, 10, "eye_to_hand", 0.1)
    robot["04"] = robot["04"] @ SE3.exp([0.05, 0, 0, 0, 0, 0])
    robot["20"] = robot["03"]
    found = hand_eye_corners(robot, detections, TARGET, camera, "eye_to_hand")
    assert set(found.rejected) == {"04", "20"} and "no photo" in found.rejected["20"]
    assert found.names == [f"{i:02d}" for i in range(10) if i != 4]
    assert np.abs(off(found.X, X)).max() < 2e-3 and found.errors_px.max() < 0.3
    del robot["20"], robot["06"]
    assert "no pose" in hand_eye_corners(robot, detections, TARGET, camera, "eye_to_hand").rejected["06"]


def test_three_poses_are_enough_but_tell_no_deviation():
    X, _, robot, boards = work(np.random.default_rng(4), 3)
    found = hand_eye(robot, boards)
    np.testing.assert_allclose(found.X.matrix4(), X.matrix4(), atol=1e-9)
    assert np.isinf(found.X_std).all() and np.isinf(found.Z_std).all()


def _turned(rng, axis_turns, setup="eye_in_hand"):
    X, Z = anywhere(rng), anywhere(rng)
    first = anywhere(rng)
    robot, boards = {}, {}
    for i, turn in enumerate(axis_turns):
        pose = SE3(first.rotation @ SO3.exp(turn).matrix, rng.standard_normal(3))
        robot[str(i)] = pose
        left = pose if setup == "eye_in_hand" else pose.inverse()
        boards[str(i)] = X.inverse() @ left.inverse() @ Z
    return robot, boards


@_few
@given(seed=_seeds, setup=st.sampled_from(SETUPS))
def test_what_the_motions_leave_open_is_refused_with_the_way_out(seed, setup):
    rng = np.random.default_rng(seed)
    robot, boards = _turned(rng, np.zeros((6, 3)), setup)
    with pytest.raises(ValueError, match=r"turns by .* degrees at most.*two axes"):
        hand_eye(robot, boards, setup)
    axis = rng.normal(size=3)
    turns = np.linspace(0, 1.2, 6)[:, None] * axis / np.linalg.norm(axis)
    robot, boards = _turned(rng, turns, setup)
    with pytest.raises(ValueError, match=r"one axis only.*tilt it .* about another axis"):
        hand_eye(robot, boards, setup)
    robot, boards = _turned(rng, np.concatenate([turns, [[0.5, -0.4, 0.1], [-0.3, 0.5, 0.4]]]), setup)
    assert isinstance(hand_eye(robot, boards, setup), HandEye)


def test_poses_that_do_not_belong_together_are_refused_with_what_would_fit():
    _, _, robot, boards = work(np.random.default_rng(5), 10)
    with pytest.raises(ValueError, match="the other setup fits"):
        hand_eye(robot, boards, "eye_to_hand")
    with pytest.raises(ValueError, match="given as its inverse"):
        hand_eye(robot, {name: pose.inverse() for name, pose in boards.items()})
    mixed = dict(zip(sorted(robot), list(robot.values())[::-1]))
    with pytest.raises(ValueError, match="order of names"):
        hand_eye(mixed, boards)


def test_what_is_no_input_is_refused():
    _, _, robot, boards = work(np.random.default_rng(6), 5)
    with pytest.raises(ValueError, match="2 poses of 2 of the robot and 5 of the board"):
        hand_eye({name: robot[name] for name in ("01", "02")}, boards)
    with pytest.raises(ValueError, match="eye_in_hand, eye_to_hand; got 'hand'"):
        hand_eye(robot, boards, "hand")
    with pytest.raises(ValueError, match="park, daniilidis; got 'tsai'"):
        hand_eye(robot, boards, method="tsai")
    with pytest.raises(ValueError, match=r"base_from_gripper\['01'\].*finite"):
        hand_eye(robot | {"01": SE3(np.eye(3), [np.nan, 0, 0])}, boards)
    with pytest.raises(ValueError, match=r"cam_from_board\['01'\].*one pose"):
        hand_eye(robot, boards | {"01": SE3.identity((2,))})
