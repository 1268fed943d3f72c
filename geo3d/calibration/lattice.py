"""The lattice of a checkerboard's inner corners in a photo: refined, grown to what the photo shows, and verified.

A lattice is an array (rows, columns, 2) of pixels, NaN where no corner is known. OpenCV's detectors find boards that
are wholly in view, or a part of one; from that part every further corner is predicted from its neighbours, put on the
nearest saddle of the image, refined, and kept if it looks like a corner: the four squares round it dark and bright by
turns, of the colours that the lattice says.

Pixels here are OpenCV's, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from geo3d.calibration.subpixel import refine_corners

_WINDOW = 0.35  # half side of the window of refinement, of the distance to the nearest corner
_WIDE_WINDOW = 0.45
_LARGEST_HALF = 15  # pixels: in larger windows a lens bends the edges
_MOST_MOVED = 0.35  # of that distance, between prediction and corner
_MOST_OFF_SADDLE = 0.1  # of that distance too, between corner and saddle
_LEAST_CONTRAST = 12.0  # grey levels between dark and bright squares
_LEAST_SHARE = 0.35  # of the lattice's own contrast
_SADDLE_BLUR_PX = 2.0
_LEAST_SADDLE = 0.1  # of the strongest
_SAMPLES = np.array([(s * a, t * a) for a in (0.15, 0.25) for s in (-1, 1) for t in (-1, 1)])


def _window(spacing: np.ndarray, share: float = _WINDOW) -> np.ndarray:
    """(N,) half sides of the windows of corners whose nearest neighbours are so far away."""
    return np.clip(np.floor(share * spacing), 2, _LARGEST_HALF).astype(int)


def find_saddles(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places where the blurred image is a saddle, as it is at the corners of a checkerboard, to a pixel.

    The determinant of the Hessian is most negative there.

    Parameters
    ----------
    image : (H, W) uint8

    Returns
    -------
    places : (N, 2) float64
    strengths : (N,) float64
        Root of the negative determinant: grey levels per pixel squared.
    """
    import cv2

    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), _SADDLE_BLUR_PX)
    xx, yy, xy = (cv2.Sobel(blurred, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
    strength = np.sqrt(np.maximum(xy * xy - xx * yy, 0))
    peak = strength >= cv2.dilate(strength, np.ones((7, 7), np.uint8))
    peak &= strength > _LEAST_SADDLE * strength.max()
    y, x = np.nonzero(peak)
    return np.column_stack([x, y]).astype(np.float64), strength[y, x].astype(np.float64)


def lattice_spacing(lattice: np.ndarray) -> np.ndarray:
    """(rows, columns) distance of each corner to the nearest neighbour in its row and column, pixels."""
    nearest = np.full(lattice.shape[:2], np.inf)
    for axis in (0, 1):
        step = np.linalg.norm(np.diff(lattice, axis=axis), axis=2)
        step = np.where(np.isfinite(step), step, np.inf)
        for side in (0, 1):
            part = [slice(None), slice(None)]
            part[axis] = slice(1, None) if side else slice(None, -1)
            view = nearest[tuple(part)]
            np.minimum(view, step, out=view)
    return np.where(np.isfinite(lattice[..., 0]) & np.isfinite(nearest), nearest, np.nan)


def refine_lattice(image: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """`refine_corners` of a lattice; what moves too far to be the same corner is dropped."""
    spacing = lattice_spacing(lattice)
    known = np.isfinite(spacing)
    refined = np.full_like(lattice, np.nan)
    # OpenCV's older detector is off by pixels, more than the window of small squares reaches.
    rough = refine_corners(image, lattice[known], _window(spacing[known], _WIDE_WINDOW))
    refined[known] = refine_corners(image, rough, _window(spacing[known]))
    moved = np.linalg.norm(refined - lattice, axis=2)
    refined[~(moved <= _MOST_MOVED * spacing)] = np.nan
    return refined


def contrasts(image: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """How much the squares round each corner look like those of a checkerboard.

    Parameters
    ----------
    image : (H, W) uint8
    lattice : (rows, columns, 2)

    Returns
    -------
    (rows, columns) float64
        Grey levels between the squares up-left and down-right of a corner and the other two, at their nearest; positive
        where the former are brighter, zero where the four are not of two colours by turns, NaN where the neighbours
        that give the directions of row and column are not known, or a square is out of the photo.
    """
    import cv2

    along = [step_along(lattice, axis) for axis in (1, 0)]
    places = lattice[..., None, :] + sum(
        step[..., None, :] * _SAMPLES[:, k, None] for k, step in enumerate(along)
    )
    x, y = np.moveaxis(np.nan_to_num(places, nan=-1e4).astype(np.float32).reshape(-1, 1, 2), 2, 0)
    grey = cv2.remap(image, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    grey = grey.reshape(*lattice.shape[:2], len(_SAMPLES)).astype(np.float64)
    height, width = image.shape
    inside = np.all((places > -0.5) & (places < [width - 0.5, height - 0.5]), axis=(2, 3))
    same = _SAMPLES[:, 0] * _SAMPLES[:, 1] > 0
    a, b = grey[..., same], grey[..., ~same]
    brighter, darker = a.min(-1) - b.max(-1), b.min(-1) - a.max(-1)
    found = np.maximum(brighter, 0) - np.maximum(darker, 0)
    return np.where(np.isfinite(places).all(axis=(2, 3)) & inside, found, np.nan)


def step_along(lattice: np.ndarray, axis: int) -> np.ndarray:
    """(rows, columns, 2) step to the next corner along an axis: mean of both sides, or the one that is known."""
    step = np.diff(lattice, axis=axis)
    pad = [(0, 0), (0, 0), (0, 0)]
    pad[axis] = (0, 1)
    after = np.pad(step, pad, constant_values=np.nan)
    pad[axis] = (1, 0)
    before = np.pad(step, pad, constant_values=np.nan)
    mean = 0.5 * (after + before)
    return np.where(np.isfinite(mean), mean, np.where(np.isfinite(after), after, before))


def grow_lattice(image: np.ndarray, lattice: np.ndarray, most: tuple[int, int] | None = None) -> np.ndarray:
    """Add the corners that the photo shows beside those that are known.

    Parameters
    ----------
    image : (H, W) uint8
    lattice : (rows, columns, 2) float64
        At least 3 x 3 corners known, refined.
    most : (int, int), optional
        Columns and rows of the board, in either order; by default it grows as far as the photo shows.

    Returns
    -------
    (rows, columns, 2) float64
        Without rows and columns at the edges that hold less than two corners.
    """
    places, strengths = find_saddles(image)
    if not len(places):
        return lattice
    tree = KDTree(places)
    lattice = _unbroken(image, _on_saddles(lattice, tree))
    while True:
        padded = np.pad(lattice, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
        grown = _cut(trim(_step(image, padded, tree, strengths)), most)
        if np.isfinite(grown[..., 0]).sum() <= np.isfinite(lattice[..., 0]).sum():
            return lattice
        lattice = grown


def trim(lattice: np.ndarray) -> np.ndarray:
    """The lattice without rows and columns at its edges that hold less than two corners."""
    known = np.isfinite(lattice[..., 0])
    rows, columns = np.flatnonzero(known.sum(axis=1) > 1), np.flatnonzero(known.sum(axis=0) > 1)
    if not len(rows) or not len(columns):
        return lattice[:0, :0]
    return lattice[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _cut(lattice: np.ndarray, most: tuple[int, int] | None) -> np.ndarray:
    """The lattice without outer rows and columns that are less than half full, while it has more than the board has."""
    while most is not None and not _within(lattice.shape[:2], most):
        known = np.isfinite(lattice[..., 0])
        edges = [(known[edge].mean(), 0, edge) for edge in (0, -1)]
        edges += [(known[:, edge].mean(), 1, edge) for edge in (0, -1)]
        share, axis, edge = min(edges)
        if share >= 0.5:
            return lattice
        lattice = np.delete(lattice, edge, axis=axis)
    return lattice


def _within(shape: tuple[int, ...], most: tuple[int, int]) -> bool:
    return min(shape) <= min(most) and max(shape) <= max(most)


def _step(image: np.ndarray, lattice: np.ndarray, saddles: KDTree, strengths: np.ndarray) -> np.ndarray:
    """One ring of predictions, put on the best saddle near them, refined and verified."""
    predicted, spacing = predict(lattice)
    new = ~np.isfinite(lattice[..., 0]) & np.isfinite(spacing)
    start = np.full_like(lattice, np.nan)
    for row, column in np.argwhere(new):
        reach = _MOST_MOVED * spacing[row, column]
        near = saddles.query_ball_point(predicted[row, column], reach)
        if near:
            distance = np.linalg.norm(saddles.data[near] - predicted[row, column], axis=1)
            best = np.argmax(strengths[near] * (1 - (distance / reach) ** 2))
            start[row, column] = saddles.data[near[best]]
    new &= np.isfinite(start[..., 0])
    new[new] &= _first_of_each(start[new])
    height, width = image.shape
    room = np.minimum(start, [width - 1, height - 1] - start).min(axis=2)
    new &= room >= 4
    if not new.any():
        return lattice
    refined = refine_corners(image, start[new], _window(np.minimum(spacing[new], room[new] / _WINDOW)))
    kept = np.linalg.norm(refined - start[new], axis=1) <= np.maximum(3.0, 0.1 * spacing[new])
    grown = lattice.copy()
    grown[new] = np.where(kept[:, None], refined, np.nan)
    return _without_wrong(image, grown, new)


def _on_saddles(lattice: np.ndarray, saddles: KDTree) -> np.ndarray:
    """Without corners where the image is no saddle: a detector put them there by mistake, or something is in front."""
    near, _ = saddles.query(np.nan_to_num(lattice, nan=-1e6))
    out = lattice.copy()
    out[near > np.maximum(2.0, _MOST_OFF_SADDLE * lattice_spacing(lattice))] = np.nan
    return out


def _unbroken(image: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """The largest block of rows and columns with none left out between them, which OpenCV's detectors sometimes do.

    Behind a row that was left out the colours are the other way round.
    """
    rows, columns = np.indices(lattice.shape[:2])
    signed = np.nan_to_num(contrasts(image, lattice)) * np.where((rows + columns) % 2, -1.0, 1.0)
    for axis in (0, 1):
        known, along = np.isfinite(lattice[..., 0]).sum(axis=1 - axis), np.moveaxis(signed, axis, 0)
        breaks = np.flatnonzero(np.sum(along[1:] * along[:-1], axis=1) < 0) + 1
        blocks = np.split(np.arange(len(known)), breaks)
        block = max(blocks, key=lambda part: known[part].sum())
        lattice, signed = lattice.take(block, axis), signed.take(block, axis)
    return lattice


def _first_of_each(places: np.ndarray) -> np.ndarray:
    """(N,) bool: not a place that came before."""
    first = np.zeros(len(places), bool)
    first[np.unique(places, axis=0, return_index=True)[1]] = True
    return first


def predict(lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners as their neighbours say.

    Where three corners of a square of the lattice are known the fourth completes the parallelogram, which holds well
    under any lens; elsewhere rows and columns are continued by the mean of linear and quadratic extrapolation.

    Parameters
    ----------
    lattice : (rows, columns, 2)

    Returns
    -------
    predicted : (rows, columns, 2)
        Mean of the parallelograms, else of the continued rows and columns; NaN where there is neither.
    spacing : (rows, columns)
        Least step that is continued.
    """
    rows = [[_shifted(lattice, sign * n, 0) for n in (1, 2, 3)] for sign in (1, -1)]
    columns = [[_shifted(lattice, sign * n, 1) for n in (1, 2, 3)] for sign in (1, -1)]
    squares, sides, continued, steps = [], [], [], []
    for one, two, three in rows + columns:
        linear, quadratic = 2 * one - two, 3 * one - 3 * two + three
        continued.append(np.where(np.isfinite(quadratic), 0.5 * (linear + quadratic), linear))
        steps.append(np.linalg.norm(one - two, axis=2))
    for above in rows:
        for k, beside in enumerate(columns):
            corner = _shifted(above[0], 1 if k == 0 else -1, 1)
            squares.append(above[0] + beside[0] - corner)
            sides.append(np.linalg.norm(np.stack([above[0], beside[0]]) - corner, axis=3).min(axis=0))
    predicted, spacing = _mean_and_least(np.stack(squares), np.stack(sides))
    line, step = _mean_and_least(np.stack(continued), np.stack(steps))
    none = ~np.isfinite(spacing)
    predicted[none], spacing[none] = line[none], step[none]
    return predicted, spacing


def _mean_and_least(places: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over the first axis, of what is known; NaN where nothing is."""
    known = np.isfinite(places[..., 0])
    count = known.sum(axis=0)
    mean = np.where(known[..., None], places, 0).sum(axis=0) / np.maximum(count, 1)[..., None]
    mean[count == 0] = np.nan
    least = np.where(known, steps, np.inf).min(axis=0)
    return mean, np.where(count > 0, least, np.nan)


def _shifted(lattice: np.ndarray, by: int, axis: int) -> np.ndarray:
    """What stands `by` places before, NaN where there is nothing."""
    out = np.full_like(lattice, np.nan)
    size = lattice.shape[axis]
    if abs(by) >= size:
        return out
    target, source = [slice(None)] * 3, [slice(None)] * 3
    target[axis] = slice(by, None) if by > 0 else slice(None, by)
    source[axis] = slice(None, -by) if by > 0 else slice(-by, None)
    out[tuple(target)] = lattice[tuple(source)]
    return out


def _without_wrong(image: np.ndarray, lattice: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Without those of the new corners whose squares have not the colours that the others say."""
    contrast = contrasts(image, lattice)
    rows, columns = np.indices(lattice.shape[:2])
    signed = contrast * np.where((rows + columns) % 2, -1.0, 1.0)
    usual = np.nanmedian(signed[~new]) if np.isfinite(signed[~new]).any() else 0.0
    least = max(_LEAST_CONTRAST, _LEAST_SHARE * abs(usual))
    out = lattice.copy()
    out[new & ~(signed * np.sign(usual) >= least)] = np.nan
    return out
