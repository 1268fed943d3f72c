"""Robust losses: values, derivatives, limits; the kernel equals the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.optim import LOSS_KINDS, RobustLoss
from geo3d.optim.losses import evaluate_loss

scales = st.floats(0.01, 100)
squares = st.floats(0, 1e6)


@pytest.mark.parametrize("kind", LOSS_KINDS)
@given(scale=scales, s=squares)
@settings(deadline=None, max_examples=40)
def test_kernel_equals_reference(kind, scale, s):
    loss = RobustLoss(kind, scale)
    rho, weight = evaluate_loss(loss.id, loss.scale, s)
    np.testing.assert_allclose(rho, loss.rho(s), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(weight, loss.weight(s), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_weight_is_the_derivative(kind):
    loss = RobustLoss(kind, 1.7)
    s = np.array([0.01, 0.5, 2.0, 2.8, 3.0, 10.0, 400.0])  # the corner is at 2.89
    h = 1e-5 * s
    np.testing.assert_allclose(
        (loss.rho(s + h) - loss.rho(s - h)) / (2 * h), loss.weight(s), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_slope_is_the_derivative_of_the_weight(kind):
    loss = RobustLoss(kind, 1.7)
    s = np.array([0.01, 0.5, 2.0, 2.8, 3.0, 10.0, 400.0])
    h = 1e-5 * s
    numeric = (loss.weight(s + h) - loss.weight(s - h)) / (2 * h)
    np.testing.assert_allclose(numeric, loss.weight_slope(s), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("kind", LOSS_KINDS)
@given(scale=scales, s=squares, t=squares)
@settings(deadline=None, max_examples=40)
def test_shape(kind, scale, s, t):
    """Grows, never faster than the squares; concave, so that a linear bound by the weight holds everywhere."""
    loss = RobustLoss(kind, scale)
    low, high = min(s, t), max(s, t)
    assert loss.rho(low) <= loss.rho(high) * (1 + 1e-12) + 1e-12
    assert 0 <= loss.weight(high) <= loss.weight(low) <= 1
    bound = loss.rho(s) + loss.weight(s) * (t - s)
    assert loss.rho(t) <= bound + 1e-9 * (1 + abs(bound) + s + t)


@pytest.mark.parametrize("kind", LOSS_KINDS)
def test_small_residuals_are_squares(kind):
    np.testing.assert_allclose(RobustLoss(kind, 10.0).rho(1e-6), 1e-6, rtol=1e-6)


def test_limits_far_out():
    s = 1e12
    assert RobustLoss("tukey", 3.0).rho(s) == 3.0
    assert RobustLoss("truncated", 3.0).rho(s) == 9.0
    np.testing.assert_allclose(RobustLoss("huber", 3.0).rho(s), 6e6, rtol=1e-5)
    np.testing.assert_allclose(RobustLoss("soft_l1", 3.0).rho(s), 6e6, rtol=1e-4)
    np.testing.assert_allclose(RobustLoss("cauchy", 3.0).rho(s), 9 * np.log(s / 9), rtol=1e-6)


def test_refuses_what_is_no_loss():
    with pytest.raises(ValueError, match="loss must be one of"):
        RobustLoss("l3")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="scale"):
        RobustLoss("huber", 0.0)
    with pytest.raises(ValueError, match="scale"):
        RobustLoss("huber", float("nan"))
