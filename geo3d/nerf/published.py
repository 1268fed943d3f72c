"""The original NeRF as published, two networks of it: a coarse one that says where to sample, a fine one.

    density, colour = mlp(gamma_10(x), gamma_4(direction)),   density = relu(raw),   colour = sigmoid(raw)

x is the position in [-1, 1]^3 of the scene's box, gamma the positional encoding of 10 and 4 octaves, and the density
is per half side of the box, so that a scene in metres and one in kilometres train alike; outside of a bounded box it
is 0. Mildenhall et al., NeRF, ECCV 2020, equation 4, figure 7 and section 5: 593,924 parameters a network. (The
authors' program also gives the network x itself, and leaves out the pi of equation 4.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.appearance import appearance_of, appearance_vectors
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.encoding import positional_encoding
from geo3d.nerf.field_output import FieldOutput
from geo3d.nerf.network_frame import network_coordinates, world_density
from geo3d.nerf.radiance_mlp import RadianceMlp, RadianceShape
from geo3d.nerf.rays import Rays
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")

PUBLISHED_SHAPE = RadianceShape()


class PublishedField(torch.nn.Module):
    """One network of the original NeRF, a field for `render_rays`.

    Parameters
    ----------
    box : SceneBox
        Of the scene, world frame.
    shape : RadianceShape
        As published, if not given.
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
        self, box: SceneBox, shape: RadianceShape = PUBLISHED_SHAPE, photos: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.box, self.mlp = box, RadianceMlp(shape, seed)
        self.appearance = appearance_of(shape, photos)

    def forward(self, positions: Tensor, directions: Tensor, rows: Tensor | None = None) -> FieldOutput:
        """Density and colour.

        Parameters
        ----------
        positions : (S, 3) tensor
            World.
        directions : (S, 3) tensor
            Unit vectors.
        rows : (S,) tensor of int, optional
            Photos; left out, or -1, the mean appearance.
        """
        shape, at = self.mlp.shape, network_coordinates(self.box, positions)
        density, color = self.mlp(
            positional_encoding(at, shape.position_levels),
            positional_encoding(directions, shape.direction_levels),
            appearance_vectors(self.appearance, rows, directions),
        )
        return FieldOutput(world_density(self.box, at, torch.relu(density)), torch.sigmoid(color))

    def along(self, rays: Rays, samples: RaySamples) -> FieldOutput:
        """Density and colour in the middle of intervals along rays, with the appearance of the rays' photos.

        Parameters
        ----------
        rays : Rays
        samples : RaySamples
        """
        rows = samples.per_sample(rays.rows) if self.appearance is not None else None
        return self(samples.positions(rays), samples.per_sample(rays.directions), rows)


class PublishedNerf(torch.nn.Module):
    """The two networks: `coarse` and `fine`, with different first weights.

    Parameters
    ----------
    box : SceneBox
    shape : RadianceShape
    photos : int
    seed : int
    """

    def __init__(
        self, box: SceneBox, shape: RadianceShape = PUBLISHED_SHAPE, photos: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.coarse = PublishedField(box, shape, photos, 2 * seed)
        self.fine = PublishedField(box, shape, photos, 2 * seed + 1)
