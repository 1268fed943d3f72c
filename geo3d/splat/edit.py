"""Edits of Gaussians: transform, crop, filter, prune, merge, lower or raise the degree of colour.

Under the similarity x' = s R x + t of the world a Gaussian with centre m, axes R_q, log scales l and colour
coefficients c becomes

    m' = s R m + t,      R_q' = R R_q,      l' = l + log s,      c' = D(R) c

with D the real Wigner matrices (`geo3d.geometry.sh_rotation`); its opacity stays. What a camera sees is the same when
the camera moves along.

NumPy in, NumPy out, in the type that came; torch tensors come off their graph. Nothing is changed in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from geo3d.geometry import Sim3
from geo3d.io.splat_axes import moved
from geo3d.scene import Gaussians


def transform(gaussians: Gaussians, new_from_old: Sim3) -> Gaussians:
    """Gaussians in a world in which `x_new = new_from_old.act(x_old)`.

    Parameters
    ----------
    gaussians : Gaussians
    new_from_old : Sim3
        One similarity.

    Raises
    ------
    ValueError
        If it is not one similarity, or its matrix is no rotation.
    """
    return moved(_plain(gaussians), new_from_old)


def keep(gaussians: Gaussians, mask: ArrayLike) -> Gaussians:
    """The rows of `gaussians` at which `mask` (N,) is true, or those of an array of row numbers, in its order.

    Raises
    ------
    ValueError
        If a mask has another length.
    """
    rows = np.asarray(mask)
    if rows.dtype == bool and rows.shape != (len(gaussians),):
        raise ValueError(f"mask: expected the shape ({len(gaussians)},), got {rows.shape}")
    g = _plain(gaussians)
    return Gaussians(
        g.means[rows],
        g.quaternions[rows],
        g.log_scales[rows],
        g.logit_opacities[rows],
        g.sh[rows],
        g.antialiased,
    )


def crop_box(gaussians: Gaussians, low: ArrayLike, high: ArrayLike) -> Gaussians:
    """Those of `gaussians` whose centres lie in the box from `low` (3,) to `high` (3,), its sides included.

    Raises
    ------
    ValueError
        If a corner is not of three numbers, or `low` is above `high` in one of them.
    """
    a, b = _vector(low, 3, "low"), _vector(high, 3, "high")
    if (a > b).any():
        raise ValueError(f"low {a.tolist()} is above high {b.tolist()}; the box is empty")
    means = np.asarray(_plain(gaussians).means)
    return keep(gaussians, ((means >= a) & (means <= b)).all(1))


def crop_sphere(gaussians: Gaussians, centre: ArrayLike, radius: float) -> Gaussians:
    """Those of `gaussians` whose centres are at most `radius` from `centre` (3,).

    Raises
    ------
    ValueError
        If the centre is not of three numbers, or the radius is not positive.
    """
    middle = _vector(centre, 3, "centre")
    if not radius > 0:
        raise ValueError(f"radius: expected a positive number, got {radius}")
    offset = np.asarray(_plain(gaussians).means, np.float64) - middle
    return keep(gaussians, np.einsum("ij,ij->i", offset, offset) <= radius**2)


def crop_polygon(gaussians: Gaussians, corners: ArrayLike) -> Gaussians:
    """Those of `gaussians` whose centres lie above or below a polygon in the plane of x and y.

    A plot on the map: in a scene with a place on Earth x is east and y north.

    Parameters
    ----------
    gaussians : Gaussians
    corners : (C, 2)
        In order, either way round; the last is joined to the first. Where the polygon crosses itself the rule is
        even-odd.

    Raises
    ------
    ValueError
        If there are fewer than three corners, or one is not finite.
    """
    c = np.asarray(corners, np.float64)
    if c.ndim != 2 or c.shape[1] != 2 or len(c) < 3 or not np.isfinite(c).all():
        raise ValueError(
            f"corners: expected (C, 2) finite numbers of three corners or more, got shape {c.shape}"
        )
    x, y = np.asarray(_plain(gaussians).means, np.float64).T[:2]
    inside = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(c, np.roll(c, -1, 0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return keep(gaussians, inside)


def prune(gaussians: Gaussians, min_opacity: float = 0.0, max_size: float = np.inf) -> Gaussians:
    """Those of `gaussians` that can be seen and are no haze.

    Parameters
    ----------
    gaussians : Gaussians
    min_opacity : float
        At the centre, from 0 to 1. Below 1/255 a Gaussian is never drawn.
    max_size : float
        Largest standard deviation along an axis, world units.

    Raises
    ------
    ValueError
        If the opacity is not from 0 to 1 or the size is not positive.
    """
    if not 0 <= min_opacity <= 1:
        raise ValueError(f"min_opacity: expected from 0 to 1, got {min_opacity}")
    if not max_size > 0:
        raise ValueError(f"max_size: expected a positive number, got {max_size}")
    g = _plain(gaussians)
    with np.errstate(divide="ignore"):
        least = np.log(min_opacity) - np.log1p(-min_opacity)
        largest = np.log(max_size)
    return keep(g, (g.logit_opacities >= least) & (g.log_scales.max(1, initial=-np.inf) <= largest))


def with_sh_degree(gaussians: Gaussians, degree: int) -> Gaussians:
    """`gaussians` with colour of `degree` 0 to 3: coefficients above it are cut off, missing ones are zero.

    Raises
    ------
    ValueError
        If the degree is another.
    """
    if degree not in (0, 1, 2, 3):
        raise ValueError(f"degree: expected 0, 1, 2 or 3, got {degree}")
    g = _plain(gaussians)
    sh = np.zeros((len(g), (degree + 1) ** 2, 3), g.sh.dtype)
    common = min(sh.shape[1], g.sh.shape[1])
    sh[:, :common] = g.sh[:, :common]
    return Gaussians(g.means, g.quaternions, g.log_scales, g.logit_opacities, sh, g.antialiased)


def merge(*parts: Gaussians) -> Gaussians:
    """All Gaussians of `parts` in one, in their order, with the highest of their degrees of colour.

    They have to be in one world: `transform` takes them there.

    Raises
    ------
    ValueError
        If there is no part, or some are antialiased and others are not: they are drawn differently.
    """
    if not parts:
        raise ValueError("merge: expected one part or more")
    if len({part.antialiased for part in parts}) > 1:
        raise ValueError(
            "parts: some were trained antialiased and some were not; no renderer draws both in one"
        )
    degree = max(part.sh_degree for part in parts)
    raised = [with_sh_degree(part, degree) for part in parts]
    return Gaussians(
        np.concatenate([part.means for part in raised]),
        np.concatenate([part.quaternions for part in raised]),
        np.concatenate([part.log_scales for part in raised]),
        np.concatenate([part.logit_opacities for part in raised]),
        np.concatenate([part.sh for part in raised]),
        parts[0].antialiased,
    )


def _plain(gaussians: Gaussians) -> Gaussians:
    """NumPy arrays in the type that came."""

    def plain(values: Any) -> np.ndarray:
        return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)

    g = gaussians
    return Gaussians(
        plain(g.means),
        plain(g.quaternions),
        plain(g.log_scales),
        plain(g.logit_opacities),
        plain(g.sh),
        g.antialiased,
    )


def _vector(values: ArrayLike, size: int, name: str) -> np.ndarray:
    vector = np.asarray(values, np.float64)
    if vector.shape != (size,) or np.isnan(vector).any():
        raise ValueError(f"{name}: expected {size} numbers, got {vector.tolist()}")
    return vector
