"""A calibrated camera with the photos that it rests on: what advice and the report are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration.board_fit import BoardFit
from geo3d.calibration.board_shape import depths, shape_terms
from geo3d.calibration.detection import Detection
from geo3d.calibration.targets import Target
from geo3d.calibration.uncertainty import image_grid, projection_uncertainty, shared_covariance
from geo3d.cameras import Camera
from geo3d.geometry import SE3

if TYPE_CHECKING:
    from geo3d.calibration.calibrate import Calibration
    from geo3d.calibration.calibrate_rig import RigCalibration
    from geo3d.calibration.find_boards import FoundBoards
    from geo3d.calibration.held_out import HeldOut
    from geo3d.calibration.photo_measures import PhotoMeasures

_UNUSED = "its points fit no pose of the board as well as those of the other photos do"


@dataclass(frozen=True, eq=False)
class BoardView:
    """A photo that the calibration rests on.

    Attributes
    ----------
    name : str
    detection : Detection
    cam_from_board : SE3
        Metres.
    used : (N,) bool, optional
        Corners that the fit went by; all when left out.
    blur_px : float, optional
        Standard deviation of the blur over the board.
    """

    name: str
    detection: Detection
    cam_from_board: SE3
    used: np.ndarray | None = None
    blur_px: float | None = None


@dataclass(frozen=True, eq=False)
class CameraEvidence:
    """One camera, and what its photos showed.

    Attributes
    ----------
    camera : Camera
    target : Target
    views : list of BoardView
        Photos that were used.
    shape : (B,) float64
        Coefficients of the board's shape, metres (`shape_terms`).
    params_std : (P,) float64
        Standard deviations of the camera's parameters.
    correlations : (P, P) float64, optional
        Of the camera's parameters.
    left_out : dict of str to str
        Photo to why it was not used.
    held_out_rms_px : float, optional
        Error in photos that were held out, over those that are used, where it was measured.
    tried : sequence of HeldOut
        Lens models among which this one was chosen.
    uncertainty_px : (H', W') float64, optional
        Standard deviation of the projection over a grid of the whole image, rows down; NaN where nothing is seen.
    lit : (R, C) bool, optional
        Cells of the image, rows down, in which some photo shows something: a fisheye image may be a circle in black.
        All of them when left out.
    metric : bool
        The board's lengths are known; otherwise only ratios of lengths mean something.
    name : str
        Of the camera, where there are several.
    """

    camera: Camera
    target: Target
    views: list[BoardView]
    shape: np.ndarray
    params_std: np.ndarray
    correlations: np.ndarray | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    held_out_rms_px: float | None = None
    tried: Sequence[HeldOut] = ()
    uncertainty_px: np.ndarray | None = None
    lit: np.ndarray | None = None
    metric: bool = True
    name: str = ""

    @cached_property
    def points(self) -> np.ndarray:
        """(N, 3) of the target with the shape that was found, metres."""
        points = self.target.points.copy()
        points[:, 2] += shape_terms(points, len(self.shape)) @ self.shape
        return points

    @cached_property
    def residuals(self) -> list[np.ndarray]:
        """(N, 2) projected less found of each photo, pixels; NaN where the camera cannot see the point."""
        return [
            self.camera.project(v.cam_from_board.act(self.points[v.detection.ids])) - v.detection.pixels
            for v in self.views
        ]

    @cached_property
    def pixels(self) -> np.ndarray:
        """(M, 2) all corners of the photos that were used."""
        return np.concatenate([v.detection.pixels for v in self.views])

    @cached_property
    def photo(self) -> np.ndarray:
        """(M,) row of `views` of each of them."""
        return np.repeat(np.arange(len(self.views)), [len(v.detection) for v in self.views])

    @cached_property
    def errors_px(self) -> np.ndarray:
        """(M,) distance between found and projected of each of them."""
        return np.linalg.norm(np.concatenate(self.residuals), axis=1)

    @cached_property
    def used(self) -> np.ndarray:
        """(M,) whether the fit went by each of them."""
        return np.concatenate(
            [np.ones(len(v.detection), bool) if v.used is None else v.used for v in self.views]
        )

    @cached_property
    def bow_m(self) -> float:
        """Between the nearest and the farthest point of the board's face, off the plane next to it, metres."""
        return float(np.ptp(depths(self.target.points, self.shape)))

    def lit_at(self, pixels: np.ndarray) -> np.ndarray:
        """(...) whether the lens shows something at pixels (..., 2) of the image."""
        if self.lit is None:
            return np.ones(np.shape(pixels)[:-1], bool)
        rows, columns = self.lit.shape
        cell = (pixels * np.array([columns / self.camera.width, rows / self.camera.height])).astype(int)
        return self.lit[np.clip(cell[..., 1], 0, rows - 1), np.clip(cell[..., 0], 0, columns - 1)]

    @cached_property
    def shown_uncertainty_px(self) -> np.ndarray | None:
        """(H', W') the uncertainty, NaN where the lens shows nothing; None where it is not known at all."""
        grid = self.uncertainty_px
        if grid is None or not np.isfinite(grid).any():
            return None
        rows, columns = grid.shape
        x, y = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
        places = np.stack(np.meshgrid(x * self.camera.width, y * self.camera.height), axis=-1)
        return np.where(np.isfinite(grid) & self.lit_at(places), grid, np.nan)

    def photo_rms_px(self) -> np.ndarray:
        """(V,) root mean square error of each photo."""
        return np.array([np.sqrt(np.mean(np.sum(r * r, axis=1))) for r in self.residuals])

    @property
    def rms_px(self) -> float:
        """Root mean square error of the fit over all corners."""
        return float(np.sqrt(np.mean(self.errors_px**2)))


def evidence_of(
    done: Calibration,
    found: FoundBoards,
    *,
    tried: Sequence[HeldOut] = (),
    measures: PhotoMeasures | None = None,
    metric: bool = True,
) -> CameraEvidence:
    """The evidence for the calibration of one camera.

    Parameters
    ----------
    done : Calibration
    found : FoundBoards
        In which it was found.
    tried : sequence of HeldOut
        What `choose_model` tried; the error of the lens and the shape that were taken is looked up there.
    measures : PhotoMeasures, optional
        As of `measure_photos`.
    metric : bool
        As of `CameraEvidence`.

    Returns
    -------
    CameraEvidence
    """
    blur = {} if measures is None else measures.blur_px
    views = [
        BoardView(name, found.detections[name], SE3(rotation, translation), blur_px=blur.get(name))
        for name, rotation, translation in zip(done.names, done.rotations, done.translations, strict=True)
    ]
    taken = (done.camera.model, len(done.shape))
    held_out = [entry for entry in tried if (entry.model, entry.shape_terms) == taken]
    return CameraEvidence(
        done.camera,
        found.target,
        views,
        done.shape,
        done.params_std,
        _correlations(done.fit, done.noise_px, 0),
        left_out={**found.skipped, **done.left_out},
        held_out_rms_px=held_out_rms(held_out[0], found, done.names) if held_out else None,
        tried=tried,
        uncertainty_px=_uncertainty(done.fit, done.noise_px, 0),
        lit=None if measures is None else measures.lit,
        metric=metric,
    )


def held_out_rms(entry: HeldOut, found: FoundBoards, used: Sequence[str]) -> float:
    """Error held out over the photos that are used: one that is left out, and named for it, says nothing of the lens.

    Parameters
    ----------
    entry : HeldOut
        Of all photos that show the board, by name.
    found : FoundBoards
    used : sequence of str

    Returns
    -------
    float
        Root mean square over the corners, pixels.
    """
    counts = np.array([len(found.detections[name]) * (name in used) for name in sorted(found.detections)])
    counted = counts > 0  # an infinite error of another photo would be nan
    return float(np.sqrt(np.average(entry.mean_squared_px[counted], weights=counts[counted])))


def evidence_of_rig(
    rig: RigCalibration,
    number: int,
    found: FoundBoards,
    name: str,
    *,
    measures: PhotoMeasures | None = None,
    metric: bool = True,
) -> CameraEvidence:
    """The evidence for one camera of a rig, with the poses of the board that hold for all its cameras.

    Parameters
    ----------
    rig : RigCalibration
    number : int
        Of the camera in the rig, from 0.
    found : FoundBoards
        In that camera's photos.
    name : str
        Of the camera.
    measures : PhotoMeasures, optional
        As of `measure_photos`.
    metric : bool
        As of `CameraEvidence`.

    Returns
    -------
    CameraEvidence
        Without errors held out and lens models, which the camera alone has; `dataclasses.replace` adds them.
    """
    target, blur = found.target, {} if measures is None else measures.blur_px
    views = []
    for moment, rotation, translation in zip(rig.moments, rig.rotations, rig.translations, strict=True):
        pose = rig.cam_from_first[number] @ SE3(rotation, translation)
        for photo in (photo for camera, photo in moment if camera == number):
            seen = _as_placed(found.detections[photo], target, rig.cameras[number], pose)
            views.append(BoardView(photo, seen, pose, blur_px=blur.get(photo)))
    used = {view.name for view in views}
    unused = {photo: _UNUSED for photo in found.detections if photo not in used}
    return CameraEvidence(
        rig.cameras[number],
        target,
        sorted(views, key=lambda view: view.name),
        rig.shape,
        rig.params_std[number],
        _correlations(rig.fit, rig.noise_px, number),
        left_out={**found.skipped, **unused},
        uncertainty_px=_uncertainty(rig.fit, rig.noise_px, number),
        lit=None if measures is None else measures.lit,
        metric=metric,
        name=name,
    )


def _correlations(fit: BoardFit, noise_px: float, number: int) -> np.ndarray:
    """(P, P) of the parameters of a camera."""
    begin = sum(len(camera.params) for camera in fit.state.cameras[:number])
    rows = slice(begin, begin + len(fit.state.cameras[number].params))
    spread = shared_covariance(fit, noise_px)[rows, rows]
    std = np.sqrt(np.diag(spread))
    return spread / np.outer(std, std)


def _uncertainty(fit: BoardFit, noise_px: float, number: int) -> np.ndarray:
    """(H', W') of the projection of points far away."""
    camera = fit.state.cameras[number]
    pixels = image_grid(camera.width, camera.height)
    return projection_uncertainty(fit, noise_px, pixels, camera=number).std_px


def _as_placed(found: Detection, target: Target, camera: Camera, pose: SE3) -> Detection:
    """A board that looks the same when it is turned, with the points named as the other cameras see it."""
    turned = [Detection(target.ids_turned(found.ids, q), found.pixels) for q in target.quarters]
    off = [
        np.linalg.norm(camera.project(pose.act(target.points[d.ids])) - d.pixels, axis=1).mean()
        for d in turned
    ]
    return turned[int(np.argmin(off))]
