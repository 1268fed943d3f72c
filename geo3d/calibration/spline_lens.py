"""Fitting a splined lens: its grid, its start as a copy of another lens, and what holds it where there are no corners.

From where it starts, k0, the move of a knot k is drawn to a smooth surface, and hardly at all to nothing. With the
focal length f, the distance h between knots and their second differences D, in pixels:

    1/2 f^2 (s h)^-2 sum |D_xx d|^2 + 2 |D_xy d|^2 + |D_yy d|^2  +  1/2 f^2 S^-2 sum |d|^2,      d = k - k0

Penalised splines as those of Eilers and Marx 1996; the sum is the bending energy of a thin plate, whatever the grid.
Where there are many corners they decide, and where there are none the lens stays what it was. The second term decides
what nothing tells, as a turn of the camera's axes, which turns all boards and moves all knots alike (as mrcal's
regularization does). Focal lengths and principal point stay, since the knots can do all that they can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geo3d.calibration.board_fit import Observations, Pull
from geo3d.cameras import MODELS, Camera, Grid
from geo3d.cameras.splined import grid_of

_BEND_PX = 30.0  # curvature, pixels per square radian, that over a square radian costs as much as an error of a pixel
_FAR_PX = 1000.0
_HELD_PX = 1e-4
_COPY_STIFFNESS = 1e-3  # of the above, where a spline copies a lens
_MARGIN = 1.05  # of the image
_CORNERS_A_KNOT = 12.0
_COLUMNS = (8, 20)


def grid_for(observations: Observations, camera: Camera) -> Grid:
    """A grid that covers the image, as fine as the corners are many.

    Parameters
    ----------
    observations : Observations
    camera : Camera
        That is near to the one to be found.
    """
    u = _stereographic(camera.unproject(np.concatenate([_over_image(camera), observations.pixels])))
    reach_x, reach_y = _MARGIN * np.nanmax(np.abs(u), axis=0)
    columns = np.sqrt(len(observations.ids) / _CORNERS_A_KNOT * reach_x / reach_y)
    columns = int(np.clip(columns, *_COLUMNS))
    rows = int(np.ceil((columns - 3) * reach_y / reach_x)) + 3
    return Grid(columns, rows, min(int(np.ceil(np.degrees(4 * np.arctan(reach_x / 2)))), 359))


def as_spline(camera: Camera, grid: Grid) -> Camera:
    """The splined lens that is like another one over the image, and goes on smoothly beyond.

    Parameters
    ----------
    camera : Camera
    grid : Grid
    """
    pixels = _over_image(camera)
    rays = camera.unproject(pixels)
    seen = np.isfinite(rays).all(axis=1)
    plain = Camera.from_focal(grid.name, camera.width, camera.height, camera.mean_focal)
    plain = plain.with_params([*plain.params[:2], *camera.principal_point, *plain.params[4:]])
    flat = plain.project_with_jacobians(rays[seen])
    J = flat.d_params[..., 4:].reshape(-1, len(plain.params) - 4)
    stiffness = _COPY_STIFFNESS * _stiffness(plain)[4:, 4:]
    knots = np.linalg.solve(J.T @ J + stiffness, J.T @ (pixels[seen] - flat.pixels).ravel())
    return plain.with_params([*plain.params[:4], *knots])


def hold_splines(cameras: Sequence[Camera]) -> Pull | None:
    """What draws splined lenses to where they are now; None where there are none.

    Parameters
    ----------
    cameras : sequence of Camera
        Of a rig, or a single one.
    """
    if not any(MODELS[camera.model].splined for camera in cameras):
        return None
    rest = np.concatenate([camera.params for camera in cameras])
    stiffness, begin = np.zeros((len(rest), len(rest))), 0
    for camera in cameras:
        own = slice(begin, begin + len(camera.params))
        if MODELS[camera.model].splined:
            stiffness[own, own] = _stiffness(camera)
        begin = own.stop
    return Pull(rest, stiffness)


def _stiffness(camera: Camera) -> np.ndarray:
    """(P, P) of a splined lens."""
    grid = grid_of(camera.model)
    across, down = np.eye(grid.columns), np.eye(grid.rows)
    bends = np.concatenate(
        [
            np.kron(down, np.diff(across, 2, axis=0)),
            np.sqrt(2) * np.kron(np.diff(down, axis=0), np.diff(across, axis=0)),
            np.kron(np.diff(down, 2, axis=0), across),
        ]
    )
    of_knots = bends.T @ bends * (grid.segments_per_u / _BEND_PX) ** 2 + np.eye(bends.shape[1]) / _FAR_PX**2
    stiffness = np.zeros((len(camera.params), len(camera.params)))
    stiffness[range(4), range(4)] = _HELD_PX**-2
    for axis in (0, 1):
        stiffness[4 + axis :: 2, 4 + axis :: 2] = camera.focal[axis] ** 2 * of_knots
    return stiffness


def _over_image(camera: Camera) -> np.ndarray:
    """(N, 2) pixels of a grid over the image, edges and corners included."""
    x, y = np.meshgrid(np.linspace(0, camera.width, 57), np.linspace(0, camera.height, 43))
    return np.column_stack([x.ravel(), y.ravel()])


def _stereographic(rays: np.ndarray) -> np.ndarray:
    """(N, 2) 2 tan(theta / 2) in the direction of rays (N, 3); NaN where these are."""
    return 2.0 * rays[:, :2] / (1.0 + rays[:, 2:])
