"""Gaussians to images and back on the CPU: the kernels in their order, with buffers that are used again.

    project -> sort by depth -> list the tiles -> sort by tile -> blend
    gradient by the image -> by every Gaussian in every tile -> by every Gaussian's parameters

All threads take pieces of each step from a counter. Every piece writes to its own place, and sums are taken in a fixed
order: results are the same, bit for bit, for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat import binning_kernels, blend_kernels, projection_kernels
from geo3d.splat.crew import Crew, aligned, everyone
from geo3d.splat.options import GaussianGradients, Rendering, RenderOptions

_PARTS = 16  # pieces of the sort by tile, whatever the number of threads


class CpuRasterizer:
    """Renders Gaussians through a pinhole camera, and takes a gradient by the image back to their parameters.

    What `forward` and `backward` return are views of buffers: good until the next call of either.

    Parameters
    ----------
    threads : int or None
        Default: all cores. The results do not depend on it.
    absolute_gradients : bool
        Whether `backward` gives `mean2d_abs` too.
    """

    def __init__(self, threads: int | None = None, absolute_gradients: bool = False) -> None:
        self._crew = Crew(threads) if threads else everyone()
        self.absolute_gradients = absolute_gradients
        self._buffers: dict[str, np.ndarray] = {}
        self._scratch = [np.zeros((3, 16), np.float32) for _ in range(self._crew.threads)]
        self._tiles = [
            aligned(blend_kernels.BACKWARD_CHANNELS * blend_kernels.SIZE) for _ in range(self._crew.threads)
        ]
        self._state: dict[str, Any] = {}

    def forward(
        self,
        gaussians: Gaussians,
        camera: Camera,
        cam_from_world: SE3,
        options: RenderOptions = RenderOptions(),  # noqa: B008
    ) -> Rendering:
        """Render.

        Parameters
        ----------
        gaussians : Gaussians
            NumPy float32. A Gaussian with a number that is not finite is left out.
        camera : Camera
            A PINHOLE or SIMPLE_PINHOLE one.
        cam_from_world : SE3
        options : RenderOptions

        Returns
        -------
        Rendering
            Views of this object's buffers.
        """
        n, tiles = len(gaussians), self._tile_grid(camera)
        view = _view(camera, cam_from_world, options.near)
        count = min((options.sh_degree + 1) ** 2, gaussians.sh.shape[1])
        parameters = (
            gaussians.means, gaussians.quaternions, gaussians.log_scales, gaussians.logit_opacities, gaussians.sh
        )  # fmt: skip
        arguments = (view, *parameters, count, gaussians.antialiased)
        records, radius = self._records(n), self._buffer("radius", (n,), np.float32)
        box = self._buffer("box", (n, 4), np.int32)
        seen = self._buffer("seen", (-(-n // projection_kernels.CHUNK),), np.int64)
        self._crew.run(
            lambda counter, i: projection_kernels.project(
                counter, *arguments, self._scratch[i][0], records, box, radius, seen
            )
        )
        starts, ids = self._bin(n, records, radius, seen, box, tiles)
        color = self._buffer("color", (camera.height, camera.width, 3), np.float32)
        transmittance = self._buffer("transmittance", (camera.height, camera.width), np.float32)
        stops = self._buffer("stops", (tiles[0] * tiles[1],), np.int64)
        background = np.array(options.background, np.float32)
        self._crew.run(
            lambda counter, i: blend_kernels.blend(
                counter, blend_kernels.GRID, self._tiles[i], starts, ids, records, tiles[0], background, color,
                transmittance, stops,
            )
        )  # fmt: skip
        self._state = {"arguments": arguments, "starts": starts, "ids": ids, "columns": tiles[0], "n": n}
        alpha = self._buffer("alpha", transmittance.shape, np.float32)
        np.subtract(1.0, transmittance, out=alpha)
        return Rendering(color, alpha)

    def backward(self, d_color: np.ndarray, d_alpha: np.ndarray | None = None) -> GaussianGradients:
        """Gradients of a loss by the parameters of the Gaussians of the last `forward`.

        Parameters
        ----------
        d_color : (H, W, 3) float32
            Gradient of the loss by `Rendering.color`.
        d_alpha : (H, W) float32 or None
            By `Rendering.alpha`.

        Returns
        -------
        GaussianGradients
            Views of this object's buffers.
        """
        state, held = self._state, self._buffers
        d_color = np.ascontiguousarray(d_color, np.float32)
        d_alpha = (
            np.zeros((0, 0), np.float32) if d_alpha is None else np.ascontiguousarray(d_alpha, np.float32)
        )
        count = len(state["ids"])
        sums = self._buffer("sums", (count * projection_kernels.SUMS,), np.float32)
        self._crew.run(
            lambda counter, i: blend_kernels.blend_backward(
                counter, blend_kernels.GRID, self._tiles[i], state["starts"], state["ids"], self._records(state["n"]),
                state["columns"], held["stops"], held["color"], held["transmittance"], d_color, d_alpha,
                self.absolute_gradients, sums,
            )
        )  # fmt: skip
        return self._gather(sums.reshape(count, projection_kernels.SUMS))

    def _gather(self, sums: np.ndarray) -> GaussianGradients:
        n, held, arguments = self._state["n"], self._buffers, self._state["arguments"]
        shapes = {"means": (n, 3), "quaternions": (n, 4), "log_scales": (n, 3), "logit_opacities": (n,)}
        shapes |= {"sh": arguments[5].shape, "mean2d": (n, 2)}
        outputs = {name: self._buffer(f"d_{name}", shape, np.float32) for name, shape in shapes.items()}
        rows = n if self.absolute_gradients else 0
        mean2d_abs = self._buffer("d_mean2d_abs", (rows, 2), np.float32)
        for array in (*outputs.values(), mean2d_abs):
            array[...] = 0.0
        poses = self._buffer("poses", (len(held["seen"]), 12), np.float64)
        radius = held["radius"]
        self._crew.run(
            lambda counter, i: projection_kernels.project_backward(
                counter, *arguments, self._scratch[i], radius, held["first"], held["last"], held["place"],
                sums, tuple(outputs.values()), mean2d_abs, poses,
            )
        )  # fmt: skip
        return GaussianGradients(
            **outputs,
            pose=poses.sum(axis=0).reshape(3, 4),
            visible=radius > 0,
            radius_px=radius,
            mean2d_abs=mean2d_abs if self.absolute_gradients else None,
        )

    def _bin(
        self,
        n: int,
        records: np.ndarray,
        radius: np.ndarray,
        seen: np.ndarray,
        box: np.ndarray,
        tiles: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each tile's instances start, (tiles + 1,), and their Gaussians, (M,)."""
        visible = int(seen.sum())
        order, spare_order = (self._buffer(name, (n,), np.int32) for name in ("order", "spare_order"))
        keys, spare_keys = (self._buffer(name, (n,), np.uint32) for name in ("keys", "spare_keys"))
        counts = self._buffer("counts", (3, 1 << binning_kernels.DIGIT), np.int64)
        bits = records.view(np.uint32)
        binning_kernels.sort_by_depth(
            records, radius, seen, bits, keys, order, spare_keys, spare_order, counts
        )
        bounds, regions = (self._buffer(name, (_PARTS + 1,), np.int64) for name in ("bounds", "regions"))
        binning_kernels.split_instances(order, visible, box, _PARTS, bounds, regions)
        room = int(regions[-1])
        first, last = (self._buffer(name, (n,), np.int32) for name in ("first", "last"))
        listed, ids, place = (self._buffer(name, (room,), np.int32) for name in ("listed", "ids", "place"))
        histograms = self._buffer("histograms", (_PARTS, tiles[0] * tiles[1]), np.int64)
        starts = self._buffer("starts", (tiles[0] * tiles[1] + 1,), np.int64)
        self._crew.run(
            lambda counter, _: binning_kernels.list_tiles(
                counter, order, bounds, regions, records, box, tiles[0], listed, first, last, histograms
            )
        )
        binning_kernels.tile_starts(histograms, starts)
        self._crew.run(
            lambda counter, _: binning_kernels.place_instances(
                counter, order, bounds, first, last, listed, histograms, ids, place
            )
        )
        return starts, ids[: starts[-1]]

    def _tile_grid(self, camera: Camera) -> tuple[int, int]:
        """Columns and rows of tiles."""
        return -(-camera.width // projection_kernels.TILE), -(-camera.height // projection_kernels.TILE)

    def _records(self, n: int) -> np.ndarray:
        return self._buffer("records", (n, projection_kernels.RECORD), np.float32)

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of that shape in the memory kept under `name`, which grows by more than it has to."""
        size = int(np.prod(shape))
        kept = self._buffers.get(f"all {name}")
        if kept is None or kept.size < size:
            kept = np.empty(size if kept is None else max(size, kept.size + kept.size // 4), dtype)
            self._buffers[f"all {name}"] = kept
        self._buffers[name] = array = kept[:size].reshape(shape)
        return array


def _view(camera: Camera, cam_from_world: SE3, near: float) -> np.ndarray:
    """The numbers of a camera that the projection asks for, in the order of projection_kernels."""
    fx, fy = camera.focal
    cx, cy = camera.principal_point
    view = np.zeros(projection_kernels.VIEW, np.float32)
    view[:12] = np.column_stack([cam_from_world.rotation, cam_from_world.translation]).ravel()
    margin_x, margin_y = 0.15 * camera.width / fx, 0.15 * camera.height / fy
    view[12:23] = (
        fx, fy, cx, cy, camera.width, camera.height, near,
        -cx / fx - margin_x, (camera.width - cx) / fx + margin_x,
        -cy / fy - margin_y, (camera.height - cy) / fy + margin_y,
    )  # fmt: skip
    view[23:] = cam_from_world.center()
    return view
