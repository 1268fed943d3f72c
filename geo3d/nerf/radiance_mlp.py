"""The multilayer perceptron of NeRF: density of a place, and its colour from a direction.

    x = gamma(position)
    h_1 = relu(W_1 x + b_1), ..., h_8 = relu(W_8 h_7 + b_8),     but h_6 = relu(W_6 (h_5, x) + b_6)
    density = w h_8 + b,   feature = F h_8 + f,   v = relu(V (feature, gamma(direction)) + c),   colour = C v + d

Mildenhall et al., NeRF, ECCV 2020, figure 7: 8 layers of 256, x goes in again beside the fifth layer's activation, a
feature of 256 without a rectifier, a view branch of 128. Density and colour are given raw: what makes them positive
and bounded differs between NeRF and mip-NeRF. A vector per photo may go into the view branch, beside the direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


@dataclass(frozen=True)
class RadianceShape:
    """How large the network is; by default as published.

    Raises
    ------
    ValueError
        If there is no layer or no width, or if `skip` is not between the layers.
    """

    position_levels: int = 10
    """Octaves of the positional encoding of a position."""
    direction_levels: int = 4
    """Octaves of the positional encoding of a direction."""
    layers: int = 8
    width: int = 256
    skip: int = 5
    """After so many layers the encoded position goes in again; 0: never."""
    view_width: int = 128
    appearance: int = 0
    """Numbers of a photo that go into the colour beside the direction."""

    def __post_init__(self) -> None:
        for name in ("position_levels", "direction_levels", "layers", "width", "view_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 <= self.skip < self.layers:
            raise ValueError(f"skip: expected 0 to {self.layers - 1}, below the layers, got {self.skip}")
        if self.appearance < 0:
            raise ValueError(f"appearance: expected 0 or more, got {self.appearance}")


class RadianceMlp(torch.nn.Module):
    """Encoded positions and directions to raw densities and colours.

    Weights are uniform as Glorot and Bengio (2010) have them, biases zero, as in the authors' programs.

    Parameters
    ----------
    shape : RadianceShape
    seed : int
    """

    def __init__(self, shape: RadianceShape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        linear, width = torch.nn.Linear, shape.width
        encoded = 6 * shape.position_levels
        inputs = [encoded] + [width + encoded * (k == shape.skip) for k in range(1, shape.layers)]
        self.layers = torch.nn.ModuleList([linear(size, width) for size in inputs])
        self.density = linear(width, 1)
        self.feature = linear(width, width)
        self.view = linear(width + 6 * shape.direction_levels + shape.appearance, shape.view_width)
        self.color = linear(shape.view_width, 3)
        initialise(self, seed)

    def forward(
        self, positions: Tensor, directions: Tensor, appearance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Raw densities (S,) and raw colours (S, 3).

        Parameters
        ----------
        positions : (S, 6 position_levels) tensor
            Encoded.
        directions : (S, 6 direction_levels) tensor
            Encoded.
        appearance : (S, appearance) tensor, optional
            Left out, it is zero.
        """
        hidden = positions
        for k, layer in enumerate(self.layers):
            if k and k == self.shape.skip:
                hidden = torch.cat([hidden, positions], -1)
            hidden = torch.relu(layer(hidden))
        parts = [self.feature(hidden), directions]
        if self.shape.appearance:
            none = directions.new_zeros(len(directions), self.shape.appearance)
            parts.append(none if appearance is None else appearance)
        view = torch.relu(self.view(torch.cat(parts, -1)))
        return self.density(hidden)[:, 0], self.color(view)


def initialise(module: Any, seed: int) -> None:
    """Weights of all linear layers of a `module` uniform by Glorot and Bengio, a function of `seed`; biases zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(layer.weight, generator=generator)
            torch.nn.init.zeros_(layer.bias)
