"""How good a flow is beside the truth, as Middlebury, KITTI and Sintel count.

    EPE            |f - g|, pixels
    Fl             share of pixels with EPE > 3 px and EPE > 5 % of |g|  (Menze and Geiger 2015)
    angular error  angle between (f, 1) and (g, 1)  (Barron et al. 1994)

and how good an interpolated image is (Baker et al., "A database and evaluation methodology for optical flow", 2011).
"""

from dataclasses import dataclass

import numpy as np

from geo3d.flow.checks import as_flow, same_size

UNKNOWN = 1e9
"""Components of a true flow above this are not known, as in Middlebury's files."""


@dataclass(frozen=True)
class FlowErrors:
    """Errors of a flow, over the pixels whose truth is known.

    Attributes
    ----------
    count : int
        Pixels whose truth is known.
    density_pct : float
        Percentage of them that have a flow; the other figures are over these.
    epe_px : float
        Mean endpoint error.
    epe_median_px, epe_rms_px : float
        Its median and root mean square.
    r0_5_pct, r1_pct, r3_pct : float
        Percentage with an endpoint error above 0.5, 1, 3 px.
    fl_all_pct : float
        Percentage of outliers: above 3 px and above 5 % of the true flow.
    angular_error_deg : float
        Mean angular error, degrees.
    """

    count: int
    density_pct: float
    epe_px: float
    epe_median_px: float
    epe_rms_px: float
    r0_5_pct: float
    r1_pct: float
    r3_pct: float
    fl_all_pct: float
    angular_error_deg: float


@dataclass(frozen=True)
class InterpolationErrors:
    """Errors of an interpolated image.

    Attributes
    ----------
    rms : float
        Root mean square difference, grey levels of 255.
    normalized_rms : float
        The same with each difference divided by sqrt(gradient^2 + 1) of the true image.
    """

    rms: float
    normalized_rms: float


def known_flow(flow: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a flow (H, W, 2) is known, neither NaN nor above 1e9."""
    with np.errstate(invalid="ignore"):
        return np.maximum(np.abs(flow[..., 0]), np.abs(flow[..., 1])) <= UNKNOWN


def endpoint_error(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) float32, pixels: length of `flow` - `truth`, both (H, W, 2); NaN where either is not known.

    Raises
    ------
    ValueError
        If the shapes are others or differ.
    """
    flow, truth = as_flow(flow), as_flow(truth, "truth")
    same_size(flow=flow, truth=truth)
    both = known_flow(flow) & known_flow(truth)
    return np.where(both, np.hypot(*np.moveaxis(np.where(both[..., None], flow - truth, 0), 2, 0)), np.nan)


def flow_errors(flow: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> FlowErrors:
    """Compare a flow with the truth.

    Parameters
    ----------
    flow : (H, W, 2)
        Pixels; what is NaN counts for the density alone.
    truth : (H, W, 2)
        NaN, infinite or above 1e9 where it is not known.
    mask : (H, W) bool, optional
        Pixels that count, such as those that are not occluded.

    Returns
    -------
    FlowErrors

    Raises
    ------
    ValueError
        If the sizes differ, or nothing can be compared.

    Examples
    --------
    >>> import numpy as np
    >>> flow_errors(np.full((4, 4, 2), 3.0), np.zeros((4, 4, 2))).fl_all_pct
    100.0
    """
    error = endpoint_error(flow, truth)
    counts = known_flow(truth)
    if mask is not None:
        mask = np.asarray(mask, bool)
        same_size(flow=flow, mask=mask)
        counts &= mask
    both = counts & np.isfinite(error)
    if not both.any():
        raise ValueError(
            "flow and truth: there is no pixel where both are known"
            + (" within mask" if mask is not None else "")
        )
    epe = error[both].astype(np.float64)
    f, g = (np.asarray(array)[both].astype(np.float64) for array in (flow, truth))
    # atan2 of cross and dot product, exact for small angles where acos is not
    cross = np.hypot(np.hypot(f[:, 0] - g[:, 0], f[:, 1] - g[:, 1]), f[:, 0] * g[:, 1] - f[:, 1] * g[:, 0])
    angle = np.arctan2(cross, 1.0 + (f * g).sum(axis=1))
    r0_5, r1, r3 = (100.0 * float((epe > limit).mean()) for limit in (0.5, 1.0, 3.0))
    outlier = (epe > 3.0) & (epe > 0.05 * np.hypot(g[:, 0], g[:, 1]))
    return FlowErrors(
        int(counts.sum()),
        100.0 * float(both.sum() / counts.sum()),
        float(epe.mean()),
        float(np.median(epe)),
        float(np.sqrt((epe**2).mean())),
        r0_5,
        r1,
        r3,
        100.0 * float(outlier.mean()),
        float(np.degrees(angle.mean())),
    )


def interpolation_error(
    image: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None
) -> InterpolationErrors:
    """Compare an interpolated image with the one that was taken there.

    Parameters
    ----------
    image, truth : (H, W) or (H, W, 3), uint8 or float in [0, 1]
        Of one shape and kind; pixels that are NaN in either do not count.
    mask : (H, W) bool, optional
        Pixels that count.

    Returns
    -------
    InterpolationErrors

    Raises
    ------
    ValueError
        If the shapes or types differ, or nothing can be compared.
    """
    image, truth = np.asarray(image), np.asarray(truth)
    if image.shape != truth.shape or image.ndim not in (2, 3):
        raise ValueError(f"image and truth: expected one shape, got {image.shape} and {truth.shape}")
    if (image.dtype == np.uint8) != (truth.dtype == np.uint8):
        raise ValueError(f"image and truth: expected one type, got {image.dtype} and {truth.dtype}")
    levels = 1.0 if image.dtype == np.uint8 else 255.0
    a, b = (levels * array.astype(np.float64).reshape(*array.shape[:2], -1) for array in (image, truth))
    counts = np.isfinite(a).all(axis=2) & np.isfinite(b).all(axis=2)
    if mask is not None:
        mask = np.asarray(mask, bool)
        same_size(image=image, mask=mask)
        counts &= mask
    if not counts.any():
        raise ValueError("image and truth: there is no pixel that counts")
    squared = ((a - b) ** 2).mean(axis=2)
    gradient = (
        sum(d**2 for d in np.gradient(b.mean(axis=2))) if min(b.shape[:2]) > 1 else np.zeros(b.shape[:2])
    )
    normalized = squared / (gradient + 1.0)
    return InterpolationErrors(*(float(np.sqrt(values[counts].mean())) for values in (squared, normalized)))
