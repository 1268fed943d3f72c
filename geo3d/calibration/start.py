"""Where the estimation starts: a camera and poses that are near enough, from nothing but the corners.

Two ways, the better one taken. Zhang's closed form finds the focal length of a camera without distortion (Zhang, "A
flexible new technique for camera calibration", 2000, 3.1). Since strong distortion spoils it, focal lengths are also
tried one by one, each with a pinhole and with an equidistant fisheye lens, and the best of these are refined with one
radial term (division and fisheye). With a camera tried, the pose of a plane follows from bearings d_i of its points
(x_i, y_i): `d_i x (H (x_i, y_i, 1)) = 0`, `H ~ [r1 r2 t]`, which holds also beyond 90 degrees from the axis.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from geo3d.calibration.board_fit import BoardState, Free, Observations, fit_board, residuals_of
from geo3d.cameras import MODELS, Camera
from geo3d.geometry import closest_rotation, skew
from geo3d.optim import LMOptions, RobustLoss

_FOCALS = np.geomspace(0.2, 8.0, 22)  # of the longer side
_TRIED = 3  # of each kind of lens, refined
_LOSS = RobustLoss("soft_l1", 2.0)


def start_board(observations: Observations, width: int, height: int) -> BoardState:
    """A camera of one radial term (or none), and the poses.

    Parameters
    ----------
    observations : Observations
    width, height : int
        Of the photos, pixels.

    Returns
    -------
    BoardState
        Without a shape of the board.

    Raises
    ------
    ValueError
        If no camera explains the corners.
    """
    longer = max(width, height)
    focals = list(longer * _FOCALS)
    closed = zhang_focal(observations, width, height)
    best: list[tuple[float, BoardState]] = []
    for plain, radial in (("SIMPLE_PINHOLE", "SIMPLE_DIVISION"), ("SIMPLE_FISHEYE", "SIMPLE_RADIAL_FISHEYE")):
        tried = []
        for focal in focals + ([closed] if closed else []):
            state = place_boards(observations, Camera.from_focal(plain, width, height, focal))
            if state is not None:
                tried.append((_score(observations, state), state))
        tried.sort(key=lambda entry: entry[0])
        for _, state in tried[:_TRIED]:
            camera = Camera.from_focal(radial, width, height, state.camera.mean_focal)
            begun = BoardState(camera, state.rotations, state.translations, state.shape)
            refined = _refine(observations, begun)
            if refined is not None:
                best.append((_score(observations, refined), refined))
    if not best:
        raise ValueError("no camera explains the corners: they are not those of one flat board")
    return min(best, key=lambda entry: entry[0])[1]


def place_boards(observations: Observations, camera: Camera) -> BoardState | None:
    """The board's pose in every photo, given the camera; None where a point would not be seen.

    Parameters
    ----------
    observations : Observations
    camera : Camera
    """
    bearings = camera.unproject(observations.pixels)
    if not np.isfinite(bearings).all():
        return None
    rotations, translations = np.empty((observations.views, 3, 3)), np.empty((observations.views, 3))
    starts = np.searchsorted(observations.view, np.arange(observations.views + 1))
    for v in range(observations.views):
        rows = slice(starts[v], starts[v + 1])
        rotations[v], translations[v] = plane_pose(
            observations.points[observations.ids[rows]], bearings[rows]
        )
    state = BoardState(camera, rotations, translations, np.zeros(0))
    return state if np.isfinite(residuals_of(observations, state)).all() else None


def plane_pose(points: np.ndarray, bearings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pose of a plane z = 0 from bearings of its points.

    Parameters
    ----------
    points : (N, 3)
        At least 4, not on a line.
    bearings : (N, 3)
        Unit vectors in the camera's frame.

    Returns
    -------
    rotation, translation : (3, 3), (3,)
        `cam_from_board`.
    """
    middle, scale = points[:, :2].mean(axis=0), points[:, :2].std()
    plane = np.column_stack([(points[:, :2] - middle) / scale, np.ones(len(points))])
    rows = np.einsum("nij,nk->nijk", skew(bearings), plane).reshape(-1, 9)
    H = np.linalg.svd(rows.T @ rows)[2][-1].reshape(3, 3)
    H *= np.sign(np.sum(bearings * (plane @ H.T)))
    H[:, :2] /= scale
    H[:, 2] -= H[:, :2] @ middle
    H /= np.sqrt(np.linalg.norm(H[:, 0]) * np.linalg.norm(H[:, 1]))
    return closest_rotation(np.column_stack([H[:, 0], H[:, 1], np.cross(H[:, 0], H[:, 1])])), H[:, 2]


def zhang_focal(observations: Observations, width: int, height: int) -> float | None:
    """Focal length of a camera with square pixels, its axis through the middle, that sees planes without distortion.

    Each homography `H = K [r1 r2 t]` gives `h1^T w h2 = 0` and `h1^T w h1 = h2^T w h2` for `w = (K K^T)^-1`, which are
    linear in 1 / f^2 (Zhang 2000, 3.1).

    Parameters
    ----------
    observations : Observations
    width, height : int
        Pixels.

    Returns
    -------
    float or None
        Pixels; None where the photos do not determine it.
    """
    unit = 0.5 * max(width, height)
    rays = np.column_stack(
        [(observations.pixels - [width / 2, height / 2]) / unit, np.ones(len(observations.ids))]
    )
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    left, right = [], []
    starts = np.searchsorted(observations.view, np.arange(observations.views + 1))
    for v in range(observations.views):
        rows = slice(starts[v], starts[v + 1])
        plane = observations.points[observations.ids[rows]].copy()
        plane = (plane - plane.mean(axis=0)) / plane[:, :2].std() + [0, 0, 1]
        system = np.einsum("nij,nk->nijk", skew(rays[rows]), plane).reshape(-1, 9)
        h1, h2, _ = np.linalg.svd(system.T @ system)[2][-1].reshape(3, 3).T
        scale = h1 @ h1 + h2 @ h2
        left += [h1[:2] @ h2[:2] / scale, (h1[:2] @ h1[:2] - h2[:2] @ h2[:2]) / scale]
        right += [-h1[2] * h2[2] / scale, (h2[2] ** 2 - h1[2] ** 2) / scale]
    a, b = np.array(left), np.array(right)
    inverse_square = float(a @ b / max(a @ a, 1e-300))
    return unit / np.sqrt(inverse_square) if inverse_square > 1e-4 else None


def _refine(observations: Observations, state: BoardState) -> BoardState | None:
    free = np.zeros(len(state.camera.params), bool)
    info = MODELS[state.camera.model]
    free[[*info.focal_params, *info.distortion_params]] = True
    try:
        state = fit_board(observations, state, Free(free, False), _LOSS, LMOptions(max_iterations=30)).state
        return fit_board(
            observations, state, Free(np.ones_like(free), False), _LOSS, LMOptions(max_iterations=30)
        ).state
    except ValueError:  # the camera does not see a point from this start
        return None


def _score(observations: Observations, state: BoardState) -> float:
    """Mean over the photos of the median residual: a few bad photos have no say."""
    error = np.linalg.norm(residuals_of(observations, state), axis=1)
    starts = np.searchsorted(observations.view, np.arange(observations.views + 1))
    return float(np.median([np.median(error[a:b]) for a, b in pairwise(starts)]))
