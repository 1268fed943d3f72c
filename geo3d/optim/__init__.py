"""Least squares: robust losses, Levenberg-Marquardt, Schur complement."""

from geo3d.optim.dense import DenseProblem
from geo3d.optim.least_squares import (
    LeastSquaresProblem,
    LMOptions,
    LMResult,
    LMTrace,
    Step,
    levenberg_marquardt,
)
from geo3d.optim.losses import LOSS_KINDS, LossKind, RobustLoss

__all__ = [
    "LOSS_KINDS",
    "DenseProblem",
    "LMOptions",
    "LMResult",
    "LMTrace",
    "LeastSquaresProblem",
    "LossKind",
    "RobustLoss",
    "Step",
    "levenberg_marquardt",
]
