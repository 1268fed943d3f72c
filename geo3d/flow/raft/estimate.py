"""Optical flow of a pair of images by RAFT with weights from a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo3d.flow.images import FlowImages
from geo3d.flow.raft.architecture import SMALLEST, STRIDE

if TYPE_CHECKING:
    from geo3d.flow.raft.model import Raft

_VOLUME_BYTES = 1 << 31  # of a correlation pyramid on a GPU, above which it is computed on demand


@dataclass(frozen=True)
class RaftOptions:
    """Options of RAFT.

    Attributes
    ----------
    weights : path-like, optional
        File of weights; the sizes of the network (full, small, or of one's own training) are read off it. There are
        none in the package.
    iterations : int
        Of the update; the authors evaluate with 24 to 32.
    """

    weights: str | os.PathLike | None = None
    iterations: int = 20

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations: expected at least 1, got {self.iterations}")


def flow_raft(images: FlowImages, options: RaftOptions) -> np.ndarray:
    """(H, W, 2) float32 flow of RAFT, of `images` with `options`; on the GPU if PyTorch has one.

    Raises
    ------
    ValueError
        If no weights are given, or the file is not of a RAFT network.
    FileNotFoundError
        If it is not there.
    ImportError
        If PyTorch is not installed.
    """
    if options.weights is None:
        raise ValueError(
            "RAFT needs a file of weights (--weights FILE, RaftOptions(weights=FILE)). The authors publish theirs at "
            "https://github.com/princeton-vl/RAFT (download_models.sh there: raft-things.pth, raft-small.pth, ...); "
            "`python -m geo3d.flow.raft FILE` trains a small network on made-up pairs in minutes"
        )
    from geo3d.flow.raft.weights import load_raft

    return infer(load_raft(options.weights), images, options.iterations)


def infer(network: Raft, images: FlowImages, iterations: int) -> np.ndarray:
    """(H, W, 2) float32 flow of `images` by a `network`, after so many `iterations`.

    The images are padded to multiples of 8 pixels, at least 64, by repeating the border.
    """
    import torch

    from geo3d.flow.raft.correlation import volume_bytes

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    height, width = images.gray0.shape
    left, right = _padding(width)
    top, bottom = _padding(height)
    pair = torch.from_numpy(np.stack([images.image0, images.image1])).to(device).permute(0, 3, 1, 2)
    pair = torch.nn.functional.pad(pair, (left, right, top, bottom), mode="replicate")
    cells = pair.shape[2] // STRIDE, pair.shape[3] // STRIDE
    # On the CPU windows on demand are faster too: the pyramid does not fit its caches.
    on_demand = device.type == "cpu" or volume_bytes(*cells) > _VOLUME_BYTES
    with torch.inference_mode():
        flow = network.to(device).eval()(pair[:1], pair[1:], iterations, on_demand)[-1]
    inner = flow[0, :, top : top + height, left : left + width]
    return np.ascontiguousarray(inner.permute(1, 2, 0).cpu().numpy())


def _padding(size: int) -> tuple[int, int]:
    """Pixels to add before and after."""
    missing = max(SMALLEST, -(-size // STRIDE) * STRIDE) - size
    return missing // 2, missing - missing // 2
