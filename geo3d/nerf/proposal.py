"""Proposal networks: small fields of density alone, that say where a ray is to be sampled.

    density = softplus(raw - 1),   raw: 4 layers of 256 on the expected encoding of the conical frusta

Barron et al., mip-NeRF 360, CVPR 2022, section 3: they are asked at many places, the field at the few that they find,
and are held to it by the proposal loss. Density is per half side of the box, as in the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.cones import FrameGaussians, frustum_gaussians, point_gaussians
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.encoding import integrated_encoding
from geo3d.nerf.network_frame import world_density
from geo3d.nerf.radiance_mlp import initialise
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


class ProposalField(torch.nn.Module):
    """A density for proposal sampling.

    Parameters
    ----------
    box : SceneBox
        Of the scene, world frame.
    levels : int
        Octaves of the encoding.
    layers, width : int
    seed : int
        Of the first weights.

    Raises
    ------
    ValueError
        If there is no octave, no layer or no width.
    """

    def __init__(
        self, box: SceneBox, levels: int = 12, layers: int = 4, width: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        if min(levels, layers, width) < 1:
            found = f"{levels}, {layers} and {width}"
            raise ValueError(f"levels, layers, width: expected 1 or more of each, got {found}")
        self.box, self.levels = box, levels
        parts: list[Any] = []
        for k in range(layers):
            parts += [torch.nn.Linear(width if k else 6 * levels, width), torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*parts, torch.nn.Linear(width, 1))
        initialise(self, seed)

    def along(self, rays: Rays, samples: RaySamples) -> Tensor:
        """(S,) densities of the frusta of intervals.

        Parameters
        ----------
        rays : Rays
        samples : RaySamples
        """
        return self._density(frustum_gaussians(self.box, rays, samples))

    def forward(self, positions: Tensor) -> Tensor:
        """(S,) densities of points (S, 3) of the world."""
        return self._density(point_gaussians(self.box, positions))

    def _density(self, seen: FrameGaussians) -> Tensor:
        raw = self.network(integrated_encoding(seen.means, seen.variances, self.levels))[:, 0]
        return world_density(self.box, seen.means, torch.nn.functional.softplus(raw - 1))
