"""How good a calibration is on photos that it has not seen, and the choice of the lens model by that.

Half of the photos give the camera and the board's shape; in each photo of the other half only the pose is fitted, and
all its corners count. Twice two halves: every photo is held out twice. Of the models whose mean squared error lies
within one standard error of the best (Breiman et al., "Classification and Regression Trees", 1984, 3.4.3; of the
differences photo by photo) the one with the fewest parameters is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.calibrate import fit_robustly, start_lenses
from geo3d.calibration.start import place_boards, start_board
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
    """

    model: str
    shape_terms: int
    params: int
    mean_squared_px: np.ndarray
    rms_px: float


def held_out(
    observations: Observations, start: BoardState, model: str, shape_terms: int, seed: int = 0
) -> HeldOut:
    """Errors of each photo by cameras from other photos.

    Parameters
    ----------
    observations : Observations
        Of at least six photos.
    start : BoardState
    model : str
    shape_terms : int
    seed : int
        Of the halves.

    Returns
    -------
    HeldOut
    """
    rng = np.random.default_rng(seed)
    squared = np.zeros((_REPEATS, len(observations.ids)))
    lens = start_lenses(observations, start, model)[0]
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
    return HeldOut(model, shape_terms, len(lens.camera.params), photos, float(np.sqrt(corners.mean())))


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
        All that could be fitted, in the order of the candidates.

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
            tried.append(held_out(observations, start, model, shape_terms))
        except ValueError:  # it does not see as wide as the photos show
            continue
    able = [entry for entry in tried if np.isfinite(entry.rms_px)]
    if not able:
        raise ValueError(f"none of the lens models {', '.join(candidates)} explains the photos")
    best = min(able, key=lambda entry: entry.mean_squared_px.mean())
    for entry in sorted(able, key=lambda entry: entry.params):
        worse = entry.mean_squared_px - best.mean_squared_px
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return entry, tried
    return best, tried


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
