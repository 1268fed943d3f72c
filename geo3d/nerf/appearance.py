"""What one photo looks like and others do not: a vector per photo, found with the field it goes into.

Weather, exposure and white balance change colours from photo to photo, the place does not: the vector goes into the
colour's branch only, beside the direction. Generative latent optimisation (Bojanowski et al., ICML 2018) as in NeRF in
the Wild (Martin-Brualla et al., CVPR 2021, section 4.1). A view that is of no photo has the mean of all vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.nerf.radiance_mlp import RadianceShape
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


class AppearanceEmbedding(torch.nn.Module):
    """A vector for each of `photos` photos, of `size` numbers; zero at first, all photos alike.

    Parameters
    ----------
    photos, size : int

    Raises
    ------
    ValueError
        If there is no photo or no number.
    """

    def __init__(self, photos: int, size: int) -> None:
        super().__init__()
        if photos < 1 or size < 1:
            raise ValueError(f"photos, size: expected 1 or more of each, got {photos} and {size}")
        self.vectors = torch.nn.Parameter(torch.zeros(photos, size))

    def forward(self, rows: Tensor) -> Tensor:
        """(S, size) vectors of the photos `rows` (S,), -1 for none: the mean.

        Raises
        ------
        ValueError
            If a row is of no photo.
        """
        if len(rows) and not -1 <= int(rows.min()) <= int(rows.max()) < len(self.vectors):
            found = f"{int(rows.min())} to {int(rows.max())}"
            raise ValueError(f"rows: expected -1 to {len(self.vectors) - 1}, one for each photo, got {found}")
        return torch.cat([self.vectors.mean(0, keepdim=True), self.vectors])[rows.long() + 1]


def appearance_of(shape: RadianceShape, photos: int) -> AppearanceEmbedding | None:
    """The embedding that a `shape` asks for, of so many `photos`, or None."""
    check_photos(shape.appearance, photos)
    return AppearanceEmbedding(photos, shape.appearance) if photos else None


def check_photos(appearance: int, photos: int) -> None:
    """Hold the number of `photos` against the numbers that each has for its `appearance`.

    Raises
    ------
    ValueError
        If there are photos without appearance, or appearance without photos.
    """
    if (appearance > 0) != (photos > 0):
        raise ValueError(
            f"photos: expected {'1 or more' if appearance else '0'} with an appearance of "
            f"{appearance} numbers, got {photos}"
        )


def appearance_vectors(
    embedding: AppearanceEmbedding | None, rows: Tensor | None, directions: Tensor
) -> Tensor | None:
    """(S, A) vectors of an `embedding` for the photos `rows` (S,) of `directions` (S, 3); None without an embedding."""
    if embedding is None:
        return None
    if rows is None:
        rows = torch.full((len(directions),), -1, device=directions.device)
    return embedding(rows)
