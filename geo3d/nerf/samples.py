"""Intervals along rays, packed: ray r owns the intervals offsets[r] to offsets[r + 1], front to back.

    | ray 0      | ray 1 | ray 2 (none) | ray 3 ...
    starts, ends (S,)                     offsets (R + 1,), from 0 to S

Rays with equally many intervals are a special case: `RaySamples.dense`. After nerfacc (Li et al., ICCV 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.nerf.rays import Rays


@dataclass(frozen=True)
class RaySamples:
    """S intervals along R rays, NumPy arrays or torch tensors.

    Attributes
    ----------
    starts, ends : (S,)
        Range at which the interval begins and ends. The field is evaluated in the middle.
    offsets : (R + 1,) int64
        Where the intervals of each ray begin; the last is S.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the offsets do not ascend from 0 to S.
    """

    starts: Any
    ends: Any
    offsets: Any

    def __post_init__(self) -> None:
        if self.starts.ndim != 1 or self.starts.shape != self.ends.shape:
            shapes = tuple(self.starts.shape), tuple(self.ends.shape)
            raise ValueError(
                f"starts and ends: expected the shape (S,) of both, got {shapes[0]} and {shapes[1]}"
            )
        if self.offsets.ndim != 1 or len(self.offsets) == 0:
            raise ValueError(f"offsets: expected the shape (R + 1,), got {tuple(self.offsets.shape)}")
        if isinstance(self.offsets, np.ndarray) or self.offsets.device.type == "cpu":
            self._check_offsets(np.asarray(self.offsets))

    def _check_offsets(self, offsets: np.ndarray) -> None:
        """Kernels read where the offsets say. Those of a GPU are not fetched for this."""
        if offsets[0] != 0 or offsets[-1] != len(self) or np.any(offsets[1:] < offsets[:-1]):
            found = f"{offsets[0]} to {offsets[-1]}"
            raise ValueError(f"offsets: expected to ascend from 0 to the {len(self)} intervals, got {found}")

    @staticmethod
    def dense(starts: Any, ends: Any) -> RaySamples:
        """Equally many intervals on each ray.

        Parameters
        ----------
        starts, ends : (R, N)

        Raises
        ------
        ValueError
            If they are not of one shape of two dimensions.
        """
        if starts.ndim != 2 or starts.shape != ends.shape:
            shapes = tuple(starts.shape), tuple(ends.shape)
            raise ValueError(
                f"starts and ends: expected the shape (R, N) of both, got {shapes[0]} and {shapes[1]}"
            )
        rays, count = starts.shape
        if isinstance(starts, np.ndarray):
            offsets = np.arange(rays + 1, dtype=np.int64) * count
        else:
            offsets = starts.new_zeros(rays + 1, dtype=_torch().int64)
            offsets += _torch().arange(rays + 1, device=starts.device) * count
        return RaySamples(starts.reshape(-1), ends.reshape(-1), offsets)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def counts(self) -> Any:
        """(R,) int64, how many intervals each ray has."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def middles(self) -> Any:
        """(S,) range of the middle of each interval."""
        return 0.5 * (self.starts + self.ends)

    @property
    def lengths(self) -> Any:
        """(S,) length of each interval."""
        return self.ends - self.starts

    def per_sample(self, of_rays: Any) -> Any:
        """(S, ...) what each sample has from its ray.

        Parameters
        ----------
        of_rays : (R, ...)
            Values of the rays.
        """
        if isinstance(of_rays, np.ndarray):
            return np.repeat(of_rays, self.counts, axis=0)
        return of_rays.repeat_interleave(self.counts, dim=0, output_size=len(self))

    def ray_indices(self) -> Any:
        """(S,) int64, the ray of each sample."""
        rays = len(self.offsets) - 1
        if isinstance(self.starts, np.ndarray):
            return self.per_sample(np.arange(rays))
        return self.per_sample(_torch().arange(rays, device=self.starts.device))

    def positions(self, rays: Rays) -> Any:
        """(S, 3) points in the middle of the intervals, frame of the rays.

        Parameters
        ----------
        rays : Rays
            The R rays.
        """
        return self.per_sample(rays.origins) + self.middles[:, None] * self.per_sample(rays.directions)


def _torch() -> Any:
    from geo3d.util.require import require

    return require("torch")
