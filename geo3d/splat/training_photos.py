"""The photos of a training: at which size, in which order, over which background.

Backgrounds are functions of the seed and the step alone, the order of the seed: with the place in it, which the
checkpoint holds, a training that goes on sees what it would have seen. A photo that cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import Any

import numpy as np

from geo3d.render.photos import LeaveOut, PhotoStream, TrainingPhoto
from geo3d.render.views import PosedView
from geo3d.splat.training_options import TrainingOptions

_COARSEST_SIDE_PX = 64  # of a photo that is reduced further for the start
_WHITE, _BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


def view_order(count: int, seed: int, first: int = 0) -> Iterator[int]:
    """Endless rows of `count` photos: each once in random order, then each once in another; from place `first` on.

    Parameters
    ----------
    count : int
    seed : int
    first : int
    """
    epoch, skipped = divmod(first, count)
    while True:
        rows = np.random.default_rng([seed, 0, epoch]).permutation(count)
        yield from (int(row) for row in rows[skipped:])
        epoch, skipped = epoch + 1, 0


class TrainingPhotos:
    """Endless photos, of a size that may change on the way.

    Parameters
    ----------
    views : sequence of PosedView
    downscale : float
    options : TrainingOptions
    cache_bytes : int
        Of decoded photos.
    leave_out : LeaveOut, optional
        As in `PhotoStream`.

    Attributes
    ----------
    place : int
        How far it is in the order; to be set before the first photo to go on from there.
    """

    def __init__(
        self,
        views: Sequence[PosedView],
        downscale: float,
        options: TrainingOptions,
        cache_bytes: int,
        leave_out: LeaveOut | None = None,
    ) -> None:
        self.views = list(views)
        self.downscale = downscale
        self.options = options
        self.cache_bytes = cache_bytes
        self.leave_out = leave_out
        self.place = 0
        self.stream: PhotoStream | None = None
        self._factor = 0.0
        self._photos: Iterator[tuple[int, TrainingPhoto]] = iter(())
        self._order: Iterator[int] = iter(())

    def next(self, factor: float) -> tuple[int, TrainingPhoto]:
        """Row and photo of a step.

        Parameters
        ----------
        factor : float
            By which the photos are reduced beyond `downscale`.

        Raises
        ------
        ValueError
            If none of the photos can be read.
        """
        if factor != self._factor:
            self._open(factor)
        row, photo = next(self._photos, (-1, None))
        if photo is None:
            raise ValueError(f"none of the {len(self.views)} photos can be read: what is wrong is told above")
        self.place += 1 + sum(1 for _ in takewhile(lambda passed: passed != row, self._order))
        return row, photo

    def some(self, count: int, rng: np.random.Generator) -> list[tuple[int, TrainingPhoto]]:
        """Rows and photos of `count` chosen by `rng`, or of all, of the size of the last `next`."""
        assert self.stream is not None
        rows = rng.permutation(len(self.views)).tolist()
        return list(islice(self.stream.in_order(rows, ahead=1), count))

    def _open(self, factor: float) -> None:
        self.close()
        self.stream = PhotoStream(
            self.views,
            1.0 / (self.downscale * self._held(factor)),
            behind(self.options),
            self.cache_bytes,
            undistorted=self.options.lens == "undistort",
            leave_out=self.leave_out,
        )
        ahead, self._order = (view_order(len(self.views), self.options.seed, self.place) for _ in range(2))
        self._photos = self.stream.in_order(ahead)
        self._factor = factor

    def _held(self, factor: float) -> float:
        """`factor`, or what leaves the smallest photo large enough."""
        shortest = min(min(v.camera.width, v.camera.height) for v in self.views) / self.downscale
        return max(1.0, min(factor, shortest / _COARSEST_SIDE_PX))

    def close(self) -> None:
        """Let go of the photos."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None


def behind(options: TrainingOptions) -> tuple[float, float, float]:
    """The colour that photos with alpha are put before when they are read; a random one comes later.

    Parameters
    ----------
    options : TrainingOptions
    """
    return _WHITE if options.background == "white" else _BLACK


def target(
    photo: TrainingPhoto, options: TrainingOptions, step: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """What the rendering of a photo is compared with: (h, w, 3) colour, (h, w) mask or None, (3,) background.

    Parameters
    ----------
    photo : TrainingPhoto
        Over the colour of `behind`; of NumPy arrays, or of tensors, as colour and mask then are too.
    options : TrainingOptions
    step : int
        Says which random background.
    """
    color, mask = photo.color, photo.mask
    background = np.array(behind(options), np.float32)
    if options.background == "random":
        background = np.random.default_rng([options.seed, 1, step]).random(3).astype(np.float32)
    there: Any = background if isinstance(color, np.ndarray) else color.new_tensor(background)
    if options.background == "random" and photo.alpha is not None:
        color = color + (1.0 - photo.alpha)[..., None] * there
    if mask is not None and options.masks == "transparent":
        color = color * mask[..., None] + there * ~mask[..., None]
        mask = None
    return color, mask, background
