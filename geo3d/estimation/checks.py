"""What every public call asks of its arrays: shape, count, finite numbers. Errors name the argument and what to do."""

import numpy as np


class EstimationError(ValueError):
    """No model could be estimated; the message says what was found."""


def check_array(name: str, array: np.ndarray, columns: int, least: int = 0) -> np.ndarray:
    """`array` as contiguous float64 (N, columns).

    Raises
    ------
    ValueError
        If the shape is another, N < `least`, or there are NaN or infinities.
    """
    out = np.ascontiguousarray(array, dtype=np.float64)
    if out.ndim != 2 or out.shape[1] != columns:
        raise ValueError(f"{name}: expected shape (N, {columns}), got {np.shape(array)}")
    if len(out) < least:
        raise ValueError(f"{name}: expected at least {least} rows, got {len(out)}; give more correspondences")
    if not np.isfinite(out).all():
        rows = np.flatnonzero(~np.isfinite(out).all(axis=1))
        raise ValueError(
            f"{name}: {len(rows)} of {len(out)} rows are NaN or infinite (first: row {rows[0]}); drop them first"
        )
    return out


def check_pair(
    names: tuple[str, str], first: np.ndarray, second: np.ndarray, columns: tuple[int, int], least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays that correspond row by row."""
    a = check_array(names[0], first, columns[0])
    b = check_array(names[1], second, columns[1])
    if len(a) != len(b):
        raise ValueError(
            f"{names[0]} and {names[1]}: expected as many rows in both, got {len(a)} and {len(b)}"
        )
    if len(a) < least:
        raise ValueError(
            f"{names[0]}, {names[1]}: expected at least {least} correspondences, got {len(a)}; give more"
        )
    return a, b


def check_bearings(
    first: np.ndarray, second: np.ndarray, count: int, exactly: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays (N, 3) of corresponding rays, scaled to unit length.

    Raises
    ------
    ValueError
        If the shapes differ, there are too few rays (or not `exactly` `count`), NaN, or rays of length zero.
    """
    a, b = check_pair(("bearings1", "bearings2"), first, second, (3, 3), count)
    if exactly and len(a) != count:
        raise ValueError(f"bearings1, bearings2: expected exactly {count} rows, got {len(a)}")
    return unit_rows("bearings1", a), unit_rows("bearings2", b)


def unit_rows(name: str, rays: np.ndarray) -> np.ndarray:
    """Rows (N, 3) scaled to unit length."""
    norm = np.linalg.norm(rays, axis=1, keepdims=True)
    if np.any(norm == 0):
        raise ValueError(f"{name}: row {int(np.argmin(norm))} has length zero, expected rays")
    return rays / norm
