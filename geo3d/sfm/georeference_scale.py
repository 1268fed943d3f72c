"""Scale from known lengths: distances between photos or marked points, and the edges of printed markers.

Each length gives `known / measured in the model`. The scale is their median when there are several, and its deviation
the scatter over the square root of their number, but never less than what a single length can promise.

Where GPS gives a scale too, the two are compared. Lengths are the better measurement, but a wrong one is a blunder and
no noise: beyond four combined deviations the GPS gives the scale, where its deviation is that of its residuals but at
least what a third of the errors that it states would cause: errors drift, so that residuals alone promise too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.scene import Reconstruction
from geo3d.sfm.georeference_fit import PositionFit

_ONE_LENGTH_STD = 0.01
"""Relative; of the scale by a single length that nothing checks."""
_LEAST_STD = 0.001
_CONTRADICTION = 4.0  # deviations between the scale of lengths and that of GPS
_DRIFT = (
    0.3  # of the stated errors of GPS: what of them may differ between photos without showing in residuals
)
_SHORTEST = 0.002
"""Of the viewing distance: shorter lengths are what a pixel or two of error makes of them."""
_WIDE = 0.05
"""Spread of lengths, or difference from the model, beyond which one of them must be wrong."""


@dataclass(frozen=True)
class KnownLength:
    """A length as it was measured on the spot and in the model.

    Attributes
    ----------
    name : str
        "A to B" or "marker 7".
    known_m : float
    model : float
        In units of the model.
    source : "distance" or "marker"
    """

    name: str
    known_m: float
    model: float
    source: str = "distance"


@dataclass(frozen=True)
class Distance:
    """A measured distance between two photos (their cameras) or two marked points, by name; metres."""

    first: str
    second: str
    metres: float

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise ValueError(f"a distance needs two different names; got {self.first!r} twice")
        if not (np.isfinite(self.metres) and self.metres > 0):
            raise ValueError(
                f"the distance {self.first} to {self.second} must be positive metres; got {self.metres}"
            )


@dataclass(frozen=True)
class MeasuredLengths:
    """Known lengths that could be measured in a model, and a sentence for each that could not."""

    lengths: list[KnownLength]
    unused: list[str]


@dataclass(frozen=True)
class ScaleEstimate:
    """Metres a unit of the model.

    Attributes
    ----------
    scale : float
    std : float
        Relative.
    spread : float
        Largest relative difference of a length that was used from the scale; 0 with one length.
    used : list of bool
        Whether each length agrees; those that do not are left out.
    """

    scale: float
    std: float
    spread: float
    used: list[bool]


def measure_distances(
    model: Reconstruction, distances: Sequence[Distance], points: Mapping[str, np.ndarray]
) -> MeasuredLengths:
    """Measure distances in a model.

    Parameters
    ----------
    model : Reconstruction
    distances : sequence of Distance
    points : mapping of str to (3,)
        Marked points by name, in the model.

    Returns
    -------
    MeasuredLengths
        `unused` are those with an end that is not in the model, and those that are too short there to tell anything.
    """
    places = {**dict(zip([model.views[i].name for i in model.registered()], model.centres())), **points}
    away = _viewing_distance(model)
    least = _SHORTEST * away
    found, unused = [], []
    for distance in distances:
        lost = [name for name in (distance.first, distance.second) if name not in places]
        name = f"{distance.first} to {distance.second}"
        if lost:
            unused.append(
                f"the distance {name} is not used: {' and '.join(lost)} could not be placed in the model"
            )
            continue
        length = float(np.linalg.norm(places[distance.first] - places[distance.second]))
        if length < least:
            unused.append(
                f"the distance {name} is not used: in the model it is {100 * length / away:.2g} % of the distance "
                "from the cameras to what they show, which is too short to be measured. Take photos that are further "
                "apart"
            )
            continue
        found.append(KnownLength(name, distance.metres, length))
    return MeasuredLengths(found, unused)


def _viewing_distance(model: Reconstruction) -> float:
    """Median distance from the cameras to the middle of what they show."""
    if not len(model.points) or not len(model.registered()):
        return 0.0
    return float(np.median(np.linalg.norm(model.centres() - np.median(model.points.xyz, axis=0), axis=1)))


def scale_from_lengths(lengths: Sequence[KnownLength]) -> ScaleEstimate | None:
    """The scale that the `lengths` agree on; None without any.

    Raises
    ------
    ValueError
        If a length is zero in the model.
    """
    if not lengths:
        return None
    for length in lengths:
        if not length.model > 0:
            raise ValueError(
                f"{length.name}: both ends are in the same place of the model; a length of 0 has no scale"
            )
    logs = np.log([length.known_m / length.model for length in lengths])
    middle = float(np.median(logs))
    off = np.abs(logs - middle)
    # Two that disagree are both kept: nothing says which one is wrong, and the spread tells.
    limit = max(4 * 1.4826 * float(np.median(off)), 0.02) if len(logs) > 2 else np.inf
    used = off <= limit
    mean = float(logs[used].mean())
    scatter = float(logs[used].std(ddof=1)) if used.sum() > 1 else _ONE_LENGTH_STD
    std = max(scatter / np.sqrt(used.sum()), _LEAST_STD)
    return ScaleEstimate(float(np.exp(mean)), std, float(np.abs(logs[used] - mean).max()), used.tolist())


def gps_beats_lengths(lengths: ScaleEstimate, gps: PositionFit) -> bool:
    """Whether the `gps`, fitted without them, gives a better scale than the `lengths`.

    So it is where the two contradict each other, or where the lengths contradict themselves and the GPS is better.
    """
    std = _cautious_std(gps)
    wide = lengths.spread > _WIDE and std < lengths.std
    return wide or _gap(lengths, gps) > _CONTRADICTION * np.hypot(lengths.std, std)


def tell_against_gps(lengths: Sequence[KnownLength], scale: ScaleEstimate, gps: PositionFit) -> list[str]:
    """A sentence where `lengths`, with the `scale` from them, and `gps`, fitted without them, do not fit together."""
    wins = gps_beats_lengths(scale, gps)
    if not wins and _gap(scale, gps) <= _CONTRADICTION * np.hypot(scale.std, gps.scale_std):
        return []
    metres = float(gps.transform.scale)
    each = [
        f"{x.name} is {x.known_m:.4g} m by your measurement and {x.model * metres:.4g} m by GPS"
        for x, good in zip(lengths, scale.used)
        if good
    ]
    more = f"; and {len(each) - 3} more" if len(each) > 3 else ""
    what = "known lengths do" if len(each) > 1 else "known length does"
    end = (
        "The GPS gives the scale, and no known length is used"
        if wins
        else "The scale is by your measurement, because the GPS is too coarse to refute it"
    )
    return [
        f"the {what} not fit the GPS of {int(gps.inliers.sum())} photos: {'; '.join(each[:3])}{more}: check it. {end}"
    ]


def tell_disagreement(lengths: Sequence[KnownLength], scale: ScaleEstimate) -> list[str]:
    """A sentence for each of the `lengths` that the others contradict, and one where the rest spread widely."""
    told = [
        f"{x.name} is {x.known_m:.4g} m by your measurement and {x.model * scale.scale:.4g} m by the other known "
        "lengths: check it. It is not used"
        for x, good in zip(lengths, scale.used)
        if not good
    ]
    if scale.spread > _WIDE:
        kept = [
            f"{x.name} {x.known_m:.4g} m, on average {x.model * scale.scale:.4g} m"
            for x, good in zip(lengths, scale.used)
            if good
        ]
        told.append(
            f"the known lengths differ by up to {100 * scale.spread:.0f} % from the scale they agree on, so that one "
            f"may be wrong: check them ({'; '.join(kept[:3])})"
        )
    return told


def tell_against_control(lengths: Sequence[KnownLength]) -> list[str]:
    """A sentence for each of the `lengths` that a model in metres, placed by ground control, contradicts."""
    return [
        f"{x.name} is {x.known_m:.4g} m by your measurement and {x.model:.4g} m by the ground control: check it"
        for x in lengths
        if abs(x.model / x.known_m - 1) > _WIDE
    ]


def _gap(lengths: ScaleEstimate, gps: PositionFit) -> float:
    return abs(float(np.log(lengths.scale / gps.transform.scale)))


def _cautious_std(gps: PositionFit) -> float:
    """Relative deviation of the scale by GPS, with errors that drift in mind."""
    return gps.scale_std * max(_DRIFT / gps.noise[0], 1.0)
