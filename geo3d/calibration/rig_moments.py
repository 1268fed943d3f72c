"""Which photos of a rig's cameras were taken at the same moment, and how the cameras stand to each other.

Each camera alone gives the pose of the board in each of its photos. Two photos of one moment say where one camera is
in the frame of the other, `b_from_a = b_from_board a_from_board^-1`, and that is the same for all moments. So each pair
of photos proposes a pose, the pose that most pairs agree with (in pixels, by a truncated sum) stands, and pairs that do
not agree were not taken together. Where names do not tell which photos belong together, all pairs propose and vote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath

import numpy as np

from geo3d.calibration.calibrate import Calibration
from geo3d.calibration.targets import Target
from geo3d.geometry import SE3, average_rotations

Photo = tuple[int, str]  # camera of the rig, name

LEAST_TOGETHER = 3  # moments
_TOGETHER_MEDIANS, _TOGETHER_PX = 8.0, 3.0  # generous: the adjustment looks again
_TRUNCATED = 0.02  # of the image's diagonal: what is farther off tells no more
_MOST_PROPOSALS = 300
_AGREE_MEDIANS = 4.0
_LEAST_AGREE_PX = 1.0  # poses from one photo each are not better


@dataclass(frozen=True, eq=False)
class Mounting:
    """How one camera of a rig stands to another, and which of their photos say so.

    Attributes
    ----------
    pose : SE3
        `b_from_a`, metres.
    together : list of (str, str)
        Photos of a and b of one moment.
    usual_px : float
        Median of how far those of one moment are off.
    """

    pose: SE3
    together: list[tuple[str, str]]
    usual_px: float


@dataclass(frozen=True, eq=False)
class RigStart:
    """A rig before its adjustment.

    Attributes
    ----------
    cam_from_first : list of SE3
        Metres.
    moments : list of tuple of (int, str)
        Photos (camera, name) of each moment; those that no other agrees with are moments of their own.
    turned : dict of (int, str) to int
        Photos in which a board that looks the same then was taken to be turned, by quarter turns, from how the other
        cameras see it.
    apart : dict of tuple of (int, str) to float
        Photos that should be of one moment and are not, and by how many pixels they disagree.
    by_name : bool
        Names told which photos belong together.
    """

    cam_from_first: list[SE3]
    moments: list[tuple[Photo, ...]]
    turned: dict[Photo, int]
    apart: dict[tuple[Photo, ...], float]
    by_name: bool


def start_rig(alone: Sequence[Calibration], target: Target, names: Sequence[str]) -> RigStart:
    """How the cameras stand to each other, and their moments, from each camera alone.

    Parameters
    ----------
    alone : sequence of Calibration
    target : Target
    names : sequence of str
        Of the cameras.

    Returns
    -------
    RigStart

    Raises
    ------
    ValueError
        If a camera shares fewer than three moments with the others.
    """
    keyed = moments_by_name([c.names for c in alone])
    mountings = {} if keyed is None else _mountings(alone, target, keyed)
    named = 0 if keyed is None else sum(len(set(p) & set(q)) for p, q in combinations(keyed, 2))
    agreed = sum(len(found.together) for found in mountings.values())
    if agreed < 0.5 * named or keyed is None:  # numbers that two cameras counted for themselves tell nothing
        unnamed = _mountings(alone, target, None)
        if keyed is None or sum(len(found.together) for found in unnamed.values()) > 2 * agreed:
            keyed, mountings = None, unnamed
    poses = {0: SE3.identity()}
    tree: list[tuple[int, int]] = []
    while len(poses) < len(alone):
        able = [edge for edge in mountings if (edge[0] in poses) != (edge[1] in poses)]
        if not able:
            missing = ", ".join(names[c] for c in range(len(alone)) if c not in poses)
            raise ValueError(
                f"{missing}: fewer than {LEAST_TOGETHER} moments are shared with {names[0]} or a camera that shares "
                "some with it. Photograph the board so that two cameras see it at once, at ten moments and more; if "
                "they did, give photos of one moment the same name or number"
            )
        a, b = max(able, key=lambda edge: len(mountings[edge].together))
        pose = mountings[a, b].pose
        poses |= {b: pose @ poses[a]} if a in poses else {a: pose.inverse() @ poses[b]}
        tree.append((a, b))
    cam_from_first = [poses[c] for c in range(len(alone))]
    groups = _named(keyed) if keyed is not None else _joined(alone, {e: mountings[e] for e in tree})
    usual = float(np.median([mountings[edge].usual_px for edge in tree]))
    limit = max(_TOGETHER_MEDIANS * usual, _TOGETHER_PX)
    moments, turned, apart = [], {}, {}
    for group in groups:
        while group:
            trials = [agreeing(alone, target, cam_from_first, base, group, limit) for base in group]
            agreed, disagreement = max(trials, key=lambda trial: len(trial[0]))
            if len(agreed) < len(group) and len(group) > 1:
                apart[tuple(group)] = disagreement
            moments.append(tuple(agreed))
            turned |= {photo: quarters for photo, quarters in agreed.items() if quarters}
            group = [photo for photo in group if photo not in agreed]
    return RigStart(cam_from_first, moments, turned, apart, keyed is not None)


def _mountings(
    alone: Sequence[Calibration], target: Target, keyed: list[dict[str, str]] | None
) -> dict[tuple[int, int], Mounting]:
    """Of all pairs of cameras that share moments."""
    mountings = {}
    for a, b in combinations(range(len(alone)), 2):
        pairs = None if keyed is None else [(n, keyed[b][k]) for k, n in keyed[a].items() if k in keyed[b]]
        found = mount(alone[a], alone[b], target, pairs)
        if found is not None:
            mountings[a, b] = found
    return mountings


def _named(keyed: list[dict[str, str]]) -> list[list[Photo]]:
    keys = dict.fromkeys(key for photos in keyed for key in photos)
    return [[(c, photos[key]) for c, photos in enumerate(keyed) if key in photos] for key in keys]


def _joined(alone: Sequence[Calibration], edges: dict[tuple[int, int], Mounting]) -> list[list[Photo]]:
    """Photos by the moments that pairs of cameras agree on."""
    group = {(c, name): [(c, name)] for c, of in enumerate(alone) for name in of.names}
    for (a, b), found in edges.items():
        for m, n in found.together:
            one, two = group[a, m], group[b, n]
            if one is not two:
                one += two
                group |= dict.fromkeys(two, one)
    return [sorted(photos) for photos in {id(photos): photos for photos in group.values()}.values()]


def agreeing(
    alone: Sequence[Calibration],
    target: Target,
    cam_from_first: list[SE3],
    base: Photo,
    group: list[Photo],
    limit: float,
) -> tuple[dict[Photo, int], float]:
    """Photos that see the board where `base` does.

    Parameters
    ----------
    alone : sequence of Calibration
    target : Target
    cam_from_first : list of SE3
        Of each camera, metres.
    base : (int, str)
    group : list of (int, str)
        Photos that are asked, `base` among them.
    limit : float
        How far the board's corners may be off in the mean, pixels.

    Returns
    -------
    agreed : dict of (int, str) to int
        Those that agree, with the quarter turns that the board was taken to be turned by.
    farthest : float
        How far off the others are at most, pixels: the image's diagonal where the board should not be seen at all.
    """
    corners = _outer(target.points)
    seen = pose_alone(alone, base)
    agreed, farthest = {}, 0.0
    for photo in group:
        c = photo[0]
        expected = cam_from_first[c] @ cam_from_first[base[0]].inverse() @ seen
        at = alone[c].camera.project(expected.act(corners))
        own = pose_alone(alone, photo)
        shown = [alone[c].camera.project((own @ target.turned(q)).act(corners)) for q in target.quarters]
        out_of_sight = float(np.hypot(alone[c].camera.width, alone[c].camera.height))
        off = np.nan_to_num([np.linalg.norm(x - at, axis=1).mean() for x in shown], nan=out_of_sight)
        nearest = int(off.argmin())
        if photo == base:
            agreed[photo] = 0
        elif off[nearest] <= limit:
            agreed[photo] = target.quarters[nearest]
        else:
            farthest = max(farthest, float(off[nearest]))
    return agreed, farthest


def pose_alone(alone: Sequence[Calibration], photo: Photo) -> SE3:
    """`cam_from_board` of a photo, from its camera alone.

    Parameters
    ----------
    alone : sequence of Calibration
    photo : (int, str)
        Camera and name.
    """
    of = alone[photo[0]]
    row = of.names.index(photo[1])
    return SE3(of.rotations[row], of.translations[row])


def moments_by_name(names: Sequence[Sequence[str]]) -> list[dict[str, str]] | None:
    """What names of photos tell of their moments: the same name, or the same numbers in it.

    Numbers that are the same in all photos of a camera, as in `cam0_0017.png`, are the camera's.

    Parameters
    ----------
    names : sequence of sequences of str
        Of each camera.

    Returns
    -------
    list of dict of str to str, or None
        For each camera the photo of each moment; None where fewer than half of the photos find a partner so.
    """
    for key_of in (_same_name, _numbers):
        keyed = [key_of(list(photos)) for photos in names]
        if any(len(keys) < len(photos) for keys, photos in zip(keyed, names)):
            continue  # two photos of one camera with one key
        count = Counter(key for keys in keyed for key in keys)
        paired = [sum(count[key] > 1 for key in keys) for keys in keyed]
        if min(paired) >= LEAST_TOGETHER and sum(paired) >= min(map(len, names)):
            return keyed
    return None


def _same_name(photos: list[str]) -> dict[str, str]:
    return {PurePath(name).stem: name for name in photos}


def _numbers(photos: list[str]) -> dict[str, str]:
    groups = [re.findall(r"\d+", PurePath(name).stem) for name in photos]
    if len({len(g) for g in groups}) != 1:
        return {}
    varying = [len(set(column)) > 1 for column in zip(*groups)]
    keys = ["-".join(n.lstrip("0") or "0" for n, v in zip(g, varying) if v) for g in groups]
    return dict(zip(keys, photos))


def mount(
    a: Calibration,
    b: Calibration,
    target: Target,
    pairs: Sequence[tuple[str, str]] | None,
    seed: int = 0,
) -> Mounting | None:
    """Where camera b is in the frame of camera a.

    Parameters
    ----------
    a, b : Calibration
        Of each alone.
    target : Target
    pairs : sequence of (str, str) or None
        Photos of one moment; None where that is not known.
    seed : int
        Of the proposals that are tried, where there are very many.

    Returns
    -------
    Mounting or None
        None where fewer than three moments agree.
    """
    known = pairs is not None
    rows_a, rows_b = {n: i for i, n in enumerate(a.names)}, {n: i for i, n in enumerate(b.names)}
    if pairs is None:
        pairs = [(m, n) for m in a.names for n in b.names]
    pairs = [(m, n) for m, n in pairs if m in rows_a and n in rows_b]
    if len(pairs) < LEAST_TOGETHER:
        return None
    i = np.array([rows_a[m] for m, _ in pairs])
    j = np.array([rows_b[n] for _, n in pairs])
    corners = _outer(target.points)
    of_a = SE3(a.rotations, a.translations)
    of_b = [SE3(b.rotations, b.translations) @ target.turned(q) for q in target.quarters]
    entry = np.tile(np.column_stack([i, j]), (len(of_b), 1))
    first = SE3(of_a.rotation[entry[:, 0]], of_a.translation[entry[:, 0]])
    second = SE3(
        np.concatenate([p.rotation[j] for p in of_b]), np.concatenate([p.translation[j] for p in of_b])
    )
    proposals = second @ first.inverse()
    seen = b.camera.project(second.act(corners[:, None]).swapaxes(0, 1))
    points = first.act(corners[:, None]).swapaxes(0, 1)
    limit = _TRUNCATED * float(np.hypot(b.camera.width, b.camera.height))

    def off(pose: SE3) -> np.ndarray:
        """(E,) how far each entry's board would be from where it is seen."""
        far = np.linalg.norm(b.camera.project(pose.act(points)) - seen, axis=-1).mean(axis=-1)
        return np.where(np.isfinite(far), far, np.inf)

    def nearest(distances: np.ndarray) -> np.ndarray:
        """(K,) entry of least distance for each photo of a that has one."""
        order = np.lexsort((distances, entry[:, 0]))
        return order[np.unique(entry[order, 0], return_index=True)[1]]

    tried = np.arange(len(entry))
    if len(tried) > _MOST_PROPOSALS:
        tried = np.sort(np.random.default_rng(seed).choice(tried, _MOST_PROPOSALS, replace=False))
    best = None
    for k in tried:
        distances = off(SE3(proposals.rotation[k], proposals.translation[k]))
        score = float(np.minimum(distances[nearest(distances)], limit).sum())
        if best is None or score < best[0]:
            best = score, distances
    assert best is not None
    distances = best[1]
    for _ in range(5):
        chosen = nearest(distances)
        good = chosen[distances[chosen] < limit]
        if len(good) < LEAST_TOGETHER:
            return None
        good = good[distances[good] <= max(_AGREE_MEDIANS * np.median(distances[good]), _LEAST_AGREE_PX)]
        rotation = average_rotations(proposals.rotation[good], robust=True)
        pose = SE3(rotation, np.median(proposals.translation[good], axis=0))
        distances = off(pose)
    chosen = nearest(distances)
    usual = float(np.median(distances[good]))
    agree = distances[chosen] <= max(_AGREE_MEDIANS * usual, _LEAST_AGREE_PX)
    if not known:  # one photo of b has one partner
        order = chosen[np.argsort(distances[chosen])]
        firsts = order[np.sort(np.unique(entry[order, 1], return_index=True)[1])]
        agree &= np.isin(chosen, firsts)
    if agree.sum() < LEAST_TOGETHER:
        return None
    return Mounting(pose, [(a.names[p], b.names[q]) for p, q in entry[chosen[agree]]], usual)


def _outer(points: np.ndarray) -> np.ndarray:
    """(4, 3) the corners of the box around the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.array([[low[0], low[1], 0], [high[0], low[1], 0], [low[0], high[1], 0], [high[0], high[1], 0]])
