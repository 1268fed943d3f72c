"""Changes in the set of Gaussians: clone, split, prune. Pure functions of arrays; the optimiser's state follows by
`Refinement.source`.

Clone and split: Kerbl et al. 2023. Both copies together are as opaque as the one before, `1 - (1 - o')^2 = o` (Rota
Bulo et al., Revising Densification in Gaussian Splatting, ECCV 2024): the picture does not change at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.geometry.quaternions import quaternion_to_matrix
from geo3d.scene import Gaussians
from geo3d.splat.edit import merge

_SPLIT_SHRINK = 1.6  # Kerbl et al.: the scales of the two halves are those of the whole divided by this
_LEAST, _MOST = 1e-6, 1.0 - 1e-6  # opacities between which a logit is taken


@dataclass(frozen=True)
class Refinement:
    """The Gaussians after a change, and where each comes from.

    Attributes
    ----------
    gaussians : Gaussians
        NumPy float32.
    source : (N,) int64
        Row before the change whose optimiser's state goes on; -1 where it begins anew.
    added, removed : int
        How many of them are copies, and how many that were there are gone.
    """

    gaussians: Gaussians
    source: np.ndarray
    added: int
    removed: int


@dataclass
class DensityStatistics:
    """What the steps since the last change told of each Gaussian.

    Attributes
    ----------
    gradient : (N,) float32
        Sum over photos of the length of the loss's gradient by the centre in the image, in halves of the longer side.
    views : (N,) float32
        Number of photos that saw it.
    screen : (N,) float32
        Largest radius in a photo, as a fraction of the photo's longer side.
    """

    gradient: np.ndarray
    views: np.ndarray
    screen: np.ndarray

    @staticmethod
    def empty(count: int) -> DensityStatistics:
        """Nothing seen yet of `count` Gaussians."""
        return DensityStatistics(*(np.zeros(count, np.float32) for _ in range(3)))

    def taken(self, rows: slice) -> DensityStatistics:
        """Those of the Gaussians at `rows`."""
        return DensityStatistics(self.gradient[rows], self.views[rows], self.screen[rows])

    @property
    def mean_gradient(self) -> np.ndarray:
        """(N,) float32, gradient a photo that saw it."""
        return self.gradient / np.maximum(self.views, 1.0)


def opacities(gaussians: Gaussians) -> np.ndarray:
    """(N,) float32, opacity at the centre, of `gaussians` in NumPy."""
    return 1.0 / (1.0 + np.exp(-gaussians.logit_opacities))


def logit(opacity: np.ndarray) -> np.ndarray:
    """Logit of an opacity, float32; `opacity` is held away from 0 and 1."""
    clipped = np.clip(opacity, _LEAST, _MOST)
    return np.log(clipped / (1.0 - clipped)).astype(np.float32)


def take(gaussians: Gaussians, rows: np.ndarray | slice) -> Gaussians:
    """The Gaussians of `gaussians` at `rows`, an index array or mask, or a slice, which gives views."""
    return Gaussians(
        gaussians.means[rows],
        gaussians.quaternions[rows],
        gaussians.log_scales[rows],
        gaussians.logit_opacities[rows],
        gaussians.sh[rows],
        gaussians.antialiased,
    )


def clone_and_split(
    gaussians: Gaussians, clone: np.ndarray, split: np.ndarray, rng: np.random.Generator
) -> Refinement:
    """Two where there was one: `clone` rows stay and gain a copy, `split` rows make place for two smaller ones.

    The centres of the two halves are drawn from the Gaussian itself. A clone is moved by the gradients only.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy.
    clone, split : (K,) int64
        Rows, none in both.
    rng : numpy.random.Generator
    """
    n = len(gaussians)
    both = np.concatenate([clone, split, split])
    rows = np.concatenate([np.delete(np.arange(n), split), both])
    found = take(gaussians, rows)
    halves = np.zeros(len(rows), bool)
    halves[len(rows) - 2 * len(split) :] = True
    touched = halves.copy()
    touched[len(rows) - len(both) :] = True
    touched[: n - len(split)] |= np.isin(rows[: n - len(split)], clone)
    found.logit_opacities[touched] = logit(1.0 - np.sqrt(1.0 - opacities(take(found, touched))))
    if len(split):
        axes = quaternion_to_matrix(found.quaternions[halves])
        offsets = rng.standard_normal((2 * len(split), 3)) * np.exp(found.log_scales[halves])
        found.means[halves] += np.einsum("nij,nj->ni", axes, offsets).astype(np.float32)
        found.log_scales[halves] -= np.float32(np.log(_SPLIT_SHRINK))
    source = rows.astype(np.int64)
    source[len(rows) - len(both) :] = -1
    return Refinement(found, source, len(both), len(split))


def prune(change: Refinement, keep: np.ndarray) -> Refinement:
    """`change` with only those of its Gaussians for which `keep` (N,) bool holds."""
    return Refinement(
        take(change.gaussians, keep),
        change.source[keep],
        change.added,
        change.removed + int(np.count_nonzero(~keep)),
    )


def with_unchanged(first: Gaussians, change: Refinement) -> Refinement:
    """`change` of all Gaussians but the `first` rows, as a change of all, in which those stay as they are."""
    if len(first) == 0:
        return change
    source = np.where(change.source < 0, -1, change.source + len(first))
    return Refinement(
        merge(first, change.gaussians),
        np.concatenate([np.arange(len(first)), source]),
        change.added,
        change.removed,
    )


def unchanged(gaussians: Gaussians) -> Refinement:
    """The change of `gaussians` that is none."""
    return Refinement(gaussians, np.arange(len(gaussians)), 0, 0)


def useless(gaussians: Gaussians, min_opacity: float, longest: float) -> np.ndarray:
    """(N,) bool: Gaussians that nobody sees, or that no optimiser brings back.

    Parameters
    ----------
    gaussians : Gaussians
        NumPy.
    min_opacity : float
        More transparent ones are useless.
    longest : float
        So are those with a larger standard deviation along any axis, world units.
    """
    largest = gaussians.log_scales.max(axis=1)
    finite = np.isfinite(gaussians.means).all(axis=1) & np.isfinite(largest)
    return ~finite | (opacities(gaussians) < min_opacity) | (largest > np.log(longest))
