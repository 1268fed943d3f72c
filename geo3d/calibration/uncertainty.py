"""How sure a calibration is: of its parameters, and of where it projects a point.

All that is measured are corners, with noise of s pixels in each coordinate. The normal equations H of the adjustment
give the covariance of everything that was estimated, `s^2 H^-1`: lenses, poses, the board's shape.

Parameters alone tell little, since they can stand for each other, and since the camera's frame is not fixed to anything
that could be seen. So the question is: where would a point that stands still among the boards be projected, had the
corners had other noise? (Kogan, "mrcal: camera calibration and SFM", projection uncertainty.) The boards move a little
in the frame of the other camera, each by a motion of its own; the one rigid motion e that fits these best, each
weighted by how well the pose of its board is known, takes the point along, and the other lens projects it:

    dx = J_params dparams + J_point (w x p + v),    e = (w, v) = (sum B_i^-T V_i B_i^-1)^-1 sum B_i^-T V_i dpose_i

V_i: information of the pose of board i, dpose_i = (w_i, d_i) its step about the board's origin t_i, B_i dpose_i =
(w_i, d_i - w_i x t_i) the same motion about the camera. All is linear, so the covariance of dx follows. A point at
infinity moves by w x p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.board_fit import BoardFit
from geo3d.geometry import SE3, skew
from geo3d.optim import covariance, reduce_arrow

UNDETERMINED = (
    "the photos do not determine the camera: focal length and distance look alike while the board is seen straight on, "
    "or always at one tilt. Tilt it by 30 to 45 degrees to all four sides, or take a lens model of fewer parameters"
)


@dataclass(frozen=True, eq=False)
class ProjectionUncertainty:
    """What noise in the corners does to where points are projected.

    Attributes
    ----------
    pixels : (..., 2) float64
        Where the points are projected.
    distance_m : float
        Of the points from the camera, metres; infinite for directions.
    covariance : (..., 2, 2) float64
        Square pixels; NaN where no ray leads to the pixel.
    """

    pixels: np.ndarray
    distance_m: float
    covariance: np.ndarray

    @property
    def std_px(self) -> np.ndarray:
        """(...) standard deviation in the worst direction, pixels."""
        a, b, c = self.covariance[..., 0, 0], self.covariance[..., 0, 1], self.covariance[..., 1, 1]
        return np.sqrt(0.5 * (a + c) + np.hypot(0.5 * (a - c), b))


def noise_of(errors: np.ndarray, fit: BoardFit) -> float:
    """Standard deviation of one coordinate of a corner, from distances between seen and projected. Pixels.

    The median, so that a few wrong corners have no say, corrected for what the estimation took up.

    Parameters
    ----------
    errors : (M,) float
        Distances, pixels.
    fit : BoardFit
        That they are left by.
    """
    estimated = len(fit.system.shared) + fit.system.groups[..., 0].size
    free = max(2 * len(errors) - estimated, 1)
    return float(np.median(errors)) / 1.1774 * float(np.sqrt(2 * len(errors) / free))


def params_std(fit: BoardFit, noise_px: float) -> np.ndarray:
    """Standard deviations of the parameters of the first, or only, camera.

    Parameters
    ----------
    fit : BoardFit
        With all parameters free.
    noise_px : float
        Of one coordinate of a corner.

    Returns
    -------
    (P,) float64

    Raises
    ------
    ValueError
        If the photos do not determine them.
    """
    return np.sqrt(np.diag(shared_covariance(fit, noise_px)))[: len(fit.state.camera.params)]


def shared_covariance(fit: BoardFit, noise_px: float) -> np.ndarray:
    """Covariance of what all photos share, their poses being unknown too.

    Parameters
    ----------
    fit : BoardFit
    noise_px : float
        Of one coordinate of a corner.

    Returns
    -------
    (s, s) float64
        In the order of `fit.system`: free parameters of the cameras, the shape's, poses of mounted cameras.

    Raises
    ------
    ValueError
        If the photos do not determine them.
    """
    reduced, _ = reduce_arrow(fit.system, np.linalg.inv(fit.system.groups))
    try:
        return covariance(reduced, noise_px**2)
    except ValueError as error:
        raise ValueError(UNDETERMINED) from error


def projection_uncertainty(
    fit: BoardFit,
    noise_px: float,
    pixels: np.ndarray,
    distance_m: float = np.inf,
    camera: int = 0,
) -> ProjectionUncertainty:
    """What noise in the corners does to where points are projected.

    Parameters
    ----------
    fit : BoardFit
        With all parameters of the cameras free.
    noise_px : float
        Of one coordinate of a corner.
    pixels : (..., 2) array
        Where the points are seen.
    distance_m : float
        Of the points from the camera, metres.
    camera : int
        Of a rig: which.

    Returns
    -------
    ProjectionUncertainty

    Raises
    ------
    ValueError
        If the distance is not positive, or the photos do not determine the camera.
    """
    if not distance_m > 0:
        raise ValueError(f"distance_m must be positive, got {distance_m}")
    state = fit.state
    flat = np.asarray(pixels, np.float64).reshape(-1, 2)
    lens = state.cameras[camera]
    bearings = lens.unproject(flat)
    mounted = SE3.identity() if camera == 0 else state.mounted[camera - 1].cam_from_first
    infinite = not np.isfinite(distance_m)
    here = bearings if infinite else bearings * distance_m
    first = here @ mounted.rotation if infinite else mounted.inverse().act(here)
    seen = lens.project_with_jacobians(here)
    along = seen.d_point @ mounted.rotation
    by_motion = np.concatenate([-along @ skew(first), np.zeros_like(along) if infinite else along], axis=2)
    shared = np.zeros((len(flat), 2, len(fit.system.shared)))
    begin = sum(len(c.params) for c in state.cameras[:camera])
    shared[:, :, begin : begin + len(lens.params)] = seen.d_params
    if camera > 0:
        at = shared.shape[2] - 6 * (len(state.mounted) - camera + 1)
        turned = first @ mounted.rotation.T
        shared[:, :, at : at + 3] = -seen.d_point @ skew(turned)
        shared[:, :, at + 3 : at + 6] = 0.0 if infinite else seen.d_point
    inverse = np.linalg.inv(fit.system.groups)
    spread = np.zeros((len(flat), 2, 2))
    for weight, own, coupling in zip(motion_weights(fit), inverse, fit.system.coupling):
        by_pose = by_motion @ weight
        through = by_pose @ own
        spread += through @ np.swapaxes(by_pose, 1, 2)
        shared -= through @ coupling.T
    spread = noise_px**2 * spread + shared @ shared_covariance(fit, noise_px) @ np.swapaxes(shared, 1, 2)
    shape = np.shape(pixels)[:-1]
    return ProjectionUncertainty(flat.reshape(*shape, 2), distance_m, spread.reshape(*shape, 2, 2))


def motion_weights(fit: BoardFit) -> np.ndarray:
    """How the steps of the boards' poses make up the one rigid motion that fits them best.

    Parameters
    ----------
    fit : BoardFit

    Returns
    -------
    (V, 6, 6) float64
        The motion (w, v) about the first camera is the sum of these times the steps (w_i, d_i) of the poses.
    """
    about = np.broadcast_to(np.eye(6), (len(fit.system.groups), 6, 6)).copy()
    about[:, 3:, :3] = skew(fit.state.translations)  # d - w x t = d + t x w
    back = np.linalg.inv(about)
    weighted = np.swapaxes(back, 1, 2) @ fit.system.groups
    return np.linalg.solve((weighted @ back).sum(axis=0), weighted)


def image_grid(width: int, height: int, columns: int = 40) -> np.ndarray:
    """Pixels (rows, columns, 2) in the middle of cells that cover an image.

    Parameters
    ----------
    width, height : int
        Pixels.
    columns : int
        How many along the longer side.
    """
    across = columns if width >= height else max(2, round(columns * width / height))
    down = columns if height > width else max(2, round(columns * height / width))
    x, y = (np.arange(across) + 0.5) * width / across, (np.arange(down) + 0.5) * height / down
    return np.stack(np.meshgrid(x, y), axis=-1)
