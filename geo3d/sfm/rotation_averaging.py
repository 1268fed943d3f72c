"""Absolute rotations of views from relative ones, of which some are wrong.

Minimises `sum w_e rho(|log(R_j^T R_ij R_i)|)` over the edges e = (i, j), R_ij = `second_from_first`, in two stages
after Chatterjee and Govindu (ICCV 2013): the start goes along a spanning tree of the strongest edges; a few steps of
the L1 norm carry it past wrong edges (views that most of their neighbours still contradict are turned to where most
agree), and steps with Geman and McClure's weight bring it to the precision of the good ones. Rotations move in the
world, `R_i <- R_i exp(d_i)`, where the error of an edge changes by `d_i - d_j`: each step solves the weighted
Laplacian of the graph for three right-hand sides.

Edges that are still off by more than a threshold afterwards are wrong; they go and the rest is averaged again.

Gravity from EXIF or a drone's gimbal takes no part, though it could (residuals of views about the two level axes, and
edges that do not take gravity to gravity are wrong): measured on flights of 60 to 200 photos, made up with wrong pairs,
weak overlap, flat ground and drift, and on real photos of a DJI, final models were no better with it. Bundle adjustment
takes out what averaging leaves, and a gimbal is off by degrees; georeferencing uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.geometry import SO3, closest_rotation, rotation_angle

_L1_STEPS, _STEPS = 8, 50
_MAX_RESTARTS = 10
_STEP_TOLERANCE = 1e-8  # radians, of the mean step
_L1_FLOOR = 1e-4  # radians, below which the L1 weight grows no further
_GROUND = 1e-9  # of the diagonal: what the rest of the graph does not hold stays where it is


@dataclass(frozen=True)
class RotationAveragingOptions:
    """How rotations are averaged.

    Attributes
    ----------
    scale_deg : float
        Errors beyond this lose their weight.
    max_error_deg : float
        Edges that disagree by more with the average are left out, and the rest is averaged again.
    """

    scale_deg: float = 3.0
    max_error_deg: float = 10.0

    def __post_init__(self) -> None:
        for name in ("scale_deg", "max_error_deg"):
            if not 0 < getattr(self, name) <= 180:
                raise ValueError(f"{name} must be between 0 and 180, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class AveragedRotations:
    """Absolute rotations of the views of a graph.

    Attributes
    ----------
    rotations : (V, 3, 3) float64
        `cam_from_world`; in each component one view is the identity.
    component : (V,) int64
        Number of the component that the view belongs to, largest first; views of different components are not
        rotated alike.
    edges : (E,) bool
        Edges that agree.
    errors : (E,) float64
        Radians by which each edge disagrees; NaN between components.
    """

    rotations: np.ndarray
    component: np.ndarray
    edges: np.ndarray
    errors: np.ndarray


def average_relative_rotations(
    first: np.ndarray,
    second: np.ndarray,
    rotations: np.ndarray,
    weights: np.ndarray,
    views: int,
    options: RotationAveragingOptions | None = None,
) -> AveragedRotations:
    """Rotations of all views that agree best with relative ones.

    Parameters
    ----------
    first, second : (E,) int
        Rows of the views of each edge.
    rotations : (E, 3, 3)
        `second_from_first`.
    weights : (E,)
        Positive; the strongest edges lead the start.
    views : int
        Number of views.
    options : RotationAveragingOptions, optional

    Returns
    -------
    AveragedRotations

    Raises
    ------
    ValueError
        If the shapes do not fit together, a view is out of range, or a weight is not positive.

    References
    ----------
    Chatterjee and Govindu: Efficient and robust large-scale rotation averaging. ICCV 2013.
    """
    options = options or RotationAveragingOptions()
    first, second, rotations, weights = _checked(first, second, rotations, weights, views)
    edges = np.ones(len(first), bool)
    limit = np.radians(options.max_error_deg)
    while True:
        result, component = _average(
            first[edges], second[edges], rotations[edges], weights[edges], views, options
        )
        error = np.full(len(first), np.nan)
        inside = component[first] == component[second]
        error[inside] = np.linalg.norm(
            _edge_errors(result, first[inside], second[inside], rotations[inside]), axis=1
        )
        agree = inside & (error <= limit)
        if not (edges & ~agree).any():
            return AveragedRotations(result, component, agree, error)
        edges &= agree


def _checked(
    first: np.ndarray, second: np.ndarray, rotations: np.ndarray, weights: np.ndarray, views: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
    rotations, weights = np.asarray(rotations, np.float64), np.asarray(weights, np.float64)
    count = len(first)
    if second.shape != (count,) or weights.shape != (count,) or rotations.shape != (count, 3, 3):
        raise ValueError(
            f"first, second, rotations and weights must have shapes ({count},), ({count},), ({count}, 3, 3) and "
            f"({count},); got {first.shape}, {second.shape}, {rotations.shape} and {weights.shape}"
        )
    for name, rows in (("first", first), ("second", second)):
        if count and not 0 <= rows.min() <= rows.max() < views:
            raise ValueError(f"{name} must be rows of 0 to {views - 1}; got {rows.min()} to {rows.max()}")
    if not (weights > 0).all():
        raise ValueError("weights must be positive; leave out edges that count nothing")
    return first, second, rotations, weights


def _average(
    first: np.ndarray,
    second: np.ndarray,
    rotations: np.ndarray,
    weights: np.ndarray,
    views: int,
    options: RotationAveragingOptions,
) -> tuple[np.ndarray, np.ndarray]:
    result, component = _along_tree(first, second, rotations, weights, views)
    laplacian = _Laplacian(first, second, views)
    error = _edge_errors(result, first, second, rotations)
    limit = np.radians(options.max_error_deg)
    for _ in range(_MAX_RESTARTS):
        for _ in range(_L1_STEPS):
            move = laplacian.solve(weights / np.maximum(np.linalg.norm(error, axis=1), _L1_FLOOR), error)
            result = result @ SO3.exp(move).matrix
            error = _edge_errors(result, first, second, rotations)
        if not _turn_outvoted(result, error, first, second, rotations, weights, limit):
            break
        error = _edge_errors(result, first, second, rotations)
    for _ in range(_STEPS):
        squared = (error**2).sum(axis=1) / np.radians(options.scale_deg) ** 2
        move = laplacian.solve(weights / (1 + squared) ** 2, error)
        result = result @ SO3.exp(move).matrix
        error = _edge_errors(result, first, second, rotations)
        if np.linalg.norm(move, axis=1).mean() < _STEP_TOLERANCE:
            break
    return _anchored(closest_rotation(result), component), component


def _turn_outvoted(
    result: np.ndarray,
    error: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    rotations: np.ndarray,
    weights: np.ndarray,
    limit: float,
) -> bool:
    """Turn views that most of their neighbours (by weight) contradict to where most agree; return whether any was.

    Steps of the L1 norm do not get out of an error near 180 degrees, which a wrong edge in the tree can cause.
    """
    wrong = np.linalg.norm(error, axis=1) > limit
    against = np.bincount(first, weights * wrong, len(result)) + np.bincount(
        second, weights * wrong, len(result)
    )
    total = np.bincount(first, weights, len(result)) + np.bincount(second, weights, len(result))
    turned = False
    for view in np.flatnonzero(2 * against > total):
        outgoing, incoming = np.flatnonzero(first == view), np.flatnonzero(second == view)
        asked = np.concatenate(
            [
                np.swapaxes(rotations[outgoing], 1, 2) @ result[second[outgoing]],
                rotations[incoming] @ result[first[incoming]],
            ]
        )
        weight = np.concatenate([weights[outgoing], weights[incoming]])
        apart = rotation_angle(
            np.swapaxes(asked, 1, 2)[:, None] @ np.concatenate([asked, result[view][None]])
        )
        support = weight @ (apart <= limit)
        best = int(np.argmax(support))
        if support[best] > support[-1] and best < len(asked):
            result[view] = asked[best]
            turned = True
    return turned


def _edge_errors(
    result: np.ndarray, first: np.ndarray, second: np.ndarray, rotations: np.ndarray
) -> np.ndarray:
    """(E, 3) `log(R_j^T R_ij R_i)`."""
    return SO3(np.swapaxes(result[second], 1, 2) @ rotations @ result[first]).log()


def _along_tree(
    first: np.ndarray, second: np.ndarray, rotations: np.ndarray, weights: np.ndarray, views: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations along the spanning tree of the largest weights, and the component of each view, largest first."""
    order = np.argsort(-weights, kind="stable")
    root, members = np.arange(views), [[v] for v in range(views)]
    result = np.tile(np.eye(3), (views, 1, 1))
    for e in order:
        i, j = int(first[e]), int(second[e])
        a, b = root[i], root[j]
        if a == b:
            continue
        # The smaller tree is turned in the world so that the edge fits.
        if len(members[a]) >= len(members[b]):
            turn, small, large = (rotations[e] @ result[i]).T @ result[j], b, a
            turn = turn.T
        else:
            turn, small, large = (rotations[e].T @ result[j]).T @ result[i], a, b
            turn = turn.T
        rows = members[small]
        result[rows] = result[rows] @ turn
        root[rows] = large
        members[large] += rows
        members[small] = []
    size = np.bincount(root, minlength=views)
    names = sorted(set(root.tolist()), key=lambda r: (-size[r], r))
    number = np.full(views, -1)
    number[names] = np.arange(len(names))
    return result, number[root]


def _anchored(rotations: np.ndarray, component: np.ndarray) -> np.ndarray:
    """Each component turned so that its first view is the identity."""
    _, anchor = np.unique(component, return_index=True)
    return rotations @ np.swapaxes(rotations[anchor[component]], 1, 2)


class _Laplacian:
    """Weighted Laplacians of one graph; sparse, factored by SuperLU."""

    def __init__(self, first: np.ndarray, second: np.ndarray, views: int) -> None:
        self.first, self.second, self.views = first, second, views

    def solve(self, weight: np.ndarray, error: np.ndarray) -> np.ndarray:
        """(V, 3) steps d of least `sum w |e + d_i - d_j|^2`, with mean zero over each component but for rounding."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.linalg import splu

        first, second, views = self.first, self.second, self.views
        diagonal = np.bincount(first, weight, views) + np.bincount(second, weight, views)
        ground = np.where(diagonal > 0, _GROUND * diagonal, 1.0)
        rows = np.concatenate([first, second, np.arange(views)])
        columns = np.concatenate([second, first, np.arange(views)])
        values = np.concatenate([-weight, -weight, diagonal + ground])
        matrix = coo_matrix((values, (rows, columns)), (views, views)).tocsc()
        right = np.stack(
            [np.bincount(second, weight * e, views) - np.bincount(first, weight * e, views) for e in error.T],
            1,
        )
        return splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(right)
