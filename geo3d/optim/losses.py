"""Robust losses: how much a residual counts.

With `s = |r|^2` the squared norm of one residual (a whole observation, not one coordinate) a problem costs
`1/2 sum rho(s)`. All losses are `rho(s) = s` for residuals much smaller than the scale `a` (same unit as `r`):

    trivial    s
    huber      s                         for s <= a^2, else 2 a sqrt(s) - a^2
    soft_l1    2 a^2 (sqrt(1 + s/a^2) - 1)
    cauchy     a^2 log(1 + s/a^2)
    tukey      a^2/3 (1 - (1 - s/a^2)^3) for s <= a^2, else a^2/3
    truncated  s                         for s <= a^2, else a^2

The derivative `rho'(s)` is the weight of the residual in the normal equations (iteratively reweighted least
squares). It never exceeds 1, and it makes the quadratic model an upper bound of the cost wherever rho is concave,
which all of them are. Formulas as in Ceres and in Triggs et al., "Bundle Adjustment - A Modern Synthesis", 2000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from geo3d.util.jit import njit

LossKind = Literal["trivial", "huber", "soft_l1", "cauchy", "tukey", "truncated"]
LOSS_KINDS: tuple[LossKind, ...] = get_args(LossKind)


@dataclass(frozen=True)
class RobustLoss:
    """A loss and its scale.

    Attributes
    ----------
    kind : str
        One of `LOSS_KINDS`.
    scale : float
        The residual norm `a` beyond which a residual counts less, in the unit of the residuals. Not used by
        `trivial`.

    Raises
    ------
    ValueError
        If the kind is unknown or the scale is not positive and finite.
    """

    kind: LossKind = "trivial"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in LOSS_KINDS:
            raise ValueError(f"loss must be one of {', '.join(LOSS_KINDS)}; got {self.kind!r}")
        if not 0 < self.scale < np.inf:
            raise ValueError(
                f"loss scale must be positive and finite, in the residuals' unit; got {self.scale}"
            )

    @property
    def id(self) -> int:
        """The integer by which kernels know the kind."""
        return LOSS_KINDS.index(self.kind)

    def rho(self, squared: np.ndarray) -> np.ndarray:
        """The loss of squared residual norms `s` (...), same shape."""
        s = np.asarray(squared, np.float64)
        a2 = self.scale**2
        inside = np.minimum(s, a2)
        if self.kind == "huber":
            return np.where(s <= a2, s, 2 * np.sqrt(a2 * np.maximum(s, a2)) - a2)
        if self.kind == "soft_l1":
            return 2 * a2 * (np.sqrt(1 + s / a2) - 1)
        if self.kind == "cauchy":
            return a2 * np.log1p(s / a2)
        if self.kind == "tukey":
            return a2 / 3 * (1 - (1 - inside / a2) ** 3)
        return inside if self.kind == "truncated" else s

    def weight(self, squared: np.ndarray) -> np.ndarray:
        """The derivative `rho'(s)` at squared residual norms `s` (...), same shape, within [0, 1]."""
        s = np.asarray(squared, np.float64)
        a2 = self.scale**2
        if self.kind == "huber":
            return np.sqrt(a2 / np.maximum(s, a2))
        if self.kind == "soft_l1":
            return 1 / np.sqrt(1 + s / a2)
        if self.kind == "cauchy":
            return 1 / (1 + s / a2)
        if self.kind == "tukey":
            return (1 - np.minimum(s, a2) / a2) ** 2
        return (s <= a2).astype(np.float64) if self.kind == "truncated" else np.ones_like(s)

    def weight_slope(self, squared: np.ndarray) -> np.ndarray:
        """The second derivative `rho''(s)` at squared residual norms `s` (...), same shape, not positive.

        The steps of `truncated` and the kink of `huber` have none.
        """
        s = np.asarray(squared, np.float64)
        a2 = self.scale**2
        if self.kind == "huber":
            return np.where(s > a2, -0.5 * self.scale * np.maximum(s, a2) ** -1.5, 0.0)
        if self.kind == "soft_l1":
            return -0.5 / a2 * (1 + s / a2) ** -1.5
        if self.kind == "cauchy":
            return -1 / (a2 * (1 + s / a2) ** 2)
        if self.kind == "tukey":
            return -2 / a2 * (1 - np.minimum(s, a2) / a2)
        return np.zeros_like(s)


@njit(nogil=True, error_model="numpy")
def evaluate_loss(loss_id, scale, s):
    """`(rho(s), rho'(s))` for one squared residual norm; the kernels' version of `RobustLoss`."""
    a2 = scale * scale
    if loss_id == 0:
        return s, 1.0
    if loss_id == 1:
        if s <= a2:
            return s, 1.0
        root = np.sqrt(s)
        return 2.0 * scale * root - a2, scale / root
    if loss_id == 2:
        root = np.sqrt(1.0 + s / a2)
        return 2.0 * a2 * (root - 1.0), 1.0 / root
    if loss_id == 3:
        ratio = s / a2
        return a2 * np.log1p(ratio), 1.0 / (1.0 + ratio)
    if s > a2:
        return (a2 / 3.0 if loss_id == 4 else a2), 0.0
    if loss_id == 4:
        rest = 1.0 - s / a2
        return a2 / 3.0 * (1.0 - rest * rest * rest), rest * rest
    return s, 1.0
