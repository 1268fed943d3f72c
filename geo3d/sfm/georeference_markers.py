"""Printed square markers (ArUco, AprilTag) whose edge is known: found in the photos, triangulated, measured.

The size of a marker is the edge of its black square. Of which family the markers are need not be said: all common ones
are looked for. What is no marker now and then looks like one; it is told from a real one by geometry, because its
corners would have to meet in several photos and make a square.

Garrido-Jurado et al.: Automatic generation and detection of highly reliable fiducial markers under occlusion, 2014.
Wang, Olson: AprilTag 2, 2016. Detected by OpenCV, which counts pixel centres from 0: 0.5 is added here, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geo3d.images import read_image
from geo3d.scene import Reconstruction
from geo3d.sfm.georeference_clicks import locate_marks
from geo3d.sfm.georeference_scale import KnownLength, MeasuredLengths
from geo3d.util.require import require
from geo3d.util.threads import map_threads

_FAMILIES = (
    "4X4_250",
    "5X5_250",
    "6X6_250",
    "7X7_250",
    "ARUCO_ORIGINAL",
    "ARUCO_MIP_36h12",
    "APRILTAG_16h5",
    "APRILTAG_25h9",
    "APRILTAG_36h11",
)
_MAX_ERROR_PX = 3.0
_SQUARE = 0.1  # relative difference of an edge, or of a diagonal over sqrt(2), from their mean


@dataclass(frozen=True)
class Marker:
    """A marker and where its corners are seen.

    Attributes
    ----------
    family : str
        "4X4_250", "APRILTAG_36h11", ...
    number : int
    corners : dict of str to (4, 2) float64
        Photo name to pixels of the corners, clockwise as printed; the top-left pixel's centre is (0.5, 0.5).
    """

    family: str
    number: int
    corners: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Family and number."""
        return f"marker {self.family} {self.number}"


def find_markers(
    images: Path,
    names: Sequence[str],
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Marker]:
    """Markers that are seen in at least two photos.

    Parameters
    ----------
    images : Path
        Folder of the photos.
    names : sequence of str
        Photos to look into.
    threads : int, optional
        Default: all cores.
    progress : callable
        Called with the number of photos done.

    Returns
    -------
    list of Marker
        Sorted by family and number. One that is seen twice in a photo is not taken from there.

    Raises
    ------
    ImportError
        If OpenCV is too old.
    """
    cv2 = require("cv2")
    if not hasattr(cv2.aruco.ArucoDetector, "detectMarkersMultiDict"):
        raise ImportError("markers need OpenCV 4.12 or newer. Install it: pip install -U opencv-python")

    def detect(name: str) -> list[tuple[int, int, np.ndarray]]:
        grey = read_image(images / name, "gray")
        families = [cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{f}")) for f in _FAMILIES]
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        detector = cv2.aruco.ArucoDetector(families, parameters)
        corners, numbers, _, rows = detector.detectMarkersMultiDict(grey)
        if numbers is None:
            return []
        found = zip(np.ravel(rows), np.ravel(numbers), corners)
        return [(int(f), int(n), np.asarray(c, np.float64).reshape(4, 2) + 0.5) for f, n, c in found]

    seen: dict[tuple[int, int], Marker] = {}
    for done, (name, found) in enumerate(zip(names, map_threads(detect, list(names), threads)), 1):
        often = Counter((family, number) for family, number, _ in found)
        for family, number, corners in found:
            if often[family, number] == 1:
                marker = seen.setdefault((family, number), Marker(_FAMILIES[family], number))
                marker.corners[name] = corners
        progress(done)
    return [seen[key] for key in sorted(seen) if len(seen[key].corners) >= 2]


def measure_markers(model: Reconstruction, markers: Sequence[Marker], size_m: float) -> MeasuredLengths:
    """Measure the mean edge of markers in a model.

    Parameters
    ----------
    model : Reconstruction
    markers : sequence of Marker
    size_m : float
        Edge of the black square, metres.

    Returns
    -------
    MeasuredLengths
        `unused` are those that are seen in three or more photos and are no square; others were probably no markers.
    """
    lengths, unused = [], []
    for marker in markers:
        corners = [
            locate_marks(model, {name: xy[k] for name, xy in marker.corners.items()}, _MAX_ERROR_PX).xyz
            for k in range(4)
        ]
        found = np.array([corner for corner in corners if corner is not None])
        edge = _edge_of_square(found) if len(found) == 4 else None
        if edge is not None:
            lengths.append(KnownLength(marker.name, size_m, edge, "marker"))
        elif len(marker.corners) > 2:
            unused.append(
                f"{marker.name} is not used: its corners in {len(marker.corners)} photos do not make one square "
                "(moved, bent, or not a marker)"
            )
    return MeasuredLengths(lengths, unused)


def _edge_of_square(corners: np.ndarray) -> float | None:
    """Mean edge of four corners (4, 3) in order; None where they are no square."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    diagonals = np.linalg.norm(corners[:2] - corners[2:], axis=1) / np.sqrt(2)
    lengths = np.concatenate([edges, diagonals])
    mean = float(edges.mean())
    return mean if mean > 0 and np.abs(lengths / mean - 1).max() < _SQUARE else None
