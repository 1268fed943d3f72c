"""What the report of a calibration shows. Plain data, filled by the one that ran the calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from geo3d.calibration import CameraEvidence, Detection, PhotoFiles, RigCalibration, VideoFrames
from geo3d.geometry import SE3


@dataclass(frozen=True, eq=False)
class CameraEntry:
    """One camera of the report.

    Attributes
    ----------
    evidence : CameraEvidence
        What was found; its name heads the camera's sections where there are several.
    photos : PhotoFiles or VideoFrames, optional
        Where the photos are, by name; pictures are made from them.
    not_used : mapping of str to Detection
        What was found in photos that were left out, by name, where something was.
    uncertainty_distance_m : float, optional
        Distance of the points whose projection `evidence.uncertainty_px` is about; infinity when left out.
    """

    evidence: CameraEvidence
    photos: PhotoFiles | VideoFrames | None = None
    not_used: Mapping[str, Detection] = field(default_factory=dict)
    uncertainty_distance_m: float | None = None


@dataclass(frozen=True, eq=False)
class RigMoment:
    """Photos of a rig that were taken together.

    Attributes
    ----------
    photos : sequence of str or None
        Of each camera; None for one that does not see the board.
    rms_px : sequence of float or None
        Error of each with one pose of the board for all.
    """

    photos: Sequence[str | None]
    rms_px: Sequence[float | None]


@dataclass(frozen=True, eq=False)
class RigEntry:
    """How the cameras of a rig stand to each other.

    Attributes
    ----------
    cam_from_first : list of SE3
        Of each camera, metres.
    moments : list of RigMoment
    rms_px : float
        Over all points of all cameras with one pose of the board a moment.
    pose_std : (C, 6) float64, optional
        Standard deviations of the rotations about the axes of each camera, radians, and of the translations, metres.
    baselines_std_m : (C,) float64, optional
        Of the distance of each camera from the first.
    dropped : mapping of str to str
        Photos that were not taken together though their names say so, to why.
    """

    cam_from_first: list[SE3]
    moments: list[RigMoment]
    rms_px: float
    pose_std: np.ndarray | None = None
    baselines_std_m: np.ndarray | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)


def rig_entry(rig: RigCalibration) -> RigEntry:
    """The entry of a calibrated rig.

    Parameters
    ----------
    rig : RigCalibration

    Returns
    -------
    RigEntry
    """
    moments = []
    for photos in rig.moments:
        names: list[str | None] = [None] * len(rig.cameras)
        errors: list[float | None] = [None] * len(rig.cameras)
        for camera, name in photos:
            names[camera] = name
            errors[camera] = float(np.sqrt(np.mean(rig.errors_px[camera, name] ** 2)))
        moments.append(RigMoment(names, errors))
    dropped = {
        ", ".join(name for _, name in photos): f"they disagree by {px:.1f} pixels"
        for photos, px in rig.apart.items()
    }
    return RigEntry(
        rig.cam_from_first, moments, rig.rms_px, np.stack(rig.pose_std), rig.baselines_std_m, dropped
    )


@dataclass(frozen=True, eq=False)
class CalibrationReportData:
    """Everything that `write_calibration_report` shows.

    Attributes
    ----------
    title : str
        Heading, as the name of the folder of photos.
    cameras : list of CameraEntry
        One and more.
    rig : RigEntry, optional
        Where they are fixed to each other.
    notes : list of str
        What else the user should know, one sentence each.
    """

    title: str
    cameras: list[CameraEntry]
    rig: RigEntry | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError("cameras: expected one entry and more, got none")
        names = [entry.evidence.name for entry in self.cameras]
        if len(names) > 1 and (len(set(names)) < len(names) or "" in names):
            raise ValueError(f"cameras: expected a name of its own for each of {len(names)}, got {names}")
        if self.rig is not None and len(self.rig.cam_from_first) != len(self.cameras):
            raise ValueError(
                f"rig: expected a pose for each of {len(self.cameras)} cameras, got {len(self.rig.cam_from_first)}"
            )
