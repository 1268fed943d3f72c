"""What the report shows. Plain data, filled by the one that ran the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.scene import Reconstruction


@dataclass(frozen=True)
class Unregistered:
    """Why a photo has no pose, and what would help."""

    reason: str  # "matches too few other photos (best: 9 matches)"
    advice: str  # "take photos in between, so that neighbours share half of what they show"


@dataclass(frozen=True)
class MatchGraph:
    """Which photos share how many verified matches."""

    names: list[str]  # V
    inliers: np.ndarray  # (V, V) int, symmetric; 0 where a pair was not compared or failed


@dataclass
class ReportData:
    """Everything that `write_report` shows.

    Attributes
    ----------
    title : str
        Heading, as the name of the scene folder.
    components : list of Reconstruction
        Connected models, the largest first.
    photos : list of str
        Names of all photos that were found.
    unregistered : dict
        Photo name to reason and advice.
    matches : MatchGraph or None
        Verified matches among the photos.
    timings : dict
        Name of a stage to seconds, in order.
    warnings : list of str
        What the user should know, one sentence each.
    camera_notes : dict
        Camera id to where its intrinsics came from ("EXIF, 35 mm equivalent", "given and kept").
    camera_std : dict
        Camera id to the standard deviations (P,) of its parameters, where they were computed.
    photos_folder : Path or None
        Folder in which the photos of those names lie; thumbnails are made from them.
    georeference : dict
        Scale and place, as `georeference.json` has them; empty where they were not looked for.
    up : (3,) or None
        World direction that points up; None to guess it from the cameras.
    """

    title: str
    components: list[Reconstruction]
    photos: list[str]
    unregistered: dict[str, Unregistered] = field(default_factory=dict)
    matches: MatchGraph | None = None
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    camera_notes: dict[int, str] = field(default_factory=dict)
    camera_std: dict[int, np.ndarray] = field(default_factory=dict)
    photos_folder: Path | None = None
    georeference: dict[str, Any] = field(default_factory=dict)
    up: np.ndarray | None = None

    @property
    def north(self) -> np.ndarray | None:
        """World direction of north, where the model was placed on Earth."""
        return np.array([0.0, 1.0, 0.0]) if self.georeference.get("origin") is not None else None

    @property
    def metres(self) -> bool:
        """The world's unit is the metre."""
        return bool(self.georeference.get("metres"))
