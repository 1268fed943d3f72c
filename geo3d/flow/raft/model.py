"""RAFT: recurrent all-pairs field transforms for optical flow. Teed & Deng, ECCV 2020.

    f0, f1 = features(image0), features(image1);  h, context = context(image0);  flow = 0
    repeat: flow += update(h, context, correlation(f0, f1) at p + flow, flow)

The flow lives on cells of 8 pixels and is upsampled to pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.flow.raft.architecture import Architecture
from geo3d.flow.raft.correlation import AllPairs, Correlation
from geo3d.flow.raft.encoder import Encoder
from geo3d.flow.raft.on_demand import OnDemand
from geo3d.flow.raft.update import UpdateBlock
from geo3d.flow.raft.upsampling import bilinear_upsampling, convex_upsampling
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")


class Raft(torch.nn.Module):
    """The network; its parameters have the names of the authors' checkpoints.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        outputs = architecture.hidden + architecture.context
        self.fnet = Encoder(architecture, architecture.features, "instance")
        self.cnet = Encoder(architecture, outputs, "batch" if architecture.context_norm else "none")
        self.update_block = UpdateBlock(architecture)

    def forward(
        self, image0: Tensor, image1: Tensor, iterations: int, on_demand: bool = False, every: bool = False
    ) -> list[Tensor]:
        """Flow from the first to the second image.

        Parameters
        ----------
        image0, image1 : Tensor (N, 3, H, W)
            In [0, 1]; H and W multiples of 8, at least 64.
        iterations : int
        on_demand : bool
            Compute correlations as they are looked up, in less memory.
        every : bool
            Upsample the flow of every iteration, for training; else of the last alone.

        Returns
        -------
        list of Tensor (N, 2, H, W)
            Flow in pixels, x and y, of every iteration or the last.
        """
        image0, image1 = 2.0 * image0 - 1.0, 2.0 * image1 - 1.0
        features0, features1 = self.fnet(torch.cat([image0, image1])).chunk(2)
        volume = OnDemand if on_demand else AllPairs
        correlation = volume(features0, features1, self.architecture.radius)
        h, context = self.cnet(image0).split([self.architecture.hidden, self.architecture.context], 1)
        return self._iterate(correlation, torch.tanh(h), torch.relu(context), iterations, every)

    def _iterate(
        self, correlation: Correlation, h: Tensor, context: Tensor, iterations: int, every: bool
    ) -> list[Tensor]:
        n, _, height, width = h.shape
        y, x = (torch.arange(size, dtype=h.dtype, device=h.device) for size in (height, width))
        start = torch.stack(torch.meshgrid(x, y, indexing="xy"))  # (2, H, W)
        flow = torch.zeros(n, 2, height, width, dtype=h.dtype, device=h.device)
        found = []
        for number in range(1, iterations + 1):
            flow = flow.detach()  # gradients do not run through the flow to earlier iterations
            h, update = self.update_block(h, context, correlation.lookup(start + flow), flow)
            flow = flow + update
            if every or number == iterations:
                weights = self.update_block.weights(h)
                found.append(
                    bilinear_upsampling(flow) if weights is None else convex_upsampling(flow, weights)
                )
        return found
