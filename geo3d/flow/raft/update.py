"""The update operator of RAFT: one iteration of the recurrent unit. Teed & Deng 2020, section 3.3.

    z = sigmoid(conv([h, x])),  r = sigmoid(conv([h, x])),  q = tanh(conv([r h, x]))
    h' = (1 - z) h + z q                                      equations 2 to 5
    x = [context, motion features of flow and correlation];   update of the flow: two convolutions of h'

Names of parts are those in the authors' checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.flow.raft.architecture import STRIDE, Architecture
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")

nn = torch.nn


class MotionEncoder(nn.Module):
    """Features of the current flow and of the correlation there.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        first, *second = architecture.correlation
        self.convc1 = nn.Conv2d(architecture.lookup, first, 1)
        self.convc2 = nn.Conv2d(first, second[0], 3, 1, 1) if second else None
        self.convf1 = nn.Conv2d(2, architecture.flow[0], 7, 1, 3)
        self.convf2 = nn.Conv2d(architecture.flow[0], architecture.flow[1], 3, 1, 1)
        joined = architecture.correlation[-1] + architecture.flow[1]
        self.conv = nn.Conv2d(joined, architecture.motion - 2, 3, 1, 1)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        """Flow (N, 2, H, W) in cells and correlation (N, lookup, H, W) to (N, motion, H, W), the flow last."""
        matched = torch.relu(self.convc1(correlation))
        if self.convc2 is not None:
            matched = torch.relu(self.convc2(matched))
        moved = torch.relu(self.convf2(torch.relu(self.convf1(flow))))
        joined = torch.relu(self.conv(torch.cat([matched, moved], 1)))
        return torch.cat([joined, flow], 1)


class ConvGRU(nn.Module):
    """Gated recurrent unit whose products are convolutions.

    Parameters
    ----------
    hidden, inputs : int
        Channels of the state and of what comes in.
    separable : bool
        One unit of 1 x 5 kernels and then one of 5 x 1; else one of 3 x 3.
    """

    def __init__(self, hidden: int, inputs: int, separable: bool) -> None:
        super().__init__()
        kernels = {"1": (1, 5), "2": (5, 1)} if separable else {"": (3, 3)}
        self.passes = tuple(kernels)
        for suffix, (height, width) in kernels.items():
            for gate in "zrq":
                padding = height // 2, width // 2
                convolution = nn.Conv2d(hidden + inputs, hidden, (height, width), padding=padding)
                self.add_module(f"conv{gate}{suffix}", convolution)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """State (N, hidden, H, W) and input (N, inputs, H, W) to the next state."""
        for suffix in self.passes:
            to_z, to_r, to_q = (self.get_submodule(f"conv{gate}{suffix}") for gate in "zrq")
            both = torch.cat([h, x], 1)
            z, r = torch.sigmoid(to_z(both)), torch.sigmoid(to_r(both))
            q = torch.tanh(to_q(torch.cat([r * h, x], 1)))
            h = (1.0 - z) * h + z * q
        return h


class FlowHead(nn.Module):
    """Update of the flow out of the state.

    Parameters
    ----------
    hidden, between : int
        Channels of the state and between the convolutions.
    """

    def __init__(self, hidden: int, between: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, between, 3, 1, 1)
        self.conv2 = nn.Conv2d(between, 2, 3, 1, 1)

    def forward(self, h: Tensor) -> Tensor:
        """(N, hidden, H, W) to (N, 2, H, W), cells."""
        return self.conv2(torch.relu(self.conv1(h)))


class UpdateBlock(nn.Module):
    """One iteration: state, context, correlation and flow to the next state and the update of the flow.

    Parameters
    ----------
    architecture : Architecture
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.encoder = MotionEncoder(a)
        self.gru = ConvGRU(a.hidden, a.context + a.motion, a.separable)
        self.flow_head = FlowHead(a.hidden, a.head)
        self.mask = None
        if a.mask:
            last = nn.Conv2d(a.mask, 9 * STRIDE**2, 1)
            self.mask = nn.Sequential(nn.Conv2d(a.hidden, a.mask, 3, 1, 1), nn.ReLU(), last)

    def forward(self, h: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """State (N, hidden, H, W), context, correlation (N, lookup, H, W), flow (N, 2, H, W): state, update (cells)."""
        h = self.gru(h, torch.cat([context, self.encoder(flow, correlation)], 1))
        return h, self.flow_head(h)

    def weights(self, h: Tensor) -> Tensor | None:
        """Logits (N, 9 * 64, H, W) of convex upsampling out of a state; None where the network has none."""
        return (
            None if self.mask is None else 0.25 * self.mask(h)
        )  # 0.25: the published weights are trained so
