"""The last bundle adjustment of a model that was placed on Earth: photos, GPS and control points together.

    sum rho(|projection - keypoint|^2 / sigma^2)              keypoints; sigma from their own residuals, Cauchy's loss
      + sum |projection - click|^2 / click_sigma^2            of control points, no loss: someone has looked
      + sum |X - surveyed|^2 / survey_sigma^2                 control points
      + sum rho(|C - gps|^2 / gps_sigma^2)                    camera centres, Cauchy's loss
      + sum (|C_a - C_b| - l)^2 / l_sigma^2                   measured distances between photos

Everything in standard deviations, so that each counts by what it is worth: a GPS of 5 m moves nothing that ten thousand
keypoints hold, one of 2 cm takes out the bend of a long strip.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import Sim3
from geo3d.optim.losses import RobustLoss
from geo3d.scene import Reconstruction
from geo3d.sfm.bundle_adjustment import apply_bundle, bundle_problem, solve_bundle
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.bundle_problem import BundleOptions, BundleProblem
from geo3d.sfm.georeference_lens import lens_deviations
from geo3d.sfm.georeference_model import transform_model
from geo3d.sfm.lens_fit import adjusted_problem
from geo3d.sfm.lens_prior import lens_prior

CLICK_STD_PX = 1.0
SURVEY_STD_M = (0.02, 0.02, 0.03)
_RAYLEIGH_MEDIAN = 1.1774  # of the length of a two-dimensional normal residual, in its deviations
_LEAST_STD_PX = 0.1
_LOSS = 3.0  # deviations beyond which keypoints and GPS count less


@dataclass(frozen=True)
class ControlPoint:
    """A surveyed point in the frame of the model.

    Attributes
    ----------
    name : str
    xyz : (3,) float64
        Surveyed, metres.
    marks : dict of str to (2,) float64
        Photo name to pixel.
    """

    name: str
    xyz: np.ndarray
    marks: dict[str, np.ndarray]


@dataclass(frozen=True)
class GeoreferencedBundle:
    """What the photos are adjusted to.

    Attributes
    ----------
    positions, position_std : dict of str to (3,) float64
        Photo name to camera centre, metres, and its deviations; a coordinate that is not known is NaN.
    control : list of ControlPoint
    distances : list of (str, str, float, float)
        Two photos, metres between their cameras, its deviation.
    free_params : dict of int to (P,) bool
        Camera id to the parameters that move; those of cameras that are not listed stay.
    first_cameras : dict of int to Camera
        Camera id to what was known of it before the photos were looked at: it holds (`lens_prior`) what neither
        photos nor control points determine, as the focal length of a flat block.
    tilt_std_rad : float or None
        How well the model is upright as it is, where neither positions nor control points hold that.
    """

    positions: dict[str, np.ndarray] = field(default_factory=dict)
    position_std: dict[str, np.ndarray] = field(default_factory=dict)
    control: list[ControlPoint] = field(default_factory=list)
    distances: list[tuple[str, str, float, float]] = field(default_factory=list)
    free_params: dict[int, np.ndarray] = field(default_factory=dict)
    first_cameras: dict[int, Camera] = field(default_factory=dict)
    tilt_std_rad: float | None = None


@dataclass(frozen=True)
class AdjustedModel:
    """Result of `adjust_georeferenced`.

    Attributes
    ----------
    model : Reconstruction
    control_xyz : (G, 3) float64
        Control points as adjusted.
    error_before_px, error_px : float
        Mean reprojection error of the keypoints.
    camera_std : dict of int to (P,) float64
        Camera id to the deviations of its parameters, of cameras of which some moved.
    """

    model: Reconstruction
    control_xyz: np.ndarray
    error_before_px: float
    error_px: float
    camera_std: dict[int, np.ndarray]


def adjust_georeferenced(
    model: Reconstruction, known: GeoreferencedBundle, threads: int | None = None
) -> AdjustedModel:
    """Adjust a model that stands in metres to what is known of its place; the model given stays as it is.

    Parameters
    ----------
    model : Reconstruction
        In the frame of the positions and control points.
    known : GeoreferencedBundle
    threads : int, optional
        Default: all cores.

    Returns
    -------
    AdjustedModel
    """
    moved = transform_model(model, Sim3.identity())
    problem = bundle_problem(moved)
    before = solve_bundle(problem, BundleOptions(max_iterations=0, threads=threads)).errors_px
    std_px = max(float(np.nanmedian(before)) / _RAYLEIGH_MEDIAN, _LEAST_STD_PX)
    problem = _with_control(problem, moved, known, std_px)
    options = BundleOptions(loss="cauchy", loss_scale_px=_LOSS, threads=threads)
    result = solve_bundle(problem, options)
    report = apply_bundle(moved, problem, result)
    count = len(moved.points)
    std = lens_deviations(adjusted_problem(problem, result), options)
    return AdjustedModel(
        moved,
        result.points[count:].copy(),
        float(np.nanmean(before)),
        report.error_px,
        {i: found for i, found in zip(sorted(moved.cameras), std) if found.any()},
    )


def _with_control(
    problem: BundleProblem, model: Reconstruction, known: GeoreferencedBundle, std_px: float
) -> BundleProblem:
    """The problem with the control points as its last points, their clicks, and all priors."""
    rows = {model.views[i].name: row for row, i in enumerate(model.registered())}
    clicks = [
        (rows[name], k, pixel)
        for k, point in enumerate(known.control)
        for name, pixel in sorted(point.marks.items())
        if name in rows
    ]
    points, views, control = len(problem.points), len(problem.translations), len(known.control)
    centres, centre_std = np.full((views, 3), np.nan), np.full((views, 3), np.inf)
    for name, place in known.positions.items():
        if name in rows:
            there = np.isfinite(place)
            centres[rows[name], there] = place[there]
            centre_std[rows[name], there] = known.position_std[name][there]
    lengths = [(rows[a], rows[b], length, std) for a, b, length, std in known.distances]
    down, down_std = None, None
    if known.tilt_std_rad is not None:
        # All cameras together weigh as one measurement: what tilts one of them tilts the others too.
        down, down_std = -problem.rotations[:, :, 2], np.full(views, known.tilt_std_rad * np.sqrt(views))
    lenses = [
        lens_prior(known.first_cameras[i], model.cameras[i]) if i in known.first_cameras else (None, None)
        for i in sorted(model.cameras)
    ]
    surveyed = np.array([point.xyz for point in known.control]).reshape(-1, 3)
    priors = BundlePriors(
        centres=centres,
        centre_sigmas=centre_std,
        centre_loss=RobustLoss("cauchy", _LOSS),
        points=np.concatenate([problem.points, surveyed]),
        point_sigmas=np.concatenate([np.full((points, 3), np.inf), np.tile(SURVEY_STD_M, (control, 1))]),
        camera_params=[means for means, _ in lenses],
        camera_sigmas=[sigmas for _, sigmas in lenses],
        distance_views=np.array([x[:2] for x in lengths], np.int64).reshape(-1, 2),
        distances=np.array([x[2] for x in lengths]),
        distance_sigmas=np.array([x[3] for x in lengths]),
        down=down,
        down_sigmas=down_std,
    )
    none = [np.zeros(len(camera.params), bool) for camera in problem.cameras]
    free = [known.free_params.get(i, none[row]) for row, i in enumerate(sorted(model.cameras))]
    keypoints, own = len(problem.obs_view), len(clicks)
    return replace(
        problem,
        points=np.concatenate([problem.points, surveyed]),
        obs_view=np.concatenate([problem.obs_view, np.array([c[0] for c in clicks], np.int64)]),
        obs_point=np.concatenate([problem.obs_point, points + np.array([c[1] for c in clicks], np.int64)]),
        obs_xy=np.concatenate([problem.obs_xy, np.array([c[2] for c in clicks]).reshape(-1, 2)]),
        free_params=free,
        obs_sigma_px=np.concatenate([np.full(keypoints, std_px), np.full(own, CLICK_STD_PX)]),
        obs_robust=np.concatenate([np.ones(keypoints, bool), np.zeros(own, bool)]),
        priors=priors,
    )
