"""Where a network sees a point: the cube of the scene, or all of contracted space, as [-1, 1]^3.

    x = 2 unit - 1,   unit: `SceneBox.unit_positions`,   q = 2 (world - center) / side,   r = max(1, |q|_inf)

    bounded      x = q                          d x / d world = 2 / side I
    unbounded    x = (2 - 1 / r) (q / r) / 2    d x / d world = (s I + s' sign(q_k) q e_k^T) / side,
                                                s = (2 - 1 / r) / r,  s' = (2 / r - 2) / r^2,  |q_k| = |q|_inf

Outside of a bounded box a field is empty: the encoding has the period 2, and would repeat the scene there.
The Jacobian takes the Gaussian of a cone through the contraction (Barron et al., mip-NeRF 360, CVPR 2022, equation 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.contraction import SceneBox
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


def network_coordinates(box: SceneBox, positions: Tensor) -> Tensor:
    """(S, 3) `positions` of the world as a network sees them: [-1, 1], where a bounded `box` has them inside."""
    return 2 * box.unit_positions(positions) - 1


def world_density(box: SceneBox, coordinates: Tensor, density: Tensor) -> Tensor:
    """(S,) per unit of the world, from one per half side of the box; 0 outside of a bounded box.

    Parameters
    ----------
    box : SceneBox
    coordinates : (S, 3) tensor
        As a network sees them.
    density : (S,) tensor
    """
    return density * (coordinates.detach().abs().amax(-1) <= 1) * (2 / box.side)


def network_jacobians(box: SceneBox, positions: Tensor) -> Tensor:
    """(S, 3, 3) derivative of the coordinates by the world's, for a `box` at `positions` (S, 3)."""
    eye = torch.eye(3, dtype=positions.dtype, device=positions.device)
    if not box.unbounded:
        return (2 / box.side * eye).expand(len(positions), 3, 3)
    q = 2 * box.local_points(positions) - 1
    size, most = q.abs().max(-1, keepdim=True)
    inverse = 1 / size.clamp_min(1)
    scale = (2 - inverse) * inverse
    slope = 2 * (inverse - 1) * inverse**2
    largest = torch.nn.functional.one_hot(most[:, 0], 3).to(q) * q.sign()
    return (scale[..., None] * eye + slope[..., None] * q[:, :, None] * largest[:, None, :]) / box.side
