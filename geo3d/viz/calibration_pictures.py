"""Pictures for the report of a calibration: photos with what was found in them, and one without its distortion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration import CameraEvidence, Detection, PhotoFiles, VideoFrames
from geo3d.cameras import Camera, pinhole_for, undistort_image
from geo3d.util.require import require
from geo3d.viz.thumbnails import jpeg_uri

_THUMBNAIL_PX = 240
_SIDE_PX = 760
_QUALITY = 80
_BLANKS = (0.0, 0.25, 0.5, 1.0)  # shares of blank edge tried, until the whole board is in the picture
_LEAST_IN_ROW = 3
_DOT_SHARE, _DOT_RADII = 0.22, (0.6, 2.4)  # of the distance between points; in a picture 240 wide


def small_photos(photos: PhotoFiles | VideoFrames | None, names: list[str]) -> dict[str, str]:
    """Data URIs of photos as they are stored, so that pixels found in them lie right; those that can be read, by name.

    Parameters
    ----------
    photos : PhotoFiles, VideoFrames or None
    names : list of str
    """
    if photos is None:
        return {}
    known = set(photos.names)
    made = photos.each(_small, [name for name in names if name in known])
    return {name: uri for name, uri in made if isinstance(uri, str)}


def _small(image: np.ndarray) -> str:
    return _uri(_reduced(image, _THUMBNAIL_PX))


def _reduced(image: np.ndarray, side_px: int) -> np.ndarray:
    cv2 = require("cv2")
    height, width = image.shape
    scale = min(1.0, side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def marked_photo(uri: str | None, camera: Camera, found: Detection | None) -> str:
    """A photo with a dot on each point that was found.

    Parameters
    ----------
    uri : str or None
        Of the photo; without one the dots stand alone.
    camera : Camera
        For the size of the photo.
    found : Detection or None
    """
    k = 240 / camera.width
    picture = "" if uri is None else f'<image href="{uri}" width="240" height="{camera.height * k:.1f}"/>'
    pixels = np.zeros((0, 2)) if found is None else found.pixels * k
    if len(pixels):
        apart = float(np.sqrt(np.ptp(pixels, axis=0).prod() / len(pixels)))
        radius = float(np.clip(_DOT_SHARE * apart, *_DOT_RADII))
    else:
        radius = 0.0
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>' for x, y in pixels)
    return f'<svg class="marked" viewBox="0 0 240 {camera.height * k:.1f}">{picture}{dots}</svg>'


@dataclass(frozen=True, eq=False)
class Straightened:
    """A photo before and after its distortion was taken out.

    Attributes
    ----------
    name : str
    before, after : str
        Drawings, with a straight line from end to end of each row of points.
    bend_px, left_px : float
        How far points lie off those lines at the most, before and after, in pixels of each picture as calibrated.
    """

    name: str
    before: str
    after: str
    bend_px: float
    left_px: float


def straightened(evidence: CameraEvidence, photos: PhotoFiles | VideoFrames | None) -> Straightened | None:
    """The photo whose rows of points bend most, and what it is without distortion.

    Parameters
    ----------
    evidence : CameraEvidence
    photos : PhotoFiles, VideoFrames or None

    Returns
    -------
    Straightened or None
        None where there is no such photo, or it is of another size than the camera's.
    """
    if photos is None:
        return None
    rows = [_rows(evidence.target.points, v.detection) for v in evidence.views]
    bends = [_bend(v.detection.pixels, r) for v, r in zip(evidence.views, rows)]
    best = int(np.argmax(bends))
    view, lines, camera = evidence.views[best], rows[best], evidence.camera
    if not lines:
        return None
    image = next((found for _, found in photos.each(np.asarray, [view.name])), None)
    if not isinstance(image, np.ndarray) or image.shape != (camera.height, camera.width):
        return None
    image = _reduced(image, _SIDE_PX)
    small = camera.rescaled(image.shape[1], image.shape[0])
    pixels = view.detection.pixels * [small.width / camera.width, small.height / camera.height]
    target = _pinhole_that_shows(small, pixels)
    if target is None:
        return None
    after = target.project(small.unproject(pixels))
    before_uri, after_uri = (_uri(picture) for picture in (image, undistort_image(image, small, target)))
    return Straightened(
        view.name,
        _lined(before_uri, small, pixels, lines),
        _lined(after_uri, target, after, lines),
        bends[best],
        _bend(after, lines) * camera.width / small.width,
    )


def _rows(points: np.ndarray, found: Detection) -> list[np.ndarray]:
    """Indices of the points found of each row of the target, in order along it."""
    xy = points[found.ids]
    rows = []
    for y in np.unique(xy[:, 1].round(9)):
        row = np.flatnonzero(np.abs(xy[:, 1] - y) < 1e-8)
        if len(row) >= _LEAST_IN_ROW:
            rows.append(row[np.argsort(xy[row, 0])])
    return rows


def _bend(pixels: np.ndarray, rows: list[np.ndarray]) -> float:
    """Largest distance of a point from the line through the ends of its row, pixels."""
    worst = 0.0
    for row in rows:
        along = pixels[row[-1]] - pixels[row[0]]
        offset = pixels[row] - pixels[row[0]]
        off = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0]) / max(np.linalg.norm(along), 1e-9)
        worst = max(worst, float(off.max()))
    return worst


def _pinhole_that_shows(camera: Camera, pixels: np.ndarray) -> Camera | None:
    """A pinhole camera of the same place with as little blank edge as shows the whole board, not too large."""
    bearings = camera.unproject(pixels)
    for blank in _BLANKS:
        target = pinhole_for(camera, blank)
        seen = target.project(bearings)
        if np.isfinite(seen).all() and (seen > 0).all() and (seen < [target.width, target.height]).all():
            scale = min(1.0, _SIDE_PX / max(target.width, target.height))
            return target.rescaled(round(target.width * scale), round(target.height * scale))
    return None


def _uri(image: np.ndarray) -> str:
    from PIL import Image

    return jpeg_uri(Image.fromarray(image), _QUALITY)


def _lined(uri: str, camera: Camera, pixels: np.ndarray, rows: list[np.ndarray]) -> str:
    lines = "".join(
        f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>'
        for a, b in ((pixels[row[0]], pixels[row[-1]]) for row in rows)
    )
    return (
        f'<svg class="lined" viewBox="0 0 {camera.width} {camera.height}">'
        f'<image href="{uri}" width="{camera.width}" height="{camera.height}"/>{lines}</svg>'
    )
