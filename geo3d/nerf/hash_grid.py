"""The hash-grid field as the formulas read, in PyTorch: slow, any float type, differentiated by autograd.

    p = N_l x;  c = floor(p), at most N_l - 1;  f = p - c
    e_l(x) = sum over the 8 corners k in {0, 1}^3 of  prod_a (k_a f_a + (1 - k_a) (1 - f_a))  entry_l(c + k)
    entry_l(i) = table_l[i_x + (N_l + 1) (i_y + (N_l + 1) i_z)]                      where all vertices have their own
               = table_l[(i_x xor 2654435761 i_y xor 805459861 i_z) mod entries]     else

x lies in the unit cube (what lies outside is held to its faces). The networks are those of field_parameters. Müller et
al., Instant Neural Graphics Primitives, SIGGRAPH 2022. hash_grid_kernels and mlp_kernels are the fast counterparts.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from geo3d.nerf.field_parameters import DENSITY_LIMIT, FEATURES, FieldShape
from geo3d.render.torch_harmonics import spherical_harmonics
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")

PRIMES = (1, 2654435761, 805459861)


def encode(shape: FieldShape, grid: Tensor, unit_positions: Tensor) -> Tensor:
    """Features of the grid.

    Parameters
    ----------
    shape : FieldShape
    grid : (entries, 2) tensor
    unit_positions : (S, 3) tensor

    Returns
    -------
    (S, 2 L) tensor
        Level by level.
    """
    found = []
    for level, resolution in enumerate(shape.resolutions):
        start, entries = shape.level_starts[level], shape.level_entries[level]
        scaled = torch.clamp(unit_positions, 0.0, 1.0) * resolution
        cell = torch.clamp(torch.floor(scaled.detach()), max=resolution - 1)
        fraction = scaled - cell
        features = torch.zeros(len(scaled), FEATURES, dtype=grid.dtype, device=grid.device)
        for corner in product((0, 1), repeat=3):
            k = torch.tensor(corner, device=cell.device)
            weight = torch.where(k == 1, fraction, 1.0 - fraction).prod(-1, keepdim=True)
            index = _entry(cell.to(torch.int64) + k, resolution, entries, shape.hashed[level])
            features = features + weight * grid[start + index]
        found.append(features)
    return torch.cat(found, -1)


def _entry(vertex: Tensor, resolution: int, entries: int, hashed: bool) -> Tensor:
    """Row of the level's table, of vertices (S, 3) int64."""
    x, y, z = vertex.unbind(-1)
    if not hashed:
        return x + (resolution + 1) * (y + (resolution + 1) * z)
    # The products stay below 2^63; `entries` is a power of 2, so that the lowest bits of 32 or of 64 are the same.
    return (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) % entries


def raw_density(shape: FieldShape, parameters: dict[str, Any], unit_positions: Tensor) -> Tensor:
    """(S, 1 + geometry) outputs of the density network, by `shape`, `parameters` and `unit_positions` (S, 3)."""
    features = encode(shape, parameters["grid"], unit_positions)
    return torch.relu(features @ parameters["density_0"]) @ parameters["density_1"]


def truncated_exp(raw: Tensor) -> Tensor:
    """exp(min(raw, 15)), whose derivative is taken as itself: what is too dense can still become less so."""
    return torch.exp(raw - torch.relu(raw.detach() - DENSITY_LIMIT))


def hash_grid_field(
    shape: FieldShape,
    parameters: dict[str, Any],
    unit_positions: Tensor,
    directions: Tensor,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Density (S,) and colour (S, 3) of the field.

    Parameters
    ----------
    shape : FieldShape
    parameters : dict of str to tensor
        As of `parameter_shapes`, of one float type.
    unit_positions : (S, 3) tensor
        In the unit cube.
    directions : (S, 3) tensor
        Unit vectors.
    rows : (S,) tensor of int, optional
        Rows of `appearance`; -1 for its mean, which is also what stands without rows.
    """
    raw = raw_density(shape, parameters, unit_positions)
    inputs = [raw, spherical_harmonics(directions, shape.sh_degree)]
    if shape.appearance:
        table = parameters["appearance"]
        table = torch.cat([table, table.detach().mean(0, keepdim=True)])
        inputs.append(table[-1].expand(len(directions), -1) if rows is None else table[rows.long()])
    hidden = torch.relu(torch.cat(inputs, -1) @ parameters["color_0"])
    hidden = torch.relu(hidden @ parameters["color_1"])
    return truncated_exp(raw[:, 0]), torch.sigmoid(hidden @ parameters["color_2"])
