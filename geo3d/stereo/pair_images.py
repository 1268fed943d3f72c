"""The two images of a pair as the matchers take them, and what is wrong with them, in words."""

from dataclasses import dataclass

import numpy as np

from geo3d.stereo.costs import to_gray
from geo3d.util.require import require

_FLAT_LEVELS = 1.0  # standard deviation of grey levels in a window, below which noise is all that there is
_WINDOW = 5
_SATURATED = 253
_WORTH_A_WORD = 0.2  # share of the image
_HOPELESS = 0.98


@dataclass(frozen=True, eq=False)
class PairImages:
    """Two images of one kind.

    Attributes
    ----------
    left, right : (H, W, 3) uint8
    textureless : float
        Share of the left image without texture, saturated parts included.
    notes : tuple of str
        What is unusual, in words.
    """

    left: np.ndarray
    right: np.ndarray
    textureless: float
    notes: tuple[str, ...]


def prepare_pair(left: np.ndarray, right: np.ndarray) -> PairImages:
    """Check two images and bring them to 8 bit and three channels.

    Parameters
    ----------
    left, right : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        Of one size. If one is grey (three channels that are alike count) and the other in colour, both are taken as
        grey.

    Raises
    ------
    ValueError
        If they are of other shapes or types, differ in size, hold NaN, or show nothing that could be matched.
    """
    images = [_as_bytes(image, name) for image, name in ((left, "left"), (right, "right"))]
    sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in images]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"left and right: expected images of one size, got {sizes[0]} and {sizes[1]}; rectify them, which makes "
            "them of one size"
        )
    if min(images[0].shape[:2]) < 16:
        raise ValueError(f"left and right: expected at least 16 pixels a side, got {sizes[0]}")
    notes = []
    images = [image[..., 0] if image.ndim == 3 and _without_colour(image) else image for image in images]
    if images[0].ndim != images[1].ndim:
        gray = "left" if images[0].ndim == 2 else "right"
        notes.append(f"The {gray} image is grey and the other in colour: both are matched as grey.")
        images = [image if image.ndim == 2 else to_gray(image) for image in images]
    images = [
        np.ascontiguousarray(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image)
        for image in images
    ]
    if np.array_equal(images[0], images[1]):
        notes.append("Left and right are the same image: every disparity is 0, and no depth comes of it.")
    for name, image in (("right", images[1]), ("left", images[0])):
        flat, saturated = _textureless(to_gray(image))
        share = float(flat.mean())
        if share <= _HOPELESS:
            continue
        raise ValueError(
            f"the {name} image has no texture in {100 * share:.0f} % of its pixels ({100 * saturated:.0f} % are black "
            "or white): there is nothing to match; light the scene, or change the exposure"
        )
    if share > _WORTH_A_WORD:
        why = f", {100 * saturated:.0f} % are black or white" if saturated > 0.05 else ""
        notes.append(
            f"{100 * share:.0f} % of the left image has no texture{why}: disparities there come from their "
            "surroundings."
        )
    return PairImages(images[0], images[1], share, tuple(notes))


def _as_bytes(image: np.ndarray, name: str) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] in (2, 4):
        raise ValueError(
            f"{name}: has an alpha channel (shape {image.shape}); give the colours, image[..., :{image.shape[2] - 1}]"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"{name}: expected (H, W) grey or (H, W, 3) RGB, got shape {image.shape}")
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return np.round(image / 257.0).astype(np.uint8)
    if image.dtype.kind != "f":
        raise ValueError(f"{name}: expected uint8, uint16 or float in [0, 1], got {image.dtype}")
    if not np.isfinite(image).all():
        raise ValueError(f"{name}: {np.count_nonzero(~np.isfinite(image))} values are NaN or infinite")
    if image.min() < -0.01 or image.max() > 1.01:
        raise ValueError(f"{name}: floats have to be in [0, 1], got {image.min():g} to {image.max():g}")
    return np.round(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def _without_colour(image: np.ndarray) -> bool:
    def alike(part: np.ndarray) -> bool:
        return bool((part[..., 1:] == part[..., :1]).all())

    return alike(image[::32, ::32]) and alike(image)  # a few pixels tell most pictures


def _textureless(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """Where the window's deviation is that of noise, for every fourth pixel; and the share of black or white pixels."""
    cv2 = require("cv2")
    values = np.ascontiguousarray(gray[::2, ::2], np.float32)  # half the pixels tell as much
    mean = cv2.blur(values, (_WINDOW, _WINDOW))
    deviation = np.sqrt(np.maximum(cv2.blur(values**2, (_WINDOW, _WINDOW)) - mean**2, 0.0))
    return deviation < _FLAT_LEVELS, float(((values >= _SATURATED) | (values <= 2)).mean())
