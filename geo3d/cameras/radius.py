"""Distortion along a radius: where it stops to increase, and its inverse.

Newton's method inside a bracket: a step that leaves the bracket, or is not at most half the step before the last,
gives way to bisection, so that the steps shrink to nothing inside a bracket that holds the root, however the
polynomial bends (`rtsafe` of Press et al., Numerical Recipes, 9.4).
"""

from collections.abc import Callable

import numpy as np
from numpy.polynomial import polynomial

# A radius beyond this is 90 degrees from the axis to rounding.
FARTHEST = 1e9


def first_positive_root(coefficients: np.ndarray) -> float:
    """Smallest positive real root of 1 + c1 t + c2 t^2 + ...; infinity when there is none."""
    # In 1 / t the leading coefficient is the 1, however small the others are, and the first root is the largest.
    inverse = polynomial.polyroots(coefficients[::-1])
    # A double root comes out as a pair with a small imaginary part.
    real = inverse.real[np.abs(inverse.imag) <= 1e-7 * np.abs(inverse)]
    largest = float(real.max(initial=0.0))
    return 1.0 / largest if largest > FARTHEST**-2 else np.inf


def invert_increasing(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], target: np.ndarray, limit: float
) -> np.ndarray:
    """Solve function(r) = target for r in [0, limit], where the function increases from function(0) = 0.

    Parameters
    ----------
    function : callable
        r (N,) to values (N,) and derivatives (N,).
    target : (N,) float64, not negative
    limit : float
        May be infinite.

    Returns
    -------
    (N,) float64, NaN where the function does not reach the target.
    """
    with np.errstate(all="ignore"):  # a slope of zero, values beyond the largest number
        return _invert(function, target, limit)


def _invert(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], target: np.ndarray, limit: float
) -> np.ndarray:
    low = np.zeros_like(target)
    high = _upper_bracket(function, target, limit)
    reached = ~np.isnan(high)
    high = np.where(reached, high, 0.0)
    r = np.clip(target, low, high)
    before_last = last = high - low  # sizes of the last two steps
    for _ in range(400):
        value, slope = function(r)
        error = value - target
        done = (np.abs(error) <= 1e-15 * target) | (high - low <= 4e-16 * high) | ~reached
        if done.all():
            break
        low = np.where(error < 0.0, r, low)
        high = np.where(error < 0.0, high, r)
        newton = r - error / slope
        usable = (newton > low) & (newton < high) & (np.abs(newton - r) <= 0.5 * before_last)
        following = np.where(usable, newton, 0.5 * (low + high))
        before_last, last = last, np.abs(following - r)
        r = np.where(done, r, following)
    return np.where(reached, r, np.nan)


def _upper_bracket(
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], target: np.ndarray, limit: float
) -> np.ndarray:
    """A radius (N,) at which the function is at least the target; NaN where there is none."""
    if np.isfinite(limit):
        end = function(np.array([limit]))[0][0]
        return np.where(target <= end, limit, np.nan)
    high = np.maximum(target, 1.0)
    for _ in range(64):
        short = (function(high)[0] < target) & (high < FARTHEST)
        if not short.any():
            break
        high = np.where(short, 2.0 * high, high)
    return np.where(function(high)[0] >= target, high, np.nan)
