"""View dependence: the real spherical harmonics of `geo3d.geometry`, differentiable in PyTorch.

The same order and signs (Kerbl et al., SIGGRAPH 2023) as coefficients of Gaussians, or as an encoding of directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo3d.geometry.spherical_harmonics import sh_terms
from geo3d.util.require import require

if TYPE_CHECKING:
    from torch import Tensor

torch: Any = require("torch")


def spherical_harmonics(directions: Tensor, degree: int = 3) -> Tensor:
    """(..., (degree + 1)^2) harmonics of unit `directions` (..., 3), up to `degree` 0 to 3.

    Raises
    ------
    ValueError
        If the degree is another.
    """
    if degree not in (0, 1, 2, 3):
        raise ValueError(f"degree: expected 0, 1, 2 or 3, got {degree}")
    return torch.stack(sh_terms(*directions.unbind(-1))[: (degree + 1) ** 2], -1)
