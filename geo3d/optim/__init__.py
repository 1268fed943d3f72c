"""Least squares: robust losses, Levenberg-Marquardt, Schur complement, covariance."""

from geo3d.optim.arrow import ArrowProblem, ArrowSystem, reduce_arrow
from geo3d.optim.covariance import covariance
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
    "ArrowProblem",
    "ArrowSystem",
    "DenseProblem",
    "LMOptions",
    "LMResult",
    "LMTrace",
    "LeastSquaresProblem",
    "LossKind",
    "RobustLoss",
    "Step",
    "covariance",
    "levenberg_marquardt",
    "reduce_arrow",
]
