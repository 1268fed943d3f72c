"""Lucas-Kanade: windows that keep their brightness, followed through a pyramid; for points, and for all pixels.

Within a window around a pixel the flow d is taken as one, and linearised brightness constancy solved by least squares,

    d = argmin sum_x w(x) (grad I . d + I1 - I0)^2:    (sum w grad I grad I^T) d = -sum w grad I (I1 - I0),

again after each warp and from coarse to fine (Lucas, Kanade 1981; Bouguet 2000). Points are refined by an affine motion
of their window, and followed back: who does not come home is lost (Shi, Tomasi 1994; Kalal et al. 2010).

Points are (x, y), the centre of the top-left pixel at (0.5, 0.5).
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow.images import FlowImages, prepare_pair
from geo3d.flow.lucas_kanade_kernels import track
from geo3d.flow.pyramid import flow_on_level, pyramid_levels
from geo3d.flow.warp import warp_backward
from geo3d.util.require import require

_NOISE = 1e-6  # squared gradient, of images in [0, 1], that is taken as noise: pulls the flow of plain places to zero


@dataclass(frozen=True)
class TrackOptions:
    """Options of `track_points`.

    Attributes
    ----------
    radius_px : int
        The window reaches as far to each side.
    iterations : int
        Gauss-Newton steps at most, on each level.
    affine : bool
        Whether the window may also turn, stretch and shear on the finest level.
    max_return_px : float
        A point is lost if following it back ends farther from its start.
    min_contrast : float
        A point is lost if the smaller eigenvalue of its window's mean squared gradient is lower, for images in [0, 1].
    """

    radius_px: int = 7
    iterations: int = 20
    affine: bool = True
    max_return_px: float = 0.5
    min_contrast: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("radius_px", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("max_return_px", "min_contrast"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class LucasKanadeOptions:
    """Options of the dense method.

    Attributes
    ----------
    sigma_px : float
        Of the Gaussian window.
    iterations : int
        Warps at each level.
    """

    sigma_px: float = 3.0
    iterations: int = 6

    def __post_init__(self) -> None:
        if not self.sigma_px > 0:
            raise ValueError(f"sigma_px: expected more than 0, got {self.sigma_px}")
        if self.iterations < 1:
            raise ValueError(f"iterations: expected at least 1, got {self.iterations}")


@dataclass(frozen=True, eq=False)
class TrackedPoints:
    """Where points of image 0 are in image 1.

    Attributes
    ----------
    points : (N, 2) float64
        In image 1; NaN where lost.
    tracked : (N,) bool
        Whether the point was found, came back, and has a window with structure.
    affine : (N, 2, 2) float64
        Motion of the window about its point: x1 = affine x0.
    return_px : (N,) float64
        How far from its start following the point back ends; infinite where it could not be followed.
    residual : (N,) float64
        Root mean square of the difference of the windows, images in [0, 1], apart from a change of exposure.
    """

    points: np.ndarray
    tracked: np.ndarray
    affine: np.ndarray
    return_px: np.ndarray
    residual: np.ndarray


def track_points(
    image0: np.ndarray,
    image1: np.ndarray,
    points: np.ndarray,
    options: TrackOptions | None = None,
    guesses: np.ndarray | None = None,
) -> TrackedPoints:
    """Follow points from one image to another.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
    points : (N, 2)
        In image0, pixels.
    options : TrackOptions, optional
    guesses : (N, 2), optional
        Where in image1 to begin; at `points` where left out.

    Returns
    -------
    TrackedPoints

    Raises
    ------
    ValueError
        If the images do not fit each other, or points or guesses are not (N, 2).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = np.kron(rng.random((10, 10)), np.ones((8, 8)))
    >>> found = track_points(scene[:, 2:], scene[:, :-2], np.array([[40.5, 40.5]]))
    >>> found.points.round(2).tolist()
    [[42.5, 40.5]]
    """
    options = options or TrackOptions()
    images = prepare_pair(image0, image1)
    points = _as_points(points, "points")
    guesses = points if guesses is None else _as_points(guesses, "guesses")
    if guesses.shape != points.shape:
        raise ValueError(f"guesses: expected one for each of {len(points)} points, got {len(guesses)}")
    known: np.ndarray = np.isfinite(np.hstack([points, guesses])).all(axis=1)
    starts, targets = (np.where(known[:, None], places, 0.5) - 0.5 for places in (points, guesses))
    pyramid0, pyramid1 = (pyramid_levels(gray) for gray in (images.gray0, images.gray1))
    there, squares, contrast = _track(pyramid0, pyramid1, starts, targets, options)
    back, back_squares, _ = _track(pyramid1, pyramid0, there[:, :2], starts, options)
    both = np.hstack([starts, there[:, :2]])
    limits = np.tile(images.gray0.shape[::-1], 2) - 0.5
    inside = ((both >= -0.5) & (both <= limits)).all(axis=1)
    away = np.where(np.isfinite(back_squares), np.linalg.norm(back[:, :2] - starts, axis=1), np.inf)
    away[~known] = np.inf
    tracked = known & inside & np.isfinite(squares) & (away <= options.max_return_px)
    tracked &= contrast > options.min_contrast
    return TrackedPoints(
        np.where(tracked[:, None], there[:, :2] + 0.5, np.nan),
        tracked,
        there[:, 2:].reshape(-1, 2, 2).transpose(0, 2, 1),
        away,
        np.sqrt(squares),
    )


def flow_lucas_kanade(images: FlowImages, options: LucasKanadeOptions) -> np.ndarray:
    """Dense Lucas-Kanade with a Gaussian window.

    Parameters
    ----------
    images : FlowImages
    options : LucasKanadeOptions

    Returns
    -------
    (H, W, 2) float32
        Flow from image0 to image1, pixels; small where the images are plain.
    """
    cv2 = require("cv2")
    pyramid = list(zip(*(pyramid_levels(gray) for gray in (images.gray0, images.gray1))))
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for gray0, gray1 in reversed(pyramid):
        flow = flow_on_level(flow, gray0.shape)
        for _ in range(options.iterations):
            warped = warp_backward(gray1, np.moveaxis(flow, 0, -1), "bicubic")
            flow = flow + window_step(gray0, warped, options.sigma_px)
            flow = np.stack([cv2.medianBlur(part, 5) for part in flow])
    return np.ascontiguousarray(np.moveaxis(flow, 0, -1))


def window_step(gray0: np.ndarray, gray1: np.ndarray, sigma_px: float) -> np.ndarray:
    """The flow (2, H, W) float32 by which each pixel's Gaussian window, linearised, moves from gray0 to gray1 (H, W).

    The least squares are those of the module's head, with `_NOISE` added to the diagonal.
    """
    cv2 = require("cv2")
    mean, change = 0.5 * (gray0 + gray1), gray1 - gray0
    gx, gy = (cv2.Sobel(mean, cv2.CV_32F, *d, ksize=1, scale=0.5) for d in ((1, 0), (0, 1)))
    sums = cv2.GaussianBlur(np.dstack([gx * gx, gx * gy, gy * gy, gx * change]), (0, 0), sigma_px)
    xx, xy, yy, xt = (sums[..., i] for i in range(4))
    yt = cv2.GaussianBlur(gy * change, (0, 0), sigma_px)
    xx, yy = xx + np.float32(_NOISE), yy + np.float32(_NOISE)
    scale = np.float32(-1) / (xx * yy - xy * xy)
    return np.stack([scale * (yy * xt - xy * yt), scale * (xx * yt - xy * xt)])


def _as_points(points: np.ndarray, name: str) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name}: expected (N, 2), got shape {points.shape}")
    return points


def _track(
    pyramid0: list[np.ndarray],
    pyramid1: list[np.ndarray],
    points: np.ndarray,
    guesses: np.ndarray,
    options: TrackOptions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Motions (N, 6), d and A by columns, mean squares (N,) and contrast (N,): see `lucas_kanade_kernels.track`."""
    motions = np.tile([0.0, 0.0, 1.0, 0.0, 0.0, 1.0], (len(points), 1))
    motions[:, :2] = guesses
    squares, contrast = np.empty(len(points)), np.empty(len(points))
    whole = np.array(pyramid0[0].shape[::-1])
    for image0, image1 in reversed(list(zip(pyramid0, pyramid1))):
        scale = image0.shape[::-1] / whole
        motions[:, :2] = (motions[:, :2] + 0.5) * scale - 0.5
        starts = (points + 0.5) * scale - 0.5
        track(image0, image1, starts, options.radius_px, options.iterations, 2, motions, squares, contrast)
        motions[:, :2] = (motions[:, :2] + 0.5) / scale - 0.5
    if options.affine:
        refined, after = motions.copy(), squares.copy()
        track(
            pyramid0[0],
            pyramid1[0],
            points,
            options.radius_px,
            options.iterations,
            6,
            refined,
            after,
            contrast,
        )
        better = (after < squares) & (np.abs(refined - motions)[:, :2].max(axis=1) < options.radius_px)
        motions[better], squares[better] = refined[better], after[better]
    return motions, squares, contrast
