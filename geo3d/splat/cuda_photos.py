"""The photos of a training on a GPU, all of them in its memory: read once, by several threads, at the size of the end.

They lie there as bytes. A step's photo is made from them on the GPU: as float32, and reduced by averages where the
training is still coarse (on the CPU a coarse photo is reduced from the full one, as it is read).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.render.photos import LeaveOut, PhotoStream, TrainingPhoto, reduced_size
from geo3d.render.views import PosedView
from geo3d.splat.training_options import TrainingOptions
from geo3d.splat.training_photos import TrainingPhotos, behind, view_order
from geo3d.util.progress import StageProgress
from geo3d.util.require import require

_THREADS = 8
_READ_AHEAD_BYTES = 1 << 30


def photos_bytes(views: Sequence[PosedView], downscale: float) -> int:
    """At most so much of a GPU's memory is taken by photos.

    Parameters
    ----------
    views : sequence of PosedView
    downscale : float
    """
    pixels = sum(view.camera.width * view.camera.height for view in views) / downscale**2
    return round(5 * pixels)  # colour, alpha, mask


class CudaPhotos(TrainingPhotos):
    """Endless photos of tensors, in the order of `TrainingPhotos`.

    Parameters
    ----------
    views : sequence of PosedView
    downscale : float
    options : TrainingOptions
    device : torch.device
    stage : StageProgress
        Is told how many are read.
    leave_out : LeaveOut, optional
        As in `PhotoStream`.
    """

    def __init__(
        self,
        views: Sequence[PosedView],
        downscale: float,
        options: TrainingOptions,
        device: Any,
        stage: StageProgress,
        leave_out: LeaveOut | None = None,
    ) -> None:
        super().__init__(views, downscale, options, 0, leave_out)
        self._device = device
        self._on_gpu: dict[int, TrainingPhoto] = {}  # of bytes
        threads = max(1, min(_THREADS, (os.cpu_count() or 2) // 2))
        with PhotoStream(
            views, 1.0 / downscale, behind(options), _READ_AHEAD_BYTES, leave_out=leave_out, threads=threads
        ) as stream:
            for done, (row, photo) in enumerate(stream.in_order(range(len(views)), 2 * threads), 1):
                parts = (self._bytes(photo.color), self._bytes(photo.alpha), self._bytes(photo.mask))
                self._on_gpu[row] = TrainingPhoto(*parts, photo.camera)
                stage.update(done, len(views))

    def next(self, factor: float) -> tuple[int, TrainingPhoto]:
        """Row and photo of a step; see `TrainingPhotos.next`."""
        if not self._on_gpu:
            raise ValueError(f"none of the {len(self.views)} photos can be read: what is wrong is told above")
        if factor != self._factor:
            self._factor, self._order = factor, view_order(len(self.views), self.options.seed, self.place)
        for row in self._order:
            self.place += 1
            if row in self._on_gpu:
                return row, self._reduced(row)
        raise AssertionError("the order is endless")

    def some(self, count: int, rng: np.random.Generator) -> list[tuple[int, TrainingPhoto]]:
        """Rows and photos of `count` chosen by `rng`, or of all, of the size of the last `next`."""
        rows = [row for row in rng.permutation(len(self.views)).tolist() if row in self._on_gpu]
        return [(row, self._reduced(row)) for row in rows[:count]]

    def close(self) -> None:
        """Let go of the photos."""
        self._on_gpu.clear()

    def _bytes(self, values: np.ndarray | None) -> Any:
        """On the GPU; the photos were of bytes before they were of numbers from 0 to 1."""
        if values is None:
            return None
        if values.dtype != np.bool_:
            values = np.rint(values * np.float32(255.0)).astype(np.uint8)
        return require("torch").from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _reduced(self, row: int) -> TrainingPhoto:
        photo, factor = self._on_gpu[row], self._held(self._factor)
        camera = photo.camera
        if factor > 1.0:
            camera = camera.rescaled(*reduced_size(camera.width, camera.height, 1.0 / factor))
        color, alpha, mask = (_numbers(part, camera) for part in (photo.color, photo.alpha, photo.mask))
        return replace(
            photo, color=color, alpha=alpha, mask=None if mask is None else mask >= 0.5, camera=camera
        )


def _numbers(values: Any, camera: Camera) -> Any:
    """float32 in [0, 1] of the camera's size, from bytes or bools of (H, W) or (H, W, 3)."""
    if values is None:
        return None
    torch = require("torch")
    size = camera.height, camera.width
    found = values.float() if values.dtype == torch.bool else values.float() / 255.0
    if found.shape[:2] == size:
        return found
    planes = found.reshape(1, *found.shape[:2], -1).permute(0, 3, 1, 2)
    planes = torch.nn.functional.interpolate(planes, size, mode="area")
    return planes.permute(0, 2, 3, 1).reshape(*size, *found.shape[2:]).contiguous()
