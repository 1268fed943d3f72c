"""Encoders of RAFT: an image to features of an eighth of its resolution. Teed & Deng 2020, section 3.1.

A 7 x 7 convolution of stride 2, three stages of two residual blocks (strides 1, 2, 2), a 1 x 1 convolution. The
features that are compared are normalized by instance. Names of parts are those in the authors' checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.flow.raft.architecture import Architecture
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")

nn = torch.nn

NORMS = {
    "instance": nn.InstanceNorm2d,
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Sequential(),
}


class Block(nn.Module):
    """relu(shortcut(x) + y), y from convolutions that are each normalized and rectified.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    norm : str
        Key of `NORMS`.
    stride : int
        Of the 3 x 3 convolution that is first, and of the shortcut.
    bottleneck : bool
        1 x 1 to a quarter of the channels, 3 x 3, 1 x 1 back; else two 3 x 3.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int, bottleneck: bool) -> None:
        super().__init__()
        inner = outputs // 4 if bottleneck else outputs
        if bottleneck:
            convolutions = [
                nn.Conv2d(inputs, inner, 1),
                nn.Conv2d(inner, inner, 3, stride, 1),
                nn.Conv2d(inner, outputs, 1),
            ]
        else:
            convolutions = [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)]
        self.count = len(convolutions)
        for number, convolution in enumerate(convolutions, 1):
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"norm{number}", NORMS[norm](convolution.out_channels))
        self.downsample = None
        if stride > 1:  # the norm of the shortcut has two names in the checkpoints
            shortcut = NORMS[norm](outputs)
            self.add_module(f"norm{self.count + 1}", shortcut)
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = x
        for number in range(1, self.count + 1):
            y = torch.relu(self.get_submodule(f"norm{number}")(self.get_submodule(f"conv{number}")(y)))
        return torch.relu((x if self.downsample is None else self.downsample(x)) + y)


class Encoder(nn.Module):
    """Features of images.

    Parameters
    ----------
    architecture : Architecture
        Its stages and kind of block.
    outputs : int
        Channels of the features.
    norm : str
        Key of `NORMS`.
    """

    def __init__(self, architecture: Architecture, outputs: int, norm: str) -> None:
        super().__init__()
        first, second, third = architecture.stages
        bottleneck = architecture.bottleneck
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3)
        self.norm1 = NORMS[norm](first)
        for number, (before, channels) in enumerate(((first, first), (first, second), (second, third)), 1):
            stride = 1 if number == 1 else 2
            stage = nn.Sequential(
                Block(before, channels, norm, stride, bottleneck),
                Block(channels, channels, norm, 1, bottleneck),
            )
            self.add_module(f"layer{number}", stage)
        self.conv2 = nn.Conv2d(third, outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, 8 H, 8 W) in [-1, 1] to (N, outputs, H, W)."""
        return self.conv2(self.trunk(images))

    def trunk(self, images: Tensor) -> Tensor:
        """What the last convolution takes, (N, C, H, W)."""
        x = torch.relu(self.norm1(self.conv1(images)))
        for number in (1, 2, 3):
            x = self.get_submodule(f"layer{number}")(x)
        return x
