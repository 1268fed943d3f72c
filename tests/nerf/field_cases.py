"""Fields and samples for the tests of the hash-grid field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from geo3d.nerf.field_parameters import FieldParameters, FieldShape, initial_parameters
from geo3d.nerf.hash_grid import encode, hash_grid_field, raw_density
from geo3d.render.torch_harmonics import spherical_harmonics

SHAPES = {
    "as Instant-NGP": (FieldShape(), 0),
    "one dense level": (FieldShape(levels=1, coarsest=9, finest=9, width=16, geometry=0, sh_degree=0), 0),
    "odd sizes": (FieldShape(levels=5, log2_entries=12, finest=300, width=80, geometry=7, sh_degree=2), 0),
    "appearance": (
        FieldShape(levels=9, log2_entries=10, finest=77, geometry=20, sh_degree=1, appearance=5),
        4,
    ),
    "narrow": (FieldShape(levels=2, log2_entries=10, finest=20, width=16, geometry=40), 0),
    "wide": (FieldShape(levels=16, log2_entries=14, finest=512, width=128, appearance=16), 2),
}
"""Shapes by name, with the number of photos."""


@dataclass(frozen=True)
class FieldCase:
    """A field with samples in it, and the gradients that arrive at its outputs."""

    shape: FieldShape
    parameters: FieldParameters
    positions: np.ndarray  # (S, 3)
    directions: np.ndarray  # (S, 3)
    rows: np.ndarray | None  # (S,) int32
    d_density: np.ndarray  # (S,)
    d_color: np.ndarray  # (S, 3)

    @property
    def inputs(self) -> tuple:
        return self.positions, self.directions, self.rows


def field_case(name: str, count: int = 500, seed: int = 0) -> FieldCase:
    """A trained-looking field, and samples none of which has a neuron so near to 0 that rounding turns it on or off."""
    shape, photos = SHAPES[name]
    rng = np.random.default_rng(seed)
    parameters = initial_parameters(shape, photos=photos, seed=seed)
    parameters["grid"] *= np.float32(5e3)
    if photos:
        parameters["appearance"][:] = rng.normal(size=parameters["appearance"].shape)
    positions = rng.uniform(-0.03, 1.03, (2 * count, 3)).astype(np.float32)
    directions = rng.normal(size=(2 * count, 3))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    rows = rng.integers(-1, photos, 2 * count).astype(np.int32)
    keep = np.flatnonzero(_margin(shape, parameters, positions, directions, rows) > 2e-6)[:count]
    assert len(keep) == count
    d_density, d_color = rng.normal(size=count), rng.normal(size=(count, 3))
    return FieldCase(
        shape, parameters, positions[keep], directions[keep], rows[keep] if photos else None,
        d_density.astype(np.float32), d_color.astype(np.float32),
    )  # fmt: skip


def _margin(shape, parameters, positions, directions, rows) -> np.ndarray:
    """Smallest distance from 0 of a hidden neuron of each sample, and of its coordinates from a cell's border."""
    p = {name: torch.from_numpy(array).double() for name, array in parameters.items()}
    x, d = torch.from_numpy(positions).double(), torch.from_numpy(directions).double()
    first = encode(shape, p["grid"], x) @ p["density_0"]
    inputs = [raw_density(shape, p, x), spherical_harmonics(d, shape.sh_degree)]
    if shape.appearance:
        table = torch.cat([p["appearance"], p["appearance"].mean(0, keepdim=True)])
        inputs.append(table[torch.from_numpy(rows).long()])
    second = torch.cat(inputs, 1) @ p["color_0"]
    third = torch.relu(second) @ p["color_1"]
    scaled = x[:, None] * torch.tensor(shape.resolutions, dtype=torch.float64)[:, None]
    border = (scaled - scaled.round()).abs().flatten(1).amin(1) / 10
    return torch.stack([*(h.abs().amin(1) for h in (first, second, third)), border], 1).amin(1).numpy()


def reference(case: FieldCase) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Density, colour and all gradients in double precision, by autograd."""
    tensors = {
        name: torch.from_numpy(array).double().requires_grad_() for name, array in case.parameters.items()
    }
    x = torch.from_numpy(case.positions).double().requires_grad_()
    rows = None if case.rows is None else torch.from_numpy(case.rows)
    density, color = hash_grid_field(case.shape, tensors, x, torch.from_numpy(case.directions).double(), rows)
    d_density, d_color = (torch.from_numpy(array).double() for array in (case.d_density, case.d_color))
    found = torch.autograd.grad([density, color], [*tensors.values(), x], [d_density, d_color])
    gradients = {name: gradient.numpy() for name, gradient in zip([*tensors, "positions"], found)}
    return density.detach().numpy(), color.detach().numpy(), gradients
