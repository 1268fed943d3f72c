"""The two images of a pair as the methods take them: checked, of one size, in colour and grey, without NaN."""

from dataclasses import dataclass

import numpy as np

from geo3d.util.require import require

_SMALLEST = 16  # pixels a side
_FLAT = 1e-4  # range of values below which an image is constant: a fortieth of a grey level


@dataclass(frozen=True, eq=False)
class FlowImages:
    """Two images of one size.

    Attributes
    ----------
    image0, image1 : (H, W, 3) float32
        RGB in [0, 1], contiguous; the channels of grey images are the same.
    gray0, gray1 : (H, W) float32
        Luma in [0, 1].
    invalid : (H, W) bool, optional
        Pixels of image0 that were NaN and have got the value of the nearest one; None where there were none.
    invalid1 : (H, W) bool, optional
        Of image1.
    """

    image0: np.ndarray
    image1: np.ndarray
    gray0: np.ndarray
    gray1: np.ndarray
    invalid: np.ndarray | None
    invalid1: np.ndarray | None

    @property
    def is_constant(self) -> bool:
        """Whether either image has one colour only: nothing moves then that could be seen."""
        return any(_is_constant(image) for image in (self.image0, self.image1))


def prepare_pair(image0: np.ndarray, image1: np.ndarray) -> FlowImages:
    """Check two images and bring them to float32, three channels and one size.

    Parameters
    ----------
    image0, image1 : (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1]
        Of one size, at least 16 pixels a side. NaN and infinite pixels are filled from the nearest ones. If one is
        grey and the other in colour, both are taken as grey.

    Returns
    -------
    FlowImages

    Raises
    ------
    ValueError
        If they are of other shapes or types, differ in size, are too small, or hold no number at all.
    """
    images = [_as_float(image, name) for image, name in ((image0, "image0"), (image1, "image1"))]
    sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in images]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"image0 and image1: expected images of one size, got {sizes[0]} and {sizes[1]} pixels; resize or crop one"
        )
    if min(images[0].shape[:2]) < _SMALLEST:
        raise ValueError(
            f"image0 and image1: expected at least {_SMALLEST} pixels a side, got {sizes[0]}; there is no flow to find "
            "in so few"
        )
    filled, invalid = zip(*(_filled(image, name) for image, name in zip(images, ("image0", "image1"))))
    grays = [_gray(image) for image in filled]
    colors = filled if filled[0].ndim == filled[1].ndim == 3 else grays
    colors = [np.ascontiguousarray(c if c.ndim == 3 else np.repeat(c[..., None], 3, axis=2)) for c in colors]
    return FlowImages(*colors, *grays, *invalid)


def _is_constant(image: np.ndarray) -> bool:
    few = image[::16, ::16]  # nearly always they tell
    return all(float(np.ptp(some.reshape(-1, 3), axis=0).max()) < _FLAT for some in (few, image))


def _as_float(image: np.ndarray, name: str) -> np.ndarray:
    """(H, W) or (H, W, 3) float32, NaN where the image has no number."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] in (2, 4):
        raise ValueError(
            f"{name}: has an alpha channel (shape {image.shape}); give the colours, image[..., :{image.shape[2] - 1}]"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise ValueError(f"{name}: expected (H, W) grey or (H, W, 3) RGB, got shape {image.shape}")
    if image.dtype in (np.uint8, np.uint16):
        return np.multiply(image, np.float32(1.0 / np.iinfo(image.dtype).max), dtype=np.float32)
    if image.dtype.kind != "f":
        raise ValueError(f"{name}: expected uint8, uint16 or float in [0, 1], got {image.dtype}")
    values = image.astype(np.float32)
    values[~np.isfinite(image)] = np.nan
    known = values[~np.isnan(values)]
    if known.size and (known.min() < -0.01 or known.max() > 1.01):
        raise ValueError(
            f"{name}: floats have to be in [0, 1], got {known.min():g} to {known.max():g}; divide by 255?"
        )
    return np.clip(values, 0.0, 1.0)


def _filled(image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The image with each NaN pixel replaced by the nearest one that is known, and which these were."""
    if not np.isnan(image).any():
        return image, None
    unknown = np.isnan(image if image.ndim == 2 else image.sum(axis=2))
    if unknown.all():
        raise ValueError(f"{name}: every pixel is NaN or infinite")
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    assert nearest is not None
    return image[nearest[0], nearest[1]], unknown


def _gray(image: np.ndarray) -> np.ndarray:
    """(H, W) float32, contiguous: Rec. 601 luma."""
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    return require("cv2").cvtColor(np.ascontiguousarray(image), require("cv2").COLOR_RGB2GRAY)
