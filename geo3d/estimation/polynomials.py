"""Real roots of polynomials, inside compiled kernels (no LAPACK).

Coefficients ascend: `p(x) = sum_k c[k] x^k`. `real_roots` isolates the real roots with a Sturm chain, bisecting in
`s = x / (1 + |x|)`, which covers the whole line, and polishes each by Newton's method kept inside its bracket.
`cubic_root` and `quadratic_roots` are closed forms with a Newton polish.
"""

import numpy as np

from geo3d.util.jit import njit

MAX_DEGREE = 12
_EDGE = 1.0 - 1e-9  # roots beyond |x| = 1e9 are roots at infinity


@njit(nogil=True)
def evaluate(c, degree, x):
    """p(x) by Horner's rule."""
    value = c[degree]
    for k in range(degree - 1, -1, -1):
        value = value * x + c[k]
    return value


@njit(nogil=True)
def _sturm_chain(c, degree, chain, degrees):
    """Fill `chain` (MAX_DEGREE + 1, MAX_DEGREE + 1) with p, p', then negated remainders; return its length."""
    largest = 0.0
    for k in range(degree + 1):
        largest = max(largest, abs(c[k]))
    for k in range(degree + 1):
        chain[0, k] = c[k] / largest
    for k in range(degree):
        chain[1, k] = chain[0, k + 1] * (k + 1)
    degrees[0], degrees[1] = degree, degree - 1
    length = 2
    while degrees[length - 1] > 0:
        n, m = degrees[length - 2], degrees[length - 1]
        for k in range(n + 1):
            chain[length, k] = chain[length - 2, k]
        lead = 1.0 / chain[length - 1, m]
        for shift in range(n - m, -1, -1):
            factor = chain[length, m + shift] * lead
            for k in range(m + 1):
                chain[length, k + shift] -= factor * chain[length - 1, k]
        largest = 0.0
        for k in range(m):
            largest = max(largest, abs(chain[length, k]))
        if largest < 1e-14:  # an exact common factor of p and p': the chain counts distinct roots
            break
        d = m - 1
        while d > 0 and abs(chain[length, d]) < 1e-12 * largest:
            d -= 1
        for k in range(d + 1):
            chain[length, k] /= -largest
        degrees[length] = d
        length += 1
    return length


@njit(nogil=True)
def _sign_changes(chain, degrees, length, x):
    changes = 0
    last = 0.0
    for i in range(length):
        value = chain[i, degrees[i]]
        for k in range(degrees[i] - 1, -1, -1):
            value = value * x + chain[i, k]
        if value != 0.0:
            if value * last < 0.0:
                changes += 1
            last = 1.0 if value > 0.0 else -1.0
    return changes


@njit(nogil=True)
def _bracketed_newton(c, degree, low, high):
    """The root of p in s = (low, high], where p changes sign; the middle where it does not (an even root)."""
    x_low, x_high = low / (1.0 - abs(low)), high / (1.0 - abs(high))
    f_high = evaluate(c, degree, x_high)
    if f_high == 0.0:
        return x_high
    if evaluate(c, degree, x_low) * f_high > 0.0:
        return 0.5 * (x_low + x_high)
    # Newton's steps shrink only by 1 - 1/degree far from the root: bisect in s to its order of magnitude first.
    while x_high - x_low > 0.5 * (1.0 + min(abs(x_low), abs(x_high))):
        middle = 0.5 * (low + high)
        x = middle / (1.0 - abs(middle))
        if evaluate(c, degree, x) * f_high > 0.0:
            high, x_high = middle, x
        else:
            low, x_low = middle, x
    x = 0.5 * (x_low + x_high)
    for _ in range(80):
        value, slope = c[degree], 0.0
        for k in range(degree - 1, -1, -1):
            slope = slope * x + value
            value = value * x + c[k]
        if value == 0.0:
            return x
        if value * f_high > 0.0:
            x_high = x
        else:
            x_low = x
        new = 0.5 * (x_low + x_high)
        if slope != 0.0:
            newton = x - value / slope
            if x_low < newton < x_high:
                new = newton
        if abs(new - x) <= 1e-15 * (1.0 + abs(x)):
            return new
        x = new
    return x


@njit(nogil=True)
def real_roots(c, degree, roots, chain, degrees):
    """Write the distinct real roots of `p`, ascending, to `roots`; return how many.

    `chain` (MAX_DEGREE + 1, MAX_DEGREE + 1) and `degrees` (MAX_DEGREE + 1,) are scratch.
    """
    largest = 0.0
    for k in range(degree + 1):
        largest = max(largest, abs(c[k]))
    if not (largest > 0.0 and largest < np.inf):
        return 0
    while degree > 0 and abs(c[degree]) < 1e-14 * largest:
        degree -= 1
    if degree == 0:
        return 0
    length = _sturm_chain(c, degree, chain, degrees)
    # A stack of intervals in s, each with the sign changes at its ends; the left one is on top.
    stack_low = np.empty(64)
    stack_high = np.empty(64)
    stack_from = np.empty(64, np.int64)
    stack_to = np.empty(64, np.int64)
    infinity = _EDGE / (1.0 - _EDGE)
    stack_low[0], stack_high[0] = -_EDGE, _EDGE
    stack_from[0] = _sign_changes(chain, degrees, length, -infinity)
    stack_to[0] = _sign_changes(chain, degrees, length, infinity)
    top, count = 1, 0
    while top > 0 and count < degree:
        top -= 1
        low, high, n_low, n_high = stack_low[top], stack_high[top], stack_from[top], stack_to[top]
        if n_low <= n_high:
            continue
        if n_low - n_high == 1 or high - low < 1e-13:
            roots[count] = _bracketed_newton(c, degree, low, high)
            count += 1
            continue
        middle = 0.5 * (low + high)
        n_middle = _sign_changes(chain, degrees, length, middle / (1.0 - abs(middle)))
        if top + 2 > 64:
            break
        stack_low[top], stack_high[top], stack_from[top], stack_to[top] = middle, high, n_middle, n_high
        top += 1
        stack_low[top], stack_high[top], stack_from[top], stack_to[top] = low, middle, n_low, n_middle
        top += 1
    return count


@njit(nogil=True)
def cubic_root(b, c, d):
    """One real root of x^3 + b x^2 + c x + d: the one farthest from the inflection, polished by Newton's method."""
    shift = -b / 3.0
    p = c - b * b / 3.0
    q = d + b * (2.0 * b * b / 27.0 - c / 3.0)
    discriminant = q * q / 4.0 + p * p * p / 27.0
    if discriminant >= 0.0:
        w = -q / 2.0 - np.sqrt(discriminant) if q > 0.0 else -q / 2.0 + np.sqrt(discriminant)
        u = np.cbrt(w)
        x = u - p / (3.0 * u) if u != 0.0 else 0.0
    else:
        radius = np.sqrt(-p / 3.0)
        cosine = min(1.0, max(-1.0, -q / (2.0 * radius * radius * radius)))
        x = 2.0 * radius * np.cos(np.arccos(cosine) / 3.0)
        if q > 0.0:  # the far root lies on the other side
            x = 2.0 * radius * np.cos(np.arccos(cosine) / 3.0 + 2.0 * np.pi / 3.0)
    x += shift
    value = ((x + b) * x + c) * x + d
    for _ in range(3):
        slope = (3.0 * x + 2.0 * b) * x + c
        if slope == 0.0:
            break
        new = x - value / slope
        new_value = ((new + b) * new + c) * new + d
        if not abs(new_value) < abs(value):  # at a multiple root rounding leads nowhere
            break
        x, value = new, new_value
    return x


@njit(nogil=True)
def cubic_roots(b, c, d, roots):
    """Real roots of x^3 + b x^2 + c x + d in `roots` (3,); return how many (a double root counts twice)."""
    roots[0] = cubic_root(b, c, d)
    # Deflate: x^2 + e x + f.
    e = b + roots[0]
    f = c + e * roots[0]
    discriminant = e * e - 4.0 * f
    if discriminant < 0.0:
        return 1
    half = -0.5 * (e + np.sqrt(discriminant)) if e > 0.0 else -0.5 * (e - np.sqrt(discriminant))
    roots[1] = half
    roots[2] = f / half if half != 0.0 else 0.0
    for i in range(1, 3):
        for _ in range(2):
            x = roots[i]
            slope = (3.0 * x + 2.0 * b) * x + c
            if slope != 0.0:
                step = (((x + b) * x + c) * x + d) / slope
                if abs(step) < 1e-3 * (1.0 + abs(x)):
                    roots[i] = x - step
    return 3
