"""The hash-grid field on the GPU: what `geo3d.nerf.cpu_field` is on the CPU, with halves in place of float32.

The parameters are float32 and laid out as `geo3d.nerf.field_parameters` says. The kernels read copies in halves, and
multiply halves into float32 sums on tensor cores. Gradients are float32 sums of halves, added in any order: reruns
differ in the last bits. How many samples there are may be known to the GPU alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from geo3d.gpu import Launcher
from geo3d.nerf.field_parameters import FieldShape, parameter_shapes
from geo3d.util.jit import kernel_cache
from geo3d.util.require import require

KERNELS = Path(__file__).with_name("cuda")
PIECES = 148  # of 16 x 8 weights, forward and transposed: PIECES of cuda/network.h
WEIGHTS = ("density_0", "density_1", "color_0", "color_1", "color_2")
GRADIENT_SCALE = 128.0
"""What gradients by samples are multiplied by before they become halves, whose least normal number is 6e-5."""
_TILE = 128  # samples of a block of network_backward


@cache
def launcher() -> Launcher:
    """The kernels on the current GPU, loaded once.

    Raises
    ------
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """
    return Launcher(KERNELS, kernel_cache())


def blocks_of(count: int, size: int) -> int:
    """Blocks of `size` threads for `count` things."""
    return (count + size - 1) // size


def check_shape(shape: FieldShape) -> None:
    """Hold a shape against what the kernels are made for.

    Parameters
    ----------
    shape : FieldShape

    Raises
    ------
    ValueError
        If the networks have other sizes.
    """
    made_for = {"width": 64, "geometry": 15, "sh_degree": 3, "appearance": 0}
    for name, value in made_for.items():
        if getattr(shape, name) != value:
            raise ValueError(
                f"{name}: the GPU's kernels are made for {value}, got {getattr(shape, name)}; "
                "train it with --backend cpu"
            )


class CudaField:
    """A field with its parameters on the GPU, evaluated and differentiated.

    Parameters
    ----------
    shape : FieldShape
        Networks of the default sizes, without appearance; any grid.
    parameters : dict of str to array or tensor
        As of `parameter_shapes`; copied.
    launch : geo3d.gpu.Launcher, optional
        By default the kernels on the current GPU.

    Attributes
    ----------
    grid : (entries, 2) float32 tensor
    weights : (W,) float32 tensor
        The five matrices one after another.
    d_grid, d_weights : float32 tensors
        Sums of gradients times GRADIENT_SCALE; an optimiser takes them and leaves zeros.

    Raises
    ------
    ValueError
        If the kernels are not made for the shape.
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """

    def __init__(self, shape: FieldShape, parameters: dict[str, Any], launch: Any = None) -> None:
        torch = require("torch")
        check_shape(shape)
        self.shape, self.launch = shape, launcher() if launch is None else launch
        device = self.launch.device
        given = {
            name: torch.as_tensor(array, dtype=torch.float32, device=device)
            for name, array in parameters.items()
        }
        self.grid = given["grid"].clone()
        self.weights = torch.cat([given[name].reshape(-1) for name in WEIGHTS])
        self.d_grid, self.d_weights = torch.zeros_like(self.grid), torch.zeros_like(self.weights)
        rows = zip(shape.resolutions, shape.level_starts, shape.level_entries, shape.hashed)
        self.table = torch.tensor([list(map(int, row)) for row in rows], dtype=torch.int32, device=device)
        self.half_grid = torch.empty(len(self.grid), dtype=torch.int32, device=device)
        self.half_weights = torch.empty(64 * PIECES, dtype=torch.int32, device=device)
        self._blocks = (
            torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2
        )
        self._kept: Any = None  # what `backward` needs of the last `forward`
        self._density: Any = None
        self.refresh()

    def forget(self) -> None:
        """Let go of the last `forward`, and of gradients that were gathered."""
        self._kept = self._density = None
        self.d_grid.zero_()
        self.d_weights.zero_()

    def parameters(self) -> dict[str, Any]:
        """The parameters by name: views of `grid` and `weights`."""
        return self.named(self.grid, self.weights)

    def named(self, grid: Any, weights: Any) -> dict[str, Any]:
        """Tensors of the shapes of `grid` and `weights` as views by the parameters' names."""
        found, at = {"grid": grid}, 0
        for name, size in parameter_shapes(self.shape).items():
            if name in WEIGHTS:
                count = size[0] * size[1]
                found[name] = weights[at : at + count].view(size)
                at += count
        return found

    def refresh(self) -> None:
        """Make the halves anew from `grid` and `weights`, after these were changed."""
        self.half_grid.copy_(self.grid.half().view(require("torch").int32)[:, 0])
        self.refresh_weights()

    def refresh_weights(self) -> None:
        """Make the halves of the weights anew."""
        self.launch(
            "network/pack_weights", blocks_of(32 * PIECES, 256), 256, self.shape.levels, self.weights, self.half_weights
        )  # fmt: skip

    def encode(self, positions: Any, counts: Any) -> Any:
        """(levels, capacity) int32: pairs of halves, the features of the first `counts[0]` positions.

        Parameters
        ----------
        positions : (capacity, 3) float32 tensor
            In the unit cube.
        counts : (1,) int32 tensor
        """
        capacity, levels = len(positions), self.shape.levels
        features = require("torch").empty(
            levels, capacity, dtype=require("torch").int32, device=self.launch.device
        )
        self.launch(
            "hash_grid/encode", levels * blocks_of(capacity, 256), 256, capacity, counts, levels, self.table,
            self.half_grid, positions, features,
        )  # fmt: skip
        return features

    def density(self, positions: Any, counts: Any = None) -> Any:
        """(capacity,) density at the first `counts[0]` (default: all) of `positions` (capacity, 3)."""
        torch = require("torch")
        counts = self._all(positions) if counts is None else counts
        found = torch.empty(len(positions), dtype=torch.float32, device=self.launch.device)
        self.launch(
            "network/density_only", blocks_of(len(positions), 64), 128, len(positions), counts, self.shape.levels,
            self.encode(positions, counts), self.half_weights, found,
        )  # fmt: skip
        return found

    def forward(
        self, positions: Any, directions: Any, rays: Any = None, counts: Any = None
    ) -> tuple[Any, Any]:
        """Density (capacity,) and colour (capacity, 3); keeps what `backward` needs.

        Parameters
        ----------
        positions : (capacity, 3) float32 tensor
            In the unit cube.
        directions : (R, 3) float32 tensor
            Unit vectors.
        rays : (capacity,) int32 tensor, optional
            Whose direction each sample has; by default sample s has direction s.
        counts : (1,) int32 tensor, optional
            So many samples are meant, the first ones; what stands behind them is left as it is. Default: all.
        """
        torch = require("torch")
        counts = self._all(positions) if counts is None else counts
        features = self.encode(positions, counts)
        density = torch.empty(len(positions), dtype=torch.float32, device=self.launch.device)
        color = torch.empty(len(positions), 3, dtype=torch.float32, device=self.launch.device)
        self._kept, self._density = (positions, directions, rays, counts, features), density
        self.launch(
            "network/network_forward", blocks_of(len(positions), 64), 128, len(positions), counts, self.shape.levels,
            features, directions, rays, self.half_weights, density, color,
        )  # fmt: skip
        return density, color

    def backward(self, d_density: Any, d_color: Any, d_positions: Any = None) -> None:
        """Add the gradients of the last `forward` to `d_grid` and `d_weights`.

        Parameters
        ----------
        d_density, d_color : (capacity,), (capacity, 3) float32 tensors
            Gradients times GRADIENT_SCALE.
        d_positions : (capacity, 3) float32 tensor, optional
            The gradients by the positions, times GRADIENT_SCALE, are added to it.
        """
        d_features = self._through_networks(d_density, d_color, self.d_weights)
        positions, _, _, counts, _ = self._kept
        self.launch(
            "hash_grid/encode_backward", self._grid_blocks(), 256, len(positions), counts, self.shape.levels,
            self.table, positions, d_features, self.d_grid,
        )  # fmt: skip
        if d_positions is not None:
            self._to_positions(d_features, d_positions)

    def density_slopes(self) -> Any:
        """(capacity, 3) the gradient of the logarithm of the density by the positions of the last `forward`."""
        torch = require("torch")
        positions = self._kept[0]
        d_positions, nothing = torch.zeros_like(positions), torch.zeros_like(positions)
        slope = GRADIENT_SCALE / self._density
        d_features = self._through_networks(slope, nothing, torch.zeros_like(self.d_weights))
        self._to_positions(d_features, d_positions)
        return d_positions / GRADIENT_SCALE

    def _through_networks(self, d_density: Any, d_color: Any, d_weights: Any) -> Any:
        """Gradients by the features, (levels, capacity) pairs of halves; those by the weights are added."""
        positions, directions, rays, counts, features = self._kept
        d_features = require("torch").empty_like(features)
        self.launch(
            "network_backward/network_backward", min(self._blocks, blocks_of(len(positions), _TILE)), 256,
            len(positions), counts, self.shape.levels, features, directions, rays, self.half_weights, d_density,
            d_color, d_features, d_weights,
        )  # fmt: skip
        return d_features

    def _to_positions(self, d_features: Any, d_positions: Any) -> None:
        positions, _, _, counts, _ = self._kept
        self.launch(
            "hash_grid/position_gradients", self._grid_blocks(), 256, len(positions), counts, self.shape.levels,
            self.table, self.half_grid, positions, d_features, d_positions,
        )  # fmt: skip

    def _grid_blocks(self) -> int:
        return self.shape.levels * blocks_of(len(self._kept[0]), 256)

    def _all(self, positions: Any) -> Any:
        torch = require("torch")
        return torch.full((1,), len(positions), dtype=torch.int32, device=self.launch.device)
