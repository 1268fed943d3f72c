"""A shaken video held steady: each frame is shown through a window that follows the smoothest path.

The camera's motion (`camera_motion`) is taken as a similarity a step; `smooth_path` finds the windows. What a
homography has beyond the similarity, the change of perspective of a camera that tilts by a little, is small: its
trembling, e = R - G * R with R the sum over the steps of where the homography puts the corners of the frame and the
similarity does not, and G a Gaussian over a second or so, is taken out at the corners before the window is laid.

    output(p) = frame_i(W_i B_i C p)

C the crop, B_i the window, W_i the homography that moves the corners of the frame by e_i. Each shot has a path of its
own. (The residual homography is after Grundmann et al., CVPR 2011, section 3; smoothing sums of motions at fixed places
of the frame after Liu et al., "MeshFlow", ECCV 2016.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geo3d.estimation import solve_similarity_2d
from geo3d.flow.camera_motion import CameraMotion, transfer
from geo3d.flow.frames import Frames, UsableFrames
from geo3d.flow.smooth_path import smooth_path
from geo3d.util.require import require

_WOBBLE_FRAMES = 15.0  # standard deviation of the Gaussian, frames
_WOBBLE_MOST = 0.1  # of what the crop leaves beside it


@dataclass(frozen=True)
class StabiliseOptions:
    """How steady, and at which cost.

    Attributes
    ----------
    window : float
        Share of the width and height that is shown at least. The smaller, the more shake can be taken out.

    Raises
    ------
    ValueError
        If it is out of range.
    """

    window: float = 0.8

    def __post_init__(self) -> None:
        if not 0.3 <= self.window <= 0.99:
            raise ValueError(f"window: expected a share from 0.3 to 0.99, got {self.window}")


@dataclass(frozen=True, eq=False)
class Stabilisation:
    """How each frame has to be warped.

    Attributes
    ----------
    motion : CameraMotion
        That it takes out.
    frame_from_output : (N, 3, 3) float64
        Where in the frame the pixels of the output are, which is of the same size; within the frame for all of them.
    crop : float
        Share of the width and height of the frames that is seen in the output, the least of all frames.
    shake_px, left_px : float
        Shake of the video and of the output: root mean square over the frames and the corners of the picture by which
        what stands still changes its speed from one step to the next, pixels.
    """

    motion: CameraMotion
    frame_from_output: np.ndarray
    crop: float
    shake_px: float
    left_px: float


def plan_stabilisation(motion: CameraMotion, options: StabiliseOptions | None = None) -> Stabilisation:
    """Find how the frames of a video have to be warped to be steady.

    Parameters
    ----------
    motion : CameraMotion
        Of `camera_motion`.
    options : StabiliseOptions, optional

    Returns
    -------
    Stabilisation
    """
    options = options or StabiliseOptions()
    width, height = motion.size
    to_middle = np.array([[1.0, 0.0, -0.5 * width], [0.0, 1.0, -0.5 * height], [0.0, 0.0, 1.0]])
    from_middle = np.linalg.inv(to_middle)
    corners = 0.5 * np.array([[-width, -height], [width, -height], [-width, height], [width, height]])
    steps = to_middle @ motion.steps @ from_middle
    similar = np.stack([_similarity(step, motion.size) for step in steps])
    windows, wobbles = np.empty((len(motion.numbers), 4)), np.empty((len(motion.numbers), 4, 2))
    room = 0.5 * (1.0 - options.window) * min(width, height)
    for first, end in motion.shots():
        within = slice(first, end - 1)
        wobble = _wobble(steps[within], similar[within], corners)
        wobbles[first:end] = np.clip(wobble, -_WOBBLE_MOST * room, _WOBBLE_MOST * room)
        margins = np.abs(wobbles[first:end]).max(axis=(1, 2))
        windows[first:end] = smooth_path(similar[within], motion.size, options.window, margins)
    share = _largest_share(windows, corners, np.abs(wobbles).max(axis=(1, 2)))
    crop = np.diag([share, share, 1.0])
    warps = np.stack(
        [_perspective(corners, corners + e) @ _matrix(b) @ crop for e, b in zip(wobbles, windows)]
    )
    warps = warps / warps[:, 2:, 2:]
    shake, left = _shake(steps, np.broadcast_to(np.eye(3), warps.shape), motion, corners), 0.0
    left = _shake(steps, warps, motion, corners)
    seen = share * float(np.hypot(windows[:, 0], windows[:, 1]).min())
    return Stabilisation(motion, from_middle @ warps @ to_middle, seen, shake, left)


def stabilised_frames(frames: Frames, plan: Stabilisation) -> Iterator[tuple[int, np.ndarray]]:
    """The steady video, frame by frame; one is held at a time.

    Parameters
    ----------
    frames : Frames
        The video of which the motion was found, from its beginning again.
    plan : Stabilisation

    Yields
    ------
    int, (H, W) or (H, W, 3)
        Number of the frame in the video, and the steady frame, of the same size and type.
    """
    cv2 = require("cv2")
    rows = {int(number): row for row, number in enumerate(plan.motion.numbers)}
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])  # from OpenCV's pixels to ours
    for frame in UsableFrames(frames, plan.motion.size):
        if frame.number not in rows:
            continue
        warp = np.linalg.inv(half) @ plan.frame_from_output[rows[frame.number]] @ half
        yield (
            frame.number,
            cv2.warpPerspective(
                frame.pixels,
                warp,
                plan.motion.size,
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
        )


def _similarity(step: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The similarity nearest to a homography over the frame, pixels from the middle."""
    grid = np.stack(np.meshgrid(*(np.linspace(-0.4, 0.4, 5) * side for side in size)), axis=2).reshape(-1, 2)
    return solve_similarity_2d(grid, transfer(step, grid))


def _wobble(steps: np.ndarray, similar: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n, 4, 2) pixels: trembling of the corners that the similarities do not explain."""
    if not len(steps):
        return np.zeros((1, 4, 2))
    beyond = np.stack([transfer(h, corners) - transfer(s, corners) for h, s in zip(steps, similar)])
    path = np.concatenate([np.zeros((1, 4, 2)), np.cumsum(beyond, axis=0)])
    reach = int(3 * _WOBBLE_FRAMES)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _WOBBLE_FRAMES) ** 2)
    flat = path.reshape(len(path), 8)
    weight = np.convolve(np.ones(len(path)), kernel, "full")[reach : reach + len(path)]
    smooth = np.stack([np.convolve(p, kernel, "full")[reach : reach + len(path)] for p in flat.T], axis=1)
    return (flat - smooth / weight[:, None]).reshape(-1, 4, 2)


def _largest_share(windows: np.ndarray, corners: np.ndarray, margins: np.ndarray) -> float:
    """The largest scale of the windows with which all their corners stay in the frames, 1 at least.

    `windows` are of scale 1 for the whole frame.
    """
    g, d = windows[:, 0] + 1j * windows[:, 1], windows[:, 2] + 1j * windows[:, 3]
    reach = g[:, None] * (corners[:, 0] + 1j * corners[:, 1])
    share = np.inf
    for along, off, half in (
        (reach.real, d.real, corners[:, 0].max()),
        (reach.imag, d.imag, corners[:, 1].max()),
    ):
        room = half - margins[:, None] - np.sign(along) * off[:, None]
        share = min(share, float((room / np.maximum(np.abs(along), 1e-9)).min()))
    return share


def _matrix(window: np.ndarray) -> np.ndarray:
    p, q, x, y = window
    return np.array([[p, -q, x], [q, p, y], [0.0, 0.0, 1.0]])


def _perspective(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    cv2 = require("cv2")
    return cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))


def _shake(steps: np.ndarray, warps: np.ndarray, motion: CameraMotion, corners: np.ndarray) -> float:
    """Root mean square change of speed, pixels, of what stands still, at the corners of the picture."""
    squares = []
    for first, end in motion.shots():
        # where what is seen at the corners of a frame of the output is in the next frame of the output
        moves = [
            transfer(np.linalg.inv(warps[i + 1]) @ steps[i] @ warps[i], corners) - corners
            for i in range(first, end - 1)
        ]
        if len(moves) > 1:
            squares.append((np.diff(np.stack(moves), axis=0) ** 2).sum(axis=2).ravel())
    return float(np.sqrt(np.concatenate(squares).mean())) if squares else 0.0
