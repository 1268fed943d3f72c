"""What the functions on flows ask of a flow."""

import numpy as np


def as_flow(flow: np.ndarray, name: str = "flow") -> np.ndarray:
    """`flow` as contiguous float32.

    Raises
    ------
    ValueError
        If it is not (H, W, 2) of numbers, with at least one pixel.
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape or flow.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected (H, W, 2) numbers, x and y, got shape {flow.shape} {flow.dtype}")
    return np.ascontiguousarray(flow, np.float32)


def same_size(**arrays: np.ndarray) -> None:
    """Raise ValueError if the named arrays differ in their first two lengths."""
    shapes = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape[1]}x{shape[0]}" for name, shape in shapes.items())
        raise ValueError(f"{', '.join(shapes)}: expected one size, got {found} pixels")
