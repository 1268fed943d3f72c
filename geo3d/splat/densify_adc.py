"""Adaptive density control: where the picture still pulls hard at a Gaussian, there are two.

The original of Kerbl et al., 3D Gaussian Splatting (SIGGRAPH 2023), and with sums of absolute values for the gradient,
which do not cancel where a large Gaussian covers much detail (Yu et al., AbsGS, 2024). What goes beyond the budget
is chosen by the gradient, the strongest first.
"""

from __future__ import annotations

import numpy as np

from geo3d.scene import Gaussians
from geo3d.splat.refinement import DensityStatistics, Refinement, clone_and_split, prune, useless
from geo3d.splat.training_options import DensifyOptions


def densify_adc(
    gaussians: Gaussians,
    statistics: DensityStatistics,
    options: DensifyOptions,
    *,
    threshold: float,
    extent: float,
    room: int,
    rng: np.random.Generator,
) -> Refinement:
    """Clone small and split large Gaussians with a strong gradient, then remove useless ones.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy, N rows.
    statistics : DensityStatistics
        Of the steps since the last change.
    options : DensifyOptions
    threshold : float
        Mean gradient above which a Gaussian is doubled.
    extent : float
        Of the scene, world units.
    room : int
        At most so many Gaussians are added.
    rng : numpy.random.Generator

    Returns
    -------
    Refinement
    """
    large = statistics.screen > options.max_screen
    gradient = np.where(large, np.inf, statistics.mean_gradient)
    chosen = strongest(gradient, gradient > threshold, room)
    clone, split = by_size(gaussians, statistics, chosen, options, extent)
    change = clone_and_split(gaussians, clone, split, rng)
    return prune(change, ~useless(change.gaussians, options.min_opacity, options.max_extent * extent))


def strongest(score: np.ndarray, allowed: np.ndarray, room: int) -> np.ndarray:
    """(K,) int64, ascending: rows that are `allowed`, at most `room` of them, those with the highest `score`.

    Parameters
    ----------
    score : (N,)
    allowed : (N,) bool
    room : int
    """
    rows, room = np.flatnonzero(allowed), max(room, 0)
    if len(rows) <= room:
        return rows
    if room == 0:
        return rows[:0]
    scores = score[rows]
    least = np.partition(scores, len(rows) - room)[len(rows) - room]  # of those that are taken
    taken = scores > least
    equal = np.flatnonzero(scores == least)  # the first of them fill up
    taken[equal[: room - np.count_nonzero(taken)]] = True
    return rows[taken]


def by_size(
    gaussians: Gaussians,
    statistics: DensityStatistics,
    chosen: np.ndarray,
    options: DensifyOptions,
    extent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Of the rows `chosen` those to clone and those to split: the large ones, in the world or on the screen.

    Parameters
    ----------
    gaussians : Gaussians
    statistics : DensityStatistics
    chosen : (K,) int64
    options : DensifyOptions
    extent : float
        Of the scene, world units.
    """
    largest = gaussians.log_scales[chosen].max(axis=1)
    large = (largest > np.log(options.split_extent * extent)) | (
        statistics.screen[chosen] > options.max_screen
    )
    return chosen[~large], chosen[large]
