"""Densification by what several photos agree on, after FastGS (Ren et al. 2025) and Taming 3DGS (Mallick et al. 2024).

The score of a Gaussian is the part that it has in the error of the rendered photos, `sum over photos and pixels of
w e`, with w its blending weight at the pixel and e the pixel's error: new Gaussians go where the picture is wrong,
in as many places as the budget has room for. Its contribution is `sum of w`: one that no photo sees through the others
is removed. Both are derivatives of a picture by the Gaussians' colours, and so come from one backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.scene import Gaussians
from geo3d.splat.densify_adc import by_size, strongest
from geo3d.splat.refinement import DensityStatistics, Refinement, clone_and_split, prune, useless
from geo3d.splat.training_options import DensifyOptions

LEAST_CONTRIBUTION_PX = 0.2  # a Gaussian of less than this, summed over a photo, is not seen in any


@dataclass
class ViewScores:
    """What the scored photos say of each Gaussian.

    Attributes
    ----------
    error : (N,) float32
        Sum over photos and pixels of blending weight times error of the pixel.
    contribution_px : (N,) float32
        Largest sum over the pixels of one photo of the blending weight.
    photos : (N,) int32
        Number of photos in which it has a part.
    """

    error: np.ndarray
    contribution_px: np.ndarray
    photos: np.ndarray

    @staticmethod
    def empty(count: int) -> ViewScores:
        """No photo scored yet of `count` Gaussians."""
        return ViewScores(np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.int32))

    def taken(self, rows: slice) -> ViewScores:
        """Those of the Gaussians at `rows`."""
        return ViewScores(self.error[rows], self.contribution_px[rows], self.photos[rows])

    def add(self, error: np.ndarray, contribution_px: np.ndarray) -> None:
        """Count one photo.

        Parameters
        ----------
        error, contribution_px : (N,) float32
            Sums over its pixels of blending weight times error, and of blending weight.
        """
        self.error += error
        np.maximum(self.contribution_px, contribution_px, out=self.contribution_px)
        self.photos += contribution_px > LEAST_CONTRIBUTION_PX


def densify_multiview(
    gaussians: Gaussians,
    statistics: DensityStatistics,
    scores: ViewScores,
    options: DensifyOptions,
    *,
    extent: float,
    room: int,
    rng: np.random.Generator,
) -> Refinement:
    """Double the `room` Gaussians with the largest part in the error that two photos or more see, the oversized first;
    remove those that no photo sees.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy, N rows.
    statistics : DensityStatistics
        Of the steps since the last change.
    scores : ViewScores
    options : DensifyOptions
    extent : float
        Of the scene, world units.
    room : int
        So many Gaussians are added, where there are as many to double.
    rng : numpy.random.Generator

    Returns
    -------
    Refinement
    """
    large = statistics.screen > options.max_screen
    score = np.where(large, np.inf, scores.error)
    chosen = strongest(score, large | ((scores.photos >= 2) & (score > 0)), room)
    clone, split = by_size(gaussians, statistics, chosen, options, extent)
    change = clone_and_split(gaussians, clone, split, rng)
    gone = useless(change.gaussians, options.min_opacity, options.max_extent * extent)
    old = change.source >= 0
    unseen = scores.contribution_px[change.source[old]] < LEAST_CONTRIBUTION_PX
    gone[old] |= unseen & (statistics.views[change.source[old]] > 0)
    return prune(change, ~gone)
