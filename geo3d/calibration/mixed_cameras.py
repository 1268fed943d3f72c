"""Whether photos of a board are of several cameras, or of one that zoomed: by their EXIF, their names, their corners.

One camera and one shape of the board are fitted to all photos. About that fit each photo v is a quadratic, its pose
eliminated (`ArrowSystem`): with step d of what all photos share it costs c_v + g_v d + d H_v d / 2. A group of photos
would take d = -(P + sum H_v)^-1 sum g_v, so that groups are tried at no cost: those that the names suggest, and the two
that come of alternating "each photo to the camera that it costs least with" and "each group its own camera", from many
random beginnings (MacQueen, "Some methods for classification and analysis of multivariate observations", 1967; Bock,
"Clusterwise regression", in "Classification and related methods of data analysis", 1988). P, half of a photo's mean H,
holds the cameras of small groups to the common one.

What counts is the cost of each photo held out: with the step that the other photos of its group take, against the step
that all others take. It falls by little where two groups are made out of one camera's photos (to 0.85 and more of the
whole in all that were tried, even by the alternating search, which is free to choose), and by much where there are two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from geo3d.calibration.board_fit import BoardFit, BoardState, Free, Observations, fit_board, linearize
from geo3d.calibration.calibrate import observe, start_lenses
from geo3d.calibration.find_boards import FoundBoards
from geo3d.calibration.start import start_board
from geo3d.cameras import Camera
from geo3d.images import PhotoError, read_exif
from geo3d.optim import RobustLoss

_MODEL = "THIN_PRISM_FISHEYE"  # of all lenses, nearly
_SHAPE_TERMS = 3
_LOSS = RobustLoss("soft_l1", 1.0)
_LEAST_PHOTOS = 5  # of a group that the corners tell
_BEGINNINGS = 30
_ROUNDS = 30
_PRIOR_PHOTOS = 0.5
# Held-out cost of several cameras, of that of one, and how many standard errors its logarithm has to fall by:
_BY_NAMES, _BY_CORNERS = 0.9, 0.8  # names were given without a look at the corners
_LEAST_SCORE = 3.5
_FOCAL_STEP = 1.015  # EXIF's focal lengths apart by less are one


@dataclass(frozen=True, eq=False)
class MixedCameras:
    """Photos that are not of one camera as it stood.

    Attributes
    ----------
    groups : list of list of str
        Names of the photos of each camera, the larger groups first.
    words : list of str
        What is known of each one's camera.
    by : str
        What tells: "EXIF", "names" or "corners".
    cost : float
        Of photos held out, by a camera for each group, as a share of that by one for all; nan where EXIF tells.
    folder : str
        Of all photos, to be written before a pattern of their names; empty or with a slash at its end.
    """

    groups: list[list[str]]
    words: list[str]
    by: str
    cost: float = float("nan")
    folder: str = ""

    @property
    def message(self) -> str:
        """What was found, and what to do."""
        count = {2: "two", 3: "three", 4: "four"}.get(len(self.groups), str(len(self.groups)))
        parts = [f"{len(group)} like {group[0]} ({words})" for group, words in zip(self.groups, self.words)]
        text = f"photos of {count} cameras, or of one whose zoom or focus moved: " + " and ".join(parts)
        if self.by != "EXIF":
            root = np.sqrt(self.cost)
            text += f"; with a camera for each, errors of photos held out fall to {root:.0%}"
        patterns = [_pattern(group) for group in self.groups]
        advice = ". Put the photos of each camera into a folder of its own"
        others = [set().union(*self.groups) - set(group) for group in self.groups]
        if all(p and not any(_matches(p, n) for n in rest) for p, rest in zip(patterns, others)):
            advice += (
                ", or give them as a rig: geo3d calibrate "
                + " ".join(f"'{self.folder}{p}'" for p in patterns)
                + " --rig"
            )
        return text + advice


def mixed_cameras(found: FoundBoards) -> MixedCameras | None:
    """Whether photos are of several cameras.

    Parameters
    ----------
    found : FoundBoards

    Returns
    -------
    MixedCameras or None
        None where nothing speaks against one camera, or there are too few photos to tell.
    """
    mixed = _by_exif(found) or mixed_by_corners(found)
    if mixed is None or not found.paths:
        return mixed
    name, path = next(iter(found.paths.items()))
    return replace(mixed, folder=path.as_posix().removesuffix(name))


def mixed_by_corners(found: FoundBoards) -> MixedCameras | None:
    """`mixed_cameras` without the EXIF.

    Parameters
    ----------
    found : FoundBoards

    Returns
    -------
    MixedCameras or None
    """
    if len(found.detections) < 2 * _LEAST_PHOTOS:
        return None
    names, observations = observe(found.detections, found.target)
    try:
        start = start_board(observations, found.width, found.height)
        lens = start_lenses(observations, start, _MODEL)[0]
    except ValueError:  # no camera explains the corners, which the calibration says
        return None
    state = BoardState(lens.camera, lens.rotations, lens.translations, np.zeros(_SHAPE_TERMS))
    fit = fit_board(observations, state, Free(np.ones(len(lens.camera.params), bool)), _LOSS)
    photos = _quadratics(observations, fit)
    tried = [(labels, "names", _BY_NAMES) for labels in _groupings(names)]
    tried += [(labels, "corners", _BY_CORNERS) for labels in _search(photos)]
    for labels, by, most in tried:
        cost, score = photos.gain(labels)
        if cost <= most and score >= _LEAST_SCORE:
            return _named(names, labels, by, cost, observations, fit)
    return None


@dataclass(frozen=True, eq=False)
class _Quadratics:
    """c_v + g_v d + d H_v d / 2 of V photos."""

    H: np.ndarray  # (V, P, P)
    g: np.ndarray  # (V, P)
    c: np.ndarray  # (V,)

    def step(self, rows: np.ndarray) -> np.ndarray:
        """(P,) step that is best for some photos."""
        prior = _PRIOR_PHOTOS * self.H.mean(axis=0)
        return -np.linalg.solve(prior + self.H[rows].sum(axis=0), self.g[rows].sum(axis=0))

    def cost(self, step: np.ndarray) -> np.ndarray:
        """(V,) cost of each photo with a step."""
        return self.c + self.g @ step + 0.5 * np.einsum("i,vij,j->v", step, self.H, step)

    def held_out(self, labels: np.ndarray) -> np.ndarray:
        """(V,) cost of each photo with the step of the others of its label."""
        return np.array(
            [
                self.cost(self.step(np.flatnonzero((labels == labels[v]) & (np.arange(len(labels)) != v))))[v]
                for v in range(len(labels))
            ]
        )

    def gain(self, labels: np.ndarray) -> tuple[float, float]:
        """Held-out cost of groups as a share of that of one, and by how many standard errors its logarithm falls."""
        apart, together = self.held_out(labels), self.held_out(np.zeros_like(labels))
        if not (apart.min() > 0 and together.min() > 0):  # quadratics that do not hold so far from the fit
            return np.inf, -np.inf
        falls = np.log(together / apart)
        return float(apart.sum() / together.sum()), float(
            falls.mean() / (falls.std(ddof=1) / np.sqrt(len(falls)))
        )


def _quadratics(observations: Observations, fit: BoardFit) -> _Quadratics:
    state, free = fit.state, Free(np.ones(len(fit.state.camera.params), bool))
    H, g, c = [], [], []
    for v in range(observations.views):
        only = np.array([v])
        there = BoardState(state.camera, state.rotations[only], state.translations[only], state.shape)
        system = linearize(observations.select(only), there, free, _LOSS)
        gained = np.linalg.solve(system.groups[0], system.coupling[0].T)  # V^-1 W^T
        H.append(system.shared - system.coupling[0] @ gained)
        g.append(system.shared_gradient - system.group_gradient[0] @ gained)
        c.append(system.cost)
    return _Quadratics(np.array(H), np.array(g), np.array(c))


def _groupings(names: list[str]) -> list[np.ndarray]:
    """(V,) labels by what names suggest: all but the last number, all but the first one, or the folder."""
    stems = [name.rpartition(".")[0] or name for name in names]
    rules: list[Callable[[str], str]] = [
        lambda stem: re.sub(r"\d+(?=\D*$)", "", stem),
        lambda stem: re.sub(r"\d+", "", stem, count=1),
        lambda stem: stem.rpartition("/")[0],
    ]
    labels = [np.unique([rule(stem) for stem in stems], return_inverse=True)[1] for rule in rules]
    return [found for found in labels if found.max() > 0 and np.bincount(found).min() >= _LEAST_PHOTOS]


def _search(photos: _Quadratics) -> list[np.ndarray]:
    """(V,) the best two groups, as a list of one; empty where none are large enough."""
    rng, count = np.random.default_rng(0), len(photos.c)
    best, least = [], np.inf
    for _ in range(_BEGINNINGS):
        labels = (rng.random(count) < rng.uniform(0.15, 0.5)).astype(int)
        for _ in range(_ROUNDS):
            costs = np.array([photos.cost(photos.step(np.flatnonzero(labels == k))) for k in (0, 1)])
            moved = costs.argmin(axis=0)
            if (moved == labels).all():
                break
            labels = moved
        total = float(costs.min(axis=0).sum())
        if min(labels.sum(), count - labels.sum()) >= _LEAST_PHOTOS and total < least:
            best, least = [labels], total
    return best


def _named(
    names: list[str], labels: np.ndarray, by: str, cost: float, observations: Observations, fit: BoardFit
) -> MixedCameras:
    """The groups, the larger first, with what a fit of each alone says of its camera."""
    order = np.argsort(-np.bincount(labels), kind="stable")
    rows = [np.flatnonzero(labels == k) for k in order]
    cameras = [_camera_of(observations, fit.state, group) for group in rows]
    words = [f"f {camera.mean_focal:.0f} px" for camera in cameras]
    for k, camera in enumerate(cameras[1:], start=1):
        apart = np.linalg.norm(camera.principal_point - cameras[0].principal_point)
        words[k] += f", principal point {apart:.1f} px away"
    return MixedCameras([[names[v] for v in group] for group in rows], words, by, cost)


def _camera_of(observations: Observations, state: BoardState, rows: np.ndarray) -> Camera:
    begun = BoardState(state.camera, state.rotations[rows], state.translations[rows], state.shape)
    free = Free(np.ones(len(state.camera.params), bool))
    return fit_board(observations.select(rows), begun, free, _LOSS).state.camera


def _by_exif(found: FoundBoards) -> MixedCameras | None:
    """By make, model, serial number, lens and focal length; photos that say nothing tell nothing."""
    bodies: dict[str, list[tuple[str, float]]] = {}
    for name in sorted(found.paths.keys() & found.detections.keys()):
        try:
            exif = read_exif(found.paths[name])
        except (PhotoError, OSError):  # the pixels could be read
            continue
        words = " ".join(word for word in (exif.make, exif.model, exif.serial, exif.lens) if word)
        focal = (exif.focal_mm or 0.0) * (exif.digital_zoom or 1.0)
        if words or focal:
            bodies.setdefault(words, []).append((name, focal))
    groups: dict[str, list[str]] = {}
    for words, photos in bodies.items():
        for focal, names in _focal_groups(photos):
            groups[", ".join(filter(None, [words, f"{focal:.3g} mm" if focal else ""]))] = names
    return _exif_result(groups) if len(groups) > 1 else None


def _exif_result(groups: Mapping[str, list[str]]) -> MixedCameras:
    ordered = sorted(groups.items(), key=lambda entry: -len(entry[1]))
    return MixedCameras([sorted(names) for _, names in ordered], [words for words, _ in ordered], "EXIF")


def _focal_groups(photos: list[tuple[str, float]]) -> list[tuple[float, list[str]]]:
    """Focal length, mm, and names; those of photos that do not say it are 0, and go with the first."""
    known = sorted((focal, name) for name, focal in photos if focal)
    if not known:
        return [(0.0, [name for name, _ in photos])]
    groups = [(known[0][0], [name for name, focal in photos if not focal] + [known[0][1]])]
    for (before, _), (focal, name) in pairwise(known):
        if focal > _FOCAL_STEP * before:
            groups.append((focal, []))
        groups[-1][1].append(name)
    return groups


def _pattern(names: list[str]) -> str:
    """A pattern of names alike but for what comes after their common beginning; empty where they have none."""
    first, last = min(names), max(names)
    same = next((k for k, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    begin = first[:same].rstrip("0123456789")
    return f"{begin}*" if begin else ""


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1])
