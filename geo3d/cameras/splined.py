"""A lens without a formula: a stereographic projection moved by a smooth surface through a grid of knots. Pixels.

With r = |(x, y, z)|,

    u = 2 (x, y) / (r + z)                       stereographic: |u| = 2 tan(theta / 2)
    (a, b) = u + sum_ij B_i(s_x) B_j(s_y) k_ij   cubic B-splines, s = u segments_per_u + (N - 1) / 2
    pixel = (fx a + cx, fy b + cy)

The name of a model of this family tells its grid: SPLINED_STEREOGRAPHIC_order=3_Nx=14_Ny=11_fov_x_deg=90 has 14 x 11
knots and reaches over 90 degrees from left to right; knots stand equally dense in x and y, one beyond each edge. The
parameters are fx, fy, cx, cy and the knots row by row, x before y. Outside of the grid the move is that of its edge.

Focal lengths and principal point only scale and shift what the knots can scale and shift too: whoever fits such a lens
holds them. The definition, the order of the parameters and the name after SPLINED are those of mrcal's
LENSMODEL_SPLINED_STEREOGRAPHIC (Kogan, mrcal, "Splined stereographic lens model"), but for pixel centres.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

FAMILY = "SPLINED_STEREOGRAPHIC"
MODEL_ID = 1003
MOST_KNOTS = 2000
_NAME = re.compile(FAMILY + r"_order=(\d{1,9})_Nx=(\d{1,9})_Ny=(\d{1,9})_fov_x_deg=(\d{1,9})")


@dataclass(frozen=True)
class Grid:
    """Knots of a splined lens.

    Attributes
    ----------
    columns, rows : int
        At least 4.
    fov_x_deg : int
        Degrees from the left edge to the right one, 1 to 359.

    Raises
    ------
    ValueError
        If there are too few or too many knots, or the angle is none.
    """

    columns: int
    rows: int
    fov_x_deg: int

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 4 or self.columns * self.rows > MOST_KNOTS:
            raise ValueError(
                f"a splined lens has 4 knots and more along x and y, and {MOST_KNOTS} at most; got {self.columns} x "
                f"{self.rows}"
            )
        if not 1 <= self.fov_x_deg <= 359:
            raise ValueError(f"fov_x_deg of a splined lens: expected 1 to 359, got {self.fov_x_deg}")

    @property
    def name(self) -> str:
        """Of the camera model."""
        return f"{FAMILY}_order=3_Nx={self.columns}_Ny={self.rows}_fov_x_deg={self.fov_x_deg}"

    @property
    def param_names(self) -> tuple[str, ...]:
        """fx, fy, cx, cy and the knots, by row and column."""
        knots = (f"{axis}{j}_{i}" for j in range(self.rows) for i in range(self.columns) for axis in "xy")
        return ("fx", "fy", "cx", "cy", *knots)

    @property
    def segments_per_u(self) -> float:
        """Spaces between knots in a unit of u."""
        return (self.columns - 3) / (4.0 * np.tan(np.radians(self.fov_x_deg) / 4.0))


def is_name(name: object) -> bool:
    """Whether this is the name of a splined model, of a grid that there can be or not."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def grid_of(name: str) -> Grid:
    """The grid that the name of a model tells; ValueError if there can be none, KeyError if it is no such name."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise KeyError(name)
    order, columns, rows, fov = map(int, found.groups())
    if order != 3:
        raise ValueError(f"a splined lens is cubic here, order=3; got order={order}")
    return Grid(columns, rows, fov)


def splined(grid: Grid):
    """The definition of the model, of the form explained in `models`; NumPy only, and `d_params` may be None."""
    size = np.array([grid.columns, grid.rows])
    scale = grid.segments_per_u
    corner = (np.arange(4)[:, None] * grid.columns + np.arange(4)).ravel()  # of a patch, from its first knot

    def project(x, y, z, p, uv, d_point, d_params):
        r = np.sqrt(x * x + y * y + z * z)
        w = 2.0 / (r + z)
        u = np.stack([x * w, y * w])
        free = u * scale + 0.5 * (size[:, None] - 1)
        s = np.clip(np.where(np.isfinite(free), free, 1.0), 1.0, size[:, None] - 2.0)
        first = np.minimum(s.astype(np.int64), size[:, None] - 3) - 1
        (bx, by), (dx, dy) = _basis(s - first - 1)
        knots = corner + (first[1] * grid.columns + first[0])[:, None]
        moves = p[4:].reshape(-1, 2)[knots]
        weights = (by[:, :, None] * bx[:, None, :]).reshape(-1, 16)
        a, b = u + np.einsum("nk,nkc->cn", weights, moves)
        uv[0], uv[1] = p[0] * a + p[2], p[1] * b + p[3]
        if d_point is not None:
            inside = (free == s) * scale
            by_x = (
                np.einsum("nk,nkc->cn", (by[:, :, None] * dx[:, None, :]).reshape(-1, 16), moves) * inside[0]
            )
            by_y = (
                np.einsum("nk,nkc->cn", (dy[:, :, None] * bx[:, None, :]).reshape(-1, 16), moves) * inside[1]
            )
            bend = -0.5 * w * w * np.stack([x / r, y / r, z / r + 1.0])
            u_x, u_y = x * bend, y * bend
            u_x[0] += w
            u_y[1] += w
            d_point[0] = p[0] * ((1.0 + by_x[0]) * u_x + by_y[0] * u_y)
            d_point[1] = p[1] * (by_x[1] * u_x + (1.0 + by_y[1]) * u_y)
        if d_params is not None:
            d_params[...] = 0.0
            d_params[0, 0], d_params[1, 1] = a, b
            d_params[0, 2] = d_params[1, 3] = 1.0
            rows = np.arange(len(x))[:, None]
            d_params[0, 4 + 2 * knots, rows] = p[0] * weights
            d_params[1, 5 + 2 * knots, rows] = p[1] * weights
        return r + z > 0.0

    return project


def _basis(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four cubic B-splines over a segment at t (...) in [0, 1], and their slopes, each (..., 4)."""
    o = 1.0 - t
    values = [o**3, 3 * t**3 - 6 * t**2 + 4, 3 * o**3 - 6 * o**2 + 4, t**3]
    slopes = [-(o**2), 3 * t**2 - 4 * t, 4 * o - 3 * o**2, t**2]
    return np.stack(values, axis=-1) / 6.0, np.stack(slopes, axis=-1) / 2.0


def max_angle(p: np.ndarray) -> float:
    """Straight back. Radians."""
    return np.pi


def lift(p: np.ndarray, a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    """Rays (3, N) of the plane points (a, b) without the knots: 4 - |u|^2 over 4 |u| is the cotangent of theta."""
    return np.stack([4.0 * a, 4.0 * b, 4.0 - a * a - b * b])
