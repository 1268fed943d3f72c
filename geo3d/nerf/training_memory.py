"""What a training takes of the memory, before it takes it."""

from __future__ import annotations

from geo3d.nerf.engine import field_shape, samples_of
from geo3d.nerf.field_parameters import parameter_shapes
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render.views import ViewSet
from geo3d.util.memory import available_bytes

_SAMPLE_BYTES = 2400  # of a sample of a step: what is kept for its gradient
_COPIES = 5  # the parameters, their gradients, two moments, and one more in a checkpoint
_OWN_BYTES = 900 << 20  # Python, NumPy, PyTorch, numba and its compiler
_MOST_CACHE_BYTES = 3 << 30
_LEAST_CACHE_BYTES = 64 << 20
_SHARE = 0.8  # of what is free


def check_memory(
    views: ViewSet, downscale: float, options: TrainingOptions, available: int | None = None
) -> int:
    """Memory to keep photos in, bytes.

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
        If the field and a step do not fit; the message says what would.
    """
    free = available if available is not None else available_bytes()
    pixels = sum(view.camera.width * view.camera.height for view in views.views) / downscale**2
    wanted = int(min(max(4.4 * pixels, _LEAST_CACHE_BYTES), _MOST_CACHE_BYTES))
    if free is None:
        return wanted
    shape, samples = field_shape(options), samples_of(options)
    entries, features = parameter_shapes(shape)["grid"]
    need = 4 * entries * features * _COPIES + 4 * samples.grid**3 * 3
    need += _SAMPLE_BYTES * samples.last + _OWN_BYTES
    left = int(_SHARE * free) - need
    if left < _LEAST_CACHE_BYTES:
        raise MemoryError(
            f"a field of {shape.levels} levels of 2^{shape.log2_entries} entries and steps of "
            f"{samples.last:,} samples take about {need / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; "
            "fewer entries (log2_entries) or samples would fit"
        )
    return min(wanted, left)
