"""A made-up stereo pair as cameras would have stored it: what real pairs have and exactly rendered ones have not.

Each image gets the noise of its sensor (constant and of the light), the right one another exposure and gamma and the
errors of a rectification (smooth shifts of rows and columns, interpolated bilinearly), both a blur of their own and
JPEG. The truth stays that of the exact pair, so that the shift of the columns is an error that no matcher can undo.
"""

from dataclasses import replace

import numpy as np

from geo3d.synthetic.stereo import StereoPair
from geo3d.util.require import require

_ROW_SHIFT_PX, _COLUMN_SHIFT_PX = 0.35, 0.12  # largest standard deviations of the smooth shifts
_JPEG = (75, 97)
_LARGEST_BLUR_PX = 0.8


def as_photographed(pair: StereoPair, seed: int = 0) -> StereoPair:
    """The pair with what cameras, rectification and files do to it.

    Parameters
    ----------
    pair : StereoPair
    seed : int
        Of how much of each, and of the noise.

    Returns
    -------
    StereoPair
        With the same truth.
    """
    cv2 = require("cv2")
    rng = np.random.default_rng(seed)
    height, width = pair.disparity.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rows, columns = (
        _smooth_field(rng, (height, width), rng.uniform(0.0, most))
        for most in (_ROW_SHIFT_PX, _COLUMN_SHIFT_PX)
    )
    gamma, gain = np.exp(rng.normal(0.0, 0.1, 2))
    quality, blur = int(rng.integers(*_JPEG)), rng.uniform(0.0, _LARGEST_BLUR_PX)
    images = []
    for number, image in enumerate((pair.left, pair.right)):
        light = image.astype(np.float32)
        variance = rng.uniform(0.3, 2.0) ** 2 + rng.uniform(0.0, 0.03) * light
        light = (light + rng.normal(0.0, 1.0, light.shape) * np.sqrt(variance)).astype(np.float32)
        if number == 1:
            light = cv2.remap(light, x + columns, y + rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            light = 255.0 * np.clip(gain * np.clip(light / 255.0, 0.0, 1.0) ** gamma, 0.0, 1.0)
        sigma = blur + rng.uniform(-0.2, 0.2)
        if sigma > 0.2:
            light = cv2.GaussianBlur(light, (0, 0), sigma)
        stored = np.clip(np.round(light), 0, 255).astype(np.uint8)
        data = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        images.append(np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]))
    return replace(pair, left=images[0], right=images[1])


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """(H, W) float32: a few random values, of standard deviation `size`, and cubic between them."""
    coarse = (size * rng.normal(0.0, 1.0, (4, 5))).astype(np.float32)
    return require("cv2").resize(coarse, shape[::-1], interpolation=require("cv2").INTER_CUBIC)
