"""Figures of a reconstruction: how many photos, how many points, how well do they fit.

The reprojection error of an observation is `|project(x_cam) - keypoint|` in pixels. A point that is not in
front of its camera has none: it is NaN, left out of the means, and counted in `behind_camera`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.scene import Reconstruction


@dataclass(frozen=True)
class ViewSummary:
    """One registered photo."""

    name: str
    camera_id: int
    keypoints: int
    observations: int
    mean_error_px: float  # NaN where there is no observation
    median_error_px: float


@dataclass(frozen=True)
class ModelSummary:
    """One connected model."""

    views: tuple[ViewSummary, ...]  # registered, in the order of their names
    points: int
    observations: int
    cameras: int
    mean_track_length: float
    mean_error_px: float  # over all observations
    median_error_px: float
    behind_camera: int  # observations whose point is not in front of their camera

    @property
    def registered(self) -> int:
        """Number of registered photos."""
        return len(self.views)


def reprojection_errors(reconstruction: Reconstruction) -> np.ndarray:
    """(O,) reprojection error of each observation in pixels; NaN where the point does not project.

    Rows are those of `reconstruction.points.view_ids`.
    """
    points = reconstruction.points
    errors = np.full(len(points.view_ids), np.nan)
    rows = points.point_rows
    order = np.argsort(points.view_ids, kind="stable")
    ids, starts = np.unique(points.view_ids[order], return_index=True)
    for view_id, part in zip(ids, np.split(order, starts[1:])):
        view = reconstruction.views[int(view_id)]
        if view.cam_from_world is None:
            continue
        camera = reconstruction.cameras[view.camera_id]
        pixels = camera.project(view.cam_from_world.act(points.xyz[rows[part]]))
        errors[part] = np.linalg.norm(pixels - view.keypoints[points.keypoints[part]], axis=1)
    return errors


def summarize(reconstruction: Reconstruction, errors: np.ndarray | None = None) -> ModelSummary:
    """Figures of one model.

    Parameters
    ----------
    reconstruction : Reconstruction
    errors : (O,) float64, optional
        Those of `reprojection_errors`, px, where they are at hand.
    """
    points = reconstruction.points
    errors = reprojection_errors(reconstruction) if errors is None else errors
    views = []
    for view_id in reconstruction.registered():
        view = reconstruction.views[view_id]
        own = errors[points.view_ids == view_id]
        views.append(
            ViewSummary(view.name, view.camera_id, len(view.keypoints), len(own), _mean(own), _median(own))
        )
    views.sort(key=lambda v: v.name)
    return ModelSummary(
        views=tuple(views),
        points=len(points),
        observations=len(points.view_ids),
        cameras=len({v.camera_id for v in views}),
        mean_track_length=len(points.view_ids) / len(points) if len(points) else 0.0,
        mean_error_px=_mean(errors),
        median_error_px=_median(errors),
        behind_camera=int(np.isnan(errors).sum()),
    )


def two_digits(value: float) -> str:
    """A deviation with two significant digits and no exponent.

    >>> [two_digits(v) for v in (113.0, 4.62, 0.00049, 0.0000123)]
    ['110', '4.6', '0.00049', '0.000012']
    """
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")


def _mean(errors: np.ndarray) -> float:
    good = errors[np.isfinite(errors)]
    return float(good.mean()) if len(good) else float("nan")


def _median(errors: np.ndarray) -> float:
    good = errors[np.isfinite(errors)]
    return float(np.median(good)) if len(good) else float("nan")
