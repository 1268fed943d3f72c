"""What a training starts from: Gaussians for a scene and its options, and the 3D filter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.io.splat_file import numpy_gaussians, sound_rows
from geo3d.render.photos import LeaveOut, PhotoStream
from geo3d.render.views import ViewSet
from geo3d.render.visual_hull import random_points, silhouettes
from geo3d.scene import Gaussians
from geo3d.splat.edit import merge, with_sh_degree
from geo3d.splat.initialisation import gaussians_at
from geo3d.splat.refinement import take
from geo3d.splat.sky import sky_gaussians
from geo3d.splat.smoothing import Smoothing
from geo3d.splat.training_options import Lens, TrainingOptions
from geo3d.util.progress import Progress

_LEAST_INITIAL = 100  # points; fewer give nothing to start from
_LOOKED_AT = 1000  # points


def start(
    views: ViewSet,
    options: TrainingOptions,
    progress: Progress,
    initial: Gaussians | None = None,
    leave_out: LeaveOut | None = None,
) -> tuple[Gaussians, int]:
    """The Gaussians to begin with, and how many of them, the first ones, are sky.

    The others are at the scene's points, or at random where it has too few.

    Parameters
    ----------
    views : ViewSet
    options : TrainingOptions
    progress : Progress
    initial : Gaussians, optional
        In place of those at points.
    leave_out : LeaveOut, optional
        As in `PhotoStream`.

    Raises
    ------
    ValueError
        If `initial` holds no Gaussian; if none of the points is in view of a photo; or if there are none and the photos
        contradict each other about where something is.
    """
    near = (
        _copied(initial, options) if initial is not None else _at_points(views, options, progress, leave_out)
    )
    if not options.sky:
        return within_budget(near, options), 0
    finite = views.points[np.isfinite(views.points).all(axis=1)]
    photos = silhouettes(views.views, options.masks == "transparent", leave_out)
    sky = sky_gaussians(photos, finite, near.means, options.sh_degree, options.budget, views.up)
    if sky is None:
        progress.note("the photos show no sky: there are points, or too small a budget, wherever they look")
        return within_budget(near, options), 0
    progress.note(f"{len(sky):,} Gaussians for the sky")
    near = within_budget(near, replace(options, budget=options.budget - len(sky)))
    return merge(replace(sky, antialiased=near.antialiased), near), len(sky)


def _copied(initial: Gaussians, options: TrainingOptions) -> Gaussians:
    """`initial` as the training of `options` needs it, in arrays of its own: they are changed in place."""
    if not len(initial):
        raise ValueError("initial: expected at least one Gaussian, got none")
    sound = with_sh_degree(sound_rows(numpy_gaussians(initial), "initial")[0], options.sh_degree)
    return replace(take(sound, np.arange(len(sound))), antialiased=options.antialiased)


def _at_points(
    views: ViewSet, options: TrainingOptions, progress: Progress, leave_out: LeaveOut | None
) -> Gaussians:
    finite = np.isfinite(views.points).all(axis=1)
    if np.count_nonzero(finite) >= _LEAST_INITIAL:
        _check_view(views.points[finite], views)
        points, colors = views.points[finite], views.point_colors[finite] / 255.0
    else:
        count = min(options.initial_points, options.budget)
        rng = np.random.default_rng([options.seed, 5])
        points, colors = random_points(
            silhouettes(views.views, options.masks == "transparent", leave_out), count, rng
        )
        progress.note(f"the scene has {np.count_nonzero(finite)} points: {count:,} random ones to start from")
    made = gaussians_at(points, colors, options.sh_degree)
    return replace(made, antialiased=options.antialiased)


def _check_view(points: np.ndarray, views: ViewSet) -> None:
    """Refuse poses that see nothing of the scene: of a thousand points evenly chosen, none."""
    rows = np.unique(np.linspace(0, len(points) - 1, min(len(points), _LOOKED_AT)).round().astype(int))
    for view in views.views:
        local = view.cam_from_world.act(points[rows])
        local = local[local[:, 2] > 0]
        pixels = view.camera.project(local)
        if ((pixels >= 0) & (pixels <= [view.camera.width, view.camera.height])).all(axis=1).any():
            return
    raise ValueError(
        f"none of the scene's {len(points):,} points is in view of a photo: the poses do not fit the points. A pose "
        "takes points of the world to the camera, with x right, y down, z forward"
    )


def smoothing_of(views: ViewSet, downscale: float, lens: Lens) -> Smoothing:
    """The 3D filter of a training.

    Parameters
    ----------
    views : ViewSet
    downscale : float
        By which the photos are reduced.
    lens : {"undistort", "unscented"}
        As in `TrainingOptions`.
    """
    poses = [view.cam_from_world for view in views.views]
    with PhotoStream(views.views, 1.0 / downscale, undistorted=lens == "undistort") as stream:
        return Smoothing([stream.camera(row) for row in range(len(poses))], poses)


def within_budget(gaussians: Gaussians, options: TrainingOptions) -> Gaussians:
    """At most the budget of `options` of the `gaussians`, evenly thinned; wider by the room that the others leave."""
    if len(gaussians) <= options.budget:
        return gaussians
    rows = np.sort(np.random.default_rng([options.seed, 6]).permutation(len(gaussians))[: options.budget])
    wider = np.float32(np.log(len(gaussians) / options.budget) / 3)
    kept = take(gaussians, rows)
    return replace(kept, log_scales=kept.log_scales + wider)
