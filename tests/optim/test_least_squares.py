"""Levenberg-Marquardt on dense problems: what it finds, why it stops, what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.optim import DenseProblem, LMOptions, RobustLoss, levenberg_marquardt


def rosenbrock(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]), np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def test_rosenbrock():
    problem = DenseProblem(rosenbrock, np.array([-1.2, 1.0]))
    result = levenberg_marquardt(problem, LMOptions(max_iterations=100, function_tolerance=1e-15))
    np.testing.assert_allclose(problem.x, [1, 1], atol=1e-6)
    assert result.converged
    assert result.cost < 1e-12 < result.cost_initial
    assert [t.iteration for t in result.trace] == list(range(result.iterations + 1))
    costs = [t.cost for t in result.trace]
    assert costs == sorted(costs, reverse=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 10))
@settings(deadline=None, max_examples=30)
def test_linear_problems_have_the_closed_solution(seed, n, surplus):
    rng = np.random.default_rng(seed)
    J, b = (
        rng.standard_normal((n + surplus, n)) * 10.0 ** rng.integers(-2, 3, n),
        rng.standard_normal(n + surplus),
    )
    J += 3 * np.eye(n + surplus, n) * np.abs(J).max(0)  # well conditioned
    problem = DenseProblem(lambda x: (J @ x - b, J), np.zeros(n))
    levenberg_marquardt(problem, LMOptions(function_tolerance=0, parameter_tolerance=1e-14))
    np.testing.assert_allclose(problem.x, np.linalg.lstsq(J, b, rcond=None)[0], rtol=1e-7, atol=1e-9)


def test_rank_deficient_problem_stays_where_it_need_not_move():
    """Two parameters of which only the sum is seen: the sum is found, the difference stays."""
    problem = DenseProblem(
        lambda x: (np.array([x[0] + x[1] - 4]), np.array([[1.0, 1.0]])), np.array([1.0, 0.0])
    )
    result = levenberg_marquardt(problem)
    assert result.converged
    np.testing.assert_allclose(problem.x, [2.5, 1.5], atol=1e-6)


def test_units_do_not_matter():
    """Marquardt's scaling: the same steps whatever the unit of a parameter."""
    costs = []
    for unit in (1.0, 1000.0):
        scale = np.array([unit, 1.0])

        def scaled(y, scale=scale):
            r, J = rosenbrock(y * scale)
            return r, J * scale

        problem = DenseProblem(scaled, np.array([-1.2, 1.0]) / scale)
        costs.append([t.cost for t in levenberg_marquardt(problem).trace])
    np.testing.assert_allclose(costs[0][:8], costs[1][:8], rtol=1e-6)


def test_robust_fit_ignores_outliers():
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 60)
    y = 2 * t + 1 + 0.01 * rng.standard_normal(60)
    y[::6] += 5
    J = np.column_stack([t, np.ones(60)])
    for kind in ("cauchy", "tukey", "truncated"):
        start = np.array([1.5, 1.5]) if kind == "cauchy" else np.array([2.1, 0.95])
        problem = DenseProblem(lambda x: (J @ x - y, J), start, RobustLoss(kind, 0.1))
        levenberg_marquardt(problem, LMOptions(max_iterations=200, function_tolerance=1e-12))
        np.testing.assert_allclose(problem.x, [2, 1], atol=0.03)


def test_two_dimensional_residuals_are_weighed_whole():
    r = np.array([[3.0, 4.0]])
    problem = DenseProblem(lambda x: (r - x, -np.eye(2)[None]), np.zeros(2), RobustLoss("huber", 1.0))
    assert problem.linearize() == pytest.approx(0.5 * (2 * 5 - 1))
    np.testing.assert_allclose(problem.gradient, -r[0] / 5)


def test_retraction():
    """An angle on the circle, stepped by multiplication."""
    target = np.exp(2.0j)

    def residual(z):
        d = z[0] + 1j * z[1]
        return np.array([d.real - target.real, d.imag - target.imag]), np.array([[-d.imag], [d.real]])

    def turn(z, step):
        d = (z[0] + 1j * z[1]) * np.exp(1j * step[0])
        return np.array([d.real, d.imag])

    problem = DenseProblem(residual, np.array([1.0, 0.0]), retract=turn)
    levenberg_marquardt(problem)
    np.testing.assert_allclose(problem.x, [target.real, target.imag], atol=1e-7)


def test_reasons_to_stop():
    start = np.array([-1.2, 1.0])
    tight = {"function_tolerance": 0.0, "gradient_tolerance": 0.0, "parameter_tolerance": 0.0}
    assert (
        levenberg_marquardt(DenseProblem(rosenbrock, start), LMOptions(max_iterations=3)).termination
        == "iterations"
    )
    options = LMOptions(**{**tight, "gradient_tolerance": 1e-3}, max_iterations=500)
    assert levenberg_marquardt(DenseProblem(rosenbrock, start), options).termination == "gradient"
    options = LMOptions(**{**tight, "parameter_tolerance": 1e-4}, max_iterations=500)
    assert levenberg_marquardt(DenseProblem(rosenbrock, start), options).termination == "parameter"
    assert levenberg_marquardt(DenseProblem(rosenbrock, np.ones(2))).termination == "gradient"
    wrong = DenseProblem(
        lambda x: (np.array([x[0] + 2]), np.array([[-1.0]])), np.ones(1)
    )  # derivative of wrong sign
    result = levenberg_marquardt(wrong, LMOptions(**tight, max_iterations=500))
    assert result.termination == "stalled"
    assert not result.converged
    assert wrong.x == 1


def test_leaves_a_domain_never():
    """log(x) has no value below zero: such steps are refused."""
    problem = DenseProblem(
        lambda x: (np.log(x, where=x > 0, out=np.full(1, np.nan)), 1 / x[:, None]), np.array([60.0])
    )
    levenberg_marquardt(problem)
    np.testing.assert_allclose(problem.x, 1, atol=1e-6)


def test_refuses_a_start_that_is_not_finite():
    with pytest.raises(ValueError, match="start"):
        levenberg_marquardt(DenseProblem(rosenbrock, np.array([np.nan, 1.0])))


def test_refuses_bad_options_and_shapes():
    with pytest.raises(ValueError, match="max_iterations"):
        LMOptions(max_iterations=-1)
    with pytest.raises(ValueError, match="function_tolerance"):
        LMOptions(function_tolerance=float("nan"))
    with pytest.raises(ValueError, match="initial_damping"):
        LMOptions(initial_damping=0)
    with pytest.raises(ValueError, match="Jacobian"):
        levenberg_marquardt(DenseProblem(lambda x: (np.zeros(3), np.zeros((2, 2))), np.zeros(2)))
