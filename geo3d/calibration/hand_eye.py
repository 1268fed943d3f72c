"""Hand-eye calibration: where the camera is on a robot's gripper, or beside the robot.

    eye in hand:  base_from_gripper_i  X  cam_from_board_i = Z    X = gripper_from_cam,  Z = base_from_board
    eye to hand:  gripper_from_base_i  X  cam_from_board_i = Z    X = base_from_cam,     Z = gripper_from_board

A closed form starts (Park and Martin 1994, or Daniilidis 1999), on all poses and on some small sets of them, so that a
few wrong ones do not spoil it; X and Z are then refined together (`hand_eye_refine`), and poses that no noise explains
are left out by name. Metres and radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board
from geo3d.calibration.board_shape import shape_terms
from geo3d.calibration.calibrate import observe
from geo3d.calibration.detection import Detection
from geo3d.calibration.hand_eye_daniilidis import hand_eye_daniilidis
from geo3d.calibration.hand_eye_motions import motions_of, take, why_undetermined
from geo3d.calibration.hand_eye_park import hand_eye_park
from geo3d.calibration.hand_eye_refine import (
    Refined,
    pose_residuals,
    predicted_board,
    refine_on_corners,
    refine_on_poses,
)
from geo3d.calibration.start import place_boards
from geo3d.calibration.targets import Target
from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.optim import RobustLoss

Setup = Literal["eye_in_hand", "eye_to_hand"]
Method = Literal["park", "daniilidis"]
_METHODS = {"park": hand_eye_park, "daniilidis": hand_eye_daniilidis}
_LEAST_POSES = 3
_SETS, _SET_SIZE = 40, 4  # of poses, for starts that some wrong poses do not reach
_WORST_START = 0.1  # of the distance to the board, by which poses that belong together never disagree
_MEDIAN = 1.5382  # of the length of a vector of three normal coordinates, in their deviation
_WRONG = 6.0  # deviations of one coordinate, the length of a residual beyond which is no noise
_SCALE_FLOOR = 1e-8  # radians, and of the distance to the board


@dataclass(frozen=True, eq=False)
class HandEye:
    """A camera's place on a robot.

    Attributes
    ----------
    setup : str
        "eye_in_hand" or "eye_to_hand".
    X : SE3
        `gripper_from_cam` of an eye in hand, `base_from_cam` of an eye to hand. Metres.
    Z : SE3
        `base_from_board` or `gripper_from_board`.
    names : list of str
        Poses that were used, N of them.
    rotation_errors_deg, translation_errors_m : (N,) float64
        Between `cam_from_board` as seen and as it follows from the robot's pose.
    errors_px : (N,) float64 or None
        Root mean square over the corners of a photo; None where poses were given and not corners.
    X_std, Z_std : (6,) float64
        Standard deviations of rotation (about the axes of the frame on the left, radians) and translation (metres);
        infinite if they hang on a single pose, as with three poses.
    rejected : dict of str to str
        Pose to why it was not used.
    """

    setup: Setup
    X: SE3
    Z: SE3
    names: list[str]
    rotation_errors_deg: np.ndarray
    translation_errors_m: np.ndarray
    errors_px: np.ndarray | None
    X_std: np.ndarray
    Z_std: np.ndarray
    rejected: dict[str, str] = field(default_factory=dict)


def hand_eye(
    base_from_gripper: Mapping[str, SE3],
    cam_from_board: Mapping[str, SE3],
    setup: Setup = "eye_in_hand",
    method: Method = "park",
) -> HandEye:
    """Find where the camera is from poses of the robot and of the board.

    Parameters
    ----------
    base_from_gripper : mapping of str to SE3
        Of the robot, by name of the photo. Metres.
    cam_from_board : mapping of str to SE3
        Of the board in the photos, as a calibration finds them. Names that only one of the two has are left out.
    setup : str
        "eye_in_hand": the camera is on the gripper, the board stands still; "eye_to_hand": the board is on the gripper.
    method : str
        Of the start: "park" or "daniilidis".

    Returns
    -------
    HandEye

    Raises
    ------
    ValueError
        If fewer than three poses have both, or the gripper's turns do not determine the camera's place, or the two
        sets of poses do not belong together.

    References
    ----------
    Park, Martin: Robot sensor calibration: solving AX = XB on the Euclidean group. IEEE Transactions on Robotics and
    Automation 10, 1994. Daniilidis: Hand-eye calibration using dual quaternions. International Journal of Robotics
    Research 18, 1999.
    """
    for value, known in ((setup, get_args(Setup)), (method, get_args(Method))):
        if value not in known:
            raise ValueError(f"expected one of {', '.join(known)}; got {value!r}")
    names, rejected = _in_both(base_from_gripper, cam_from_board)
    robot = _stack(base_from_gripper, names, "base_from_gripper")
    right = _stack(cam_from_board, names, "cam_from_board")
    left = robot if setup == "eye_in_hand" else robot.inverse()
    X, Z = _checked_start(left, right, method)
    distance = _distance(right)
    loss = RobustLoss("soft_l1", 3.0)
    for _ in range(3):
        scales = _scales(pose_residuals(left, right, X, Z), distance, np.median, _MEDIAN)
        found = refine_on_poses(left, right, X, Z, scales, loss)
        X, Z = found.X, found.Z
    wrong = _why_wrong(pose_residuals(left, right, X, Z), distance)
    rejected |= {names[i]: reason for i, reason in wrong.items()}
    good = np.array([i for i in range(len(names)) if i not in wrong], int)
    left, right = take(left, good), take(right, good)
    _check_determined(left, right)
    for _ in range(2):
        scales = _scales(pose_residuals(left, right, X, Z), distance, _rms, np.sqrt(3 - 6 / len(good)))
        found = refine_on_poses(left, right, X, Z, scales, RobustLoss())
        X, Z = found.X, found.Z
    return _result(setup, left, right, found, [names[i] for i in good], rejected)


def hand_eye_corners(
    base_from_gripper: Mapping[str, SE3],
    detections: Mapping[str, Detection],
    target: Target,
    camera: Camera,
    setup: Setup = "eye_in_hand",
    shape: np.ndarray | None = None,
) -> HandEye:
    """Find where the camera is from poses of the robot and photos of the board: least reprojection error.

    `hand_eye` starts, with the poses of the board that the calibrated camera sees; the corners then count as they are.

    Parameters
    ----------
    base_from_gripper : mapping of str to SE3
        Of the robot, by name of the photo. Metres.
    detections : mapping of str to Detection
        Corners of the board, by name of the photo.
    target : Target
        The board.
    camera : Camera
        Calibrated. It stays as it is: set free, it would bend to the errors of the robot.
    setup : str
        As of `hand_eye`.
    shape : (B,) array, optional
        Of the board, as `Calibration.shape` has it; flat by default.

    Returns
    -------
    HandEye

    Raises
    ------
    ValueError
        As `hand_eye`; and if the camera does not see all corners.
    """
    names, observations = observe(detections, target)
    bow = np.zeros(0) if shape is None else np.asarray(shape, np.float64)
    placed = place_boards(observations, camera)
    if placed is None:
        raise ValueError("the camera does not see all corners: is it the camera of these photos?")
    state = BoardState(camera, placed.rotations, placed.translations, bow)
    none = Free(np.zeros(len(camera.params), bool), False)
    state = fit_board(observations, state, none, RobustLoss("soft_l1", 1.0)).state
    boards = {n: SE3(R, t) for n, R, t in zip(names, state.rotations, state.translations, strict=True)}
    start = hand_eye(base_from_gripper, boards, setup)
    points = observations.points.copy()
    points[:, 2] += shape_terms(points, len(bow)) @ bow
    used = replace(observations, points=points).select(np.array([names.index(n) for n in start.names]))
    robot = _stack(base_from_gripper, start.names, "base_from_gripper")
    left = robot if setup == "eye_in_hand" else robot.inverse()
    errors = _errors_px(left, used, camera, start.X, start.Z)
    loss = RobustLoss("soft_l1", 3 * max(float(np.median(errors)), 1e-3))
    found = refine_on_corners(left, used, camera, start.X, start.Z, loss)
    result = _result(
        setup, left, _stack(boards, start.names, "cam_from_board"), found, start.names, start.rejected
    )
    squared = _errors_px(left, used, camera, found.X, found.Z) ** 2
    counts = np.bincount(used.view)
    return replace(result, errors_px=np.sqrt(np.bincount(used.view, squared) / counts))


def _in_both(robot: Mapping[str, SE3], boards: Mapping[str, SE3]) -> tuple[list[str], dict[str, str]]:
    """Names in both, sorted, and why the others are not used."""
    names = sorted(set(robot) & set(boards))
    rejected = dict.fromkeys(sorted(set(robot) - set(boards)), "no photo shows the board from there")
    rejected |= dict.fromkeys(sorted(set(boards) - set(robot)), "the robot has no pose for it")
    if len(names) < _LEAST_POSES:
        raise ValueError(
            f"{len(names)} poses of {len(robot)} of the robot and {len(boards)} of the board have the same name; "
            f"hand-eye calibration takes at least {_LEAST_POSES}, and ten or more to be good"
        )
    return names, rejected


def _stack(poses: Mapping[str, SE3], names: list[str], what: str) -> SE3:
    for name in names:
        pose = poses[name]
        if pose.translation.shape != (3,) or not np.isfinite(pose.matrix4()).all():
            raise ValueError(f"{what}[{name!r}]: expected one pose of finite numbers, got {pose}")
    return SE3(
        np.stack([poses[name].rotation for name in names]),
        np.stack([poses[name].translation for name in names]),
    )


def _checked_start(left: SE3, right: SE3, method: Method) -> tuple[SE3, SE3]:
    """X and Z to begin with, from poses that determine them and belong together."""
    _check_determined(left, right)
    X, Z, error = _start(left, right, method)
    worst = _WORST_START * _distance(right)
    if error <= worst:
        return X, Z
    other = _start(left.inverse(), right, method)[2]
    hint = (
        "the other setup fits: is the camera on the gripper or beside the robot, and is any pose given as its inverse?"
        if other <= 0.2 * error
        else "look at the order of names, metres, radians, and quaternions as w, x, y, z"
    )
    raise ValueError(
        f"the poses of robot and board do not belong together: the board is put {error:.3g} m off in the median, "
        f"{_distance(right):.3g} m from the camera; {hint}"
    )


def _check_determined(left: SE3, right: SE3) -> None:
    if len(left.translation) < _LEAST_POSES:
        raise ValueError(
            f"only {len(left.translation)} poses agree with each other; hand-eye calibration takes at least "
            f"{_LEAST_POSES}"
        )
    if reason := why_undetermined(motions_of(left, right)):
        raise ValueError(reason)


def _start(left: SE3, right: SE3, method: Method) -> tuple[SE3, SE3, float]:
    """X, Z and the median by which the board is put off, metres; of all poses or of the best set of some."""
    count = len(left.translation)
    rng = np.random.default_rng(0)
    sets = [np.arange(count)]
    if count > _SET_SIZE:
        sets += [np.sort(rng.choice(count, _SET_SIZE, replace=False)) for _ in range(_SETS)]
    best: tuple[SE3, SE3, float] | None = None
    for some in sets:
        motions = motions_of(take(left, some), take(right, some))
        if why_undetermined(motions):
            continue
        X = _METHODS[method](motions)
        Z, error = _medoid(left @ (X @ right), _distance(right))
        if best is None or error < best[2]:
            best = X, Z, error
    assert best is not None  # the set of all is determined
    return best


def _medoid(poses: SE3, arm: float) -> tuple[SE3, float]:
    """The pose nearest to the others, and the median of its distances: metres, turns at the end of an arm."""
    turns, shifts = poses.rotation.reshape(-1, 9) * arm / np.sqrt(2), poses.translation
    rows = np.concatenate([turns, shifts], axis=1)
    rows -= np.median(rows, axis=0)
    size = np.einsum("nk,nk->n", rows, rows)
    squared = np.median(np.maximum(size[:, None] + size - 2 * rows @ rows.T, 0.0), axis=1)
    i = int(squared.argmin())
    return SE3(poses.rotation[i], poses.translation[i]), float(np.sqrt(squared[i]))


def _distance(right: SE3) -> float:
    """Between camera and board, metres; the median."""
    return float(np.median(np.linalg.norm(right.translation, axis=1)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _scales(residuals: np.ndarray, distance: float, middle, usual: float) -> tuple[float, float]:
    """Deviations of one coordinate of rotation and translation, from the `middle` length of residuals (N, 6)."""
    turn = middle(np.linalg.norm(residuals[:, :3], axis=1)) / usual
    shift = middle(np.linalg.norm(residuals[:, 3:], axis=1)) / usual
    return max(float(turn), _SCALE_FLOOR), max(float(shift), _SCALE_FLOOR * distance)


def _why_wrong(residuals: np.ndarray, distance: float) -> dict[int, str]:
    """Poses that no noise explains, with the reason."""
    turn, shift = np.linalg.norm(residuals[:, :3], axis=1), np.linalg.norm(residuals[:, 3:], axis=1)
    s_turn, s_shift = _scales(residuals, distance, np.median, _MEDIAN)
    reasons = {}
    for i in np.flatnonzero((turn > _WRONG * s_turn) | (shift > _WRONG * s_shift)):
        reasons[int(i)] = (
            f"robot and photo disagree by {np.degrees(turn[i]):.3g} degrees and {shift[i]:.3g} m, the others by "
            f"{np.degrees(np.median(turn)):.3g} degrees and {np.median(shift):.3g} m in the median"
        )
    return reasons


def _errors_px(left: SE3, observations: Observations, camera: Camera, X: SE3, Z: SE3) -> np.ndarray:
    """(M,) distances between projected and seen corners."""
    board = take(predicted_board(left, X, Z), observations.view)
    points = (
        np.einsum("mij,mj->mi", board.rotation, observations.points[observations.ids]) + board.translation
    )
    return np.linalg.norm(camera.project(points) - observations.pixels, axis=1)


def _result(
    setup: Setup, left: SE3, right: SE3, found: Refined, names: list[str], rejected: dict[str, str]
) -> HandEye:
    residuals = pose_residuals(left, right, found.X, found.Z)
    return HandEye(
        setup,
        found.X,
        found.Z,
        names,
        np.degrees(np.linalg.norm(residuals[:, :3], axis=1)),
        np.linalg.norm(residuals[:, 3:], axis=1),
        None,
        found.X_std,
        found.Z_std,
        rejected,
    )
