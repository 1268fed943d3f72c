"""How good a calibration is on photos that it has not seen, and the choice of the lens model by that.

Half of the photos give the camera and the board's shape; in each photo of the other half only the pose is fitted, and
all its corners count. Twice two halves: every photo is held out twice. Of the models whose mean squared error lies
within one standard error of the best (Breiman et al., "Classification and Regression Trees", 1984, 3.4.3; of the
differences photo by photo) the one with the fewest parameters is taken, unless it does not hold over the image: where
no corner was, a polynomial may turn back or a fraction have a pole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.calibrate import fit_robustly, start_lenses
from geo3d.calibration.start import place_boards, start_board
from geo3d.calibration.uncertainty import noise_of, params_std
from geo3d.cameras import MODELS, Camera
from geo3d.optim import RobustLoss

CANDIDATES = (
    "PINHOLE",
    "SIMPLE_RADIAL",
    "DIVISION",
    "OPENCV",
    "OPENCV_FISHEYE",
    "EUCM",
    "DOUBLE_SPHERE",
    "BROWN_CONRADY_5",
    "FULL_OPENCV",
    "THIN_PRISM_FISHEYE",
)
_REPEATS = 2
_MOST_FOCAL_STD = 0.05  # of the focal length


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Errors of photos that the calibration has not seen.

    Attributes
    ----------
    model : str
    shape_terms : int
    params : int
        How many the model has.
    mean_squared_px : (V,) float64
        Of each photo, over its corners and repeats; infinite where the camera found from others cannot see a corner.
    rms_px : float
        Over all corners.
    refused : str
        Why the model cannot be taken all the same; empty if it can.
    """

    model: str
    shape_terms: int
    params: int
    mean_squared_px: np.ndarray
    rms_px: float
    refused: str = ""


def held_out(observations: Observations, lens: BoardState, shape_terms: int, seed: int = 0) -> HeldOut:
    """Errors of each photo by cameras from other photos.

    Parameters
    ----------
    observations : Observations
        Of at least six photos.
    lens : BoardState
        Start of every fit, of the model in question; see `start_lenses`.
    shape_terms : int
    seed : int
        Of the halves.

    Returns
    -------
    HeldOut

    Raises
    ------
    ValueError
        If the photos of a half do not agree on a camera.
    """
    rng = np.random.default_rng(seed)
    squared = np.zeros((_REPEATS, len(observations.ids)))
    for repeat in range(_REPEATS):
        order = rng.permutation(observations.views)
        for half in (0, 1):
            seen, unseen = np.sort(order[half::2]), np.sort(order[1 - half :: 2])
            rows = np.isin(observations.view, unseen)
            squared[repeat, rows] = _errors_of(observations, lens, shape_terms, seen, unseen)
    corners = squared.mean(axis=0)
    counts = np.bincount(observations.view, minlength=observations.views)
    with np.errstate(invalid="ignore"):
        photos = np.bincount(observations.view, corners, observations.views) / counts
    rms = float(np.sqrt(corners.mean()))
    refused = "" if np.isfinite(rms) else "found from some photos, it does not see what others show"
    return HeldOut(lens.camera.model, shape_terms, len(lens.camera.params), photos, rms, refused)


def why_not_over_image(camera: Camera, observations: Observations) -> str:
    """Why a camera does not hold over the image, or nothing.

    It has to see the whole image, or, as the image of a fisheye lens may be a circle in it, as far from the principal
    point as the corners and a tenth more, one to one: pixel to ray and back is the same pixel.

    Parameters
    ----------
    camera : Camera
    observations : Observations

    Returns
    -------
    str
    """
    x, y = np.meshgrid(np.linspace(0, camera.width, 41), np.linspace(0, camera.height, 31))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    reach = 1.1 * np.linalg.norm(observations.pixels - camera.principal_point, axis=1).max()
    pixels = pixels[np.linalg.norm(pixels - camera.principal_point, axis=1) <= reach]
    rays = camera.unproject(pixels)
    back = np.linalg.norm(camera.project(rays) - pixels, axis=1)
    bad = pixels[~(back < 0.01)]
    if not len(bad):
        return ""
    at = bad[np.argmin(np.linalg.norm(bad - camera.principal_point, axis=1))]
    return f"its distortion turns back or has a pole at ({at[0]:.0f}, {at[1]:.0f}), where few corners are"


def choose_model(
    observations: Observations,
    width: int,
    height: int,
    candidates: tuple[str, ...] = CANDIDATES,
    shape_terms: int = 3,
) -> tuple[HeldOut, list[HeldOut]]:
    """The simplest lens model that is as good as the best on photos that were held out.

    Parameters
    ----------
    observations : Observations
    width, height : int
        Pixels.
    candidates : tuple of str
    shape_terms : int

    Returns
    -------
    chosen : HeldOut
    tried : list of HeldOut
        One for each candidate, in their order.

    Raises
    ------
    ValueError
        If there are fewer than six photos, or no model fits.
    """
    if observations.views < 6:
        raise ValueError(
            f"{observations.views} photos are too few to choose a lens model by: expected at least 6; name one with "
            "--model, or take more photos"
        )
    start = start_board(observations, width, height)
    tried = []
    for model in candidates:
        try:
            lens = start_lenses(observations, start, model)[0]
            entry = held_out(observations, lens, shape_terms)
            entry = replace(entry, refused=entry.refused or _why_not(observations, lens, shape_terms))
        except ValueError as error:
            errors = np.full(observations.views, np.inf)
            entry = HeldOut(model, shape_terms, len(MODELS[model].param_names), errors, np.inf, str(error))
        tried.append(entry)
    able = [entry for entry in tried if not entry.refused]
    if not able:
        raise ValueError(f"none of the lens models {', '.join(candidates)} explains the photos")
    best = min(able, key=lambda entry: entry.mean_squared_px.mean())
    for entry in sorted(able, key=lambda entry: entry.params):
        worse = entry.mean_squared_px - best.mean_squared_px
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return entry, tried
    return best, tried


def _why_not(observations: Observations, lens: BoardState, shape_terms: int) -> str:
    """Why the camera found from all photos cannot be taken, or nothing."""
    fit, _ = fit_robustly(observations, lens, shape_terms)
    camera = fit.state.camera
    deviations = params_std(fit, noise_of(np.linalg.norm(fit.residuals, axis=1), fit))
    focal = deviations[list(MODELS[camera.model].focal_params)].max() / camera.mean_focal
    if focal > _MOST_FOCAL_STD:
        return "its parameters stand for each other: these photos leave the focal length open"
    return why_not_over_image(camera, observations)


def _errors_of(
    observations: Observations, lens: BoardState, shape_terms: int, seen: np.ndarray, unseen: np.ndarray
) -> np.ndarray:
    """Squared errors of the corners of some photos by a camera from others; infinite where it cannot see one."""
    chosen = observations.select(seen)
    begun = BoardState(lens.camera, lens.rotations[seen], lens.translations[seen], lens.shape)
    fit, _ = fit_robustly(chosen, begun, shape_terms)
    others = observations.select(unseen)
    placed = place_boards(others, fit.state.camera)
    if placed is None:
        return np.full(len(others.ids), np.inf)
    state = BoardState(fit.state.camera, placed.rotations, placed.translations, fit.state.shape)
    none = Free(np.zeros(len(state.camera.params), bool), False)
    state = fit_board(others, state, none, RobustLoss()).state
    return np.sum(residuals_of(others, state) ** 2, axis=1)
