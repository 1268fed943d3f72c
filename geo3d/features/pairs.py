"""Which pairs of photos to match. Pairs are of names, each pair once, the names of a pair and the pairs
sorted.

exhaustive   every photo with every other
sequential   the neighbours in a video or a walk, the neighbours 2, 4, 8, ... away, and loop closures
gps          the photos taken nearby
retrieval    the photos that look alike (`retrieval.retrieval_pairs`)
read         the pairs that a file lists
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from geo3d.geometry import EnuFrame, ecef_from_geodetic
from geo3d.images import Gps

Pair = tuple[str, str]


def exhaustive_pairs(names: Iterable[str]) -> list[Pair]:
    """Every photo with every other: N (N - 1) / 2 pairs."""
    ordered = sorted(set(names))
    return [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :]]


def sequential_pairs(
    names: Iterable[str], overlap: int = 10, *, quadratic: bool = True, loop_every: int = 0
) -> list[Pair]:
    """Neighbours in the natural order of the names (frame 9 before frame 10), folder by folder.

    Parameters
    ----------
    names : iterable of str
    overlap : int
        Each photo is paired with the next `overlap`.
    quadratic : bool
        And with those 2, 4, 8, ... 2^overlap further on (COLMAP's quadratic overlap), which bridges gaps.
    loop_every : int
        Loop closure: every so-many-th photo is paired with every other such photo, so that a walk that comes
        back is noticed; 0 turns it off.

    Raises
    ------
    ValueError
        If `overlap` is less than 1 or `loop_every` is negative.
    """
    if overlap < 1:
        raise ValueError(f"overlap must be at least 1 photo, got {overlap}")
    if loop_every < 0:
        raise ValueError(f"loop_every must be 0 (off) or a number of photos, got {loop_every}")
    ordered = sorted(set(names), key=natural_key)
    steps = set(range(1, overlap + 1))
    if quadratic:
        steps |= {1 << i for i in range(min(overlap, 30) + 1)}
    found = [(a, ordered[i + s]) for i, a in enumerate(ordered) for s in steps if i + s < len(ordered)]
    if loop_every:
        found += exhaustive_pairs(ordered[::loop_every])
    return sorted_pairs(found)


def gps_pairs(
    places: Mapping[str, Gps | None], radius_m: float | None = None, max_neighbours: int = 30
) -> list[Pair]:
    """Each photo with others taken nearby, by horizontal distance on the WGS 84 ellipsoid.

    Neighbours are taken in turn from the eight directions, in each the nearest first: so the next flight line is not
    crowded out by photos that follow closely on the same one. A photo without a place is paired with all others.

    Parameters
    ----------
    places : mapping of name to Gps or None
    radius_m : float, optional
        Leave out photos further away than this. By default four times the distance to the `max_neighbours`-th
        nearest, photo by photo.
    max_neighbours : int
        At most this many neighbours of each photo are taken (a pair is taken when either wants it).

    Raises
    ------
    ValueError
        If `radius_m` or `max_neighbours` is not positive.
    """
    if radius_m is not None and not radius_m > 0:
        raise ValueError(f"radius_m must be positive metres, got {radius_m}")
    if max_neighbours < 1:
        raise ValueError(f"max_neighbours must be at least 1, got {max_neighbours}")
    at = {n: (gps.latitude_deg, gps.longitude_deg) for n, gps in places.items() if gps is not None}
    placed = sorted(name for name, place in at.items() if np.isfinite(place).all())
    found = [(a, b) for a in sorted(set(places) - set(placed)) for b in places if a != b]
    frames = [EnuFrame(*at[name], 0.0) for name in placed]
    points = ecef_from_geodetic(np.array([(*at[name], 0.0) for name in placed]).reshape(-1, 3))
    for i in range(len(placed)):
        near = _neighbours(points, i, frames[i].axes()[:2], radius_m, max_neighbours)
        found += [(placed[i], placed[j]) for j in near]
    return sorted_pairs(found)


def _neighbours(
    points: np.ndarray, i: int, axes: np.ndarray, radius_m: float | None, most: int
) -> np.ndarray:
    """Indices of the neighbours of point `i` of (N, 3), whose horizontal axes are (2, 3)."""
    offset = points - points[i]
    distance = np.linalg.norm(offset, axis=1)
    order = np.argsort(distance, kind="stable")
    order = order[order != i]
    if not len(order):
        return order
    radius = 4 * distance[order[min(most, len(order)) - 1]] if radius_m is None else radius_m
    order = order[distance[order] <= radius]
    east, north = axes @ offset[order].T
    sector = np.floor(np.arctan2(north, east) / (np.pi / 4)).astype(int)
    turn = np.zeros(len(order), int)  # how many nearer ones lie in the same direction
    for s in np.unique(sector):
        turn[sector == s] = np.arange(np.count_nonzero(sector == s))
    return order[np.argsort(turn, kind="stable")[:most]]


def read_pairs(path: str | os.PathLike, names: Sequence[str]) -> list[Pair]:
    """Pairs from a text file, one a line: two names separated by a tab or a blank; `#` begins a comment line.

    Names may hold blanks themselves: the line is cut where both parts are photos.

    Parameters
    ----------
    path : path
        UTF-8 text.
    names : sequence of str
        Of all photos, as `list_photos` gives them.

    Returns
    -------
    list of (str, str)
        Each pair once, its names in order, sorted.

    Raises
    ------
    ValueError
        If a line does not name two different photos, or there is no pair at all.
    OSError
        If the file cannot be read.
    """
    known = set(names)
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        pair = _split_line(line, known)
        if pair is None:
            raise ValueError(
                f"{os.fspath(path)}, line {number}: expected the names of two different photos of the folder, "
                f"got {line!r}"
            )
        found.append(pair)
    if not found:
        raise ValueError(f"{os.fspath(path)} lists no pairs: write two photo names a line")
    return sorted_pairs(found)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which "frame 9" comes before "frame 10"."""
    parts = [p for p in re.split(r"(\d+)", name) if p]
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts), (2, 0, name))


def _split_line(line: str, known: set[str]) -> Pair | None:
    for blank in re.finditer(r"\s+", line):
        a, b = line[: blank.start()], line[blank.end() :]
        if a in known and b in known and a != b:
            return a, b
    return None


def sorted_pairs(found: Iterable[Pair]) -> list[Pair]:
    """Each pair once, its names in order, sorted."""
    return sorted({(min(a, b), max(a, b)) for a, b in found})
