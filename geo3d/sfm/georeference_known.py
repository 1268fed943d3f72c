"""What places a scene: GPS, gravity, control points, lengths, and what is known of its lenses. See `georeference`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from geo3d.cameras import Camera
from geo3d.sfm.georeference_gps import PhotoPosition
from geo3d.sfm.georeference_markers import Marker
from geo3d.sfm.georeference_scale import Distance
from geo3d.sfm.ground_control import GroundControl


@dataclass(frozen=True)
class KnownPlace:
    """What is known of a scene beside its photos' pixels.

    Attributes
    ----------
    positions : list of PhotoPosition
        From GPS.
    gravity : dict of str to (3,) float64
        Photo name to measured direction of gravity in the camera's axes.
    orientations : dict of str to int
        Photo name to EXIF orientation.
    control : GroundControl or None
        With the names of the photos as in the models.
    distances : tuple of Distance
    markers : list of Marker
    marker_size_m : float
        Edge of the markers' black square.
    camera_std : dict of int to (P,) float64
        Camera id to the standard deviations of its intrinsics, 0 for those that were given and stay. The others move
        in the last adjustment if control points or RTK are there to hold them.
    first_cameras : dict of int to Camera
        Camera id to the camera that mapping began with.
    """

    positions: list[PhotoPosition] = field(default_factory=list)
    gravity: dict[str, np.ndarray] = field(default_factory=dict)
    orientations: dict[str, int] = field(default_factory=dict)
    control: GroundControl | None = None
    distances: tuple[Distance, ...] = ()
    markers: list[Marker] = field(default_factory=list)
    marker_size_m: float = np.nan
    camera_std: dict[int, np.ndarray] = field(default_factory=dict)
    first_cameras: dict[int, Camera] = field(default_factory=dict)
