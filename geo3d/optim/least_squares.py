"""Levenberg-Marquardt, once for all problems.

Minimises `F(x) = 1/2 sum rho(|r_i(x)|^2)`. At each iterate the step `d` solves

    (H + lambda D) d = -g,    H = J^T W J,  g = J^T W r,  D = clip(diag(H), 1e-6, 1e32)

(Marquardt's scaling, so that units of parameters do not matter) and is taken when the true decrease is at least a
small fraction of the one predicted by the model. `lambda` is the inverse of a trust-region radius, which grows by
up to 3 after good steps and shrinks by 2, 4, 8, ... after refused ones (Nielsen 1999; Ceres uses the same rule).

How the normal equations are built and solved is the problem's own affair (`LeastSquaresProblem`): dense
(`DenseProblem`), an arrow of blocks (`ArrowProblem`), or points eliminated by the Schur complement
(`geo3d.sfm.solve_bundle`). A gauge freedom needs no treatment: along it the gradient is zero and the damping holds
the step.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

MIN_DIAGONAL = 1e-6
MAX_DIAGONAL = 1e32

Termination = Literal["function", "gradient", "parameter", "iterations", "stalled"]


@dataclass(frozen=True)
class Step:
    """What the problem says of the step it has just solved for.

    Attributes
    ----------
    decrease : float
        By how much the quadratic model says that the cost falls, `-g.d - d.H.d / 2`.
    norm : float
        Euclidean length of the step.
    state_norm : float
        Euclidean length of the parameters.
    """

    decrease: float
    norm: float
    state_norm: float


class LeastSquaresProblem(Protocol):
    """The verbs that `levenberg_marquardt` needs. The problem holds the current parameters itself."""

    def linearize(self) -> float:
        """Build `H` and `g` at the current parameters; return the cost there."""
        ...

    def gradient_norm(self) -> float:
        """Largest absolute element of `g`."""
        ...

    def solve(self, damping: float) -> Step | None:
        """Solve `(H + damping * D) d = -g` and keep `d`; None when the system is not positive definite."""
        ...

    def trial_cost(self) -> float:
        """The cost after the step; infinite or NaN where the parameters would leave their domain."""
        ...

    def accept(self) -> None:
        """Take the step: what was evaluated by `trial_cost` becomes current."""
        ...


@dataclass(frozen=True)
class LMOptions:
    """When to stop and how to damp.

    Attributes
    ----------
    max_iterations : int
        Steps tried at most, refused ones included.
    function_tolerance : float
        Stop when a step lowers the cost by less than this fraction.
    gradient_tolerance : float
        Stop when no element of the gradient exceeds this.
    parameter_tolerance : float
        Stop when the step is shorter than this fraction of the parameters' norm.
    initial_damping : float
        First `lambda`. Lower it (1e-8) when the start is known to be good.
    """

    max_iterations: int = 50
    function_tolerance: float = 1e-6
    gradient_tolerance: float = 1e-10
    parameter_tolerance: float = 1e-8
    initial_damping: float = 1e-4

    def __post_init__(self) -> None:
        if self.max_iterations < 0:
            raise ValueError(f"max_iterations must not be negative; got {self.max_iterations}")
        for name in ("function_tolerance", "gradient_tolerance", "parameter_tolerance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if not 0 < self.initial_damping < math.inf:
            raise ValueError(f"initial_damping must be positive and finite; got {self.initial_damping}")


@dataclass(frozen=True)
class LMTrace:
    """One tried step: its number, the cost afterwards, its damping, whether it was taken, seconds since the start."""

    iteration: int
    cost: float
    damping: float
    accepted: bool
    seconds: float


@dataclass
class LMResult:
    """How a minimisation went; the parameters are in the problem.

    Attributes
    ----------
    cost_initial, cost : float
        `1/2 sum rho` before and after.
    iterations : int
        Steps tried.
    termination : str
        `function`, `gradient`, `parameter` (converged by that tolerance), `iterations` (limit reached) or `stalled`
        (no step lowers the cost, however short).
    seconds : float
        Wall time.
    trace : list of LMTrace
        Cost over time; the first entry is the start.
    """

    cost_initial: float
    cost: float
    iterations: int
    termination: Termination
    seconds: float
    trace: list[LMTrace] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met."""
        return self.termination in ("function", "gradient", "parameter")


_MIN_RATIO = 1e-3  # of true to predicted decrease, below which a step is refused
_DAMPING_RANGE = (1e-16, 1e32)


def levenberg_marquardt(problem: LeastSquaresProblem, options: LMOptions | None = None) -> LMResult:
    """Minimise a least-squares problem in place.

    Parameters
    ----------
    problem : LeastSquaresProblem
        Holds the start; holds the best parameters found afterwards.
    options : LMOptions, optional

    Returns
    -------
    LMResult

    Raises
    ------
    ValueError
        If the cost at the start is not finite.
    """
    options = options or LMOptions()
    start = time.perf_counter()
    cost = first = problem.linearize()
    if not math.isfinite(cost):
        raise ValueError(f"the cost at the start is {cost}; expected finite parameters and measurements")
    damping, growth = options.initial_damping, 2.0
    trace = [LMTrace(0, cost, damping, True, time.perf_counter() - start)]
    termination: Termination | None = None
    stale = False
    while termination is None:
        if len(trace) > options.max_iterations:
            termination = "iterations"
            break
        if stale:
            cost, stale = problem.linearize(), False
        if problem.gradient_norm() <= options.gradient_tolerance:
            termination = "gradient"
            break
        if damping > _DAMPING_RANGE[1]:
            termination = "stalled"
            break
        step = problem.solve(damping)
        if step is not None and step.norm <= options.parameter_tolerance * (
            step.state_norm + options.parameter_tolerance
        ):
            termination = "parameter"
            break
        used, ratio, trial = damping, -1.0, math.inf
        if step is not None and step.decrease > 0:
            trial = problem.trial_cost()
            ratio = (cost - trial) / step.decrease if math.isfinite(trial) else -1.0
        accepted = ratio > _MIN_RATIO
        if accepted:
            problem.accept()
            if cost - trial <= options.function_tolerance * cost:
                termination = "function"
            damping = max(damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), _DAMPING_RANGE[0])
            cost, growth, stale = trial, 2.0, True
        else:
            if step is not None and abs(step.decrease) <= 1e-15 * cost:
                termination = (
                    "function" if growth == 2.0 else "stalled"
                )  # what is left to gain is below rounding
            damping, growth = damping * growth, growth * 2
        trace.append(LMTrace(len(trace), cost, used, accepted, time.perf_counter() - start))
    return LMResult(first, cost, len(trace) - 1, termination, time.perf_counter() - start, trace)
