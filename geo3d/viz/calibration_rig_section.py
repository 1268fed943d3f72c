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
        tiles.insert(
            0,
            tile("Baseline", f"{1000 * baseline:.2f}<small> mm</small>", "Between the two optical centres."),
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
<p class="lead">Seen from the first camera, {
        escaped(names[0])
    }: x is to the right, y down, z forward. The angles are of the
turn about these axes; the distance is between the optical centres, the baseline.{
        ""
        if metric
        else " The lengths of the board are not given, so lengths are in its squares, tags or spacings."
    }</p>
{_poses(rig, names, metric)}{_dropped(rig)}{_moments(rig, names)}</section>"""


def _poses(rig: RigEntry, names: list[str], metric: bool) -> str:
    scale, unit = (1000.0, "mm") if metric else (1.0, "board units")
    rows = []
    for c, pose in enumerate(rig.cam_from_first[1:], start=1):
        first_from_cam = pose.inverse()
        place = first_from_cam.translation * scale
        turn = np.rad2deg(SO3(first_from_cam.rotation).log())
        move_std = None if rig.translation_std_m is None else rig.translation_std_m[c] * scale
        turn_std = None if rig.rotation_std_rad is None else np.rad2deg(rig.rotation_std_rad[c])
        rows.append(
            [
                escaped(names[c]),
                f"{np.linalg.norm(place):.3f}",
                *(_with_std(value, move_std, k, 3) for k, value in enumerate(place)),
                *(_with_std(value, turn_std, k, 4) for k, value in enumerate(turn)),
            ]
        )
    heads = [
        "camera",
        f"distance, {unit}",
        *(f"{axis}, {unit}" for axis in "xyz"),
        *(f"about {a}, &deg;" for a in "xyz"),
    ]
    return table(heads, rows)


def _with_std(value: float, std: np.ndarray | None, index: int, digits: int) -> str:
    deviation = (
        "" if std is None or not std[index] > 0 else f" <small>&plusmn; {two_digits(std[index])}</small>"
    )
    return f"{value:.{digits}f}{deviation}"


def _dropped(rig: RigEntry) -> str:
    if not rig.dropped:
        return ""
    rows = [[escaped(name), escaped(reason)] for name, reason in rig.dropped.items()]
    return (
        f'<h3>Photos that were not taken together <span class="count">{len(rows)}</span></h3>'
        '<p class="lead">No one place of the board explains all photos of such a moment: the board moved between '
        "them, or the cameras against each other. They count for each camera, not for how the cameras stand to each other.</p>"
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
