"""A learned background: the colour of what is infinitely far, a function of the direction alone.

    C = sum_i w_i c_i + (1 - sum_i w_i) sky(direction)

A network of two layers sees the direction and its positional encoding (Rematas et al., Urban Radiance Fields, CVPR
2022, section 3.3; the direction itself goes in too, as opposite ends of an axis have one encoding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.encoding import positional_encoding
from geo3d.nerf.radiance_mlp import initialise
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


class LearnedSky(torch.nn.Module):
    """Unit directions (R, 3) to colours (R, 3) in [0, 1].

    Parameters
    ----------
    levels : int
        Octaves of the encoding: the finest thing in the sky is 2 / 2^levels wide, in radians.
    width : int
    seed : int
    """

    def __init__(self, levels: int = 4, width: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.levels = levels
        linear, rectifier = torch.nn.Linear, torch.nn.ReLU
        self.network = torch.nn.Sequential(
            linear(3 + 6 * levels, width), rectifier(), linear(width, width), rectifier(), linear(width, 3)
        )
        initialise(self, seed)

    def forward(self, directions: Tensor) -> Tensor:
        """(R, 3) colours of unit `directions` (R, 3)."""
        return torch.sigmoid(
            self.network(torch.cat([directions, positional_encoding(directions, self.levels)], -1))
        )
