"""Sizes of a RAFT network: how many channels each part has. Teed & Deng, ECCV 2020, section 3 and its supplement.

Features have an eighth of the image's resolution. The correlation pyramid always has four levels; the radius of a
lookup gives (2 radius + 1)^2 values a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STRIDE = 8
"""Pixels of the image to a cell of the features."""

LEVELS = 4
"""Levels of the correlation pyramid."""


SMALLEST = STRIDE << (LEVELS - 1)
"""Pixels a side that an image has to have: one cell of the features at the coarsest level."""


@dataclass(frozen=True)
class Architecture:
    """Channels of each part of the network.

    Attributes
    ----------
    stages : tuple of int
        Of the encoders at a half, a quarter and an eighth of the resolution.
    bottleneck : bool
        Blocks of the encoders: 1 x 1, 3 x 3, 1 x 1 convolutions with a quarter of the channels between; else two 3 x 3.
    features : int
        Of each image, compared by the correlation.
    hidden, context : int
        State of the recurrent unit, and what it is told about the first image in each iteration.
    radius : int
        Of a correlation lookup, in cells of the level.
    correlation, flow : tuple of int
        Of the convolutions of the motion encoder; `correlation` has one or two.
    motion : int
        Out of the motion encoder, the flow's two among them.
    head : int
        Between the two convolutions that give the update of the flow.
    mask : int
        Between the two convolutions that give the weights of convex upsampling; 0: bilinear upsampling.
    separable : bool
        The recurrent unit convolves rows, then columns (1 x 5, 5 x 1); else 3 x 3 once.
    context_norm : bool
        Batch normalization in the context encoder; else none.
    """

    stages: tuple[int, int, int]
    bottleneck: bool
    features: int
    hidden: int
    context: int
    radius: int
    correlation: tuple[int, ...]
    flow: tuple[int, int]
    motion: int
    head: int
    mask: int
    separable: bool
    context_norm: bool

    @property
    def lookup(self) -> int:
        """Values that a correlation lookup gives a cell."""
        return LEVELS * (2 * self.radius + 1) ** 2


FULL = Architecture(
    stages=(64, 96, 128),
    bottleneck=False,
    features=256,
    hidden=128,
    context=128,
    radius=4,
    correlation=(256, 192),
    flow=(128, 64),
    motion=128,
    head=256,
    mask=256,
    separable=True,
    context_norm=True,
)
"""The paper's network, 5.3 million parameters."""

SMALL = Architecture(
    stages=(32, 64, 96),
    bottleneck=True,
    features=128,
    hidden=96,
    context=64,
    radius=3,
    correlation=(96,),
    flow=(64, 32),
    motion=82,
    head=128,
    mask=0,
    separable=False,
    context_norm=False,
)
"""The paper's small network, 1.0 million parameters."""

REDUCED = Architecture(
    stages=(16, 24, 32),
    bottleneck=False,
    features=64,
    hidden=48,
    context=32,
    radius=3,
    correlation=(64,),
    flow=(32, 16),
    motion=48,
    head=64,
    mask=64,
    separable=False,
    context_norm=False,
)
"""Small enough to be trained on a CPU in minutes."""

Shapes = Mapping[str, tuple[int, ...]]


def architecture_of(shapes: Shapes) -> Architecture:
    """The architecture that a table of parameters is of.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of each parameter by the name that the authors gave it, without `module.`.

    Raises
    ------
    ValueError
        If a parameter that tells it is missing or of a wrong number of dimensions.
    """

    def channels(name: str) -> int:
        """Channels that a convolution gives."""
        return _kernel(shapes, name)[0]

    hidden = _kernel(shapes, "update_block.flow_head.conv1")[1]
    flow = channels("update_block.encoder.convf1"), channels("update_block.encoder.convf2")
    second = "update_block.encoder.convc2"
    correlation = ("update_block.encoder.convc1", second)[: 1 + (f"{second}.weight" in shapes)]
    bottleneck = "fnet.layer1.0.conv3.weight" in shapes
    last = "conv3" if bottleneck else "conv2"
    stages = tuple(channels(f"fnet.layer{k}.0.{last}") for k in (1, 2, 3))
    return Architecture(
        stages=(stages[0], stages[1], stages[2]),
        bottleneck=bottleneck,
        features=channels("fnet.conv2"),
        hidden=hidden,
        context=channels("cnet.conv2") - hidden,
        radius=_radius(_kernel(shapes, "update_block.encoder.convc1")[1]),
        correlation=tuple(channels(name) for name in correlation),
        flow=flow,
        motion=channels("update_block.encoder.conv") + 2,
        head=channels("update_block.flow_head.conv1"),
        mask=channels("update_block.mask.0") if "update_block.mask.0.weight" in shapes else 0,
        separable="update_block.gru.convz1.weight" in shapes,
        context_norm="cnet.norm1.weight" in shapes,
    )


def _kernel(shapes: Shapes, name: str) -> tuple[int, ...]:
    """Shape (out, in, height, width) of the kernel of a convolution."""
    found = shapes.get(f"{name}.weight")
    if found is None:
        raise ValueError(f"not the weights of a RAFT network: {name}.weight is missing")
    if len(found) != 4 or min(found) < 1:
        raise ValueError(
            f"{name}.weight has shape {found}, expected that of a convolution: (out, in, height, width)"
        )
    return found


def _radius(values: int) -> int:
    """Radius of lookups that give so many values a cell."""
    for radius in range(1, 16):
        if LEVELS * (2 * radius + 1) ** 2 == values:
            return radius
    raise ValueError(
        f"update_block.encoder.convc1.weight takes {values} values of correlation, expected 4 (2 r + 1)^2 for a "
        "radius r of 1 to 15: 324 for the full network, 196 for the small one"
    )
