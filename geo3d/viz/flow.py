"""Pictures of optical flow: colours of a wheel with a legend, arrows, and what is wrong beside the truth.

The colour is the direction and the saturation the length, as in Baker et al., "A database and evaluation methodology
for optical flow", 2011: to the right red, down yellow, left cyan, up blue-violet; no motion white; not known black.
"""

from functools import cache

import numpy as np

from geo3d.util.require import require
from geo3d.viz.disparity import value_figure

# between red, yellow, green, cyan, blue and magenta: more steps where the eye tells more colours apart
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))
_BEYOND = 0.75  # brightness of what is longer than the longest that the colours reach
_STRIP_PX = 26  # below the arrows
_SHARE = 99.0  # percentile of the lengths that the colours reach to


def flow_colors(flow: np.ndarray, max_px: float | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB: colours of a flow by direction and length.

    Parameters
    ----------
    flow : (H, W, 2)
        Pixels; NaN is black.
    max_px : float, optional
        Length of the full colours; longer flow is darker. The 99th percentile where left out.

    Raises
    ------
    ValueError
        If the shape is another, or the length not positive.
    """
    flow = _checked(flow)
    reach = flow_reach(flow) if max_px is None else max_px
    if not reach > 0.0:
        raise ValueError(f"max_px: expected a positive number, got {max_px}")
    with np.errstate(invalid="ignore"):
        known = np.abs(flow).sum(axis=2) < np.inf
    u, v = np.moveaxis(np.where(known[..., None], flow / reach, 0.0), 2, 0)
    wheel = _wheel()
    place = np.mod(np.arctan2(v, u) / (2.0 * np.pi), 1.0) * len(wheel)
    before = place.astype(np.int64) % len(wheel)
    part = (place - np.floor(place))[..., None]
    full = (1.0 - part) * wheel[before] + part * wheel[(before + 1) % len(wheel)]
    length = np.hypot(u, v)[..., None]
    colors = np.where(length <= 1.0, 255.0 - length * (255.0 - full), _BEYOND * full)
    return np.where(known[..., None], np.round(colors), 0.0).astype(np.uint8)


def flow_figure(flow: np.ndarray, max_px: float | None = None) -> np.ndarray:
    """A flow in colours with the wheel at its right, (H, W + legend, 3) uint8 RGB.

    Parameters
    ----------
    flow : (H, W, 2)
        Pixels.
    max_px : float, optional
        Length of the full colours, as in `flow_colors`.

    Raises
    ------
    ValueError
        If the shape is another, or the length not positive.
    """
    flow = _checked(flow)
    reach = flow_reach(flow) if max_px is None else max_px
    height = flow.shape[0]
    size = int(np.clip(height // 4, 40, 200))
    legend = np.full((height, size + size // 4, 3), 255, np.uint8)
    wheel = _wheel_picture(size)[:height]
    left = size // 8
    legend[: len(wheel), left : left + size] = wheel
    _write(legend, f"{reach:.3g} px", (left, min(size + size // 6 + 2, height - 2)), size / 110)
    return np.concatenate([flow_colors(flow, reach), legend], axis=1)


def arrow_figure(
    image: np.ndarray, flow: np.ndarray, step_px: int | None = None, scale: float | None = None
) -> np.ndarray:
    """A flow as arrows over a pale image, (H + strip, W, 3) uint8 RGB; the strip below has an arrow of known length.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
    flow : (H, W, 2)
        Pixels; no arrow where it is NaN.
    step_px : int, optional
        From arrow to arrow; a thirtieth of the longer side, at least 8, where left out.
    scale : float, optional
        Length of the arrows in pixels of the picture, per pixel of flow; where left out, long arrows just reach the
        next one.

    Raises
    ------
    ValueError
        If the sizes differ, or a number is not positive.
    """
    cv2 = require("cv2")
    flow, image = _checked(flow), np.asarray(image)
    if image.dtype != np.uint8 or image.shape[:2] != flow.shape[:2] or image.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"image: expected uint8 of the size of the flow {flow.shape[:2]}, got shape {image.shape} {image.dtype}"
        )
    reach = flow_reach(flow)
    step = max(8, max(flow.shape[:2]) // 30) if step_px is None else step_px
    scale = 1.2 * step / reach if scale is None else scale
    if step < 1 or not scale > 0.0:
        raise ValueError(f"step_px and scale: expected positive numbers, got {step_px} and {scale}")
    gray = image.mean(axis=2) if image.ndim == 3 else image
    pale = np.repeat((255 - 0.45 * (255 - gray.astype(np.float64)))[..., None], 3, axis=2)
    height, width = flow.shape[:2]
    picture = np.full((height + _STRIP_PX, width, 3), 255, np.uint8)
    picture[:height] = np.round(pale)
    colors = (0.8 * flow_colors(flow, 0.5 * reach)).astype(np.uint8)  # full colours from half the length on
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            if np.isfinite(flow[y, x]).all():
                _arrow(picture, (x, y), scale * flow[y, x], colors[y, x].tolist())
    length = float(f"{min(2.5 * step, 0.3 * width) / scale:.1g}")
    middle = height + _STRIP_PX // 2
    _arrow(picture, (8, middle), np.array([scale * length, 0.0]), (0, 0, 0))
    _write(picture, f"{length:g} px", (round(16 + scale * length), middle + 5), 1.0)
    return cv2.line(picture, (0, height), (width - 1, height), (0, 0, 0), 1)


def flow_error_figure(flow: np.ndarray, truth: np.ndarray, limit_px: float = 3.0) -> np.ndarray:
    """Endpoint error in colours from 0 to a limit with a legend, (H, W + legend, 3) uint8 RGB; dark: no truth or flow.

    Parameters
    ----------
    flow, truth : (H, W, 2)
        Pixels; NaN where not known.
    limit_px : float
        Red, and what is worse.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    flow, truth = _checked(flow), _checked(truth)
    if flow.shape != truth.shape:
        raise ValueError(f"flow and truth: expected one shape, got {flow.shape} and {truth.shape}")
    return value_figure(np.hypot(*np.moveaxis(flow - truth, 2, 0)), "EPE, px", 0.0, limit_px)


def flow_reach(flow: np.ndarray) -> float:
    """Length that the colours of a flow (H, W, 2) reach to: its 99th percentile, at least a hundredth of a pixel."""
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    lengths = lengths[np.isfinite(lengths)]
    return max(float(np.percentile(lengths, _SHARE)), 0.01) if len(lengths) else 1.0


def _checked(flow: np.ndarray) -> np.ndarray:
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[2] != 2 or 0 in flow.shape:
        raise ValueError(f"flow: expected (H, W, 2), got shape {flow.shape}")
    return flow


@cache
def _wheel() -> np.ndarray:
    """(55, 3) float64: the full colours, from the right over down, left and up."""
    colors = []
    for k, steps in enumerate(_STEPS):
        start, end = np.array(_CORNERS[k], float), np.array(_CORNERS[(k + 1) % len(_CORNERS)], float)
        colors += [start + (end - start) * i / steps for i in range(steps)]
    return np.array(colors)


def _wheel_picture(size: int) -> np.ndarray:
    """(size, size, 3) uint8: which colour means which direction and length."""
    axis = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    disc = np.stack(np.broadcast_arrays(axis[None, :], axis[:, None]), axis=2)
    colors = flow_colors(disc, 1.0)
    colors[np.hypot(disc[..., 0], disc[..., 1]) > 1.0] = 255
    return colors


def _arrow(picture: np.ndarray, start: tuple[int, int], vector: np.ndarray, color: tuple | list) -> None:
    cv2 = require("cv2")
    length = float(np.hypot(vector[0], vector[1]))
    if length < 0.7:
        cv2.circle(picture, start, 1, color, -1, cv2.LINE_AA)
        return
    end = round(start[0] + float(vector[0])), round(start[1] + float(vector[1]))
    cv2.arrowedLine(picture, start, end, color, 1, cv2.LINE_AA, tipLength=min(0.3, 5.0 / length))


def _write(picture: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    cv2 = require("cv2")
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * scale, (0, 0, 0), 1, cv2.LINE_AA)
