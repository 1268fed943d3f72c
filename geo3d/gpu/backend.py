"""Which backend works here, the GPU's kernels or the CPU's."""

from __future__ import annotations

import ctypes.util
import importlib.util
import logging
from functools import cache

from geo3d.gpu.usable import why_not

_log = logging.getLogger(__name__)


def chosen_backend(wanted: str) -> str:
    """`wanted`, or the fastest backend that runs here where that is "auto".

    Parameters
    ----------
    wanted : str
        "auto", "cuda", or another one.

    Raises
    ------
    RuntimeError
        If it is "cuda" and that cannot run here; says why and what to do.
    """
    if wanted == "auto":
        return best_backend()
    if wanted == "cuda" and (trouble := why_not()) is not None:
        raise RuntimeError(f'backend "cuda" cannot run here: {trouble}. Or choose "cpu" or "auto".')
    return wanted


@cache
def best_backend() -> str:
    """The fastest backend that runs here, said once."""
    trouble = gpu_trouble()
    _log.info("rendering on the %s", "GPU" if trouble is None else f"CPU: {trouble}")
    return "cpu" if trouble else "cuda"


def gpu_trouble() -> str | None:
    """Why no GPU can work here, or None. torch is loaded only where there may be a GPU."""
    if ctypes.util.find_library("cuda") is None:
        return "no NVIDIA driver is installed"
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    return why_not()
