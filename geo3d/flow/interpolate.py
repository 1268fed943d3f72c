"""Images between two images: flows both ways say where each pixel is at the time t, and in which of the two it is seen.

Both images put their flow down where they are at the time t (forward splatting, u from image0 to image1): image0 its
own, t u away; image1 that of the other way, reversed. Where several land, what fits both images wins over what fits
only one, by the weight exp(-r / r_0) of the residual r along the flow, and what is hidden in the other image counts
little: so what is in front hides what is behind. With that flow, each image is read backward,

    I_t(p) = a_0 I_0(p - t u) + a_1 I_1(p + (1 - t) u),    a_0 : a_1 = (1 - t) v_0 : t v_1

where v_0 = 0 if the place in image1 is hidden in image0 and v_1 = 0 if the place in image0 is hidden in image1.

Baker et al., "A database and evaluation methodology for optical flow", IJCV 2011, section 4 (the steps);
Niklaus and Liu, "Softmax splatting for video frame interpolation", CVPR 2020 (the weights).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from geo3d.flow.both_ways import BothFlows, find_both_flows
from geo3d.flow.frames import Frames, SkippedFrame, UsableFrames, VideoFrame
from geo3d.flow.optical_flow import METHODS
from geo3d.flow.splat import splat_forward
from geo3d.flow.warp import leaves_image, warp_backward

_RESIDUAL = 6.0 / 255.0
_HIDDEN = 1e-3  # weight of what is hidden in the other image
_SMALLEST = 1e-6


@dataclass(frozen=True)
class InterpolateOptions:
    """How images between are found.

    Attributes
    ----------
    method : str
        Of optical flow, a name of `METHODS`.
    flow_options : dataclass, optional
        Of the method.

    Raises
    ------
    ValueError
        If there is no such method.
    """

    method: str = "fast"
    flow_options: Any = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")


def interpolate(
    image0: np.ndarray, image1: np.ndarray, time: float, flows: BothFlows | None = None
) -> np.ndarray:
    """The image between two images at a time.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8 or float in [0, 1]
        Of one shape and type.
    time : float
        0 for image0, 1 for image1.
    flows : BothFlows, optional
        Between them; found by the method "fast" where left out.

    Returns
    -------
    (H, W) or (H, W, 3)
        Of the type of the images.

    Raises
    ------
    ValueError
        If the images differ in shape or type, or the time is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).integers(0, 255, (6, 8), np.uint8).repeat(12, 0).repeat(12, 1)
    >>> between = interpolate(scene[:, 8:80], scene[:, :72], 0.5)
    >>> bool(np.median(np.abs(between.astype(int) - scene[:, 4:76])) <= 1)
    True
    """
    image0, image1 = np.asarray(image0), np.asarray(image1)
    if image0.shape != image1.shape or image0.dtype != image1.dtype:
        raise ValueError(
            f"image0 and image1: expected one shape and type, got {image0.shape} {image0.dtype} and {image1.shape} "
            f"{image1.dtype}"
        )
    if not 0.0 <= time <= 1.0:
        raise ValueError(f"time: expected 0 to 1, got {time}")
    flows = flows or find_both_flows(image0, image1)
    if time in (0.0, 1.0):
        return (image1 if time else image0).copy()
    levels = np.float32(1.0 / 255.0 if image0.dtype == np.uint8 else 1.0)
    a, b = (levels * image.astype(np.float32) for image in (image0, image1))
    flow = flow_at(a, b, time, flows)
    to0, to1 = np.float32(-time) * flow, np.float32(1.0 - time) * flow
    seen0 = 1.0 - warp_backward(flows.hidden1.astype(np.float32), to1)
    seen1 = 1.0 - warp_backward(flows.hidden0.astype(np.float32), to0)
    seen0[leaves_image(to0)] = 0.0
    seen1[leaves_image(to1)] = 0.0
    share0, share1 = (1.0 - time) * (seen0 + _SMALLEST), time * (seen1 + _SMALLEST)
    share0 = (share0 / (share0 + share1)).astype(np.float32)
    if image0.ndim == 3:
        share0 = share0[..., None]
    between = share0 * warp_backward(a, to0, "bicubic") + (1 - share0) * warp_backward(b, to1, "bicubic")
    between = np.clip(between, 0.0, 1.0)
    if image0.dtype != np.uint8:
        return between.astype(image0.dtype)
    return np.round(255.0 * between).astype(np.uint8)


def flow_at(image0: np.ndarray, image1: np.ndarray, time: float, flows: BothFlows) -> np.ndarray:
    """(H, W, 2) float32: flow from image0 to image1 of what is seen at each pixel at a `time` between.

    `image0` and `image1` are (H, W) or (H, W, 3) float32 in [0, 1], `flows` those between them.
    """
    weight0 = _weights(image0, image1, flows.forward, flows.hidden0)
    weight1 = _weights(image1, image0, flows.backward, flows.hidden1)
    from0 = splat_forward(flows.forward, np.float32(time) * flows.forward, weight0)
    from1 = splat_forward(-flows.backward, np.float32(1.0 - time) * flows.backward, weight1)
    flow = np.where((from0.weight >= from1.weight)[..., None], from0.values, from1.values)
    missing = from0.weight + from1.weight <= 0.0
    if missing.all():
        return np.zeros_like(flow)
    if missing.any():
        from scipy.ndimage import distance_transform_edt

        nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
        assert nearest is not None
        flow = flow[nearest[0], nearest[1]]
    return flow


def interpolated_frames(
    frames: Frames,
    times: int,
    options: InterpolateOptions | None = None,
    skipped: list[SkippedFrame] | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Iterator[np.ndarray]:
    """A video with more frames a second; two frames are held at a time.

    Parameters
    ----------
    frames : Frames
        The video: see `geo3d.flow.frames`.
    times : int
        Frames that come for each of the video; at least 2. At the last frame the video ends: of N frames come
        `times` (N - 1) + 1. Frames that were left out are filled in for, so that the time runs on evenly.
    options : InterpolateOptions, optional
    skipped : list, optional
        Frames that are left out are added to it.
    progress : callable
        Called with the number of frames of the video that are done.

    Yields
    ------
    (H, W) or (H, W, 3)
        From one shot to the next nothing is blended: the nearer frame stands still.

    Raises
    ------
    ValueError
        If `times` is less than 2.
    """
    if times < 2:
        raise ValueError(f"times: expected 2 or more frames for each of the video, got {times}")
    options = options or InterpolateOptions()
    last: VideoFrame | None = None
    for done, frame in enumerate(UsableFrames(frames, skipped=[] if skipped is None else skipped), 1):
        if last is not None:
            flows = find_both_flows(last.pixels, frame.pixels, options.method, options.flow_options)
            is_cut, count = flows.is_cut, times * (frame.number - last.number)
            for k in range(1, count):
                if is_cut:
                    yield (last if 2 * k < count else frame).pixels
                else:
                    yield interpolate(last.pixels, frame.pixels, k / count, flows)
        yield frame.pixels
        last = frame
        progress(done)


def _weights(image: np.ndarray, other: np.ndarray, flow: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(H, W) float32: how much each pixel counts where several land."""
    residual = np.abs(image - warp_backward(other, flow))
    residual = residual.mean(axis=2) if residual.ndim == 3 else residual
    return np.where(hidden, _HIDDEN, 1.0) * np.exp(-residual / _RESIDUAL) + _SMALLEST
