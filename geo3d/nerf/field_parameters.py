"""Shape, arrays and initial values of a radiance field: a multi-resolution hash grid and two small networks.

    e = grid(x)                                             (2 L,)  x in the unit cube, two features of each of L levels
    h = density_1^T relu(density_0^T e)                     (1 + geometry,)
    density = exp(min(h_0, 15))
    color = sigmoid(color_2^T relu(color_1^T relu(color_0^T [h, Y(direction), appearance of the photo])))

Level l has resolution N_l = floor(coarsest b^l) with b = (finest / coarsest)^(1 / (L - 1)): (N_l + 1)^3 vertices, one
entry each where they fit into 2^log2_entries, else hashed. The networks have no biases. Y: real spherical harmonics in
the order and with the signs of `geo3d.geometry.sh_basis`. Müller et al., Instant Neural Graphics Primitives,
SIGGRAPH 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FEATURES = 2  # of an entry of the grid
DENSITY_LIMIT = 15.0  # of the raw density: exp(15) is as good as opaque, and what follows stays finite
GRID_RANGE = 1e-4  # initial entries are uniform in +- this

FieldParameters = dict[str, np.ndarray]
"""float32 arrays by name: those of `parameter_shapes`, in that order."""


@dataclass(frozen=True)
class FieldShape:
    """Sizes of a field.

    Attributes
    ----------
    levels : int
        Resolutions of the grid, 1 to 16.
    log2_entries : int
        A level has at most 2^log2_entries entries, 4 to 24.
    coarsest, finest : int
        Cells along an edge of the unit cube at the first and at the last level, 1 to 65,536.
    width : int
        Neurons of a hidden layer, a multiple of 16.
    geometry : int
        Outputs of the density network besides the density; they go on to the colour network.
    sh_degree : int
        Of the direction's spherical harmonics, 0 to 3.
    appearance : int
        Numbers a photo that the colour network gets, 0 for none.

    Raises
    ------
    ValueError
        If a size is out of its range.
    """

    levels: int = 8
    log2_entries: int = 17
    coarsest: int = 16
    finest: int = 1024
    width: int = 64
    geometry: int = 15
    sh_degree: int = 3
    appearance: int = 0

    def __post_init__(self) -> None:
        limits = {
            "levels": (1, 16),
            "log2_entries": (4, 24),
            "coarsest": (1, 65536),
            "finest": (self.coarsest, 65536),
            "width": (16, 1024),
            "geometry": (0, 255),
            "sh_degree": (0, 3),
            "appearance": (0, 256),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected {least} to {most}, got {getattr(self, name)}")
        if self.width % 16:
            raise ValueError(f"width: expected a multiple of 16, got {self.width}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Cells along an edge of the unit cube, of each level."""
        growth = math.log(self.finest / self.coarsest) / max(self.levels - 1, 1)
        # The last level's is `finest`, not the whole number below a rounding error.
        return tuple(int(self.coarsest * math.exp(growth * l) + 1e-6) for l in range(self.levels))

    @property
    def level_entries(self) -> tuple[int, ...]:
        """Entries of each level."""
        return tuple(min((n + 1) ** 3, 1 << self.log2_entries) for n in self.resolutions)

    @property
    def level_starts(self) -> tuple[int, ...]:
        """First entry of each level in the concatenated grid."""
        return tuple(sum(self.level_entries[:l]) for l in range(self.levels))

    @property
    def hashed(self) -> tuple[bool, ...]:
        """Whether a level's vertices share entries."""
        return tuple((n + 1) ** 3 > 1 << self.log2_entries for n in self.resolutions)

    @property
    def outputs(self) -> int:
        """Outputs of the density network."""
        return 1 + self.geometry

    @property
    def harmonics(self) -> int:
        """Values of the spherical harmonics."""
        return (self.sh_degree + 1) ** 2


def parameter_shapes(shape: FieldShape, photos: int = 0) -> dict[str, tuple[int, ...]]:
    """Shapes of a field's arrays by name.

    Parameters
    ----------
    shape : FieldShape
    photos : int
        Rows of `appearance`, where the field has one.

    Examples
    --------
    >>> for name, size in parameter_shapes(FieldShape()).items():
    ...     print(name, size)
    grid (815734, 2)
    density_0 (16, 64)
    density_1 (64, 16)
    color_0 (32, 64)
    color_1 (64, 64)
    color_2 (64, 3)
    """
    encoded, width = FEATURES * shape.levels, shape.width
    shapes: dict[str, tuple[int, ...]] = {
        "grid": (sum(shape.level_entries), FEATURES),
        "density_0": (encoded, width),
        "density_1": (width, shape.outputs),
        "color_0": (shape.outputs + shape.harmonics + shape.appearance, width),
        "color_1": (width, width),
        "color_2": (width, 3),
    }
    if shape.appearance:
        shapes["appearance"] = (photos, shape.appearance)
    return shapes


def initial_parameters(shape: FieldShape, *, photos: int = 0, seed: int = 0) -> FieldParameters:
    """A field before its training, as Instant-NGP's.

    The grid is uniform in +-1e-4, the weights in +-sqrt(6 / (rows + columns)) (Glorot and Bengio 2010), the appearance
    zero.

    Parameters
    ----------
    shape : FieldShape
    photos : int
        Rows of `appearance`, where the field has one.
    seed : int

    Examples
    --------
    >>> initial_parameters(FieldShape(), seed=1)["color_2"].shape
    (64, 3)
    """
    rng = np.random.default_rng(seed)
    parameters = {}
    for name, size in parameter_shapes(shape, photos).items():
        limit = {"grid": GRID_RANGE, "appearance": 0.0}.get(name, math.sqrt(6.0 / sum(size)))
        parameters[name] = ((2.0 * rng.random(size, np.float32) - 1.0) * np.float32(limit)).astype(np.float32)
    return parameters


def check_parameters(shape: FieldShape, parameters: FieldParameters) -> None:
    """Hold `parameters` against `shape`.

    Parameters
    ----------
    shape : FieldShape
    parameters : dict of str to array

    Raises
    ------
    ValueError
        If a name, a shape or a type is not that of `parameter_shapes`.
    """
    rows = len(parameters["appearance"]) if "appearance" in parameters else 0
    expected = parameter_shapes(shape, rows)
    if set(parameters) != set(expected):
        raise ValueError(f"parameters: expected {', '.join(expected)}, got {', '.join(parameters) or 'none'}")
    for name, size in expected.items():
        found = parameters[name]
        if tuple(found.shape) != size or found.dtype != np.float32:
            raise ValueError(
                f"parameters[{name!r}]: expected float32 {size}, got {found.dtype} {tuple(found.shape)}"
            )
