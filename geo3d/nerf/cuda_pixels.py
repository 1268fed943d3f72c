"""Random pixels of photos that lie on the GPU, with their rays: as `geo3d.nerf.ray_pool` on the CPU.

Colours take a byte a channel; a lens takes the bearings of all its pixels, 12 bytes each, once for all its photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.nerf.cuda_field import blocks_of
from geo3d.nerf.rays import pixel_centers
from geo3d.util.require import require


@dataclass(frozen=True, eq=False)
class CudaPixels:
    """Pixels that were drawn; float32 tensors of R rays in the frame of the poses.

    Attributes
    ----------
    origins, directions : (R, 3)
    near, far : (R,)
    color : (R, 3)
        Of the photo, before black.
    alpha : (R,)
    background : (R, 3)
    rows : (R,) int32
        Of the photo in the training.
    jitter : (R,)
        Random, 0 to below 1.
    """

    origins: Any
    directions: Any
    near: Any
    far: Any
    color: Any
    alpha: Any
    background: Any
    rows: Any
    jitter: Any


def pose_rows(cam_from_frame: Sequence[SE3], device: Any) -> Any:
    """(M, 12) float32 tensor for `CudaPixelPool.draw`: (3, 4) frame_from_cam of each photo, row by row.

    Parameters
    ----------
    cam_from_frame : sequence of SE3
    device : torch.device
    """
    torch = require("torch")
    rows = [pose.inverse().matrix4()[:3].ravel() for pose in cam_from_frame]
    return torch.tensor(np.array(rows), dtype=torch.float32, device=device)


class CudaPixelPool:
    """Photos on the GPU.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    cameras : sequence of Camera
        Of N photos; those that are equal share their bearings.
    colors : (P, 3) uint8 array
        Pixels of all photos, row by row, photo by photo.
    alpha : (P,) uint8 array or None
    valid : (V,) integer array or None
        Pixels that count; all if None.
    numbers : (N,) int32 array
        Of the photos in the training, which poses, ranges and `rows` go by.
    seed : int
    """

    def __init__(
        self,
        launch: Any,
        cameras: Sequence[Camera],
        colors: np.ndarray,
        alpha: np.ndarray | None,
        valid: np.ndarray | None,
        numbers: np.ndarray,
        seed: int,
    ) -> None:
        torch = require("torch")
        self.launch, self.seed = launch, seed

        def on_gpu(array: np.ndarray) -> Any:
            return torch.as_tensor(array, device=launch.device).contiguous()

        sizes = [camera.width * camera.height for camera in cameras]
        self._starts = on_gpu(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        lenses: dict[Camera, int] = {}
        bearings, at = [], 0
        for camera, size in zip(cameras, sizes):
            if camera not in lenses:
                lenses[camera] = at
                bearings.append(np.asarray(camera.unproject(pixel_centers(camera)), np.float32))
                at += size
        self._bearings = on_gpu(np.nan_to_num(np.concatenate(bearings)))
        self._numbers = on_gpu(numbers)
        self._lenses = on_gpu(np.array([lenses[camera] for camera in cameras], np.int64))
        self._colors = on_gpu(colors)
        self._alpha = None if alpha is None else on_gpu(alpha)
        self._valid = None if valid is None else on_gpu(valid.astype(np.int32))
        self._candidates = int(sum(sizes) if valid is None else len(valid))

    def draw(
        self, step: int, count: int, poses: Any, near: Any, far: float, background: Any = None
    ) -> CudaPixels:
        """Pixels of a step, each with the same chance; a function of the seed and the step.

        Parameters
        ----------
        step, count : int
        poses : (M, 12) float32 tensor
            Of all M photos of the training, as of `pose_rows`.
        near : (M,) float32 tensor
            Range at which their rays begin.
        far : float
            Range at which all end.
        background : (3,) float32 tensor, optional
            Another random colour for every ray if not given.
        """
        torch = require("torch")
        floats = {"dtype": torch.float32, "device": self.launch.device}
        origins, directions, color, behind = (torch.empty(count, 3, **floats) for _ in range(4))
        alpha, jitter, nears, fars = (torch.empty(count, **floats) for _ in range(4))
        rows = torch.empty(count, dtype=torch.int32, device=self.launch.device)
        self.launch(
            "pixels/draw_pixels", blocks_of(count, 256), 256, count, self.seed, step, len(self._lenses),
            self._candidates, self._valid, self._starts, self._colors, self._alpha, self._lenses, self._bearings,
            self._numbers, poses, near, far, background, origins, directions, nears, fars, color, alpha, behind, rows,
            jitter,
        )  # fmt: skip
        return CudaPixels(origins, directions, nears, fars, color, alpha, behind, rows, jitter)
