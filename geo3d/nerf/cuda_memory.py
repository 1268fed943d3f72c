"""What a training takes of a GPU's memory, by the entry of the grid, the sample of a step, the cell, the pixel.

Entry: parameter, gradient and two moments of two features (32), halves (4); twice, as the kernels are warmed up on a
field of their own. Sample: range, place and ray (24), density, colour and their gradients (32), the gradient by the
place (12), features and their gradients (8 a level); twice, as those of a step are held until the next one's are there.
Cell: its density, and what finds the nearest occupied one. Pixel: colour and alpha (4), and of each lens the bearings
of its pixels (12).
"""

from __future__ import annotations

from dataclasses import replace

from geo3d.nerf.engine import field_shape, samples_of
from geo3d.nerf.field_parameters import FieldShape, parameter_shapes
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render.views import ViewSet
from geo3d.util.require import require

ROOM = 1.25
"""For samples, of what a step shall have."""
_ENTRY_BYTES = 2 * 36
_SAMPLE_BYTES, _LEVEL_BYTES = 2 * 68, 2 * 8
_CELL_BYTES = 40
_PIXEL_BYTES, _BEARING_BYTES = 4, 12
_OWN_BYTES = 1 << 30  # torch's, the kernels', and what a picture takes
_LEAST_LOG2 = 12
_SHARE = 0.9  # of what is free: torch's blocks do not fill up


def free_gpu_bytes() -> int:
    """Free memory of the current GPU."""
    return require("torch").cuda.mem_get_info()[0]


def check_gpu_memory(views: ViewSet, downscale: float, options: TrainingOptions, free: int) -> int:
    """Refuse what will not fit before it starts; bytes of photos, 4 a pixel, that there is room for.

    Parameters
    ----------
    views : ViewSet
    downscale : float
    options : TrainingOptions
        Those for the backend "cuda".
    free : int
        Bytes of the GPU's memory.

    Raises
    ------
    MemoryError
        If the field and a step do not fit; the message says which would.
    """
    cameras = [view.camera for view in views.views]
    pixels = [camera.width * camera.height / downscale**2 for camera in cameras]
    lenses = sum(camera.width * camera.height for camera in set(cameras)) / downscale**2
    a_pixel = _PIXEL_BYTES + _BEARING_BYTES * lenses / sum(pixels)
    shape, room = field_shape(options), int(_SHARE * free - a_pixel * max(pixels))
    need = training_bytes(shape, options)
    if need <= room:
        return int(_PIXEL_BYTES * ((room - need) / a_pixel + max(pixels)))
    smaller = range(shape.log2_entries - 1, _LEAST_LOG2 - 1, -1)
    fits = [n for n in smaller if training_bytes(replace(shape, log2_entries=n), options) <= room]
    advice = f"log2_entries {fits[0]} would fit" if fits else "fewer samples a step would fit"
    raise MemoryError(
        f"a field of {shape.levels} levels of 2^{shape.log2_entries} entries and steps of {samples_of(options).last:,} "
        f"samples take about {need / 2**30:.1f} GiB on the GPU, {free / 2**30:.1f} GiB are free there; {advice}, or "
        "train on the CPU (backend cpu)"
    )


def training_bytes(shape: FieldShape, options: TrainingOptions) -> int:
    """Peak memory of a training, without its photos.

    Parameters
    ----------
    shape : FieldShape
    options : TrainingOptions
    """
    chosen = samples_of(options)
    samples = ROOM * max(chosen.first, chosen.last)
    need = _ENTRY_BYTES * parameter_shapes(shape)["grid"][0] + _CELL_BYTES * chosen.grid**3
    return int(need + (_SAMPLE_BYTES + _LEVEL_BYTES * shape.levels) * samples) + _OWN_BYTES
