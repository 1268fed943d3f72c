"""Gaussians as one web page that shows them, with nothing to install or to load from elsewhere.

The page holds its own viewer (`splat_viewer.html`, WebGL 2) and the Gaussians, gzipped and in base64. Eight words of 32
bits each:

    0..2  centre, float32
    3     0.5 + Y_0 sh_0 of red, green, blue, 10 bits each, from -1 to 2
    4     low 16 bits: log of the largest element of the covariance, from -80 to 80; then 8 bits of opacity
    5..7  covariance xx xy, xz yy, yz zz as half floats, divided by that element

then a byte for each coefficient above degree 0 between plus and minus the largest one, RGB innermost, filled up to 16,
32 or 48 bytes a Gaussian.
"""

from __future__ import annotations

import base64
import html
import json
import os
import zlib
from pathlib import Path

import numpy as np

from geo3d.geometry import SH_C0, quaternion_to_matrix
from geo3d.io.splat_file import numpy_gaussians, sigmoid, sound_rows
from geo3d.io.world_frame import WorldFrame, write_world_file
from geo3d.scene import Gaussians
from geo3d.util.files import write_text

_TEMPLATE = Path(__file__).with_name("splat_viewer.html")
_MOST = 4_000_000  # what the textures of common graphics cards hold
_FOV = 0.9  # radians, from top to bottom
_WIDTH = {0: 0, 1: 16, 2: 32, 3: 48}  # bytes above degree 0


def write_splat_html(path: str | os.PathLike, gaussians: Gaussians, frame: WorldFrame | None = None) -> None:
    """Write a page that shows Gaussians in any browser of today, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    gaussians : Gaussians
        In a world with z up; rows with NaN and the like are left out, with a warning.
    frame : WorldFrame, optional
        Unit and place of their world, written beside it.

    Raises
    ------
    ValueError
        If they are none, or more than four million, which browsers do not show.
    """
    g, _ = sound_rows(numpy_gaussians(gaussians), path)
    if not 0 < len(g) <= _MOST:
        raise ValueError(
            f"{path}: a page shows 1 to {_MOST:,} Gaussians, these are {len(g):,}; crop or prune them"
        )
    largest = float(np.abs(g.sh[:, 1:]).max(initial=0)) or 1.0
    settings = {
        "count": len(g),
        "degree": g.sh_degree,
        "antialiased": g.antialiased,
        "range": largest,
        "fov": _FOV,
        "background": [0.0, 0.0, 0.0],
        "view": start_view(g),
    }
    data = base64.b64encode(_gzip(_words(g).tobytes() + _harmonics(g, largest).tobytes())).decode()
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in (
        ("title", html.escape(Path(path).stem)),
        ("settings", json.dumps(settings)),
        ("data", data),
    ):
        page = page.replace("{{" + name + "}}", value, 1)
    write_text(path, page)
    write_world_file(path, frame or WorldFrame(), g.antialiased)


def start_view(gaussians: Gaussians) -> dict[str, float | list[float]]:
    """Where the page begins: around the middle of what is opaque, far enough to see most of it, from above the horizon.

    `target` (3,), `distance` in world units, `yaw` about z and `pitch` above the horizon in radians.
    """
    seen = gaussians.means[gaussians.logit_opacities >= min(0.0, float(np.max(gaussians.logit_opacities)))]
    target = np.median(seen, 0).astype(np.float64)
    radius = float(np.quantile(np.linalg.norm(seen - target, axis=1), 0.8))
    distance = 1.2 * max(radius, 1e-6) / np.sin(_FOV / 2)
    return {"target": target.tolist(), "distance": distance, "yaw": -0.9, "pitch": 0.45}


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(6, wbits=16 + zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _words(g: Gaussians) -> np.ndarray:
    """(N, 8) uint32."""
    axes = quaternion_to_matrix(g.quaternions) * np.exp(g.log_scales.astype(np.float64))[:, None]
    covariance = axes @ np.swapaxes(axes, 1, 2)
    largest = np.maximum(np.abs(covariance).max((1, 2)), np.exp(-80.0))
    level = np.rint((np.clip(np.log(largest), -80, 80) + 80) / 160 * 65535)
    unit = np.exp(level / 65535 * 160 - 80)[:, None, None]
    halves = (covariance / unit)[:, (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)].astype("<f2")
    color = np.rint((np.clip(0.5 + SH_C0 * g.sh[:, 0], -1, 2) + 1) / 3 * 1023).astype(np.uint32)
    words = np.empty((len(g), 8), "<u4")
    words[:, :3] = g.means.astype("<f4").view("<u4")
    words[:, 3] = color[:, 0] | color[:, 1] << np.uint32(10) | color[:, 2] << np.uint32(20)
    words[:, 4] = level.astype(np.uint32) | np.rint(sigmoid(g.logit_opacities) * 255).astype(
        np.uint32
    ) << np.uint32(16)
    words[:, 5:] = np.ascontiguousarray(halves).view("<u4")
    return words


def _harmonics(g: Gaussians, largest: float) -> np.ndarray:
    """(N, 0, 16, 32 or 48) uint8."""
    rest = g.sh[:, 1:].reshape(len(g), 3 * (g.sh.shape[1] - 1))
    table = np.zeros((len(g), _WIDTH[g.sh_degree]), np.uint8)
    table[:, : rest.shape[1]] = np.rint((rest / largest + 1) * 127.5)
    return table
