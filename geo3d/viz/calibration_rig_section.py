"""The section of a calibration's report on a rig: how its cameras stand to each other, and which photos say so."""

from __future__ import annotations

import numpy as np

from geo3d.geometry import SO3
from geo3d.viz.calibration_report_data import RigEntry
from geo3d.viz.page import escaped, table, tile
from geo3d.viz.summary import two_digits

_MOST_ROWS = 60


def rig_tiles(rig: RigEntry, metric: bool) -> list[str]:
    """Figures of the rig.

    Parameters
    ----------
    rig : RigEntry
    metric : bool
        The lengths of the board are known.
    """
    together = sum(sum(name is not None for name in moment.photos) > 1 for moment in rig.moments)
    tiles = [
        tile(
            "Joint error",
            f"{rig.rms_px:.3f}<small> px</small>",
            "Over the points of all cameras, with one place of the board for all photos of a moment (root mean "
            "square). Much more than the cameras' own errors would mean that the photos were not taken at the "
            "same moment.",
        ),
        tile(
            "Moments",
            f"{together}<small> seen by several cameras</small>",
            "Only what several cameras see at once tells how they stand to each other.",
        ),
    ]
    if len(rig.cam_from_first) == 2 and metric:
        baseline = float(np.linalg.norm(rig.cam_from_first[1].translation))
        std = 0.0 if rig.baselines_std_m is None else 1000 * rig.baselines_std_m[1]
        deviation = f" &plusmn; {two_digits(std)}" if std > 0 else ""
        tiles.insert(
            0,
            tile(
                "Baseline",
                f"{1000 * baseline:.2f}<small> mm{deviation}</small>",
                "Between the two optical centres.",
            ),
        )
    return tiles


def rig_section(rig: RigEntry, names: list[str], metric: bool) -> str:
    """Poses, errors of each moment, and what was not taken together.

    Parameters
    ----------
    rig : RigEntry
    names : list of str
        Of the cameras.
    metric : bool
        The lengths of the board are known.
    """
    return f"""<section id="rig"><h2>How the cameras stand to each other</h2>
<p class="lead">A point at X for the first camera, {
        escaped(names[0])
    }, is at R X + t for another, with x to the right,
y down and z forward; R is the turn about these axes. The distance is between the optical centres, the baseline.
&plusmn; is one standard deviation.{
        ""
        if metric
        else " The lengths of the board are not given: all lengths are in its squares, tags or spacings."
    }</p>
{_poses(rig, names, metric)}{_dropped(rig)}{_moments(rig, names)}</section>"""


def _poses(rig: RigEntry, names: list[str], metric: bool) -> str:
    scale, unit = (1000.0, "mm") if metric else (1.0, "board units")
    rows = []
    for c, pose in enumerate(rig.cam_from_first[1:], start=1):
        std = np.zeros(6) if rig.pose_std is None else rig.pose_std[c]
        far = 0.0 if rig.baselines_std_m is None else rig.baselines_std_m[c]
        turn, turn_std = np.rad2deg(SO3(pose.rotation).log()), np.rad2deg(std[:3])
        rows.append(
            [
                escaped(names[c]),
                _with_std(scale * float(np.linalg.norm(pose.translation)), scale * far, 3),
                *(_with_std(scale * t, scale * s, 3) for t, s in zip(pose.translation, std[3:])),
                *(_with_std(angle, s, 4) for angle, s in zip(turn, turn_std)),
            ]
        )
    heads = [
        "camera",
        f"distance, {unit}",
        *(f"t<sub>{axis}</sub>, {unit}" for axis in "xyz"),
        *(f"about {a}, &deg;" for a in "xyz"),
    ]
    return table(heads, rows)


def _with_std(value: float, std: float, digits: int) -> str:
    deviation = f" <small>&plusmn; {two_digits(std)}</small>" if std > 0 else ""
    return f"{value:.{digits}f}{deviation}"


def _dropped(rig: RigEntry) -> str:
    if not rig.dropped:
        return ""
    rows = [[escaped(name), escaped(reason)] for name, reason in rig.dropped.items()]
    return (
        f'<h3>Photos that were not taken together <span class="count">{len(rows)}</span></h3>'
        '<p class="lead">No one place of the board explains all photos of such a moment: the board moved '
        "between them, or the cameras against each other. They count for each camera, not for how the cameras stand to "
        "each other.</p>"
        f"{table(['photos', 'why'], rows, words=2)}"
    )


def _moments(rig: RigEntry, names: list[str]) -> str:
    shared = [m for m in rig.moments if sum(name is not None for name in m.photos) > 1]

    def worst(moment) -> float:
        return max(error for error in moment.rms_px if error is not None)

    shared.sort(key=worst, reverse=True)
    rows = [
        [
            escaped(", ".join(name for name in m.photos if name is not None)),
            *("-" if error is None else f"{error:.3f}" for error in m.rms_px),
        ]
        for m in shared[:_MOST_ROWS]
    ]
    if not rows:
        return ""
    which = f", the {len(rows)} worst of {len(shared)}" if len(shared) > len(rows) else ""
    heads = ["photos", *(f"{escaped(name)}, px" for name in names)]
    return (
        f'<details><summary>Error of each moment{which} <span class="count">{len(shared)}</span></summary>'
        f"{table(heads, rows)}</details>"
    )
