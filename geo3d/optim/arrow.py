"""Least squares with an arrow of blocks: many small groups of parameters, each tied to the same few shared ones.

A calibration is of this kind: a pose for each photo of the board, and the camera's parameters seen by all. The groups
are eliminated by the Schur complement, so that the work grows with their number and not with its cube:

    [ A     W_i ] [ds]     [gs]      S = A - sum W_i V_i^-1 W_i^T
    [ W_i^T V_i ] [d_i] = -[g_i]     d_i = -V_i^-1 (g_i + W_i^T ds)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from geo3d.optim.least_squares import MAX_DIAGONAL, MIN_DIAGONAL, Step

X = TypeVar("X")


@dataclass(frozen=True)
class ArrowSystem:
    """Cost and normal equations at one state: s shared parameters, N groups of k.

    Attributes
    ----------
    cost : float
        `1/2 sum rho`.
    shared : (s, s) array
        A.
    groups : (N, k, k) array
        V_i.
    coupling : (N, s, k) array
        W_i.
    shared_gradient, group_gradient : (s,), (N, k) array
    """

    cost: float
    shared: np.ndarray
    groups: np.ndarray
    coupling: np.ndarray
    shared_gradient: np.ndarray
    group_gradient: np.ndarray


class ArrowProblem(Generic[X]):
    """A `LeastSquaresProblem` whose normal equations are an `ArrowSystem`.

    The size of its state is unknown here, so the minimiser's parameter tolerance has no effect.

    Parameters
    ----------
    linearize : callable
        `linearize(state) -> ArrowSystem`.
    cost : callable
        `cost(state) -> float`, not finite where the state is outside of its domain.
    retract : callable
        `retract(state, shared_step (s,), group_steps (N, k)) -> state`.
    state
        The start; whatever the callables understand.

    Attributes
    ----------
    state
        Current state.
    system : ArrowSystem
        Normal equations at the state that was linearised last.
    """

    def __init__(
        self,
        linearize: Callable[[X], ArrowSystem],
        cost: Callable[[X], float],
        retract: Callable[[X, np.ndarray, np.ndarray], X],
        state: X,
    ) -> None:
        self.state = state
        self._linearize, self._cost, self._retract = linearize, cost, retract

    def linearize(self) -> float:
        """Build the `system` at the current state; return the cost there, `1/2 sum rho`."""
        self.system = self._linearize(self.state)
        return self.system.cost

    def gradient_norm(self) -> float:
        """Largest absolute element of the gradient at the state that was linearised last."""
        a = self.system
        return float(
            max(np.abs(a.shared_gradient).max(initial=0.0), np.abs(a.group_gradient).max(initial=0.0))
        )

    def solve(self, damping: float) -> Step | None:
        """Solve for the step and keep it.

        Parameters
        ----------
        damping : float
            `lambda` of `(H + lambda D) d = -g`, D the diagonal of H, clipped.

        Returns
        -------
        Step or None
            Its lengths and the decrease of the quadratic model; None where the system is not positive definite or
            the step is not finite.
        """
        a = self.system
        shared_scale = np.clip(np.diag(a.shared), MIN_DIAGONAL, MAX_DIAGONAL)
        group_scale = np.clip(np.einsum("nkk->nk", a.groups), MIN_DIAGONAL, MAX_DIAGONAL)
        try:
            inverse = np.linalg.inv(a.groups + damping * group_scale[..., None] * np.eye(a.groups.shape[-1]))
            reduced, right = reduce_arrow(a, inverse)
            factor = np.linalg.cholesky(reduced + np.diag(damping * shared_scale))
        except np.linalg.LinAlgError:
            return None
        shared = -np.linalg.solve(factor.T, np.linalg.solve(factor, right))
        groups = -np.einsum(
            "nkl,nl->nk", inverse, a.group_gradient + np.einsum("nsk,s->nk", a.coupling, shared)
        )
        if not (np.isfinite(shared).all() and np.isfinite(groups).all()):
            return None
        self._step = shared, groups
        model = damping * float((shared_scale * shared) @ shared + (group_scale * groups**2).sum())
        model -= float(a.shared_gradient @ shared + (a.group_gradient * groups).sum())
        return Step(0.5 * model, float(np.sqrt(shared @ shared + (groups**2).sum())), 0.0)

    def trial_cost(self) -> float:
        """The cost after the step that `solve` kept; not finite where the state would leave its domain."""
        self._trial = self._retract(self.state, *self._step)
        return self._cost(self._trial)

    def accept(self) -> None:
        """Make the state after the step, as `trial_cost` evaluated it, the current one."""
        self.state = self._trial


def reduce_arrow(system: ArrowSystem, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eliminate the groups: `S = A - sum W_i V_i^-1 W_i^T` and its right side.

    Parameters
    ----------
    system : ArrowSystem
        With s shared parameters and N groups of k.
    inverse : (N, k, k) array
        V_i^-1, damped or not.

    Returns
    -------
    S : (s, s) array
        Schur complement.
    gradient : (s,) array
        `gs - sum W_i V_i^-1 g_i`; the shared step solves `S ds = -gradient`.
    """
    product = system.coupling @ inverse
    reduced = system.shared - np.tensordot(product, system.coupling, axes=((0, 2), (0, 2)))
    return reduced, system.shared_gradient - np.einsum("nsk,nk->s", product, system.group_gradient)
