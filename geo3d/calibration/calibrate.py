"""Calibrate one camera from the corners of a board in its photos.

Start (`start`), fit with a robust loss whose scale follows the corners' own noise (`board_fit`), leave out what no
noise explains, and fit again. Corners that are left out act on the fit only: the errors count all corners of the photos
that are used. How good the camera is for others is for photos held out to say (`held_out`), where all count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from geo3d.calibration.board_fit import BoardFit, BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.board_shape import MOST_TERMS, shapes_told
from geo3d.calibration.detection import Detection
from geo3d.calibration.spline_lens import as_spline, grid_for, hold_splines
from geo3d.calibration.start import place_boards, start_board
from geo3d.calibration.targets import Target
from geo3d.calibration.uncertainty import UNDETERMINED, noise_of, params_std
from geo3d.cameras import MODELS, Camera
from geo3d.cameras.splined import FAMILY, grid_of
from geo3d.optim import DenseProblem, LMOptions, RobustLoss, levenberg_marquardt

LEAST_PHOTOS = 3
_MOST_FOCAL_STD = 0.2  # of the focal length; beyond it there is no calibration
_LOSS_MEDIANS = 3.0  # scale of the loss, of the median error
_LEAST_SCALE_PX = 0.05
_CORNER_MEDIANS = 8.0  # a corner farther off than this is left out
# Distortion to begin with, where none at all leads to other minima; of several the best end is taken.
_BEGIN = {"FOV": ((0.5,),), "EUCM": ((0.5, 1.0),), "DOUBLE_SPHERE": ((0.0, 0.5), (-0.3, 0.6), (0.3, 0.6))}
_ROUGHLY = LMOptions(max_iterations=50, function_tolerance=1e-5)  # enough to tell what fits not at all
_UNDER_SPLINE = "OPENCV_FISHEYE"  # narrow and wide lenses alike
_PHOTO_MEDIANS = 4.0  # a photo whose own median is this much larger is left out


@dataclass(frozen=True)
class CalibrateOptions:
    """How a camera is calibrated.

    Attributes
    ----------
    model : str
        Of the lens, a key of `geo3d.cameras.MODELS`, or SPLINED_STEREOGRAPHIC, of a grid as fine as the corners allow.
    shape_terms : int
        Of the board's shape, 0 (flat) to 12.
    """

    model: str = "OPENCV"
    shape_terms: int = 3

    def __post_init__(self) -> None:
        if self.model not in MODELS and self.model != FAMILY:
            raise ValueError(f"model must be one of {', '.join(MODELS)}, {FAMILY}; got {self.model!r}")
        if self.model != FAMILY and not MODELS[self.model].focal_params:
            raise ValueError(
                f"model {self.model!r} has nothing to calibrate: it is fixed by the size of the photos"
            )
        if not 0 <= self.shape_terms <= MOST_TERMS:
            raise ValueError(f"shape_terms must be 0 to {MOST_TERMS}, got {self.shape_terms}")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated camera.

    Attributes
    ----------
    camera : Camera
    names : list of str
        Photos that were used.
    rotations, translations : (V, 3, 3), (V, 3) float64
        `cam_from_board` of each, metres.
    shape : (B,) float64
        Coefficients of the board's shape, metres (`shape_terms`).
    params_std : (P,) float64
        Standard deviations of the camera's parameters.
    errors_px : dict of str to (N,) float64
        Distance between seen and projected of every corner of a photo, whether it was used in the fit or not.
    left_out : dict of str to str
        Photo to why it was not used.
    corners_left_out : int
        Corners of used photos that were not.
    fit : BoardFit
        The adjustment, of the photos that are used.
    noise_px : float
        Of one coordinate of a corner, standard deviation.
    """

    camera: Camera
    names: list[str]
    rotations: np.ndarray
    translations: np.ndarray
    shape: np.ndarray
    params_std: np.ndarray
    errors_px: dict[str, np.ndarray]
    left_out: dict[str, str]
    corners_left_out: int
    fit: BoardFit
    noise_px: float

    @property
    def rms_px(self) -> float:
        """Root mean square distance over all corners of the photos that were used."""
        return float(np.sqrt(np.mean(np.concatenate([self.errors_px[name] for name in self.names]) ** 2)))


def observe(detections: Mapping[str, Detection], target: Target) -> tuple[list[str], Observations]:
    """Detections as arrays, photos by name.

    Parameters
    ----------
    detections : mapping of str to Detection
        By name of the photo.
    target : Target

    Returns
    -------
    names : list of str
        Of the views, in order.
    observations : Observations

    Raises
    ------
    ValueError
        If there are fewer than three photos.
    """
    names = sorted(detections)
    if len(names) < LEAST_PHOTOS:
        seen = "1 photo shows" if len(names) == 1 else f"{len(names)} photos show"
        raise ValueError(
            f"{seen} the board; a calibration takes at least {LEAST_PHOTOS}, and ten or more to be "
            "good: tilted to all sides, near and far, reaching into the corners"
        )
    found = [detections[name] for name in names]
    view = np.repeat(np.arange(len(names)), [len(d) for d in found])
    ids, pixels = np.concatenate([d.ids for d in found]), np.concatenate([d.pixels for d in found])
    return names, Observations(target.points, view, ids, pixels, len(names))


def calibrate(
    detections: Mapping[str, Detection],
    target: Target,
    width: int,
    height: int,
    options: CalibrateOptions | None = None,
) -> Calibration:
    """Find the camera that took photos of a board.

    Parameters
    ----------
    detections : mapping of str to Detection
        By name of the photo.
    target : Target
    width, height : int
        Of the photos, pixels.
    options : CalibrateOptions, optional

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If there are fewer than three photos, or no camera of this model explains them, or they do not determine it, or
        the board has too few corners for that many terms of its shape.
    """
    options = options or CalibrateOptions()
    names, observations = observe(detections, target)
    told = shapes_told(target.points, np.unique(observations.ids))
    if options.shape_terms > max(told):
        raise ValueError(
            f"shape_terms is {options.shape_terms}, but the corners seen of this board tell no more than {max(told)} "
            "terms of its shape; set it to that or to 0"
        )
    start = start_board(observations, width, height)
    fit, used = fit_model(observations, start, options.model, options.shape_terms)
    good = np.unique(observations.view[used])
    left_out = {
        name: "its corners fit no pose of the board as well as those of the other photos do"
        for v, name in enumerate(names)
        if v not in good
    }
    kept = observations.select(good)
    errors = np.linalg.norm(residuals_of(kept, fit.state), axis=1)
    noise = noise_of(errors, fit)
    deviations = params_std(fit, noise)
    focal = deviations[list(MODELS[fit.state.camera.model].focal_params)].max() / fit.state.camera.mean_focal
    if focal > _MOST_FOCAL_STD:
        raise ValueError(f"{UNDETERMINED}; as it is, the focal length is known to {100 * focal:.0f} % only")
    return Calibration(
        fit.state.camera,
        [names[v] for v in good],
        fit.state.rotations,
        fit.state.translations,
        fit.state.shape,
        deviations,
        {names[v]: errors[kept.view == i] for i, v in enumerate(good)},
        left_out,
        int(len(kept.ids) - used.sum()),
        fit,
        noise,
    )


def fit_model(
    observations: Observations,
    start: BoardState,
    model: str,
    shape_terms: int,
    options: LMOptions | None = None,
) -> tuple[BoardFit, np.ndarray]:
    """Fit a lens model, from each of its starts, and take the best.

    Parameters
    ----------
    observations : Observations
    start : BoardState
        See `start_board`.
    model : str
    shape_terms : int
    options : LMOptions, optional

    Returns
    -------
    fit : BoardFit
    used : (M,) bool
        See `fit_robustly`.

    Raises
    ------
    ValueError
        If it fails from all of them.
    """
    fits, failure = [], None
    for lens in start_lenses(observations, start, model):
        try:
            fits.append(fit_robustly(observations, lens, shape_terms, options))
        except ValueError as error:
            failure = error
    if failure is not None and not fits:
        raise failure
    return min(fits, key=lambda found: found[0].summary.cost / found[1].sum())


def start_lenses(observations: Observations, start: BoardState, model: str) -> list[BoardState]:
    """Starts with another lens model: cameras of it that are near to the one found, at the corners.

    Parameters
    ----------
    observations : Observations
    start : BoardState
    model : str

    Returns
    -------
    list of BoardState
        One, or several of a model whose parameters can stand for each other.

    Raises
    ------
    ValueError
        If a camera of this model cannot see what the photos show.
    """
    if model == "EQUIRECTANGULAR":
        raise ValueError(
            "an EQUIRECTANGULAR camera is the whole sphere and has nothing to calibrate; take another model"
        )
    if model == FAMILY or MODELS[model].splined:
        grid = grid_for(observations, start.camera) if model == FAMILY else grid_of(model)
        return [replace(start, camera=as_spline(start.camera, grid))]
    begins = _BEGIN.get(model, (MODELS[model].no_distortion,))
    return [_near(observations, start, model, begin) for begin in begins]


def _near(
    observations: Observations, start: BoardState, model: str, distortion: tuple[float, ...]
) -> BoardState:
    old, info = start.camera, MODELS[model]
    params = Camera.from_focal(model, old.width, old.height, old.mean_focal).params.copy()
    params[list(info.principal_params)] = old.principal_point
    params[list(info.distortion_params)] = distortion
    rays = old.unproject(observations.pixels)
    if distortion:
        if not np.isfinite(Camera(model, old.width, old.height, params).project(rays)).all():
            raise ValueError(f"a lens of the model {model} does not see as wide as the photos show")

        def misfit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if not (np.isfinite(x).all() and (x[list(info.focal_params)] > 0).all()):  # the step is refused
                return np.full_like(observations.pixels, np.nan), np.full((len(rays), 2, len(x)), np.nan)
            seen = Camera(model, old.width, old.height, x).project_with_jacobians(rays)
            return seen.pixels - observations.pixels, seen.d_params

        problem = DenseProblem(misfit, params, RobustLoss("soft_l1", 1.0))
        levenberg_marquardt(problem, LMOptions(max_iterations=50))
        params = problem.x
    camera = Camera(model, old.width, old.height, params)
    placed = place_boards(observations, camera)
    poses = start if placed is None else placed
    return BoardState(camera, poses.rotations, poses.translations, start.shape)


def fit_robustly(
    observations: Observations, start: BoardState, shape_terms: int, options: LMOptions | None = None
) -> tuple[BoardFit, np.ndarray]:
    """Fit, leave out what no noise explains, and fit the rest.

    Parameters
    ----------
    observations : Observations
    start : BoardState
    shape_terms : int
    options : LMOptions, optional
        Of the last fit.

    Returns
    -------
    fit : BoardFit
        Of the photos that are used, numbered anew.
    used : (M,) bool
        Corners in it.

    Raises
    ------
    ValueError
        If fewer than three photos are left, or the start sees some point not at all.
    """
    if MODELS[start.camera.model].splined:
        start = _begin_spline(observations, start, shape_terms)
    free = Free(np.ones(len(start.camera.params), bool), shape_terms > 0, hold_splines([start.camera]))
    state = BoardState(start.camera, start.rotations, start.translations, np.zeros(shape_terms))
    fit = fit_board(observations, state, free, RobustLoss("soft_l1", 1.0), _ROUGHLY)
    error = np.linalg.norm(fit.residuals, axis=1)
    usual = max(float(np.median(error)), _LEAST_SCALE_PX / _LOSS_MEDIANS)
    medians = np.array([np.median(error[observations.view == v]) for v in range(observations.views)])
    good = np.flatnonzero(medians <= _PHOTO_MEDIANS * usual)
    if len(good) < LEAST_PHOTOS:
        raise ValueError(
            f"only {len(good)} of {observations.views} photos agree on a camera; are they of one camera and one board?"
        )
    used = np.isin(observations.view, good) & (error <= _CORNER_MEDIANS * usual)
    state = fit.state
    state = BoardState(state.camera, state.rotations[good], state.translations[good], state.shape)
    loss = RobustLoss("soft_l1", _LOSS_MEDIANS * usual)
    return fit_board(observations.keep(used).select(good), state, free, loss, options), used


def _begin_spline(observations: Observations, start: BoardState, shape_terms: int) -> BoardState:
    """Where a splined lens starts and is drawn to: a lens of few parameters, from the same corners and no others."""
    near = start_lenses(observations, start, _UNDER_SPLINE)[0]
    lens = fit_robustly(observations, near, shape_terms)[0].state.camera
    camera = as_spline(lens, grid_of(start.camera.model))
    placed = place_boards(observations, camera)
    poses = start if placed is None else placed
    return BoardState(camera, poses.rotations, poses.translations, start.shape)
