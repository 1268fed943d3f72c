"""Rectification of a calibrated pair: virtual pinhole cameras side by side, in which a point has the same row.

The new x axis runs from the left camera to the right one. The new z axis is, of the directions at right angles to it,
the nearest to where the left camera looks (Fusiello, Trucco and Verri 2000) or to the mean of where both look, which
bends neither image more than the other (after Bouguet). Both cameras share K, so disparity x_left - x_right is
f B / Z. The lenses may be any of geo3d.cameras; what a virtual image shows of a fisheye is chosen by its field of view.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geo3d.cameras import Camera, remap_image, undistort_map, valid_rectangle
from geo3d.geometry import SE3

_WIDEST_DEG = 120.0  # of a virtual image, unless asked for more: the tangent stretches what is farther out
_GRID = 241  # a side, on which the field that both cameras see is measured
_LONGEST_SIDE = 32_766  # of an image that OpenCV resamples
_TURNED_DEG = 30.0  # from which the virtual images' turn against the photos is worth a word
_NEARLY_FORWARD = np.cos(np.radians(25.0))


@dataclass(frozen=True)
class RectifyOptions:
    """How a pair is rectified.

    Attributes
    ----------
    method : "bouguet" or "fusiello"
        Whether the new axis is the mean of both cameras' or the left one's.
    blank : float
        0: every pixel of the new images is seen by both cameras; 1: all that either saw; or between.
    fov_deg : float, optional
        Widest field of view of the new images, across and down, degrees below 170; 120 where it is left out.
    scale : float
        Size of the new images; 1 keeps the mean resolution of the middle of the photos.
    """

    method: Literal["bouguet", "fusiello"] = "bouguet"
    blank: float = 0.0
    fov_deg: float | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in ("bouguet", "fusiello"):
            raise ValueError(f'method: expected "bouguet" or "fusiello", got {self.method!r}')
        if not 0.0 <= self.blank <= 1.0:
            raise ValueError(f"blank: expected a number from 0 to 1, got {self.blank}")
        if self.fov_deg is not None and not 1.0 <= self.fov_deg < 170.0:
            raise ValueError(f"fov_deg: expected from 1 to 170 degrees, got {self.fov_deg}")
        if not 0.01 <= self.scale <= 100.0:
            raise ValueError(f"scale: expected from 0.01 to 100, got {self.scale}")


@dataclass(frozen=True, eq=False)
class Rectification:
    """Two virtual cameras side by side, and where their pixels come from.

    Attributes
    ----------
    camera : Camera
        PINHOLE, fx = fy, of both virtual images.
    baseline_m : float
        Distance of the cameras, in the unit of the rig.
    rectified_from_left, rectified_from_right : (3, 3) float64
        Rotations from the photos' camera frames into the virtual ones.
    left_map, right_map : (H, W, 2) float32
        Place of each virtual pixel in the photo; NaN where the lens saw nothing.
    left_valid, right_valid : (H, W) bool
        Where the photo has something.
    notes : tuple of str
        What is unusual about the rig, in words.
    """

    camera: Camera
    baseline_m: float
    rectified_from_left: np.ndarray
    rectified_from_right: np.ndarray
    left_map: np.ndarray
    right_map: np.ndarray
    left_valid: np.ndarray
    right_valid: np.ndarray
    notes: tuple[str, ...]

    @property
    def focal_px(self) -> float:
        """Focal length of the virtual cameras, pixels."""
        return float(self.camera.params[0])

    def rectify_left(self, image: np.ndarray) -> np.ndarray:
        """The left photo, (H, W) or (H, W, C), as its virtual camera sees it; black where it saw nothing."""
        return remap_image(image, self.left_map)

    def rectify_right(self, image: np.ndarray) -> np.ndarray:
        """The right photo, (H, W) or (H, W, C), as its virtual camera sees it; black where it saw nothing."""
        return remap_image(image, self.right_map)


def rectify(
    left: Camera, right: Camera, right_from_left: SE3, options: RectifyOptions | None = None
) -> Rectification:
    """Rectify a calibrated pair.

    Parameters
    ----------
    left, right : Camera
        Of any model.
    right_from_left : SE3
        `x_right = R @ x_left + t`, in metres if the depths are to be.
    options : RectifyOptions, optional

    Raises
    ------
    ValueError
        If the cameras are at one place, swapped, one before the other, or look at nothing in common.
    """
    options = options or RectifyOptions()
    turn_left, turn_right, baseline, notes = _rotations(right_from_left, options)
    camera = _virtual_camera(left, right, turn_left, turn_right, options)
    left_map = undistort_map(left, camera, turn_left)
    right_map = undistort_map(right, camera, turn_right)
    return Rectification(
        camera,
        baseline,
        turn_left,
        turn_right,
        left_map,
        right_map,
        _inside(left_map, left),
        _inside(right_map, right),
        notes,
    )


def _inside(places: np.ndarray, camera: Camera) -> np.ndarray:
    x, y = places[..., 0], places[..., 1]
    with np.errstate(invalid="ignore"):
        return (x >= 0.0) & (x <= camera.width) & (y >= 0.0) & (y <= camera.height)


def _rotations(
    right_from_left: SE3, options: RectifyOptions
) -> tuple[np.ndarray, np.ndarray, float, tuple[str, ...]]:
    """Rotations of the left and the right camera, the baseline, and what is unusual."""
    rotation = right_from_left.rotation
    centre = right_from_left.center()  # of the right camera, in the left one's frame
    baseline = float(np.linalg.norm(centre))
    if not baseline > 1e-9:
        raise ValueError(
            "right_from_left: by the calibration both cameras are at one place (baseline 0), so there is no depth to "
            "see; calibrate the rig again, with cameras that stand apart"
        )
    x = centre / baseline
    forward_right = rotation[2]  # where the right camera looks, in the left one's frame
    looks = np.array([0.0, 0.0, 1.0])
    if looks @ forward_right < np.cos(np.radians(100.0)):
        raise ValueError(
            f"right_from_left: the cameras look {np.degrees(np.arccos(looks @ forward_right)):.0f} degrees apart; "
            "expected a pair that sees the same thing"
        )
    if options.method == "bouguet":
        looks = looks + forward_right
        looks /= np.linalg.norm(looks)
    if abs(x @ looks) > _NEARLY_FORWARD:
        raise ValueError(
            "right_from_left: by the calibration one camera stands before the other along the line of sight, so rows "
            "can't be made to match; expected cameras side by side"
        )
    if x[0] < -abs(x[1]):
        raise ValueError(
            "left and right are swapped: by the calibration the right camera stands to the left of the left one; "
            "give them the other way round"
        )
    z = looks - (looks @ x) * x
    z /= np.linalg.norm(z)
    turn_left = np.stack([x, np.cross(z, x), z])
    return turn_left, turn_left @ rotation.T, baseline, _notes(turn_left, rotation)


def _notes(turn_left: np.ndarray, rotation: np.ndarray) -> tuple[str, ...]:
    notes = []
    x = turn_left[0]
    angle = np.degrees(np.arctan2(x[1], x[0]))
    if abs(x[1]) > abs(x[0]):
        notes.append(
            "The cameras stand above each other (a vertical rig): the rectified images are turned by "
            f"{angle:.0f} degrees against the photos."
        )
    elif abs(angle) > _TURNED_DEG:
        notes.append(
            f"The cameras stand along a line at {angle:.0f} degrees to the rows of the left photo: the rectified "
            "images are turned by that."
        )
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    if abs(roll) > _TURNED_DEG:
        notes.append(f"The right camera is rolled by {roll:.0f} degrees against the left one.")
    return tuple(notes)


def _virtual_camera(
    left: Camera, right: Camera, turn_left: np.ndarray, turn_right: np.ndarray, options: RectifyOptions
) -> Camera:
    """The camera whose image shows what both see, or what either does."""
    reach = np.tan(0.5 * np.radians(options.fov_deg or _WIDEST_DEG))
    # The field, on the plane z = 1 of the virtual cameras; made finer around what is seen in a second round.
    window = np.array([-reach, reach, -reach, reach])
    for _ in range(2):
        x, y = np.linspace(window[0], window[1], _GRID), np.linspace(window[2], window[3], _GRID)
        rays = np.stack([*np.meshgrid(x, y), np.ones((_GRID, _GRID))], axis=-1)
        one = _inside(left.project(rays @ turn_left), left)
        two = _inside(right.project(rays @ turn_right), right)
        both = one & two
        if not both.any():
            raise ValueError(
                "the cameras see nothing in common within the field of view of the rectified images; check the poses "
                "of the calibration" + ("" if options.fov_deg is None else ", or give a larger fov_deg")
            )
        outer = np.array([*_ends(x, np.any(one | two, axis=0)), *_ends(y, np.any(one | two, axis=1))])
        window = outer
    places = np.where(both[..., None], [0.5, 0.5], np.nan)
    column, row, width, height = valid_rectangle(places, 1, 1)
    inner = np.array([x[column], x[column + width - 1], y[row], y[row + height - 1]])
    bounds = (1.0 - options.blank) * inner + options.blank * outer
    focal = options.scale * np.mean([_central_focal(camera) for camera in (left, right)])
    size = [int(np.floor(focal * (bounds[2 * i + 1] - bounds[2 * i]))) for i in (0, 1)]
    if min(size) < 16:
        raise ValueError(
            f"the rectified images would have {size[0]}x{size[1]} pixels: the cameras see next to nothing in common; "
            "check the poses of the calibration, or give blank = 1"
        )
    if max(size) > _LONGEST_SIDE:
        raise ValueError(
            f"the rectified images would have {size[0]}x{size[1]} pixels, more than {_LONGEST_SIDE} a side; give a "
            "smaller scale, blank or fov_deg"
        )
    return Camera("PINHOLE", size[0], size[1], [focal, focal, -focal * bounds[0], -focal * bounds[2]])


def _ends(values: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """First and last value that is seen, with the one beyond."""
    at = np.flatnonzero(seen)
    return float(values[max(at[0] - 1, 0)]), float(values[min(at[-1] + 1, len(values) - 1)])


def _central_focal(camera: Camera) -> float:
    """Pixels per unit of x / z and y / z on the axis, their geometric mean."""
    scale = camera.project_with_jacobians([0.0, 0.0, 1.0]).d_point
    return float(np.sqrt(abs(np.linalg.det(scale[:, :2]))))
