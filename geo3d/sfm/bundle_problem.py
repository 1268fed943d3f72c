"""What a bundle adjustment is given and what it gives back: options, problem, result. No arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from geo3d.cameras import MODELS, Camera
from geo3d.cameras.kernels import MAX_PARAMS
from geo3d.optim.least_squares import LMOptions, LMTrace, Termination
from geo3d.optim.losses import LossKind, RobustLoss
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.bundle_rigs import BundleRigs


@dataclass(frozen=True)
class BundleOptions:
    """What moves, how residuals count, when to stop.

    Attributes
    ----------
    loss : str
        `trivial`, `huber`, `soft_l1`, `cauchy`, `tukey` or `truncated`; see `geo3d.optim.RobustLoss`.
    loss_scale_px : float
        Residual in pixels beyond which observations count less; in standard deviations where the problem gives
        `obs_sigma_px`.
    max_iterations, function_tolerance, gradient_tolerance, parameter_tolerance, initial_damping
        See `geo3d.optim.LMOptions`.
    threads : int or None
        Default: all cores.
    refine_focal, refine_principal_point, refine_distortion : bool
        Which parameters of the cameras move.
    refine_poses, refine_points : bool
        Whether views (with frames and sensors of rigs) and points move.
    refine_rigs : bool
        Whether the sensors of rigs move within them that the problem says are free.
    """

    loss: LossKind = "trivial"
    loss_scale_px: float = 1.0
    max_iterations: int = 50
    function_tolerance: float = 1e-6
    gradient_tolerance: float = 1e-10
    parameter_tolerance: float = 1e-8
    initial_damping: float = 1e-4
    threads: int | None = None
    refine_focal: bool = True
    refine_principal_point: bool = False
    refine_distortion: bool = True
    refine_poses: bool = True
    refine_points: bool = True
    refine_rigs: bool = True

    def __post_init__(self) -> None:
        RobustLoss(self.loss, self.loss_scale_px)
        self.minimizer()
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, or None for all cores; got {self.threads}")

    def minimizer(self) -> LMOptions:
        """The options of the minimiser."""
        return LMOptions(
            self.max_iterations,
            self.function_tolerance,
            self.gradient_tolerance,
            self.parameter_tolerance,
            self.initial_damping,
        )


@dataclass
class BundleProblem:
    """Poses, cameras, points and what was observed of them. Arrays are not changed by the solver.

    Attributes
    ----------
    rotations, translations : (V, 3, 3), (V, 3) array
        `cam_from_world` of each view.
    view_camera : (V,) int
        Row of `cameras`; several views may share one.
    cameras : list of Camera
    points : (P, 3) array
        World coordinates.
    obs_view, obs_point : (O,) int
        Rows of the view and of the point of each observation, in any order.
    obs_xy : (O, 2) array
        Observed pixels.
    constant_view : (V,) bool, optional
    constant_point : (P,) bool, optional
    constant_camera : (C,) bool, optional
    constant_pose : (V, 6) bool, optional
        Single elements of poses that stay: rotation about camera x, y, z, then translation x, y, z.
    free_params : list of (n_params,) bool or None, optional
        One mask a camera: which parameters move, in place of the flags of the options. None for those flags.
    obs_sigma_px : (O,) array, optional
        Standard deviation of each observation: residuals are divided by it before the loss. Default 1 px.
    obs_robust : (O,) bool, optional
        False for observations that the loss does not touch, as those of control points, clicked by hand.
    priors : BundlePriors, optional
        What is known beforehand; counts in standard deviations.
    rigs : BundleRigs, optional
        Views that move together. Their rows of `rotations` and `translations` are not read but made from the poses
        of frames and sensors, and `constant_view` and `constant_pose` are not for them.
    """

    rotations: np.ndarray
    translations: np.ndarray
    view_camera: np.ndarray
    cameras: list[Camera]
    points: np.ndarray
    obs_view: np.ndarray
    obs_point: np.ndarray
    obs_xy: np.ndarray
    constant_view: np.ndarray | None = None
    constant_point: np.ndarray | None = None
    constant_camera: np.ndarray | None = None
    constant_pose: np.ndarray | None = None
    free_params: list[np.ndarray | None] | None = None
    obs_sigma_px: np.ndarray | None = None
    obs_robust: np.ndarray | None = None
    priors: BundlePriors | None = None
    rigs: BundleRigs | None = None

    def check(self) -> None:
        """Raise ValueError naming the first field of the wrong shape or with rows out of range."""
        views, points, observations = len(self.translations), len(self.points), len(self.obs_view)
        cameras = len(self.cameras)
        shapes = {
            "rotations": (views, 3, 3),
            "translations": (views, 3),
            "view_camera": (views,),
            "points": (points, 3),
            "obs_view": (observations,),
            "obs_point": (observations,),
            "obs_xy": (observations, 2),
            "constant_view": (views,),
            "constant_point": (points,),
            "constant_camera": (cameras,),
            "constant_pose": (views, 6),
            "obs_sigma_px": (observations,),
            "obs_robust": (observations,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name} must have shape {shape}; got {np.shape(value)}")
        for name, count in (("view_camera", cameras), ("obs_view", views), ("obs_point", points)):
            rows = np.asarray(getattr(self, name))
            if not np.issubdtype(rows.dtype, np.integer):
                raise ValueError(f"{name} must hold integers; got {rows.dtype}")
            if rows.size and (rows.min() < 0 or rows.max() >= count):
                raise ValueError(f"{name} must be rows of 0 to {count - 1}; got {rows.min()} to {rows.max()}")
        for camera in self.cameras:
            MODELS[camera.model].check_in_kernels()
        for name in ("rotations", "translations", "points", "obs_xy"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite; leave out what is not known")
        if self.free_params is not None and len(self.free_params) != cameras:
            raise ValueError(
                f"free_params must have one mask a camera ({cameras}); got {len(self.free_params)}"
            )
        sigma = self.obs_sigma_px
        if sigma is not None and not ((np.asarray(sigma) > 0) & np.isfinite(sigma)).all():
            raise ValueError(
                f"obs_sigma_px must be positive and finite; got {np.min(sigma)} to {np.max(sigma)}"
            )
        if self.priors is not None:
            self.priors.check(views, points, [len(camera.params) for camera in self.cameras])
        if self.rigs is not None:
            self.rigs.check(views)
            for name in ("constant_view", "constant_pose"):
                held = getattr(self, name)
                if held is not None and np.asarray(held)[self.rigs.views].any():
                    raise ValueError(f"{name} holds views of rigs; hold their frames by rigs.constant_frame")


@dataclass
class BundleResult:
    """Adjusted values, in the problem's order; constants are bit-identical.

    Attributes
    ----------
    rotations, translations, cameras, points
        As in the problem.
    errors_px : (O,) array
        Reprojection error of each observation; NaN where the point does not project.
    cost_initial, cost : float
        `1/2 sum rho` over the observations that project, in px^2 (or variances), and the priors, before and after.
    rigs : BundleRigs or None
        The problem's with adjusted poses of frames and sensors.
    iterations, termination, seconds, trace
        See `geo3d.optim.LMResult`; seconds include the preparation.
    """

    rotations: np.ndarray
    translations: np.ndarray
    cameras: list[Camera]
    points: np.ndarray
    errors_px: np.ndarray
    rigs: BundleRigs | None
    cost_initial: float
    cost: float
    iterations: int
    termination: Termination
    seconds: float
    trace: list[LMTrace] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met."""
        return self.termination in ("function", "gradient", "parameter")


def free_parameters(
    problem: BundleProblem, options: BundleOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of what moves: poses (V, 6), camera parameters (C, MAX_PARAMS), points (P,)."""
    pose = np.full((len(problem.translations), 6), options.refine_poses)
    if problem.constant_view is not None:
        pose[np.asarray(problem.constant_view, bool)] = False
    if problem.constant_pose is not None:
        pose &= ~np.asarray(problem.constant_pose, bool)
    if problem.rigs is not None:
        pose[problem.rigs.views] = (problem.rigs.moving() & options.refine_poses)[:, None]
    point = np.full(len(problem.points), options.refine_points)
    if problem.constant_point is not None:
        point &= ~np.asarray(problem.constant_point, bool)
    params = np.zeros((len(problem.cameras), MAX_PARAMS), bool)
    for c, camera in enumerate(problem.cameras):
        mask = problem.free_params[c] if problem.free_params is not None else None
        if mask is not None:
            if len(mask) != len(camera.params):
                raise ValueError(
                    f"free_params[{c}] must have {len(camera.params)} elements ({camera.model}); got {len(mask)}"
                )
            params[c, : len(mask)] = mask
            continue
        model = MODELS[camera.model]
        params[c, list(model.focal_params)] = options.refine_focal
        params[c, list(model.principal_params)] = options.refine_principal_point
        params[c, list(model.distortion_params)] = options.refine_distortion
    if problem.constant_camera is not None:
        params[np.asarray(problem.constant_camera, bool)] = False
    return pose, params, point


def hold_rigs(problem: BundleProblem, options: BundleOptions) -> BundleProblem:
    """The problem with those frames and sensors of its rigs constant that the options do not let move."""
    if problem.rigs is None:
        return problem
    frames, sensors = options.refine_poses, options.refine_poses and options.refine_rigs
    return replace(problem, rigs=problem.rigs.held(not frames, not sensors))
