"""`geo3d stereo LEFT RIGHT`: the work on one pair."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cameras import Camera
from geo3d.cli.common import Session
from geo3d.geometry import SE3
from geo3d.images import read_photo
from geo3d.io import read_rig, write_camera_json, write_pfm, write_ply, write_png16
from geo3d.scene import CameraRig
from geo3d.stereo import (
    DisparityMap,
    PairGeometry,
    Rectification,
    RectifyOptions,
    StereoOptions,
    UncalibratedRectification,
    check_order,
    check_rectified,
    depth_to_points,
    disparity_range,
    disparity_to_depth,
    match,
    measure_pair,
    prepare_pair,
    rectify,
    rectify_uncalibrated,
)
from geo3d.util.files import write_bytes, write_text
from geo3d.util.require import require
from geo3d.viz.disparity import value_figure

if TYPE_CHECKING:
    from geo3d.cli.stereo import Options

_DISPARITY_SCALE = 256.0  # of the 16-bit PNG, KITTI's
_DEPTH_SCALE = 1000.0  # millimetres
_WORTH_A_WORD_PX = 1.0
_HOPELESS_PX = 5.0  # difference of rows, from which nothing can be matched along them
_MOST_WIDENINGS = 2
_CHANCE_SHARE = 0.05  # of matches with a negative disparity, below which they are taken for wrong


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two photos side by side, where they show something, and what turns disparity into depth."""

    left: np.ndarray
    right: np.ndarray
    valid: np.ndarray
    right_valid: np.ndarray
    camera: Camera | None
    baseline_m: float
    offset_px: float
    rectification: Rectification | UncalibratedRectification | None

    @property
    def notes(self) -> tuple[str, ...]:
        return self.rectification.notes if isinstance(self.rectification, Rectification) else ()


def run_pair(options: Options, session: Session) -> int:
    """Rectify two photos, match them, write what was found, and say how good it is."""
    with session.progress.stage("stereo", total=4) as stage:
        stage.update(0, text="rectify")
        pair = _rectified(options, session)
        if not (pair.valid.any() and pair.right_valid.any()):
            raise ValueError(
                "one of the photos is transparent in all that both show: there is nothing to match"
            )
        stage.update(1, text="measure")
        images = prepare_pair(pair.left, pair.right)
        geometry = measure_pair(images.left, images.right)
        if options.rectified:
            check_rectified(geometry)
        else:
            _check_rows(geometry, options, session)
            if options.calib is not None:
                check_order(
                    geometry
                )  # uncalibrated disparities are up to a constant: their sign says nothing
        stage.update(2, text="match")
        settings = _settings(options, geometry, images.left.shape[1])
        found, settings = _match(pair, settings, options)
        pair = replace(pair, valid=pair.valid & _shown_right(found, pair.right_valid))
        stage.update(3, text="write")
        options.out.mkdir(parents=True, exist_ok=True)
        files = _write(pair, found, settings, options)
        stage.update(4)
    _say(pair, found, settings, geometry, options, session)
    session.result(
        out=str(options.out),
        files=files,
        width=pair.left.shape[1],
        height=pair.left.shape[0],
        density=_density(pair, found),
        min_disparity=settings.min_disparity,
        max_disparity=settings.max_disparity,
        at_end=found.at_end,
        matches=geometry.count,
        vertical_px=geometry.vertical_px if geometry.count else None,
        baseline_m=pair.baseline_m if pair.camera else None,
        focal_px=float(pair.camera.params[0]) if pair.camera else None,
        notes=[*pair.notes, *found.notes],
    )
    return 0


def _rectified(options: Options, session: Session) -> _Pair:
    photos = [read_photo(path) for path in options.photos]
    sizes = [(photo.width, photo.height) for photo in photos]
    seen = [
        np.ones(photo.pixels.shape[:2], bool) if photo.alpha is None else photo.alpha > 127
        for photo in photos
    ]
    if options.calib is not None:
        return _by_calibration(options, options.calib, [photo.pixels for photo in photos], seen, session)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{options.photos[0]} has {sizes[0][0]}x{sizes[0][1]} pixels and {options.photos[1]} {sizes[1][0]}x"
            f"{sizes[1][1]}: a rectified pair is of one size; give --calib"
        )
    left, right = (photo.pixels for photo in photos)
    camera = None
    if options.uncalibrated:
        images = prepare_pair(left, right)
        found = rectify_uncalibrated(measure_pair(images.left, images.right), sizes[0])
        left, right = found.rectify_left(left), found.rectify_right(right)
        return _Pair(left, right, *_shown(found, seen), None, 0.0, 0.0, found)
    if options.focal is not None:
        width, height = sizes[0]
        camera = Camera("PINHOLE", width, height, [options.focal, options.focal, 0.5 * width, 0.5 * height])
    return _Pair(left, right, seen[0], seen[1], camera, options.baseline or 0.0, options.offset or 0.0, None)


def _by_calibration(
    options: Options, calib: Path, photos: list[np.ndarray], seen: list[np.ndarray], session: Session
) -> _Pair:
    size = photos[0].shape[1], photos[0].shape[0]
    rig = read_rig(calib, size)
    one, two = _two_cameras(rig, options)
    cameras = [_of_size(rig, i, photo, path) for i, photo, path in zip((one, two), photos, options.photos)]
    right_from_left = rig.cam_from_rig[two] @ rig.cam_from_rig[one].inverse()
    if _swapped(right_from_left):
        session.progress.warn(
            f"{options.photos[0].name} was taken by {rig.names[one]!r}, which stands to the right of "
            f"{rig.names[two]!r}: left and right are swapped, and the depth is that of {options.photos[1].name}"
        )
        cameras, photos, seen = cameras[::-1], photos[::-1], seen[::-1]
        right_from_left = right_from_left.inverse()
    wanted = RectifyOptions(options.rectify, options.alpha or 0.0, options.fov)
    found = rectify(cameras[0], cameras[1], right_from_left, wanted)
    left, right = found.rectify_left(photos[0]), found.rectify_right(photos[1])
    return _Pair(left, right, *_shown(found, seen), found.camera, found.baseline_m, 0.0, found)


def _shown(
    found: Rectification | UncalibratedRectification, seen: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool of the rectified left and right photo: what lies in the photo and is not transparent."""
    left, right = (mask.astype(np.uint8) for mask in seen)
    return found.left_valid & (found.rectify_left(left) > 0), found.right_valid & (
        found.rectify_right(right) > 0
    )


def _shown_right(found: DisparityMap, right_valid: np.ndarray) -> np.ndarray:
    """(H, W) bool of the left photo: what was not matched with something that the right photo does not show.

    What lies beyond the right photo was matched with nothing, and is guessed.
    """
    columns = np.arange(right_valid.shape[1])
    there = np.round(columns - found.filled).astype(np.int64)
    inside = (there >= 0) & (there < right_valid.shape[1])
    rows = np.arange(len(right_valid))[:, None]
    return ~inside | right_valid[rows, np.where(inside, there, 0)]


def _swapped(right_from_left: SE3) -> bool:
    x, y, z = right_from_left.center()
    return bool(x < -max(abs(y), 0.5 * abs(z)))  # above each other or one before the other is another matter


def _two_cameras(rig: CameraRig, options: Options) -> tuple[int, int]:
    """Rows of the rig: those that were named, or whose names the photos or their folders bear, or the only two."""
    if options.cameras:
        missing = [name for name in options.cameras if name not in rig.names]
        if missing:
            raise ValueError(f"--cameras: {missing[0]!r} is not in the rig, which has {', '.join(rig.names)}")
        return rig.names.index(options.cameras[0]), rig.names.index(options.cameras[1])
    found = []
    for path in options.photos:
        absolute = path.resolve()
        stem = absolute.stem.lower()
        words = {stem, stem.strip("0123456789-_. "), absolute.parent.name.lower()}
        found.append([i for i, name in enumerate(rig.names) if name.lower() in words])
    if all(len(rows) == 1 for rows in found) and found[0] != found[1]:
        return found[0][0], found[1][0]
    if len(rig.names) != 2:
        raise ValueError(
            f"the rig has {len(rig.names)} cameras ({', '.join(rig.names)}): say which took the photos, --cameras "
            f"{rig.names[0]} {rig.names[-1]}"
        )
    return 0, 1


def _of_size(rig: CameraRig, row: int, photo: np.ndarray, path: Path) -> Camera:
    """The camera for the photo's size."""
    camera, (height, width) = rig.cameras[row], photo.shape[:2]
    if (camera.width, camera.height) == (width, height):
        return camera
    if abs(camera.width * height - camera.height * width) > max(camera.width, camera.height, width, height):
        raise ValueError(
            f"{path} has {width}x{height} pixels, and camera {rig.names[row]!r} of the rig {camera.width}x"
            f"{camera.height}: that is another shape, so it is not the calibration of this photo"
        )
    return camera.rescaled(width, height)


def _check_rows(geometry: PairGeometry, options: Options, session: Session) -> None:
    """Refuse photos whose rows lie far apart after rectification."""
    if not geometry.count or geometry.vertical_px <= _HOPELESS_PX:
        return
    start = f"the rows of {geometry.count} matched points differ by {geometry.vertical_px:.0f} px after rectification: "
    if options.calib is None:
        raise ValueError(
            start + "too many of the matches are wrong; give the calibration of the rig, --calib"
        )
    other = _rectified(replace(options, photos=options.photos[::-1]), session)
    images = prepare_pair(other.left, other.right)
    if measure_pair(images.left, images.right).vertical_px < _WORTH_A_WORD_PX:
        raise ValueError(start + "left and right are swapped; give the photos the other way round")
    raise ValueError(
        start
        + f"{options.calib} is not the calibration of these photos, or the cameras have moved since; calibrate "
        "again"
    )


def _settings(options: Options, geometry: PairGeometry, width: int) -> StereoOptions:
    low, high = disparity_range(geometry, width)
    if options.calib is not None:
        low = max(low, 0)  # the cameras are parallel: what is infinitely far has 0
    if options.rectified and low < 0 and float((geometry.disparities_px < 0.0).mean()) < _CHANCE_SHARE:
        low = 0  # patterns that repeat give some wrong matches
    low = low if options.min_disparity is None else options.min_disparity
    high = max(high, low + 15) if options.max_disparity is None else options.max_disparity
    return StereoOptions(options.method, options.quality, low, high)


def _match(pair: _Pair, settings: StereoOptions, options: Options) -> tuple[DisparityMap, StereoOptions]:
    """Match; where the range was guessed and cuts the scene off, again with a longer one."""
    found = match(pair.left, pair.right, settings)
    for _ in range(_MOST_WIDENINGS):
        longer = min(2 * settings.max_disparity - settings.min_disparity + 1, pair.left.shape[1] - 1)
        if options.max_disparity is not None or found.at_end < 0.02 or longer <= settings.max_disparity:
            break
        settings = replace(settings, max_disparity=longer)
        found = match(pair.left, pair.right, settings)
    return found, settings


def _density(pair: _Pair, found: DisparityMap) -> float:
    """Share of the pixels that are known, of those that the photos show."""
    shown = np.count_nonzero(pair.valid)
    return np.count_nonzero(np.isfinite(found.disparity) & pair.valid) / max(shown, 1)


def _write(pair: _Pair, found: DisparityMap, settings: StereoOptions, options: Options) -> list[str]:
    """Write all files; their names."""
    cv2 = require("cv2")
    out = options.out
    disparity = np.where(pair.valid, found.filled if options.filled else found.disparity, np.float32(np.nan))

    def picture(name: str, image: np.ndarray) -> None:
        pixels = image[..., ::-1] if image.ndim == 3 else image
        write_bytes(out / name, cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
        names.append(name)

    names: list[str] = []
    if pair.rectification is not None:
        picture("left.png", pair.left)
        picture("right.png", pair.right)
    write_pfm(out / "disparity.pfm", disparity)
    write_png16(out / "disparity.png", disparity, _DISPARITY_SCALE)
    picture("confidence.png", np.round(255 * np.where(pair.valid, found.confidence, 0)).astype(np.uint8))
    picture("disparity_colors.png", value_figure(disparity, "disparity, px"))
    names += ["disparity.pfm", "disparity.png"]
    content: dict[str, object] = {
        "min_disparity": settings.min_disparity,
        "max_disparity": settings.max_disparity,
        "density": _density(pair, found),
        "disparity_png_scale": _DISPARITY_SCALE,
    }
    if pair.camera is not None:
        names += _write_depth(pair, disparity, found, options)
        content |= {
            "depth_png_scale": _DEPTH_SCALE,
            "focal_px": float(pair.camera.params[0]),
            "baseline_m": pair.baseline_m,
            "offset_px": pair.offset_px,
        }
    if isinstance(pair.rectification, Rectification):
        content["rectified_from_left"] = pair.rectification.rectified_from_left.tolist()
        content["rectified_from_right"] = pair.rectification.rectified_from_right.tolist()
    elif pair.rectification is not None:
        content["homography_left"] = pair.rectification.left.tolist()
        content["homography_right"] = pair.rectification.right.tolist()
    write_text(out / "stereo.json", json.dumps(content, indent=2) + "\n")
    return [*names, "stereo.json"]


def _write_depth(pair: _Pair, disparity: np.ndarray, found: DisparityMap, options: Options) -> list[str]:
    camera, out = pair.camera, options.out
    assert camera is not None
    depth = disparity_to_depth(
        disparity, float(camera.params[0]), pair.baseline_m, pair.offset_px, found.sigma_px
    )
    assert depth.sigma is not None
    write_pfm(out / "depth.pfm", depth.depth)
    write_pfm(out / "depth_std.pfm", depth.sigma)
    write_png16(out / "depth.png", depth.depth, _DEPTH_SCALE)
    figure = value_figure(depth.depth, "depth, m")
    data = require("cv2").imencode(".png", np.ascontiguousarray(figure[..., ::-1]))[1].tobytes()
    write_bytes(out / "depth_colors.png", data)
    points, pixels = depth_to_points(depth.depth, camera)
    colors = pair.left if pair.left.ndim == 3 else np.repeat(pair.left[..., None], 3, axis=2)
    write_ply(out / "points.ply", points.astype(np.float32), colors[pixels[:, 1], pixels[:, 0]])
    write_camera_json(out / "camera.json", camera)
    return ["depth.pfm", "depth_std.pfm", "depth.png", "depth_colors.png", "points.ply", "camera.json"]


def _say(
    pair: _Pair,
    found: DisparityMap,
    settings: StereoOptions,
    geometry: PairGeometry,
    options: Options,
    session: Session,
) -> None:
    height, width = pair.left.shape[:2]
    for note in [*pair.notes, *found.notes]:
        session.progress.warn(note)
    if geometry.count:
        session.say(
            f"Rows of {geometry.count:,} matched points differ by {geometry.vertical_px:.2f} px in the median, "
            f"{geometry.vertical_95_px:.2f} px at most in 95 % of them."
        )
        if geometry.vertical_px > _WORTH_A_WORD_PX:
            session.progress.warn(
                f"the rows of the rectified photos differ by {geometry.vertical_px:.1f} px: the calibration is not "
                "that of these photos, or the cameras have moved since; calibrate again"
            )
    session.say(
        f"{options.out}: {width}x{height}, disparities {settings.min_disparity} to {settings.max_disparity} px "
        f"searched, {100 * _density(pair, found):.0f} % of the pixels known"
    )
    if pair.camera is not None:
        depth = disparity_to_depth(
            found.disparity, float(pair.camera.params[0]), pair.baseline_m, pair.offset_px, found.sigma_px
        )
        assert depth.sigma is not None
        known = np.isfinite(depth.depth) & pair.valid
        if not known.any():
            session.progress.warn("no pixel has a depth: none that is known lies in front of the cameras")
            return
        low, middle, high = np.percentile(depth.depth[known], [2, 50, 98])
        session.say(
            f"Depth {low:.3g} to {high:.3g} m, {middle:.3g} m in the median with a standard deviation of "
            f"{np.median(depth.sigma[known]):.2g} m."
        )
    else:
        session.say("No depth: that needs --calib, or --focal and --baseline.")
