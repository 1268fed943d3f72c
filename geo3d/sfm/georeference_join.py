"""Models that share too few points, but stand in one world by what each has of its own, become one model.

Each part has been placed by its own GPS or control points. Nothing else holds the parts together, so how far one may
be off against the other is that of the two fits: for each part

    on the ground   sigma^2 = place^2 + (r scale_std)^2 + (r heading_std)^2
    in height       sigma^2 = place^2 + (r tilt_std)^2,

`place` being what its positions state of themselves, or their residuals where these are larger (the error that all
positions of a flight have in common does not show in residuals, so that it counts in full), and r how far its cameras
reach from their middle. Parts whose similarity is poorly known, and those that lie far from all others, stay models of
their own, and it is said why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.scene import Points, Reconstruction, View
from geo3d.sfm.georeference_adjust import SURVEY_STD_M
from geo3d.sfm.georeference_fit import CONTRADICTED
from geo3d.sfm.georeference_gps import PhotoPosition
from geo3d.sfm.georeference_result import ModelPlacement

MIN_POSITIONS = 5
"""Fewest GPS positions that agree on the place of a part: of three or four, a wrong one hardly shows."""

MAX_OUTLIERS = 0.25
"""Share of a part's GPS positions that may be wrong."""

MAX_SCALE_STD, MAX_TURN_STD_DEG = 0.05, 5.0
"""Of a part that is joined: relative deviation of its scale, and deviations of its heading and tilt."""

MAX_GAP = 3.0
"""Of the reach of the larger: parts whose cameras are further from each other show different places."""


@dataclass(frozen=True)
class JoinedModels:
    """What `join_by_place` makes.

    Attributes
    ----------
    models : list of Reconstruction
        The one with most photos first.
    placements : list of ModelPlacement
        Of all parts, those of the first model first; their `model` is the row in `models`, their `camera_std` has the
        camera ids of that.
    sentences : list of str
        What was joined, to how many metres, and what was not and why.
    """

    models: list[Reconstruction]
    placements: list[ModelPlacement]
    sentences: list[str]


def join_by_place(
    models: Sequence[Reconstruction],
    placements: Sequence[ModelPlacement],
    positions: Sequence[PhotoPosition],
) -> JoinedModels:
    """Make one model of the parts that are well placed on Earth and not far from each other.

    Parameters
    ----------
    models : sequence of Reconstruction
        In the world of their placements, no photo in two of them.
    placements : sequence of ModelPlacement
        One for each.
    positions : sequence of PhotoPosition
        GPS of the photos, with what it states of itself.

    Returns
    -------
    JoinedModels
    """
    stated = {p.name: np.array([p.std_m[:2].max(), p.std_m[2]]) for p in positions}
    on_earth = [row for row, placed in enumerate(placements) if placed.on_earth]
    sentences, std = [], {}
    for row in on_earth if len(on_earth) > 1 else []:
        found = _place_std(models[row], placements[row], stated)
        why = _why_apart(models[row], placements[row], found)
        if why:
            sentences.append(
                f"the part of {len(models[row].registered())} photos {why}, so it is kept as a model of its own "
                "beside the others, in the same world"
            )
        else:
            std[row] = found
    groups = _near(models, list(std))
    sentences = [*_tell_groups(models, placements, groups, std), *sentences]
    groups += [[row] for row in range(len(models)) if row not in std]
    made = [_as_one([models[row] for row in group]) for group in groups]
    order = sorted(range(len(made)), key=lambda k: -len(made[k].model.registered()))
    found = []
    for number, k in enumerate(order):
        for row, names in zip(groups[k], made[k].camera_ids):
            deviations = {names[i]: std for i, std in placements[row].camera_std.items() if i in names}
            found.append(replace(placements[row], model=number, camera_std=deviations))
    return JoinedModels([made[k].model for k in order], found, sentences)


def _tell_groups(
    models: Sequence[Reconstruction],
    placements: Sequence[ModelPlacement],
    groups: list[list[int]],
    std: dict[int, np.ndarray],
) -> list[str]:
    """How well the parts of each group hang together, and which lies far from all others."""
    told = []
    for number, group in enumerate(groups):
        if len(group) > 1:
            by_control = all(placements[row].source == "control" for row in group)
            sizes = " + ".join(str(len(models[row].registered())) for row in group)
            level, height = np.linalg.norm(np.sort([std[row] for row in group], axis=0)[-2:], axis=0)
            told.append(
                f"{len(group)} parts ({sizes} photos) that share too few points to be joined by these are written as "
                f"one model: they hang together by {'ground control' if by_control else 'GPS'} only, to about "
                f"{level:.2g} m on the ground and {height:.2g} m in height"
            )
        elif number > 0:
            (row,) = group
            gap = min(_gap(models[row], models[other]) for other in std if other != row)
            told.append(
                f"the part of {len(models[row].registered())} photos lies {gap:.0f} m from the others, so it is kept "
                "as a model of its own, in the same world"
            )
    return told


def _reach(model: Reconstruction) -> float:
    """How far cameras are from their middle on the ground, at most."""
    level = model.centres()[:, :2]
    return float(np.linalg.norm(level - level.mean(axis=0), axis=1).max())


def _gap(a: Reconstruction, b: Reconstruction) -> float:
    """Least distance on the ground from a camera of the one to a camera of the other."""
    from scipy.spatial import KDTree

    return float(KDTree(a.centres()[:, :2]).query(b.centres()[:, :2])[0].min())


def _near(models: Sequence[Reconstruction], rows: list[int]) -> list[list[int]]:
    """The rows of models in groups: from each model to all others of its group it is never far to a next one."""
    from scipy.sparse.csgraph import connected_components

    if not rows:
        return []
    parts = [models[row] for row in rows]
    reach = [_reach(part) for part in parts]
    near = [
        [_gap(a, b) <= MAX_GAP * max(reach[i], reach[j]) for j, b in enumerate(parts)]
        for i, a in enumerate(parts)
    ]
    count, label = connected_components(np.array(near), directed=False)
    return [[row for row, mine in zip(rows, label) if mine == number] for number in range(count)]


def _place_std(model: Reconstruction, placed: ModelPlacement, stated: dict[str, np.ndarray]) -> np.ndarray:
    """By how much a part may be off in metres, (2,): on the ground and in height. See the module."""
    if placed.source == "control":
        place, found = np.array(SURVEY_STD_M)[[0, 2]], placed.statistics("control")
    else:
        place = np.median([stated[r.name] for r in placed.photos], axis=0)
        found = placed.statistics("photos")
    rms = np.array([found.get(f"{axis}_rms_m", 0.0) for axis in ("horizontal", "vertical")])
    turned = np.deg2rad([placed.heading_std_deg, placed.tilt_std_deg])
    stretched = np.array([placed.scale_std, 0.0])
    reach = _reach(model)
    return np.linalg.norm([np.maximum(place, rms), reach * turned, reach * stretched], axis=0)


def _why_apart(model: Reconstruction, placed: ModelPlacement, std: np.ndarray) -> str:
    """Why a part is not joined to others, as the rest of a sentence; empty if it may be."""
    if model.rigs:
        return "holds a rig"
    good, total = sum(not r.outlier for r in placed.photos), len(placed.photos)
    heights = sum(not r.outlier and np.isfinite(r.up) for r in placed.photos)
    turn = max(placed.heading_std_deg, placed.tilt_std_deg)
    if placed.source == "gps" and good < MIN_POSITIONS:
        return f"is placed by the GPS of {good} photos ({MIN_POSITIONS} would do)"
    if placed.source == "gps" and heights < MIN_POSITIONS:
        return f"is placed by GPS that gives the altitude of {heights} photos ({MIN_POSITIONS} would do)"
    if placed.source == "gps" and good < (1 - MAX_OUTLIERS) * total:
        return f"is placed by GPS that is wrong for {total - good} of {total} photos"
    if placed.contradiction > CONTRADICTED:
        return f"is placed by GPS that is {placed.contradiction:.0f} times as far off as it states"
    if placed.scale_std > MAX_SCALE_STD:
        return f"has a scale that is known to {100 * placed.scale_std:.0f} % only"
    if turn > MAX_TURN_STD_DEG:
        return f"has a direction that is known to {turn:.0f} degrees only"
    if std[0] > _reach(model):
        return f"is placed to about {std[0]:.2g} m only, more than its photos are apart"
    return ""


@dataclass(frozen=True)
class _Union:
    model: Reconstruction
    camera_ids: list[dict[int, int]]  # of each part: its id of a camera to that in the model


def _as_one(parts: list[Reconstruction]) -> _Union:
    """The cameras, views and points of all parts; a camera whose parameters differ from part to part is several."""
    cameras: dict[int, Camera] = {}
    views: dict[int, View] = {}
    names = []
    following = 1 + max(i for part in parts for i in part.cameras)
    for part in parts:
        new = {}
        for i, camera in sorted(part.cameras.items()):
            new[i] = i
            if i in cameras and not _same(cameras[i], camera):
                new[i], following = following, following + 1
            cameras[new[i]] = camera
        for i, view in part.views.items():
            if view.cam_from_world is not None or i not in views:
                views[i] = replace(view, camera_id=new[view.camera_id])
        names.append(new)
    if len(parts) == 1:
        return _Union(parts[0], names)
    return _Union(Reconstruction(cameras, dict(sorted(views.items())), _all_points(parts)), names)


def _same(a: Camera, b: Camera) -> bool:
    return a.model == b.model and np.array_equal(a.params, b.params)


def _all_points(parts: list[Reconstruction]) -> Points:
    points = [part.points for part in parts]
    return Points(
        xyz=np.concatenate([p.xyz for p in points]),
        color=np.concatenate([p.color for p in points]),
        error_px=np.concatenate([p.error_px for p in points]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([p.track_lengths for p in points]))]),
        view_ids=np.concatenate([p.view_ids for p in points]),
        keypoints=np.concatenate([p.keypoints for p in points]),
    )
