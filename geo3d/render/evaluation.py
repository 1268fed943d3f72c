"""How good the views held out are: PSNR, SSIM and, where its package is there, LPIPS; and pictures to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.images import PhotoError
from geo3d.render.metrics import lpips, psnr, ssim, why_no_lpips
from geo3d.render.photos import LeaveOut, PhotoStream
from geo3d.render.views import PosedView
from geo3d.util.files import atomic_path

RenderImage = Callable[[Camera, SE3], np.ndarray]


@dataclass(frozen=True)
class ViewQuality:
    """One view held out.

    Attributes
    ----------
    name : str
    psnr_db, ssim : float
    lpips : float or None
        None without its package.
    """

    name: str
    psnr_db: float
    ssim: float
    lpips: float | None


@dataclass(frozen=True)
class EvaluationOptions:
    """How views are compared.

    Attributes
    ----------
    downscale : float
        The photos are reduced by this.
    background : (float, float, float)
        RGB in [0, 1], behind photos that have alpha.
    undistorted : bool
        Photos of a distorted lens are resampled to a pinhole; else the camera that is rendered has the lens.
    masked : bool
        Pixels that a mask leaves out do not count.
    perceptual : bool
        LPIPS too, if it is installed; it takes a second a view.
    samples : Path or None
        Folder for PNGs, each with the photo on the left and the rendering on the right.
    sample_count : int
        So many of the views, evenly chosen.
    """

    downscale: float = 1.0
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    undistorted: bool = True
    masked: bool = True
    perceptual: bool = True
    samples: Path | None = None
    sample_count: int = 8


def evaluate(
    render: RenderImage,
    views: Sequence[PosedView],
    options: EvaluationOptions,
    leave_out: LeaveOut | None = None,
) -> list[ViewQuality]:
    """Compare renderings with photos.

    Parameters
    ----------
    render : callable
        `render(camera, cam_from_world)` -> (H, W, 3) float32 before the background.
    views : sequence of PosedView
    options : EvaluationOptions
    leave_out : LeaveOut, optional
        As in `PhotoStream`; also of a photo that its mask covers whole.
    """
    perceptual = options.perceptual and why_no_lpips() is None
    count = min(options.sample_count, len(views))
    shown = set(np.linspace(0, len(views) - 1, count).round().astype(int).tolist())
    found = []
    # Each is looked at once: none is kept, beside those of the training that are.
    with PhotoStream(
        views,
        1.0 / options.downscale,
        options.background,
        cache_bytes=0,
        undistorted=options.undistorted,
        leave_out=leave_out,
    ) as stream:
        for row, photo in stream.in_order(range(len(views))):
            mask = photo.mask if options.masked else None
            if mask is not None and not mask.any():
                error = PhotoError(
                    views[row].mask or views[row].photo,
                    "the mask leaves no pixel to compare",
                    "White is what counts, black what does not.",
                )
                if leave_out is None:
                    raise error
                leave_out(views[row], error)
                continue
            image = np.clip(render(photo.camera, views[row].cam_from_world), 0.0, 1.0)
            found.append(
                ViewQuality(
                    views[row].name,
                    psnr(image, photo.color, mask),
                    ssim(image, photo.color, mask),
                    lpips(image, photo.color) if perceptual else None,
                )
            )
            if options.samples is not None and row in shown:
                # of all folders in one
                name = Path(views[row].name).with_suffix("").as_posix().replace("/", "_")
                _write_pair(options.samples / f"{name}.png", photo.color, image)
    return found


def mean_psnr(found: Sequence[ViewQuality]) -> float:
    """Of the views of `found`, dB; NaN where there is none."""
    return float(np.mean([view.psnr_db for view in found])) if found else float("nan")


def _write_pair(path: Path, photo: np.ndarray, image: np.ndarray) -> None:
    from PIL import Image

    both = np.concatenate([photo, image], axis=1)
    with atomic_path(path) as scratch:
        Image.fromarray((both * 255.0 + 0.5).astype(np.uint8)).save(scratch, "PNG")
