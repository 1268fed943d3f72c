"""OpenCV's StereoSGBM and StereoBM behind the same function, to compare with."""

import numpy as np

from geo3d.stereo.costs import to_gray
from geo3d.stereo.options import StereoOptions
from geo3d.stereo.semi_global_matching import Matched
from geo3d.util.require import require

_BLOCK = 3
_WINDOW = 15  # of block matching
_MARGIN = 0.4  # it tells none: about the median of ours


def match_opencv(left: np.ndarray, right: np.ndarray, options: StereoOptions) -> Matched:
    """Disparities of OpenCV, with its own check against the right image and its own sub-pixels.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
    options : StereoOptions
        Of the semi-global matcher "fast" is its mode 3WAY, the others HH (8 paths).
    """
    cv2 = require("cv2")
    count = -(-(options.max_disparity - options.min_disparity + 1) // 16) * 16
    if options.method == "block":
        blocks = cv2.StereoBM_create(count, _WINDOW)
        blocks.setMinDisparity(options.min_disparity)
        blocks.setDisp12MaxDiff(1)
        return _matched(blocks.compute(to_gray(left), to_gray(right)), options)
    area = 3 * _BLOCK**2
    matcher = cv2.StereoSGBM_create(
        minDisparity=options.min_disparity,
        numDisparities=count,
        blockSize=_BLOCK,
        P1=8 * area,
        P2=32 * area,
        disp12MaxDiff=1,
        uniquenessRatio=5,
        preFilterCap=63,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY if options.quality == "fast" else cv2.STEREO_SGBM_MODE_HH,
    )
    return _matched(matcher.compute(left[..., ::-1].copy(), right[..., ::-1].copy()), options)


def _matched(sixteenths: np.ndarray, options: StereoOptions) -> Matched:
    found = sixteenths.astype(np.float32) / 16.0
    found[found < options.min_disparity] = np.nan
    return Matched(found, found.copy(), np.full_like(found, _MARGIN))
