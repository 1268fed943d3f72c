"""`geo3d flow FRAME1 FRAME2`: the work on two images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.cli.common import Session
from geo3d.cli.flow_moving import find_moving, moving_fields, say_moving, write_moving
from geo3d.flow import (
    METHODS,
    EgoMotion,
    FlowErrors,
    FlowResult,
    flow_errors,
    leaves_image,
    optical_flow,
    patch_match,
)
from geo3d.images import Photo, read_photo
from geo3d.io import read_flow, write_flow
from geo3d.util.files import write_bytes
from geo3d.util.require import require
from geo3d.viz.flow import arrow_figure, flow_error_figure, flow_figure

if TYPE_CHECKING:
    from geo3d.cli.flow import Options

_SURE = 0.5  # confidence: more likely right to a pixel than not
_SEEN_PX = 0.001  # motion of 99 % of the pixels, below which there is none but for rounding
_FEW = 0.3  # share of sure pixels, below which something is likely wrong


def run_pair(options: Options, session: Session) -> int:
    """Find the flow of two images, write it, and say what moved and how far it is to be believed."""
    with session.progress.stage("flow", total=3) as stage:
        stage.update(0, text="read")
        photos = [read_photo(path) for path in options.images]
        _check_sizes(options, photos)
        truth = None if options.truth is None else _read_truth(options.truth, photos[0])
        stage.update(1, text=options.method)
        found = _find(options, photos)
        motion = find_moving(found) if options.moving else None
        errors = None if truth is None else flow_errors(found.flow, truth)
        stage.update(2, text="write")
        too_large = write_flow(options.out, found.flow)
        files = [options.out.name, *_write_pictures(options, photos[0], found, truth)]
        if motion is not None:
            files.append(write_moving(motion, options.out.with_name(f"{options.out.stem}_moving.png")))
        stage.update(3)
    if too_large:
        session.progress.warn(
            f"{too_large:,} pixels moved farther than a PNG holds, 512 px, and are written as not known; .flo holds all"
        )
    _say(options, photos, found, errors, session)
    if motion is not None:
        say_moving(motion, session)
    return _result(options, found, errors, motion, files, session)


def _check_sizes(options: Options, photos: list[Photo]) -> None:
    sizes = [f"{photo.width}x{photo.height}" for photo in photos]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{options.images[0]} has {sizes[0]} pixels and {options.images[1]} {sizes[1]}: flow needs two images of "
            "one size; resize or crop one"
        )
    if min(photos[0].width, photos[0].height) < 16:
        raise ValueError(
            f"{options.images[0]} has {sizes[0]} pixels: flow needs images of at least 16 a side"
        )


def _read_truth(path: Path, photo: Photo) -> np.ndarray:
    truth = read_flow(path)
    if truth.shape[:2] != (photo.height, photo.width):
        raise ValueError(
            f"--truth {path} has {truth.shape[1]}x{truth.shape[0]} pixels, the images {photo.width}x{photo.height}"
        )
    if np.isnan(truth).all():
        raise ValueError(
            f"--truth {path}: the flow is known at no pixel, so that there is nothing to compare with"
        )
    return truth


def _find(options: Options, photos: list[Photo]) -> FlowResult:
    if options.method == "patchmatch":
        return patch_match(_seen(photos[0]), _seen(photos[1]))
    settings = None
    if options.weights is not None:
        settings = METHODS[options.method].options(weights=options.weights)
    return optical_flow(_seen(photos[0]), _seen(photos[1]), options.method, settings)


def _seen(photo: Photo) -> np.ndarray:
    """The colours; of a photo with transparent pixels as floats, NaN there."""
    if photo.alpha is None or photo.alpha.min() > 127:
        return photo.pixels
    return np.where((photo.alpha > 127)[..., None], photo.pixels / np.float32(255.0), np.float32(np.nan))


def _write_pictures(options: Options, photo: Photo, found: FlowResult, truth: np.ndarray | None) -> list[str]:
    """Write what shows the flow; the names of the files."""
    pictures = {"colors": flow_figure(found.flow)}
    if truth is not None:
        pictures["error"] = flow_error_figure(found.flow, truth)
    if options.maps:
        pictures["arrows"] = arrow_figure(photo.pixels, found.flow)
        pictures["confidence"] = np.round(255 * found.confidence).astype(np.uint8)
        pictures["occlusion"] = np.where(found.occlusion, np.uint8(255), np.uint8(0))
    names = []
    for what, picture in pictures.items():
        pixels = picture[..., ::-1] if picture.ndim == 3 else picture
        done, data = require("cv2").imencode(".png", np.ascontiguousarray(pixels))
        assert done
        names.append(f"{options.out.stem}_{what}.png")
        write_bytes(options.out.with_name(names[-1]), data.tobytes())
    return names


def _say(
    options: Options, photos: list[Photo], found: FlowResult, errors: FlowErrors | None, session: Session
) -> None:
    sure = float((found.confidence > _SURE).mean())
    for path, photo in zip(options.images, photos):
        if int(photo.pixels.max()) == int(photo.pixels.min()):
            session.progress.warn(f"{path.name} has one colour only: there is no motion to be seen in it")
            break
    else:
        if np.array_equal(photos[0].pixels, photos[1].pixels):
            session.progress.warn("the two images are the same: nothing moved")
        elif sure < _FEW:
            session.progress.warn(
                f"only {100 * sure:.0f} % of the flow is likely right to a pixel: do the images show the same, with "
                "texture? A motion of more than a tenth of the image is rarely found"
            )
    lengths = np.hypot(found.flow[..., 0], found.flow[..., 1])
    lengths = lengths[np.isfinite(lengths)]
    middle, most = np.percentile(lengths, [50, 99]) if lengths.size else (0.0, 0.0)
    left = leaves_image(found.flow) & np.isfinite(found.flow).all(axis=2)
    hidden = float((found.occlusion & ~left).mean())
    motion = (
        f"motion of {middle:.2g} px in the median, 99 % below {most:.2g} px"
        if most > _SEEN_PX
        else "no motion"
    )
    session.say(f"{options.out}: {photos[0].width}x{photos[0].height}, {motion}")
    session.say(
        f"{100 * sure:.0f} % of it is likely right to a pixel; {100 * hidden:.1f} % of the first image is hidden in "
        f"the second, {100 * left.mean():.1f} % leaves it."
    )
    if errors is not None:
        session.say(
            f"Against the truth, known at {errors.count:,} pixels: mean endpoint error {errors.epe_px:.3f} px, median "
            f"{errors.epe_median_px:.3f} px; {errors.r1_pct:.1f} % above 1 px, {errors.r3_pct:.1f} % above 3 px; "
            f"Fl-all {errors.fl_all_pct:.2f} %; angular error {errors.angular_error_deg:.2f} degrees."
        )


def _result(
    options: Options,
    found: FlowResult,
    errors: FlowErrors | None,
    motion: EgoMotion | None,
    files: list[str],
    session: Session,
) -> int:
    lengths = np.hypot(found.flow[..., 0], found.flow[..., 1])
    lengths = lengths[np.isfinite(lengths)]
    session.result(
        out=str(options.out),
        files=files,
        method=found.method,
        width=found.flow.shape[1],
        height=found.flow.shape[0],
        median_px=float(np.median(lengths)) if lengths.size else None,
        sure=float((found.confidence > _SURE).mean()),
        occluded=float(found.occlusion.mean()),
        errors=None if errors is None else vars(errors),
        moving=None if motion is None else moving_fields(motion),
    )
    return 0
