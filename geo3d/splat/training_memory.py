"""What a training takes of the memory, before it takes it."""

from __future__ import annotations

from geo3d.render.views import ViewSet
from geo3d.splat.training_options import TrainingOptions
from geo3d.util.memory import available_bytes

_FLOATS = 14 + 45  # of a Gaussian of degree 3
_COPIES = 4 + 1  # the parameters, their gradients, two moments, and one more while the set changes
_RENDERED_BYTES = 600  # a Gaussian: its projection and its places in the tiles
_PIXEL_BYTES = 200  # a pixel of the photo in hand: images, gradients, SSIM
_OWN_BYTES = 700 << 20  # Python, NumPy, numba and its compiler
_MOST_CACHE_BYTES = 3 << 30
_SHARE = 0.8  # of what is free

GAUSSIAN_BYTES = 4 * _FLOATS * _COPIES + _RENDERED_BYTES
"""Memory of one Gaussian in training."""


def check_memory(
    views: ViewSet, downscale: float, options: TrainingOptions, available: int | None = None
) -> int:
    """Memory to keep decoded photos in, bytes.

    Parameters
    ----------
    views : ViewSet
    downscale : float
    options : TrainingOptions
    available : int, optional
        Bytes; by default what the machine has free.

    Raises
    ------
    MemoryError
        If the budget does not fit; the message says which does.
    """
    free = available if available is not None else available_bytes()
    sizes = [view.camera.width * view.camera.height for view in views.views]
    decoded = sum(sizes) / downscale**2 * 4
    fixed = _OWN_BYTES + _PIXEL_BYTES * max(sizes) / downscale**2 + 16 * max(sizes)
    if free is None:
        return int(min(decoded * 1.4 + (64 << 20), _MOST_CACHE_BYTES))
    left = _SHARE * free - fixed
    need = options.budget * GAUSSIAN_BYTES
    if need > left:
        fits = max(0, int(left / GAUSSIAN_BYTES)) // 1000 * 1000
        advice = f"a budget of {fits:,} would fit" if fits else "reduce the photos more (downscale)"
        raise MemoryError(
            f"{options.budget:,} Gaussians and photos of {max(sizes) / downscale**2 / 1e6:.1f} megapixels take about "
            f"{(need + fixed) / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; {advice}"
        )
    return int(max(64 << 20, min(decoded * 1.4 + (64 << 20), _MOST_CACHE_BYTES, left - need)))
