"""The hash-grid field as a torch module, for trainings of one's own: values and gradients by the kernels of the CPU.

    density, colour = field(unit positions, directions) of geo3d.nerf.field_parameters,   density per side of the box

The kernels take float32 in the CPU's memory, and give no gradient by the directions and no second derivatives; for
these there are the formulas of geo3d.nerf.hash_grid. The kernels use their memory again at each call, so that going
back evaluates the field once more in place of keeping what is in between. Müller et al., Instant Neural Graphics
Primitives, SIGGRAPH 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.nerf.appearance import check_photos
from geo3d.nerf.contraction import SceneBox
from geo3d.nerf.cpu_field import CpuField
from geo3d.nerf.field_output import FieldOutput
from geo3d.nerf.field_parameters import FieldShape, check_parameters, initial_parameters
from geo3d.nerf.hash_grid import hash_grid_field
from geo3d.nerf.rays import Rays
from geo3d.nerf.rendering import BACKENDS
from geo3d.nerf.samples import RaySamples
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")

DEFAULT_SHAPE = FieldShape()


class HashGridField(torch.nn.Module):
    """A field for `render_rays`, whose parameters have the names and shapes of `parameter_shapes`.

    What `geo3d train --method nerf` has found goes in by `load_state_dict`, as tensors of `NerfModel.parameters`.
    Outside of a bounded box the field is empty.

    Parameters
    ----------
    box : SceneBox
        Of the scene, world frame.
    shape : FieldShape
        As `geo3d train` has it, if not given.
    photos : int
        Of how many photos the appearance is learned, where the shape has one.
    seed : int
        Of the first values.
    backend : str
        "reference" (PyTorch as the formulas read, any device and type, differentiable twice, as normals in a loss need
        it), "cpu" (numba kernels, float32 in the CPU's memory), or "auto": cpu where it can, but reference where
        directions require a gradient.

    Raises
    ------
    ValueError
        If the shape has an appearance and `photos` is 0, or the other way round; if there is no such backend.

    Examples
    --------
    >>> import torch
    >>> field = HashGridField(SceneBox(), FieldShape(levels=4, log2_entries=12))
    >>> found = field(torch.full((2, 3), 0.5), torch.tensor([[0.0, 0.0, 1.0]]).expand(2, 3))
    >>> found.color.sum().backward()
    >>> field.color_2.grad.shape
    torch.Size([64, 3])
    """

    def __init__(
        self,
        box: SceneBox,
        shape: FieldShape = DEFAULT_SHAPE,
        photos: int = 0,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_photos(shape.appearance, photos)
        if backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
        self.box, self.shape, self.backend = box, shape, backend
        for name, array in initial_parameters(shape, photos=photos, seed=seed).items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array)))
        self._kernels: CpuField | None = None  # with their memory

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without the kernels, which have threads."""
        return {**self.__dict__, "_kernels": None}

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

        Raises
        ------
        ValueError
            If the backend is "cpu" and can't give what is asked for.
        """
        unit = self.box.unit_positions(positions)
        named = dict(self.named_parameters())
        if self._by_kernels(unit, directions, *named.values()):
            density, color = _ByKernels.apply(self, unit, directions, rows, *named.values())
        else:
            density, color = hash_grid_field(self.shape, named, unit, directions, rows)
        inside = ((unit.detach() - 0.5).abs() <= 0.5).all(-1)
        return FieldOutput(density * inside / self.box.side, color)

    def along(self, rays: Rays, samples: RaySamples) -> FieldOutput:
        """Density and colour in the middle of intervals along rays, with the appearance of the rays' photos.

        Parameters
        ----------
        rays : Rays
        samples : RaySamples
        """
        rows = samples.per_sample(rays.rows) if self.shape.appearance else None
        return self(samples.positions(rays), samples.per_sample(rays.directions), rows)

    def kernels(self, parameters: dict[str, Any]) -> CpuField:
        """The kernels on `parameters`: float32 arrays by name, of this field's shape."""
        check_parameters(self.shape, parameters)
        if self._kernels is None:
            self._kernels = CpuField(self.shape, parameters)
        self._kernels.parameters = parameters
        return self._kernels

    def _by_kernels(self, unit: Tensor, directions: Tensor, *parameters: Tensor) -> bool:
        tensors = (unit, directions, *parameters)
        able = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
        able &= not (directions.requires_grad and torch.is_grad_enabled())
        if self.backend == "cpu" and not able:
            kind = ", ".join(sorted({f"{t.dtype} on {t.device}" for t in tensors}))
            raise ValueError(
                "backend: the kernels of 'cpu' take float32 in the CPU's memory and directions that require no "
                f"gradient, got {kind}{', and directions that do' * directions.requires_grad}; use 'reference'"
            )
        return able and self.backend != "reference"


class _ByKernels(torch.autograd.Function):
    """Density (S,) and colour (S, 3) of a module's unit positions, directions, rows and parameters."""

    @staticmethod
    def forward(ctx: Any, module: HashGridField, *tensors: Any) -> Any:
        ctx.module = module
        ctx.save_for_backward(*tensors)
        _, found = _evaluated(module, tensors, keep=False)
        return tuple(torch.from_numpy(array.copy()) for array in found)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_density: Any, d_color: Any) -> Any:
        field, _ = _evaluated(ctx.module, ctx.saved_tensors, keep=True)
        by_unit = ctx.needs_input_grad[1]
        found = field.backward(_array(d_density), _array(d_color), positions=by_unit)
        copies = {name: torch.from_numpy(gradient.copy()) for name, gradient in found.items()}
        return None, copies.get("positions"), None, None, *(copies[name] for name in field.parameters)


def _evaluated(
    module: HashGridField, tensors: tuple, *, keep: bool
) -> tuple[CpuField, tuple[np.ndarray, np.ndarray]]:
    """The kernels, and the density and the colour that they have in their memory."""
    unit, directions, rows, *values = tensors
    names = (name for name, _ in module.named_parameters())
    field = module.kernels({name: _array(value) for name, value in zip(names, values)})
    photos = None if rows is None else _array(rows, np.int32)
    return field, field.forward(_array(unit), _array(directions), photos, keep=keep)


def _array(tensor: Any, dtype: Any = np.float32) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype)
