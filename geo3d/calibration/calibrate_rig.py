"""Calibrate a rig: cameras that are fixed to each other, from photos of a board that several of them see at once.

Each camera alone first (`calibrate`), then how they stand to each other and which photos were taken together
(`rig_moments`), then all of it in one adjustment (`board_fit`): lenses, poses in the rig, one pose of the board a
moment and the board's shape. A pair that was not taken at the same moment shows there: with poses of their own its
photos fit as well as any, with one pose they do not. Such photos stay in the adjustment, as moments of their own.

(A board in a hand moves a little between exposures that one signal does not trigger. Estimating that motion for each
moment, with a Student t prior whose scale follows from the data, was tried: it predicts pairs that were held out no
better than one rigid adjustment of the pairs that agree.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from geo3d.calibration.board_fit import (
    BoardFit,
    BoardState,
    Free,
    Mounted,
    Observations,
    fit_board,
    residuals_of,
)
from geo3d.calibration.calibrate import Calibration
from geo3d.calibration.detection import Detection
from geo3d.calibration.epipolar import epipolar_distances, sampson_distances
from geo3d.calibration.find_checkerboard import LEAST_CORNERS
from geo3d.calibration.rig_moments import Photo, RigStart, pose_alone, start_rig
from geo3d.calibration.spline_lens import hold_splines
from geo3d.calibration.targets import Target
from geo3d.calibration.uncertainty import noise_of, shared_covariance
from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.optim import RobustLoss

_LEAST_PX = 0.05
_LOSS_NOISES = 3.5
_CORNER_NOISES = 12.0
# A moment whose photos disagree by more than so many times the error of a photo alone was none; by less than so many
# pixels it is borne, as a hand that holds the board is never still.
_ELSEWHERE, _LEAST_ELSEWHERE_PX = 2.5, 0.3


@dataclass(frozen=True, eq=False)
class RigCalibration:
    """A calibrated rig.

    Attributes
    ----------
    cameras : list of Camera
    cam_from_first : list of SE3
        Metres; that of the first is the identity.
    moments : list of tuple of (int, str)
        Photos (camera, name) of each moment.
    rotations, translations : (V, 3, 3), (V, 3) float64
        `cam_from_board` of the first camera at each moment, metres.
    shape : (B,) float64
        Coefficients of the board's shape, metres.
    errors_px : dict of (int, str) to (N,) float64
        Distance between seen and projected of every corner of a photo, whether it was used in the fit or not.
    apart : dict of tuple of (int, str) to float
        Photos that should be of one moment and are not, and by how many pixels they disagree.
    by_name : bool
        Names told which photos belong together; otherwise it was found out from what they show.
    corners_left_out : int
        That the fit did not use.
    params_std : list of (P,) float64
        Standard deviations of the cameras' parameters.
    pose_std : list of (6,) float64
        Of their poses: rotation about the axes of each, radians, and translation, metres. Zeros for the first.
    baselines_m, baselines_std_m : (C,) float64
        Distance of each camera from the first, and its standard deviation.
    epipolar_rms_px : dict of (int, int) to float
        Of each pair of cameras that saw the same corners at once: root mean square of their Sampson distances.
    fit : BoardFit
        The adjustment.
    noise_px : float
        Of one coordinate of a corner, standard deviation.
    """

    cameras: list[Camera]
    cam_from_first: list[SE3]
    moments: list[tuple[Photo, ...]]
    rotations: np.ndarray
    translations: np.ndarray
    shape: np.ndarray
    errors_px: dict[Photo, np.ndarray]
    apart: dict[tuple[Photo, ...], float]
    by_name: bool
    corners_left_out: int
    params_std: list[np.ndarray]
    pose_std: list[np.ndarray]
    baselines_m: np.ndarray
    baselines_std_m: np.ndarray
    epipolar_rms_px: dict[tuple[int, int], float]
    fit: BoardFit
    noise_px: float

    @property
    def rms_px(self) -> float:
        """Root mean square distance over all corners."""
        return float(np.sqrt(np.mean(np.concatenate(list(self.errors_px.values())) ** 2)))

    @property
    def shared_moments(self) -> list[tuple[Photo, ...]]:
        """Those that several cameras saw."""
        return [photos for photos in self.moments if len(photos) > 1]


def calibrate_rig(
    alone: Sequence[Calibration],
    detections: Sequence[Mapping[str, Detection]],
    target: Target,
    names: Sequence[str] | None = None,
) -> RigCalibration:
    """Find how cameras that saw the same board stand to each other, and their lenses anew with that.

    Parameters
    ----------
    alone : sequence of Calibration
        Each camera on its own; their lens models are kept. The first is the rig's frame.
    detections : sequence of mapping of str to Detection
        Of each camera, by name of the photo.
    target : Target
    names : sequence of str, optional
        Of the cameras, for messages.

    Returns
    -------
    RigCalibration

    Raises
    ------
    ValueError
        If there are fewer than two cameras, or one shares fewer than three moments with the others.
    """
    if len(alone) < 2:
        raise ValueError(f"a rig has at least two cameras, got {len(alone)}; calibrate one with calibrate()")
    names = list(names) if names is not None else [f"camera {c + 1}" for c in range(len(alone))]
    start = start_rig(alone, target, names)
    moments, apart = list(start.moments), dict(start.apart)
    while True:
        observations = _observe(detections, target, moments, start)
        fit, used = _fit(observations, _begin(alone, moments, start), alone)
        errors = np.linalg.norm(fit.residuals, axis=1)
        elsewhere = _elsewhere(moments, observations, errors, alone)
        if not elsewhere:
            break
        for v in sorted(elsewhere, reverse=True):
            photo, px = elsewhere[v]
            apart[moments[v]] = px
            rest = tuple(p for p in moments[v] if p != photo)
            moments[v : v + 1] = [rest, (photo,)]
    state = fit.state
    noise = noise_of(errors, fit)
    params_std, pose_std, baselines, baselines_std = _spread(fit, noise)
    return RigCalibration(
        list(state.cameras),
        [SE3.identity(), *(m.cam_from_first for m in state.mounted)],
        moments,
        state.rotations,
        state.translations,
        state.shape,
        {
            photo: errors[(observations.view == v) & (observations.camera == photo[0])]
            for v, photos in enumerate(moments)
            for photo in photos
        },
        apart,
        start.by_name,
        int(len(used) - used.sum()),
        params_std,
        pose_std,
        baselines,
        baselines_std,
        _epipolar(observations, state),
        fit,
        noise,
    )


def _observe(
    detections: Sequence[Mapping[str, Detection]],
    target: Target,
    moments: list[tuple[Photo, ...]],
    start: RigStart,
) -> Observations:
    """Corners moment by moment, photo by photo."""
    photos = [(v, photo) for v, of in enumerate(moments) for photo in of]
    found = [detections[c][name] for _, (c, name) in photos]
    counts = [len(d) for d in found]
    ids = [target.ids_turned(d.ids, start.turned.get(photo, 0)) for d, (_, photo) in zip(found, photos)]
    return Observations(
        target.points,
        np.repeat([v for v, _ in photos], counts),
        np.concatenate(ids),
        np.concatenate([d.pixels for d in found]),
        len(moments),
        np.repeat([c for _, (c, _) in photos], counts),
    )


def _begin(alone: Sequence[Calibration], moments: list[tuple[Photo, ...]], start: RigStart) -> BoardState:
    """The state to start from: each moment's pose is that of its first photo."""
    poses = [
        start.cam_from_first[photos[0][0]].inverse() @ pose_alone(alone, photos[0]) for photos in moments
    ]
    return BoardState(
        alone[0].camera,
        np.stack([pose.rotation for pose in poses]),
        np.stack([pose.translation for pose in poses]),
        alone[0].shape,
        tuple(Mounted(one.camera, pose) for one, pose in zip(alone[1:], start.cam_from_first[1:])),
    )


def _fit(
    observations: Observations, begin: BoardState, alone: Sequence[Calibration]
) -> tuple[BoardFit, np.ndarray]:
    """Fit, leave out corners that no noise explains, fit the rest; residuals are of all."""
    every = np.ones(sum(len(camera.params) for camera in begin.cameras), bool)
    free = Free(every, len(begin.shape) > 0, hold_splines(begin.cameras))
    noise_px = max(float(np.median([one.noise_px for one in alone])), _LEAST_PX)
    loss = RobustLoss("soft_l1", _LOSS_NOISES * noise_px)
    fit = fit_board(observations, begin, free, loss)
    used = np.linalg.norm(fit.residuals, axis=1) <= _CORNER_NOISES * noise_px
    if np.bincount(observations.view[used], minlength=observations.views).min() < LEAST_CORNERS:
        used[:] = True
    if not used.all():
        fit = fit_board(observations.keep(used), fit.state, free, loss)
    return replace(fit, residuals=residuals_of(observations, fit.state)), used


def _spread(
    fit: BoardFit, noise_px: float
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]:
    """Deviations of the parameters and of the poses, the baselines, and their deviations."""
    C = shared_covariance(fit, noise_px)
    std, params, begin = np.sqrt(np.diag(C)), [], 0
    for camera in fit.state.cameras:
        params.append(std[begin : begin + len(camera.params)])
        begin += len(camera.params)
    begin += len(fit.state.shape)
    poses, lengths, deviations = [np.zeros(6)], [0.0], [0.0]
    for mounted in fit.state.mounted:
        t, block = mounted.cam_from_first.translation, slice(begin, begin + 6)
        length = float(np.linalg.norm(t))
        along = t / max(length, 1e-300)
        poses.append(std[block])
        lengths.append(length)
        deviations.append(float(np.sqrt(along @ C[block, block][3:, 3:] @ along)))
        begin += 6
    return params, poses, np.array(lengths), np.array(deviations)


def _epipolar(observations: Observations, state: BoardState) -> dict[tuple[int, int], float]:
    """Sampson distances of all pairs of cameras, root mean square."""
    poses = [SE3.identity(), *(m.cam_from_first for m in state.mounted)]
    number = observations.view * len(observations.points) + observations.ids
    found = {}
    for a, b in combinations(range(len(poses)), 2):
        of_a, of_b = observations.rows_of(a), observations.rows_of(b)
        _, i, j = np.intersect1d(number[of_a], number[of_b], return_indices=True)
        if len(i):
            pixels = observations.pixels[of_a[i]], observations.pixels[of_b[j]]
            between = poses[b] @ poses[a].inverse()
            off = epipolar_distances(state.cameras[a], state.cameras[b], between, *pixels)
            found[a, b] = float(np.sqrt(np.nanmean(sampson_distances(off) ** 2)))  # a pixel may have no ray
    return found


def _elsewhere(
    moments: list[tuple[Photo, ...]],
    observations: Observations,
    errors: np.ndarray,
    alone: Sequence[Calibration],
) -> dict[int, tuple[Photo, float]]:
    """Moments of which a photo shows the board elsewhere than the others: the photo, and by how many pixels.

    By so much (root mean square) its corners are farther off than with a pose of the photo's own.
    """
    shift: dict[tuple[int, Photo], float] = {}
    for v, photos in enumerate(moments):
        for photo in photos if len(photos) > 1 else ():
            rows = (observations.view == v) & (observations.camera == photo[0])
            own = np.mean(alone[photo[0]].errors_px[photo[1]] ** 2)
            shift[v, photo] = float(np.sqrt(max(np.mean(errors[rows] ** 2) - own, 0.0)))
    usual = float(np.median([np.sqrt(np.mean(e**2)) for one in alone for e in one.errors_px.values()]))
    found: dict[int, tuple[Photo, float]] = {}
    for (v, photo), px in shift.items():
        if px > max(_ELSEWHERE * usual, _LEAST_ELSEWHERE_PX) and px > found.get(v, (photo, 0.0))[1]:
            found[v] = photo, px
    return found
