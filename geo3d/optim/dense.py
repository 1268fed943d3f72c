"""Small dense least squares: all parameters in one vector, `H = J^T W J` factored by Cholesky."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geo3d.optim.least_squares import MAX_DIAGONAL, MIN_DIAGONAL, Step
from geo3d.optim.losses import RobustLoss

State = np.ndarray
ResidualFunction = Callable[[State], tuple[np.ndarray, np.ndarray]]


class DenseProblem:
    """Residuals and their Jacobian as a function, minimised by `levenberg_marquardt`.

    Parameters
    ----------
    function : callable
        `function(x) -> (r, J)`: residuals (M, k) and Jacobian (M, k, n) with respect to the step. A loss weighs each
        row of `r`, so a two-dimensional residual is one row with k = 2. Residuals (M,) with J (M, n) count as k = 1.
        Residuals that are not finite make a trial step refused.
    x : (N,) array
        The start.
    loss : RobustLoss, optional
    retract : callable, optional
        `retract(x, d) -> x` for parameters that do not simply add (rotations); default `x + d`.

    Attributes
    ----------
    x : array
        Current parameters.
    """

    def __init__(
        self,
        function: ResidualFunction,
        x: np.ndarray,
        loss: RobustLoss | None = None,
        retract: Callable[[State, np.ndarray], State] | None = None,
    ) -> None:
        self.x = np.array(x, np.float64)
        self._function = function
        self._loss = loss or RobustLoss()
        self._retract = retract or np.add
        self._fresh: tuple[np.ndarray, np.ndarray] | None = (
            None  # residuals and Jacobian of an accepted trial
        )

    def linearize(self) -> float:
        """Build `hessian` J^T W J (n, n) and `gradient` J^T W r (n,) at `x`; return the cost there, `1/2 sum rho`.

        Raises
        ------
        ValueError
            If the shapes of the residuals and the Jacobian do not fit together.
        """
        r, J = self._fresh or self._evaluate(self.x)
        self._fresh = None
        squared = np.einsum("mk,mk->m", r, r)
        root = np.sqrt(self._loss.weight(squared))[:, None]
        weighted = (root[..., None] * J).reshape(-1, J.shape[-1])
        self.hessian = weighted.T @ weighted
        self.gradient = weighted.T @ (root * r).ravel()
        return 0.5 * float(self._loss.rho(squared).sum())

    def gradient_norm(self) -> float:
        """Largest absolute element of the gradient at the parameters that were linearised last."""
        return float(np.abs(self.gradient).max(initial=0.0))

    def solve(self, damping: float) -> Step | None:
        """Solve for the step and keep it.

        Parameters
        ----------
        damping : float
            `lambda` of `(H + lambda D) d = -g`, D the diagonal of H, clipped.

        Returns
        -------
        Step or None
            Its length, that of `x`, and the decrease of the quadratic model; None where the system is not positive
            definite or the step is not finite.
        """
        from scipy.linalg import get_lapack_funcs

        (posv,) = get_lapack_funcs(("posv",), dtype=np.float64)
        scale = np.clip(np.diag(self.hessian), MIN_DIAGONAL, MAX_DIAGONAL)
        system = self.hessian + np.diag(damping * scale)
        _, step, info = posv(system, -self.gradient, lower=1)
        if info != 0 or not np.isfinite(step).all():
            return None
        self._step = step
        decrease = 0.5 * float(damping * (scale * step) @ step - self.gradient @ step)
        return Step(decrease, float(np.linalg.norm(step)), float(np.linalg.norm(self.x)))

    def trial_cost(self) -> float:
        """The cost after the step that `solve` kept; infinite where residuals or Jacobian are not finite there."""
        self._trial = self._retract(self.x, self._step)
        r, J = self._fresh_trial = self._evaluate(self._trial)
        if not (np.isfinite(r).all() and np.isfinite(J).all()):
            return np.inf
        return 0.5 * float(self._loss.rho(np.einsum("mk,mk->m", r, r)).sum())

    def accept(self) -> None:
        """Make the parameters after the step, as `trial_cost` evaluated them, the current ones."""
        self.x, self._fresh = self._trial, self._fresh_trial

    def _evaluate(self, x: State) -> tuple[np.ndarray, np.ndarray]:
        r, J = self._function(x)
        r = np.asarray(r, np.float64)
        J = np.asarray(J, np.float64)
        if r.ndim == 1:
            r, J = r[:, None], J[:, None, :]
        if J.ndim != 3 or J.shape[:2] != r.shape:
            raise ValueError(
                f"residuals of shape {r.shape} need a Jacobian of shape {(*r.shape, 'n')}; got {J.shape}"
            )
        return r, J
