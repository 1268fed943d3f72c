"""Order scattered points that a camera shows of a lattice: which is the neighbour of which, and which part of a grid.

From one point with two of its nearest neighbours as axes the lattice is followed step by step, each step like the last
one there, so that perspective and the bend of a lens do not matter. The integer coordinates that come out are those of
the grid up to a change of axes and a shift; the one under which they cover the grid is looked for.
"""

from __future__ import annotations

from collections import deque
from itertools import product

import numpy as np

_NEAR = 0.3  # of a step: how far a point may lie from where the last step leads
_SEEDS = 8
_LEAST_SHARE = 0.7  # of the grid's points that have to be there
CHANGES_OF_AXES = [
    np.reshape(m, (2, 2))
    for m in product((-1, 0, 1), repeat=4)
    if abs(m[0] * m[3] - m[1] * m[2]) == 1  # all changes of axes between short vectors of a lattice
]


def follow_lattice(points: np.ndarray) -> dict[tuple[int, int], int]:
    """The largest lattice among points (N, 2): integer coordinates to the row of the point."""
    best: dict[tuple[int, int], int] = {}
    if len(points) < 4:
        return best
    centre = np.median(points, axis=0)
    for seed in np.argsort(np.linalg.norm(points - centre, axis=1), kind="stable")[:_SEEDS]:
        axes = _axes(points, int(seed))
        if axes is not None:
            found = _follow(points, int(seed), axes)
            if len(found) > len(best):
                best = found
        if len(best) > 0.8 * len(points):
            break
    return best


def match_grid(found: dict[tuple[int, int], int], grid: np.ndarray) -> list[np.ndarray]:
    """All ways in which a lattice covers a grid best.

    Parameters
    ----------
    found : dict
        Of `follow_lattice`.
    grid : (M, 2) int
        Coordinates of the grid's points in any axes of its lattice.

    Returns
    -------
    list of (M,) int
        Rows of the points, -1 for one that was not found. Empty if less than 70 % of the grid is there, or
        the lattice is more than twice as large.
    """
    if len(found) > 2 * len(grid) + 10:
        return []  # some other pattern
    known = np.array(list(found), int).reshape(-1, 2)
    rows = np.array(list(found.values()), int)
    most, ways = int(np.ceil(_LEAST_SHARE * len(grid))), {}
    for change in CHANGES_OF_AXES:
        moved = known @ change
        where = {(int(x), int(y)): int(row) for (x, y), row in zip(moved, rows)}
        for shift in {(int(x), int(y)) for x, y in (moved[:, None] - _rim(grid)[None]).reshape(-1, 2)}:
            order = np.array([where.get((int(x) + shift[0], int(y) + shift[1]), -1) for x, y in grid])
            count = int((order >= 0).sum())
            if count < most:
                continue
            if count > most:
                most, ways = count, {}
            ways[tuple(order.tolist())] = order
    return list(ways.values())


def _rim(grid: np.ndarray) -> np.ndarray:
    """Four points of a grid: of any shift that covers most of it, one of them is likely there."""
    return grid[[0, len(grid) // 3, 2 * len(grid) // 3, -1]]


def _axes(points: np.ndarray, seed: int) -> np.ndarray | None:
    """(2, 2) steps to the nearest point and to the nearest in quite another direction."""
    step = points - points[seed]
    length = np.linalg.norm(step, axis=1)
    order = np.argsort(length, kind="stable")[1:9]
    first = step[order[0]]
    for other in order[1:]:
        sine = abs(first[0] * step[other, 1] - first[1] * step[other, 0]) / (length[order[0]] * length[other])
        if sine > 0.4:
            return np.stack([first, step[other]])
    return None


def _follow(points: np.ndarray, seed: int, axes: np.ndarray) -> dict[tuple[int, int], int]:
    found = {(0, 0): seed}
    taken = {seed}
    queue = deque([((0, 0), axes)])
    while queue:
        place, axes = queue.popleft()
        here = points[found[place]]
        for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
            there = (place[0] + sign * (axis == 0), place[1] + sign * (axis == 1))
            if there in found:
                continue
            step = sign * axes[axis]
            away = np.linalg.norm(points - here - step, axis=1)
            k = int(np.argmin(away))
            if k in taken or away[k] > _NEAR * np.linalg.norm(step):
                continue
            found[there] = k
            taken.add(k)
            turned = axes.copy()
            turned[axis] = sign * (points[k] - here)
            queue.append((there, turned))
    return found
