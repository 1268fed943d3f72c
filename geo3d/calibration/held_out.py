"""How good a calibration is on photos that it has not seen, and the choice of the lens model and of the board's shape.

Half of the photos give the camera and the board's shape; in each photo of the other half only the pose is fitted, and
all its corners count. Twice two halves: every photo is held out twice. What is compared is a photo's own error under
two models, as the logarithm of their ratio, so that a blurred photo has no more say than a sharp one.

The lens is chosen first, every model with all terms of the board's shape that the corners tell: otherwise a lens of
many parameters is taken for the bending of the board. Of the models within one standard error of the best (Breiman et
al., "Classification and Regression Trees", 1984, 3.4.3; here of these paired differences), or within 2 in 100, the one
with the fewest parameters is taken. The 2 in 100 are for what all photos share and no standard error shows, faults of
the print above all; on boards of known truth the lens of more parameters was then the worse one where no corner was.
Not taken are lenses that do not hold over the image: a polynomial may turn back or a fraction have a pole there. Nor
are those that the photos leave open, a little beyond the corners or in their principal point, where they leave another
certain that is nearly as good.

Then the shape: with that lens, the most terms that are as good as the best by the same measure. It is the other way
round than with the lens, since a term too many costs little, as all corners of all photos speak of the shape, and one
too few goes into the lens, where it shows least in photos of the same board. For the same reason no board is taken for
flat by itself: of few photos the error held out does not tell a bow that puts the lens off by twice its noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geo3d.calibration.board_fit import BoardFit, BoardState, Free, Observations, fit_board, residuals_of
from geo3d.calibration.board_shape import shapes_told
from geo3d.calibration.calibrate import fit_model, fit_robustly
from geo3d.calibration.start import place_boards, start_board
from geo3d.calibration.uncertainty import noise_of, params_std, projection_uncertainty
from geo3d.cameras import MODELS, Camera
from geo3d.optim import LMOptions, RobustLoss

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
LEAST_TO_CHOOSE = 6  # photos
_REPEATS = 2
_MOST_FOCAL_STD = 0.05  # of the focal length
_HOPELESS = 1.5  # error on the photos fitted to, by the best error on photos held out
_TO_COMPARE = LMOptions(max_iterations=50, function_tolerance=1e-6)
_SAME = 0.02  # of the error
_OPEN = 5.0  # times what is known of another lens, or the error
_NEARLY = 1.1  # times the error of another
_NOISE_PX = 0.01  # below this errors are equal


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
        Of each photo, over its corners and repeats; infinite where the camera found from others cannot see a corner,
        and where the model is refused.
    rms_px : float
        Over all corners.
    refused : str
        Why the model cannot be taken; empty if it can.
    """

    model: str
    shape_terms: int
    params: int
    mean_squared_px: np.ndarray
    rms_px: float
    refused: str = ""

    @property
    def log_px(self) -> np.ndarray:
        """(V,) logarithm of each photo's error, of which differences are ratios."""
        return 0.5 * np.log(self.mean_squared_px + _NOISE_PX**2)


def held_out(observations: Observations, lens: BoardState, shape_terms: int, seed: int = 0) -> HeldOut:
    """Errors of each photo by cameras from other photos.

    Parameters
    ----------
    observations : Observations
        Of at least six photos.
    lens : BoardState
        Start of every fit: a camera of the model in question, and a pose for each photo.
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
    pixels = _within_reach(camera, observations, 41)
    rays = camera.unproject(pixels)
    back = np.linalg.norm(camera.project(rays) - pixels, axis=1)
    bad = pixels[~(back < 0.01)]
    if not len(bad):
        return ""
    at = bad[np.argmin(np.linalg.norm(bad - camera.principal_point, axis=1))]
    return f"its distortion turns back or has a pole at ({at[0]:.0f}, {at[1]:.0f}), where few corners are"


def _within_reach(camera: Camera, observations: Observations, columns: int) -> np.ndarray:
    """(N, 2) pixels over the image, from edge to edge, as far out as the corners and a tenth more."""
    x, y = np.linspace(0, camera.width, columns), np.linspace(0, camera.height, (3 * columns) // 4 + 1)
    pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    reach = 1.1 * np.linalg.norm(observations.pixels - camera.principal_point, axis=1).max()
    return pixels[np.linalg.norm(pixels - camera.principal_point, axis=1) <= reach]


def choose_model(
    observations: Observations,
    width: int,
    height: int,
    candidates: tuple[str, ...] = CANDIDATES,
    shape_terms: int | None = None,
) -> tuple[HeldOut, list[HeldOut]]:
    """The simplest lens model and shape of the board that are as good as the best on photos that were held out.

    Parameters
    ----------
    observations : Observations
    width, height : int
        Pixels.
    candidates : tuple of str
    shape_terms : int, optional
        Of the board's shape; chosen too where left out, among `board_shape.SHAPES`.

    Returns
    -------
    chosen : HeldOut
        The lens and the terms taken.
    tried : list of HeldOut
        One for each candidate, in their order, with all terms of the shape; then the chosen lens with fewer terms.

    Raises
    ------
    ValueError
        If there are fewer than six photos, or no model fits.
    """
    _check_views(observations)
    told = shapes_told(observations.points, np.unique(observations.ids))
    shapes = told if shape_terms is None else (shape_terms,)
    start = start_board(observations, width, height)
    fits: dict[str, BoardFit | ValueError] = {}
    for model in candidates:
        try:
            fits[model] = fit_model(observations, start, model, shapes[-1], _TO_COMPARE)[0]
        except ValueError as error:
            fits[model] = error
    tried, ceiling = {}, np.inf
    for model in sorted(candidates, key=lambda model: _rms(fits[model])):
        tried[model] = _try_lens(observations, model, fits[model], shapes[-1], ceiling)
        if not tried[model].refused:
            ceiling = min(ceiling, _HOPELESS * tried[model].rms_px)
    lenses = _without_open(
        [tried[model] for model in candidates], [fits[m] for m in candidates], observations
    )
    lens = min(_as_good(lenses), key=lambda entry: (entry.params, _mean_log(entry)))
    name = candidates[lenses.index(lens)]  # of a splined lens the family's, without the grid
    fewer = [_try(observations, name, fits[name], terms) for terms in shapes[:-1]]
    return _fullest([*fewer, lens]), [*lenses, *fewer]


def choose_shape(
    observations: Observations, width: int, height: int, model: str
) -> tuple[HeldOut, list[HeldOut]]:
    """The most terms of the board's shape that are as good as the best on photos that were held out.

    Parameters
    ----------
    observations : Observations
    width, height : int
        Pixels.
    model : str
        Of the lens.

    Returns
    -------
    chosen : HeldOut
    tried : list of HeldOut
        One for each number of terms that the corners tell, ascending.

    Raises
    ------
    ValueError
        If there are fewer than six photos, or the model does not fit.
    """
    _check_views(observations)
    shapes = shapes_told(observations.points, np.unique(observations.ids))
    fit, _ = fit_model(observations, start_board(observations, width, height), model, shapes[-1], _TO_COMPARE)
    tried = [_try(observations, model, fit, terms) for terms in shapes]
    return _fullest(tried), tried


def _without_open(
    entries: list[HeldOut], fits: list[BoardFit | ValueError], observations: Observations
) -> list[HeldOut]:
    """Refuse lenses that the photos leave open where they leave another certain that is nearly as good.

    A lens of many parameters may be as good as any where the corners are and anything a tenth farther out; or its
    principal point, which a turn of the camera makes up for, is anywhere.
    """
    known = np.full((len(entries), 2), np.inf)  # pixels: the projection, the principal point
    for k, (entry, fit) in enumerate(zip(entries, fits)):
        if not entry.refused and isinstance(fit, BoardFit):
            camera, noise = fit.state.camera, noise_of(np.linalg.norm(fit.residuals, axis=1), fit)
            pixels = _within_reach(camera, observations, 13)
            centre = params_std(fit, noise)[list(MODELS[camera.model].principal_params)]
            known[k] = np.nanmax(projection_uncertainty(fit, noise, pixels).std_px), centre.max()
    return [
        replace(
            entry, mean_squared_px=np.full_like(entry.mean_squared_px, np.inf), rms_px=np.inf, refused=why
        )
        if not entry.refused and (why := _why_open(k, entries, known))
        else entry
        for k, entry in enumerate(entries)
    ]


def _why_open(row: int, entries: list[HeldOut], known: np.ndarray) -> str:
    """Why a lens is left open by the photos, or nothing."""
    nearly = [k for k, other in enumerate(entries) if other.rms_px <= _NEARLY * entries[row].rms_px]
    for column, what in enumerate(("just beyond the corners it is known", "its principal point is known")):
        best = nearly[int(known[nearly, column].argmin())]
        if known[row, column] > _OPEN * max(known[best, column], entries[row].rms_px):
            return (
                f"{what} to {known[row, column]:.2g} px only, that of {entries[best].model} to "
                f"{known[best, column]:.2g} px"
            )
    return ""


def _check_views(observations: Observations) -> None:
    if observations.views < LEAST_TO_CHOOSE:
        raise ValueError(
            f"{observations.views} photos are too few to choose a lens model by: expected at least {LEAST_TO_CHOOSE}; "
            "name one with --model, or take more photos"
        )


def _as_good(entries: list[HeldOut]) -> list[HeldOut]:
    """Those as good as the best: within one standard error of it, or 2 in 100."""
    able = [entry for entry in entries if not entry.refused]
    if not able:
        models: dict[str, list[str]] = {}
        for entry in entries:
            models.setdefault(entry.refused, []).append(entry.model)
        reasons = "; ".join(f"{', '.join(named)}: {reason}" for reason, named in models.items())
        raise ValueError(next(iter(models)) if len(models) == 1 else f"no lens model can be taken. {reasons}")
    best = min(able, key=_mean_log)
    found = []
    for entry in able:
        worse = entry.log_px - best.log_px
        if worse.mean() <= max(_SAME, worse.std(ddof=1) / np.sqrt(len(worse))):
            found.append(entry)
    return found


def _fullest(entries: list[HeldOut]) -> HeldOut:
    """The one of the most terms of the shape that is as good as the best."""
    return max(_as_good(entries), key=lambda entry: entry.shape_terms)


def _mean_log(entry: HeldOut) -> float:
    return float(entry.log_px.mean())


def _try_lens(
    observations: Observations, model: str, fit: BoardFit | ValueError, shape_terms: int, ceiling: float
) -> HeldOut:
    """A lens model on photos held out, unless the fit to all says enough: refused, or off by over `ceiling` px."""
    if isinstance(fit, BoardFit):
        if _rms(fit) > ceiling:
            fit = ValueError(f"it is {_rms(fit):.2g} px off even in the photos that it was fitted to")
        elif why := _why_not(observations, fit):
            fit = ValueError(why)
    return _try(observations, model, fit, shape_terms)


def _try(observations: Observations, model: str, fit: BoardFit | ValueError, shape_terms: int) -> HeldOut:
    """A lens model and a shape on photos held out; every fit begins with the camera found from all photos."""
    try:
        if isinstance(fit, ValueError):
            raise fit
        begin = place_boards(observations, fit.state.camera)
        if begin is None:
            raise ValueError("found from some photos, it does not see what others show")
        return held_out(observations, begin, shape_terms)
    except ValueError as error:
        errors = np.full(observations.views, np.inf)
        # A splined lens that was not found has no grid, which would tell how many parameters.
        count = len(MODELS[model].param_names) if model in MODELS else 0
        return HeldOut(model, shape_terms, count, errors, np.inf, str(error))


def _rms(fit: BoardFit | ValueError) -> float:
    """Over the corners fitted to, pixels."""
    if isinstance(fit, ValueError):
        return np.inf
    return float(np.sqrt(np.mean(np.sum(fit.residuals**2, axis=1))))


def _why_not(observations: Observations, fit: BoardFit) -> str:
    """Why the camera found from all photos cannot be taken, or nothing."""
    camera = fit.state.camera
    try:
        deviations = params_std(fit, noise_of(np.linalg.norm(fit.residuals, axis=1), fit))
    except ValueError as error:
        return str(error)
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
    fit, _ = fit_robustly(chosen, begun, shape_terms, _TO_COMPARE)
    others = observations.select(unseen)
    placed = place_boards(others, fit.state.camera)
    if placed is None:
        return np.full(len(others.ids), np.inf)
    state = BoardState(fit.state.camera, placed.rotations, placed.translations, fit.state.shape)
    none = Free(np.zeros(len(state.camera.params), bool), False)
    state = fit_board(others, state, none, RobustLoss()).state
    return np.sum(residuals_of(others, state) ** 2, axis=1)
