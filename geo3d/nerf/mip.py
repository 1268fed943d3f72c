"""mip-NeRF: the field of what a pixel sees of an interval, not of a point.

    density, colour = mlp(E[gamma_16(x)], gamma_4(direction)),   x ~ N(mean, covariance) of the conical frustum
    density = softplus(raw - 1),   colour = 1.002 sigmoid(raw) - 0.001

A frustum that is wider than an octave's period fades it: views from afar and in low resolution do not alias, and one
network serves coarse and fine samples. Barron et al., mip-NeRF, ICCV 2021. Through the contraction of an unbounded box
the Gaussian goes linearised (mip-NeRF 360, CVPR 2022). Density is per half side of the box, as in `PublishedField`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.appearance import appearance_of, appearance_vectors
from geo3d.nerf.cones import FrameGaussians, frustum_gaussians, point_gaussians
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.encoding import integrated_encoding, positional_encoding
from geo3d.nerf.field_output import FieldOutput
from geo3d.nerf.network_frame import world_density
from geo3d.nerf.radiance_mlp import RadianceMlp, RadianceShape
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")

MIP_SHAPE = RadianceShape(position_levels=16)
"""As published: what is too fine for the cone fades by itself, so that more octaves do no harm."""
_COLOR_MARGIN = 0.001  # black and white are reached with finite weights


class MipField(torch.nn.Module):
    """The network of mip-NeRF, a field for `render_rays`.

    Parameters
    ----------
    box : SceneBox
        Of the scene, world frame.
    shape : RadianceShape
    photos : int
        Of how many photos the appearance is learned, where the shape has one.
    seed : int
        Of the first weights.

    Raises
    ------
    ValueError
        If the shape has an appearance and `photos` is 0, or the other way round.
    """

    def __init__(
        self, box: SceneBox, shape: RadianceShape = MIP_SHAPE, photos: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.box, self.mlp = box, RadianceMlp(shape, seed)
        self.appearance = appearance_of(shape, photos)

    def along(self, rays: Rays, samples: RaySamples) -> FieldOutput:
        """Density and colour of the frusta of intervals.

        Parameters
        ----------
        rays : Rays
        samples : RaySamples
        """
        seen = frustum_gaussians(self.box, rays, samples)
        rows = samples.per_sample(rays.rows) if self.appearance is not None else None
        return self._output(seen, samples.per_sample(rays.directions), rows)

    def forward(self, positions: Tensor, directions: Tensor) -> FieldOutput:
        """Density and colour of points, as through a cone of no width; the mean appearance.

        Parameters
        ----------
        positions, directions : (S, 3) tensor
        """
        return self._output(point_gaussians(self.box, positions), directions, None)

    def _output(self, seen: FrameGaussians, directions: Tensor, rows: Tensor | None) -> FieldOutput:
        shape = self.mlp.shape
        density, color = self.mlp(
            integrated_encoding(seen.means, seen.variances, shape.position_levels),
            positional_encoding(directions, shape.direction_levels),
            appearance_vectors(self.appearance, rows, directions),
        )
        density = world_density(self.box, seen.means, torch.nn.functional.softplus(density - 1))
        return FieldOutput(density, (1 + 2 * _COLOR_MARGIN) * torch.sigmoid(color) - _COLOR_MARGIN)
