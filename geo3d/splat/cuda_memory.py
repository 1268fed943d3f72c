"""What a step of training takes of a GPU's memory, by the Gaussian, the instance (a Gaussian in a tile), the pixel.

Gaussian: 59 parameters, two moments of each, its count of steps (712); its projection and places (60); its gradient in
the image (44); the sort by depth (40). Instance: the state of the tile's pixels at each bucket of 64 (64), its gradient
(44), its places (8, in the sort 20). Pixel: images, sums and their gradients, the loss and its derivatives.
"""

from __future__ import annotations

from geo3d.util.require import require

GAUSSIAN_BYTES = 860
INSTANCE_BYTES = 120
PIXEL_BYTES = 130
INSTANCES = 10
"""Tiles that a Gaussian reaches on average; real scenes at a megapixel have 3 to 8."""
_SHARE = 0.9  # of what is free: torch's blocks do not fill up


def step_bytes(gaussians: int, instances: int, pixels: int) -> int:
    """Peak memory of a step of training with colours alone.

    Parameters
    ----------
    gaussians, instances, pixels : int
        Numbers of Gaussians, of Gaussians in tiles, and of pixels of the photo.
    """
    return GAUSSIAN_BYTES * gaussians + INSTANCE_BYTES * instances + PIXEL_BYTES * pixels


def free_gpu_bytes() -> int:
    """Free memory of the current GPU."""
    return require("torch").cuda.mem_get_info()[0]


def check_gpu_memory(budget: int, pixels: int, free: int) -> int:
    """Refuse what will not fit before it starts; bytes that are left for photos.

    Parameters
    ----------
    budget : int
        Most Gaussians.
    pixels : int
        Of the largest photo.
    free : int
        Bytes of the GPU's memory.

    Raises
    ------
    MemoryError
        If the budget does not fit; the message says which does.
    """
    need = step_bytes(budget, INSTANCES * budget, pixels)
    room = int(_SHARE * free)
    if need <= room:
        return room - need
    fits = max(0, room - PIXEL_BYTES * pixels) // (GAUSSIAN_BYTES + INSTANCES * INSTANCE_BYTES) // 1000 * 1000
    advice = f"a budget of {fits:,} would fit" if fits else "reduce the photos more (downscale)"
    raise MemoryError(
        f"{budget:,} Gaussians and photos of {pixels / 1e6:.1f} megapixels take about {need / 2**30:.1f} GiB on the "
        f"GPU, {free / 2**30:.1f} GiB are free there; {advice}, or train on the CPU (backend cpu)"
    )
