"""L1 and SSIM of two images with the gradient by the first, in one sweep down the rows.

SSIM (Wang et al. 2004) with a Gaussian window of 11 x 11 pixels, sigma 1.5, zero outside of the image, per channel:

    S = (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sxx + syy + C2))

m: windowed means, s: windowed (co)variances. The derivatives of S by mx, E[xx] and E[xy] are windowed once more, which
gives the gradient by x:  F(S_mx) + 2 x F(S_xx) + y F(S_xy).

A row of W pixels and three channels is a flat row of 3 W numbers, along which a neighbour stands 3 further on.
"""

import numpy as np

from geo3d.util.jit import njit
from geo3d.util.lanes import absolute, load, next_item, select, spread, store, total

f4 = np.float32

REACH = 5  # pixels of the window to each side
TAPS = 2 * REACH + 1
MARGIN = 16  # zeros to each side of a row
RING = TAPS  # rows of derivatives kept
_gauss = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / 1.5) ** 2)
WINDOW = (_gauss / _gauss.sum()).astype(np.float32)
C1, C2 = f4(0.01**2), f4(0.03**2)

_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


@njit(**_OPTIONS)
def _moments(x, y, at, row, rows, length, stride, window, work):
    """Sums down the columns: x, y, xx, yy, xy of one row into five rows of `work`."""
    first, last = max(row - REACH, 0), min(row + REACH, rows - 1)
    j = 0
    while j < length:
        j = min(j, length - 16)
        sx = sy = sxx = syy = sxy = spread(f4(0))
        for r in range(first, last + 1):
            w = window[r - row + REACH]
            a, b = load(x, r * length + j), load(y, r * length + j)
            wa, wb = a * w, b * w
            sx += wa
            sy += wb
            sxx += wa * a
            syy += wb * b
            sxy += wa * b
        store(work, at + j, sx)
        store(work, at + stride + j, sy)
        store(work, at + 2 * stride + j, sxx)
        store(work, at + 3 * stride + j, syy)
        store(work, at + 4 * stride + j, sxy)
        j += 16


@njit(**_OPTIONS)
def _across(work, at, window):
    """The window along the row, around `at`."""
    result = load(work, at - 3 * REACH) * window[0]
    for tap in range(1, TAPS):
        result += load(work, at + 3 * (tap - REACH)) * window[tap]
    return result


@njit(**_OPTIONS)
def _similarity(work, at, out, length, stride, window):
    """S of one row from its five sums at `at`, and S_mx, S_xx, S_xy times the weights, in the four rows at `out`.

    The weights stand in the row before `at`.
    """
    one, two = f4(1), f4(2)
    j = 0
    while j < length:
        j = min(j, length - 16)
        mx, my = _across(work, at + j, window), _across(work, at + stride + j, window)
        xx, yy = _across(work, at + 2 * stride + j, window), _across(work, at + 3 * stride + j, window)
        xy = _across(work, at + 4 * stride + j, window)
        mxx, myy, mxy = mx * mx, my * my, mx * my
        a1, a2 = two * mxy + C1, two * (xy - mxy) + C2
        b1, b2 = mxx + myy + C1, (xx - mxx) + (yy - myy) + C2
        inverse = one / (b1 * b2)
        s = a1 * a2 * inverse
        weight = load(work, at - stride + j)
        inverse = inverse * weight
        store(work, out + j, two * (my * (a2 - a1) - s * mx * (b2 - b1)) * inverse)
        store(work, out + stride + j, f4(0) - s * b1 * inverse)
        store(work, out + 2 * stride + j, two * a1 * inverse)
        store(work, out + 3 * stride + j, s * weight)
        j += 16


@njit(**_OPTIONS)
def _down(work, at, ring, row, first, last, length, stride, window):
    """The window down the ring's rows [first, last], all three derivatives, around `row`, into three rows at `at`."""
    j = 0
    while j < length:
        j = min(j, length - 16)
        a = b = c = spread(f4(0))
        for r in range(first, last + 1):
            w = window[r - row + REACH]
            place = ring + 4 * stride * (r % RING) + j
            a += load(work, place) * w
            b += load(work, place + stride) * w
            c += load(work, place + 2 * stride) * w
        store(work, at + j, a)
        store(work, at + stride + j, b)
        store(work, at + 2 * stride + j, c)
        j += 16


@njit(**_OPTIONS)
def _gradient(
    x, y, begin, work, at, weights, length, stride, window, l1_scale, ssim_scale, gradient, difference
):
    """The gradient by a row of x from the three sums at `at`; |x - y| into the row `difference`."""
    zero, one = spread(f4(0)), spread(f4(1))
    j = 0
    while j < length:
        j = min(j, length - 16)
        a, b = load(x, begin + j), load(y, begin + j)
        weight = load(work, weights + j)
        away = a - b
        sign = select(away > f4(0), one, select(away < f4(0), zero - one, f4(0)))
        slope = _across(work, at + j, window) + _across(work, at + stride + j, window) * (a + a)
        slope += _across(work, at + 2 * stride + j, window) * b
        store(gradient, begin + j, weight * (sign * l1_scale + slope * ssim_scale))
        store(work, difference + j, absolute(away))
        j += 16


@njit(**_OPTIONS)
def _row_sum(work, at, length):
    partial = spread(f4(0))
    whole = length - length % 16
    for j in range(0, whole, 16):
        partial += load(work, at + j)
    result = total(partial)
    for j in range(whole, length):
        result += work[at + j]
    return result


@njit(**_OPTIONS)
def _set_weights(mask, row, work, at, length):
    for j in range(length):
        work[at + j] = mask[row, j // 3] if mask.shape[0] > 0 else f4(1)


@njit(**_OPTIONS)
def photometric(counter, x, y, mask, rows, height, window, l1_scale, ssim_scale, work, gradient, sums):
    """Gradient of l1_scale sum |x - y| + ssim_scale sum S by x; chunks of `rows` rows as `counter` hands them out.

    x, y, gradient: flat (H * 3 W,), at least 16 numbers a row. `mask` (H, W) weights the pixels, or has no rows.
    `sums` (chunks, 2) float64: |x - y| and S. `work` (work_size(3 W),) is this thread's own, its margins zero.
    """
    length = x.shape[0] // height
    stride = row_stride(length)
    weights, sums_at, down_at, difference = MARGIN, stride + MARGIN, 6 * stride + MARGIN, 9 * stride + MARGIN
    ring = 10 * stride + MARGIN
    chunk = next_item(counter)
    while chunk * rows < height:
        begin, end = chunk * rows, min((chunk + 1) * rows, height)
        sums[chunk, 0] = sums[chunk, 1] = 0.0
        ready = max(begin - REACH, 0)  # the first row whose derivatives are not in the ring
        for row in range(begin, end):
            last = min(row + REACH, height - 1)
            while ready <= last:
                if mask.shape[0] > 0 or ready == max(begin - REACH, 0):
                    _set_weights(mask, ready, work, weights, length)
                _moments(x, y, sums_at, ready, height, length, stride, window, work)
                place = ring + 4 * stride * (ready % RING)
                _similarity(work, sums_at, place, length, stride, window)
                if begin <= ready < end:
                    sums[chunk, 1] += _row_sum(work, place + 3 * stride, length)
                ready += 1
            _down(work, down_at, ring, row, max(row - REACH, 0), last, length, stride, window)
            if mask.shape[0] > 0:
                _set_weights(mask, row, work, weights, length)
            _gradient(
                x, y, row * length, work, down_at, weights, length, stride, window, l1_scale, ssim_scale, gradient,
                difference,
            )  # fmt: skip
            sums[chunk, 0] += _row_sum(work, difference, length)
        chunk = next_item(counter)


@njit(**_OPTIONS)
def row_stride(length):
    """Distance of two rows of the work space, whole cache lines with the margins."""
    return (length + 2 * MARGIN + 15) // 16 * 16


@njit(**_OPTIONS)
def work_size(length):
    """Numbers of the work space for rows of `length`."""
    return (10 + 4 * RING) * row_stride(length)
