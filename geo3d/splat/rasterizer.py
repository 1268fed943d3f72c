"""Gaussians to images and back on the CPU: the kernels in their order, with buffers that are used again.

    project -> sort by depth -> list the tiles -> sort by tile -> blend
    gradient by the image -> by every Gaussian in every tile -> by every Gaussian's parameters

All threads take pieces of each step from a counter. Every piece writes to its own place, and sums are taken in a fixed
order: results are the same, bit for bit, for any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.geometry import SE3
from geo3d.scene import Gaussians
from geo3d.splat import binning_kernels as binning
from geo3d.splat import blend_backward_kernels as blending_back
from geo3d.splat import blend_kernels as blending
from geo3d.splat import projection_backward_kernels as projection_back
from geo3d.splat import projection_kernels as projection
from geo3d.splat.options import GaussianGradients, Rendering, RenderOptions
from geo3d.splat.orthographic import OrthographicCamera
from geo3d.splat.unscented import lens_backward, project_lens
from geo3d.util.buffers import Buffers, aligned
from geo3d.util.crew import Crew, everyone

_PARTS = 16  # pieces of the sort by tile, whatever the number of threads
_PINHOLES = "PINHOLE", "SIMPLE_PINHOLE"
_MOST_INSTANCES = 1 << 28  # Gaussians times tiles, by their boxes: with the gradient 20 GiB
_FAR = 1e7  # world units: as good as parallel, and float32 still tells directions
_NAMES = "means", "quaternions", "log_scales", "logit_opacities", "sh"


@dataclass(frozen=True)
class _Frame:
    """What the gradient needs of the last image."""

    camera: Camera | OrthographicCamera
    cam_from_world: SE3
    view: np.ndarray  # (VIEW,) float32, as projection_kernels has it
    lens: np.ndarray | None  # (N, 7) ellipses, unless the camera is a pinhole
    parameters: tuple  # arrays of the Gaussians
    coefficients: int  # of each colour that are used
    antialiased: bool
    columns: int  # of tiles
    starts: np.ndarray  # (tiles + 1,) int64
    ids: np.ndarray  # (M,) int32
    geometry: np.ndarray | None  # (H, W, 4) sums of w z and w n
    shape: tuple[int, int]  # of the image, H and W


class CpuRasterizer:
    """Renders Gaussians, and takes a gradient by the image back to their parameters.

    A pinhole's ellipses come from the kernels; those of other lenses, which take a few times as long, from
    `geo3d.splat.unscented`.

    What `forward` and `backward` return are views of buffers: good until the next call of either.

    Parameters
    ----------
    threads : int or None
        Default: all cores. The results do not depend on it.
    absolute_gradients : bool
        Whether `backward` gives `mean2d_abs` too.
    """

    def __init__(self, threads: int | None = None, absolute_gradients: bool = False) -> None:
        self.absolute_gradients = absolute_gradients
        self._crew = Crew(threads) if threads else everyone()
        self._kept = Buffers()
        self._layout: tuple[int, ...] = ()  # of the gradients, see _outputs_moved
        self._scratch = [np.zeros((3, 16), np.float32) for _ in range(self._crew.threads)]
        self._tiles = [
            (aligned(blending.CHANNELS * blending.SIZE), aligned(4 * blending.BATCH, np.int64))
            for _ in range(self._crew.threads)
        ]
        self._frame: _Frame | None = None

    def forward(
        self,
        gaussians: Gaussians,
        camera: Camera | OrthographicCamera,
        cam_from_world: SE3,
        options: RenderOptions = RenderOptions(),  # noqa: B008
    ) -> Rendering:
        """Render.

        Parameters
        ----------
        gaussians : Gaussians
            NumPy float32. A Gaussian with a number that is not finite is left out.
        camera : Camera or OrthographicCamera
        cam_from_world : SE3
        options : RenderOptions

        Returns
        -------
        Rendering
            Views of this object's buffers.

        Raises
        ------
        ValueError
            For an EQUIRECTANGULAR camera.
        MemoryError
            If the Gaussians cover too many tiles.
        """
        n = len(gaussians)
        columns, rows = (-(-size // projection.TILE) for size in (camera.width, camera.height))
        view = _view(camera, cam_from_world, options.near)
        coefficients = min((options.sh_degree + 1) ** 2, gaussians.sh.shape[1])
        parameters = tuple(np.ascontiguousarray(getattr(gaussians, name), np.float32) for name in _NAMES)
        lens = None
        if camera.model not in _PINHOLES:
            lens = project_lens(camera, cam_from_world, parameters, options.near, self._crew)
        records, radius, box = self._kept.rows(
            n, ("records", projection.RECORD), ("radius",), ("box", 4, np.int32)
        )
        seen = self._kept.array("seen", (-(-n // projection.CHUNK),), np.int64)
        self._crew.run(
            lambda counter, i: projection.project(
                counter, view, parameters, coefficients, gaussians.antialiased, lens, self._scratch[i][0], records,
                box, radius, seen,
            )
        )  # fmt: skip
        faces = None
        if options.depth or options.normals:
            faces = self._kept.array("faces", (n, 3), np.float32)
            self._crew.run(
                lambda counter, _: projection.face_camera(counter, view, parameters, radius, faces)
            )
        starts, ids = self._bin(n, records, radius, seen, box, columns, rows)
        shape = camera.height, camera.width
        geometry = None if faces is None else self._kept.array("geometry", (*shape, 4), np.float32)
        self._frame = _Frame(
            camera, cam_from_world, view, lens, parameters, coefficients, gaussians.antialiased, columns, starts, ids,
            geometry, shape,
        )  # fmt: skip
        return self._blend(self._frame, records, faces, np.array(options.background, np.float32), options)

    def _blend(
        self,
        frame: _Frame,
        records: np.ndarray,
        faces: np.ndarray | None,
        background: np.ndarray,
        options: RenderOptions,
    ) -> Rendering:
        color = self._kept.array("color", (*frame.shape, 3), np.float32)
        transmittance, alpha = (
            self._kept.array(k, frame.shape, np.float32) for k in ("transmittance", "alpha")
        )
        stops = self._kept.array("stops", (len(frame.starts) - 1,), np.int64)
        median = None if faces is None else self._kept.array("median", frame.shape, np.float32)
        self._crew.run(
            lambda counter, i: blending.blend(
                counter, blending.GRID, *self._tiles[i], frame.starts, frame.ids, records, faces, frame.columns,
                frame.shape[1], background, color.reshape(-1), transmittance.reshape(-1), stops, _flat(frame.geometry),
                _flat(median),
            )
        )  # fmt: skip
        np.subtract(1.0, transmittance, out=alpha)
        if frame.geometry is None:
            return Rendering(color, alpha)
        return Rendering(
            color,
            alpha,
            _over(frame.geometry[..., 0], alpha) if options.depth else None,
            median if options.depth else None,
            _over(frame.geometry[..., 1:], np.linalg.norm(frame.geometry[..., 1:], axis=-1)[..., None])
            if options.normals
            else None,
        )

    def backward(
        self,
        d_color: np.ndarray,
        d_alpha: np.ndarray | None = None,
        d_depth: np.ndarray | None = None,
        d_normals: np.ndarray | None = None,
    ) -> GaussianGradients:
        """Gradients of a loss by the parameters of the Gaussians of the last `forward`.

        Parameters
        ----------
        d_color : (H, W, 3) float32
            Gradient of the loss by `Rendering.color`.
        d_alpha : (H, W) float32 or None
            By `Rendering.alpha`.
        d_depth, d_normals : (H, W) and (H, W, 3) float32 or None
            By `Rendering.depth` and `Rendering.normals`, if the last `forward` had either among its options.

        Returns
        -------
        GaussianGradients
            Views of this object's buffers.

        Raises
        ------
        ValueError
            If nothing was rendered before, a shape is not that of the image, or depth or normals were not rendered.
        """
        frame = self._frame
        if frame is None:
            raise ValueError("backward: call forward first; the gradient is that of its image")
        shapes = {"d_color": (*frame.shape, 3), "d_alpha": frame.shape, "d_depth": frame.shape}
        shapes["d_normals"] = shapes["d_color"]
        given = dict(zip(shapes, (d_color, d_alpha, d_depth, d_normals)))
        for name, array in given.items():
            if array is not None and array.shape != shapes[name]:
                raise ValueError(f"{name}: expected the shape {shapes[name]}, got {array.shape}")
        if frame.geometry is None and (d_depth is not None or d_normals is not None):
            raise ValueError(
                "d_depth, d_normals: the last forward rendered neither; ask for them in its options"
            )
        slopes = {
            name: np.zeros((0, 0), np.float32) if a is None else _float32(a) for name, a in given.items()
        }
        alpha_slope, d_geometry = slopes["d_alpha"], None
        if frame.geometry is not None:
            alpha_slope, d_geometry = self._geometry_slopes(frame, d_alpha, d_depth, d_normals)
        kept, count = self._kept, len(frame.ids)
        sums = self._kept.array("sums", (count, projection.SUMS), np.float32)
        faces = None if frame.geometry is None else kept["faces"]
        absolute = alpha_slope if self.absolute_gradients else None  # any array stands for yes
        self._crew.run(
            lambda counter, i: blending_back.blend_backward(
                counter, blending.GRID, *self._tiles[i], frame.starts, frame.ids, kept["records"], faces,
                frame.columns, frame.shape[1], kept["stops"], kept["color"].reshape(-1),
                kept["transmittance"].reshape(-1), _flat(frame.geometry), slopes["d_color"].reshape(-1),
                alpha_slope.reshape(-1), _flat(d_geometry), absolute, sums.reshape(-1),
            )
        )  # fmt: skip
        return self._gather(frame, sums, faces)

    def _geometry_slopes(
        self,
        frame: _Frame,
        d_alpha: np.ndarray | None,
        d_depth: np.ndarray | None,
        d_normals: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients by alpha and by the sums of w z and w n: depth is sum / alpha, a normal sum / |sum|."""
        alpha, geometry = self._kept["alpha"], frame.geometry
        assert geometry is not None
        by_alpha = np.zeros_like(alpha) if d_alpha is None else np.array(d_alpha, np.float32)
        by_sums = np.zeros_like(geometry)
        if d_depth is not None:
            by_sums[..., 0] = _over(d_depth, alpha)
            by_alpha -= by_sums[..., 0] * _over(geometry[..., 0], alpha)
        if d_normals is not None:
            length = np.linalg.norm(geometry[..., 1:], axis=-1)[..., None]
            normals = _over(geometry[..., 1:], length)
            along = (normals * d_normals).sum(-1, keepdims=True)
            by_sums[..., 1:] = _over(d_normals - normals * along, length)
        return by_alpha, by_sums

    def _gather(self, frame: _Frame, sums: np.ndarray, faces: np.ndarray | None) -> GaussianGradients:
        """Add up the rows of each Gaussian and go on to its parameters."""
        n, kept = len(frame.parameters[0]), self._kept
        shapes = {name: array.shape for name, array in zip(_NAMES, frame.parameters)}
        shapes["mean2d"] = (n, 2)
        set_rows = self._kept.array("set_rows", (n,), np.bool_)
        outputs = {name: self._kept.array(f"d_{name}", shape, np.float32) for name, shape in shapes.items()}
        mean2d_abs = self._kept.array("d_mean2d_abs", (n, 2), np.float32) if self.absolute_gradients else None
        if self._outputs_moved(shapes["sh"], frame.coefficients):
            # The rows mean other Gaussians now: start from zeros.
            for array in (*outputs.values(), *(() if mean2d_abs is None else (mean2d_abs,))):
                array[...] = 0.0
            set_rows[...] = False
        poses = self._kept.array("poses", (len(kept["seen"]), 12), np.float64)
        radius = kept["radius"]
        d_lens = None if frame.lens is None else self._kept.array("d_lens", (n, 5), np.float32)
        self._crew.run(
            lambda counter, i: projection_back.project_backward(
                counter, frame.view, frame.parameters, frame.coefficients, frame.antialiased, frame.lens,
                self._scratch[i], radius, kept["first"], kept["last"], kept["place"], sums, faces,
                tuple(outputs.values()), d_lens, mean2d_abs, set_rows, poses,
            )
        )  # fmt: skip
        pose = poses.sum(axis=0).reshape(3, 4)
        if d_lens is not None:
            seen = np.flatnonzero(radius > 0)
            pose += lens_backward(
                frame.camera, frame.cam_from_world, frame.parameters, seen, d_lens[seen], outputs, self._crew
            )
        return GaussianGradients(
            **outputs,
            pose=pose,
            visible=radius > 0,
            radius_px=radius,
            mean2d_abs=mean2d_abs,
        )

    def _outputs_moved(self, sh_shape: tuple[int, ...], coefficients: int) -> bool:
        """Whether the gradients have another layout than last time."""
        before, self._layout = self._layout, (*sh_shape, coefficients)
        return before != self._layout

    def _bin(
        self,
        n: int,
        records: np.ndarray,
        radius: np.ndarray,
        seen: np.ndarray,
        box: np.ndarray,
        columns: int,
        rows: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each tile's instances start, (tiles + 1,), and their Gaussians, (M,)."""
        order, spare_order, keys, spare_keys = self._kept.rows(
            n, ("order", np.int32), ("spare_order", np.int32), ("keys", np.uint32), ("spare_keys", np.uint32)
        )
        counts = self._kept.array("counts", (3, 1 << binning.DIGIT), np.int64)
        bits = records.view(np.uint32)
        binning.sort_by_depth(records, radius, seen, bits, keys, order, spare_keys, spare_order, counts)
        bounds, regions = self._kept.rows(_PARTS + 1, ("bounds", np.int64), ("regions", np.int64))
        binning.split_instances(order, int(seen.sum()), box, _PARTS, bounds, regions)
        if regions[-1] > _MOST_INSTANCES:
            raise MemoryError(
                f"{int(seen.sum())} Gaussians cover {int(regions[-1])} tiles of {projection.TILE} x {projection.TILE} "
                "pixels between them, more than can be sorted: their scales are too large for this view, or the image "
                "is; render it in parts (Camera.cropped)"
            )
        first, last = self._kept.rows(n, ("first", np.int32), ("last", np.int32))
        listed, ids, place = self._kept.rows(
            int(regions[-1]), ("listed", np.int32), ("ids", np.int32), ("place", np.int32)
        )
        histograms = self._kept.array("histograms", (_PARTS, columns * rows), np.int64)
        starts = self._kept.array("starts", (columns * rows + 1,), np.int64)
        self._crew.run(
            lambda counter, _: binning.list_tiles(
                counter, order, bounds, regions, records, box, columns, listed, first, last, histograms
            )
        )
        binning.tile_starts(histograms, starts)
        self._crew.run(
            lambda counter, _: binning.place_instances(
                counter, order, bounds, first, last, listed, histograms, ids, place
            )
        )
        return starts, ids[: starts[-1]]


def _view(camera: Camera | OrthographicCamera, cam_from_world: SE3, near: float) -> np.ndarray:
    """The numbers of a camera that projection_kernels asks for."""
    view = np.zeros(projection.VIEW, np.float32)
    view[:12] = np.column_stack([cam_from_world.rotation, cam_from_world.translation]).ravel()
    view[[projection.WIDTH, projection.HEIGHT, projection.NEAR]] = camera.width, camera.height, near
    back = _FAR if isinstance(camera, OrthographicCamera) else 0.0
    center = cam_from_world.center() - back * cam_from_world.rotation[2]
    view[projection.CENTER : projection.CENTER + 3], view[projection.BACK] = center, back
    if isinstance(camera, Camera) and camera.model in _PINHOLES:
        fx, fy = camera.focal
        cx, cy = camera.principal_point
        view[[projection.FX, projection.FY, projection.CX, projection.CY]] = fx, fy, cx, cy
        margin_x, margin_y = 0.15 * camera.width / fx, 0.15 * camera.height / fy
        view[[projection.LEFT, projection.RIGHT]] = -cx / fx - margin_x, (camera.width - cx) / fx + margin_x
        view[[projection.ABOVE, projection.BELOW]] = -cy / fy - margin_y, (camera.height - cy) / fy + margin_y
    return view


def _flat(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else array.reshape(-1)


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is not above 0."""
    some = denominator > 0
    return np.where(some, numerator / np.where(some, denominator, 1), 0).astype(np.float32, copy=False)
