"""One image on the GPU: the kernels of `cuda/` in their order, forward and backward.

    project (a thread a Gaussian) -> depth order -> instances of tiles, in that order -> stable sort by tile ->
    blend (a thread a pixel), keeping each pixel's state at the start of every bucket of 64 instances
    gradients by pixel -> by instance (a warp a bucket) -> by Gaussian in the image -> by parameter

No atomics on floats and every sum in a fixed order: results are the same from run to run.

`launch` is a `geo3d.gpu.Launcher`; the tensors are on its device.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo3d.cameras import Camera
from geo3d.scene import Gaussians
from geo3d.splat.options import RenderOptions
from geo3d.util.require import require

KERNELS = Path(__file__).parent / "cuda"
"""Folder of the kernels' sources."""

TILE, BUCKET, GRADIENT_HEAD = 16, 64, 8  # as in layout.h
BLUR_PX2 = 0.3
_RADIX_ITEMS, _RADIX_BITS = 4096, 8
_MOST_INSTANCES = 2**31 - 1 - _RADIX_ITEMS


@dataclass
class Frame:
    """What the forward pass leaves for the backward one; torch tensors.

    Attributes
    ----------
    parameters : tuple
        means, quaternions, log_scales, logit_opacities, sh.
    variances : (N,) or None
        Variances of Mip-Splatting's 3D filter, which the scales and opacities do not have in them yet.
    antialiased, degree, channels : int
        `channels`: 3 colour, 4 and depth, 7 and normals.
    view : (20,) float32
        The camera and its pose, as `gs_view` of splat_math.h.
    width, height, background
        Of the image.
    tile_counts, radii : (N,) int32, float32
        Tiles that a Gaussian reaches; three standard deviations in the image, px.
    projected, features : (N, 8), (N, channels) float32
    first_instance : (N,) int32
        A Gaussian's first instance in the order of emission.
    ranges : (tiles, 2) int32
        First and one past the last of a tile's instances in the order of tiles.
    gaussians, instances : (I,) int32
        By instance in the order of tiles: its Gaussian, and its number in the order of emission.
    color, alpha, depth, median_depth, normals
        The images; the last three None unless asked for.
    kept : dict
        Per bucket, tile and pixel, where `differentiable` was asked for.
    """

    parameters: tuple[Any, ...]
    variances: Any
    antialiased: int
    degree: int
    channels: int
    view: Any
    width: int
    height: int
    background: tuple[float, float, float]
    tile_counts: Any
    radii: Any
    projected: Any
    features: Any
    first_instance: Any
    ranges: Any
    gaussians: Any
    instances: Any
    color: Any
    alpha: Any
    depth: Any
    median_depth: Any
    normals: Any
    kept: dict[str, Any]

    @property
    def tiles(self) -> int:
        """Number of tiles of the image."""
        return len(self.ranges)


def view_numbers(camera: Camera, pose: Any, near: float, device: Any) -> Any:
    """(20,) float32, `gs_view` of splat_math.h.

    Parameters
    ----------
    camera : Camera
        PINHOLE or SIMPLE_PINHOLE.
    pose : (3 or 4, 4) tensor
        [R | t] of `cam_from_world`, on any device.
    near : float
        World units.
    device : torch.device

    Raises
    ------
    ValueError
        If the camera is of another model.
    """
    torch = require("torch")
    if camera.model not in ("PINHOLE", "SIMPLE_PINHOLE"):
        raise ValueError(
            f"camera: expected PINHOLE or SIMPLE_PINHOLE, got {camera.model}; undistort the photos first "
            "(geo3d undistort)"
        )
    (fx, fy), (cx, cy) = camera.focal.tolist(), camera.principal_point.tolist()
    head = [fx, fy, cx, cy, float(camera.width), float(camera.height), near, BLUR_PX2]
    pose = pose[:3].to(device=device, dtype=torch.float32)
    lens = torch.tensor(head, dtype=torch.float32, device=device)
    return torch.cat([lens, pose[:, :3].reshape(9), pose[:, 3]])


def forward(
    launch: Any,
    gaussians: Gaussians,
    camera: Camera,
    pose: Any,
    options: RenderOptions,
    differentiable: bool,
    variances: Any = None,
) -> Frame:
    """Render.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    gaussians : Gaussians
        float32 tensors on the launcher's device.
    camera : Camera
        PINHOLE or SIMPLE_PINHOLE.
    pose : (3 or 4, 4) tensor
        [R | t] of `cam_from_world`.
    options : RenderOptions
    differentiable : bool
        Whether to keep what `backward` needs.
    variances : (N,) float32 tensor or None
        Of the 3D filter; world units squared.

    Raises
    ------
    ValueError
        If the camera has a lens that the kernels do not know, or the tensors are not on the launcher's device.
    MemoryError
        If the Gaussians reach more tiles than can be counted.
    """
    torch = require("torch")
    device = launch.device
    if gaussians.means.device != device:
        raise ValueError(f"gaussians: expected tensors on {device}, got them on {gaussians.means.device}")
    parameters = tuple(
        t.detach().to(torch.float32).contiguous()
        for t in (gaussians.means, gaussians.quaternions, gaussians.log_scales, gaussians.logit_opacities, gaussians.sh)
    )  # fmt: skip
    n = len(gaussians)
    channels = 7 if options.normals else 4 if options.depth else 3
    degree = min(options.sh_degree, gaussians.sh_degree)
    view = view_numbers(camera, pose, options.near, device)
    floats = {"dtype": torch.float32, "device": device}
    depth_keys, radii = torch.empty(n, **floats), torch.empty(n, **floats)
    projected, features = torch.empty(n, 8, **floats), torch.empty(n, channels, **floats)
    tile_counts = torch.empty(n, dtype=torch.int32, device=device)
    antialiased = int(gaussians.antialiased)
    launch(
        "project/project", blocks_of(n, 128), 128, view, n, *parameters, variances, gaussians.sh.shape[1], degree,
        antialiased, channels, depth_keys, projected, features, tile_counts, radii,
    )  # fmt: skip
    tiles = -(-camera.width // TILE) * -(-camera.height // TILE)
    lists = _list_tiles(launch, depth_keys, tile_counts, projected, tiles, camera.width, camera.height)
    del depth_keys
    frame = Frame(
        parameters, variances, antialiased, degree, channels, view, camera.width, camera.height, options.background,
        tile_counts, radii, projected, features, *lists, None, None, None, None, None, {},
    )  # fmt: skip
    _blend(launch, frame, differentiable)
    return frame


def blocks_of(count: int, size: int) -> int:
    """Blocks of `size` threads for `count` of them."""
    return -(-count // size)


def _list_tiles(
    launch: Any, depth_keys: Any, tile_counts: Any, projected: Any, tiles: int, width: int, height: int
) -> tuple[Any, Any, Any, Any]:
    """first_instance, ranges, gaussians and instances of `Frame`."""
    torch = require("torch")
    integers = {"dtype": torch.int32, "device": launch.device}
    n = len(tile_counts)
    order = torch.sort(depth_keys, stable=True).indices  # ties by index
    count = int(tile_counts.sum(dtype=torch.int64))  # the one wait for the GPU
    if count > _MOST_INSTANCES:
        raise MemoryError(
            f"the Gaussians reach {count:,} tiles, at most {_MOST_INSTANCES:,} can be listed; render a smaller image"
        )
    ends = torch.cumsum(tile_counts[order], 0, dtype=torch.int32)
    first_instance = torch.empty(n, **integers)
    keys, instances, owners = (torch.empty(count, **integers) for _ in range(3))
    launch(
        "tiles/emit_instances", blocks_of(n, 128), 128, n, width, height, order, ends, tile_counts, projected, keys,
        instances, owners, first_instance,
    )  # fmt: skip
    del order, ends
    keys, instances, spare = _sort_by_tile(launch, keys, instances, tiles)
    ranges = torch.zeros(tiles, 2, **integers)
    launch("tiles/tile_ranges", blocks_of(count, 256), 256, count, keys, instances, owners, ranges, spare)
    return first_instance, ranges, spare, instances


def _sort_by_tile(launch: Any, keys: Any, values: Any, tiles: int) -> tuple[Any, Any, Any]:
    """Keys and values sorted stably by key, and memory of the same size that is free."""
    torch = require("torch")
    count = len(keys)
    bits = max(1, (tiles - 1).bit_length())
    passes = blocks_of(bits, _RADIX_BITS)
    width = blocks_of(bits, passes)
    blocks = blocks_of(count, _RADIX_ITEMS)
    spare_keys, spare_values = torch.empty_like(keys), torch.empty_like(values)
    for i in range(passes):
        digits = 1 << width
        histogram = torch.empty(digits * blocks, dtype=torch.int32, device=launch.device)
        launch("tiles/radix_histogram", blocks, 256, count, i * width, digits, keys, histogram)
        ends = torch.cumsum(histogram, 0, dtype=torch.int32)
        launch(
            "tiles/radix_scatter", blocks, 256, count, i * width, digits, histogram, ends, keys, values, spare_keys,
            spare_values,
        )  # fmt: skip
        keys, spare_keys = spare_keys, keys
        values, spare_values = spare_values, values
    return keys, values, spare_keys


def _blend(launch: Any, frame: Frame, differentiable: bool) -> None:
    """The images of a frame, and what its backward pass needs."""
    torch = require("torch")
    floats = {"dtype": torch.float32, "device": launch.device}
    integers = {"dtype": torch.int32, "device": launch.device}
    h, w, channels, tiles = frame.height, frame.width, frame.channels, frame.tiles
    frame.color, frame.alpha = torch.empty(h, w, 3, **floats), torch.empty(h, w, **floats)
    if channels >= 4:
        frame.depth, frame.median_depth = torch.empty(h, w, **floats), torch.empty(h, w, **floats)
    if channels >= 7:
        frame.normals = torch.empty(h, w, 3, **floats)
    names = (
        "bucket_ends",
        "bucket_tile",
        "tile_last",
        "checkpoints",
        "sums",
        "transmittance",
        "last_instance",
    )
    if differentiable:
        lengths = frame.ranges[:, 1] - frame.ranges[:, 0]
        count = len(frame.instances)
        most = count // BUCKET + min(count, tiles)  # buckets, without asking the GPU
        frame.kept = dict(
            zip(
                names,
                (
                    torch.cumsum((lengths + (BUCKET - 1)) // BUCKET, 0, dtype=torch.int32),
                    torch.empty(most, **integers),
                    torch.empty(tiles, **integers),
                    torch.empty(most, channels + 1, TILE * TILE, **floats),
                    torch.empty(channels, h, w, **floats),
                    torch.empty(h, w, **floats),
                    torch.empty(h, w, **integers),
                ),
            )
        )
    kept = [frame.kept.get(name) for name in names]
    launch(
        f"blend/blend_{channels}", tiles, TILE * TILE, w, h, frame.ranges, frame.gaussians, frame.projected,
        frame.features, *kept, *map(float, frame.background), frame.color, frame.alpha, frame.depth,
        frame.median_depth, frame.normals,
    )  # fmt: skip


def image_gradients(
    launch: Any,
    frame: Frame,
    d_color: Any = None,
    d_alpha: Any = None,
    d_depth: Any = None,
    d_normals: Any = None,
) -> Any:
    """(N, 8 + channels) float32: gradients by each Gaussian as the image sees it, rows as in layout.h.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    frame : Frame
        Made with `differentiable`.
    d_color, d_alpha, d_depth, d_normals : tensor or None
        Gradients of the loss by the images.
    """
    torch = require("torch")
    assert frame.kept, "the frame was not made to be differentiated"
    floats = {"dtype": torch.float32, "device": launch.device}
    channels, kept = frame.channels, frame.kept
    pixels = frame.width * frame.height
    v, total = torch.empty(channels, pixels, **floats), torch.empty(pixels, **floats)
    images = (d_color, d_alpha, d_depth, d_normals)
    given = [None if d is None else d.detach().to(**floats).contiguous() for d in images]
    launch(
        f"blend_backward/pixel_gradients_{channels}", blocks_of(pixels, 256), 256, pixels, kept["sums"],
        kept["transmittance"], *map(float, frame.background), *given, v, total,
    )  # fmt: skip
    rows = torch.empty(len(frame.instances), GRADIENT_HEAD + channels, **floats)
    launch(
        f"blend_backward/blend_backward_{channels}", blocks_of(len(kept["bucket_tile"]), 4), 128, frame.width,
        frame.height, frame.tiles, frame.ranges, frame.gaussians, frame.instances, frame.projected, frame.features,
        kept["bucket_ends"], kept["bucket_tile"], kept["tile_last"], kept["checkpoints"], kept["last_instance"], v,
        total, rows,
    )  # fmt: skip
    n = len(frame.radii)
    gradients = torch.empty(n, GRADIENT_HEAD + channels, **floats)
    launch(
        f"blend_backward/gather_gradients_{channels}", blocks_of(8 * n, 256), 256, n, frame.tile_counts,
        frame.first_instance, rows, gradients,
    )  # fmt: skip
    return gradients


def parameter_gradients(launch: Any, frame: Frame, gradients: Any) -> tuple[tuple[Any, ...], Any]:
    """Gradients by means, quaternions, log_scales, logit_opacities and sh, and (3, 4) float64 by the pose.

    Parameters
    ----------
    launch : geo3d.gpu.Launcher
    frame : Frame
    gradients : (N, 8 + channels)
        Of `image_gradients`.
    """
    torch = require("torch")
    n = len(frame.radii)
    outputs = tuple(torch.empty_like(p) for p in frame.parameters)
    pose = torch.empty(blocks_of(n, 128), 12, dtype=torch.float32, device=launch.device)
    launch(
        "gaussian_backward/gaussian_backward", blocks_of(n, 128), 128, frame.view, n, *frame.parameters,
        frame.variances, frame.parameters[4].shape[1], frame.degree, frame.antialiased, frame.channels, frame.tile_counts, gradients,
        *outputs, pose,
    )  # fmt: skip
    return outputs, pose.double().sum(0).reshape(3, 4)
