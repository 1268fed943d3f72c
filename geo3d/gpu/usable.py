"""Whether our CUDA kernels can run here, and if not, what to do."""

from __future__ import annotations

import ctypes.util
import importlib

OLDEST = (7, 5)
"""Compute capability of the oldest GPUs that we compile for: Turing, 2018."""


def why_not() -> str | None:
    """None where our kernels can run on the current GPU; else the reason and the remedy, in one line.

    Imports torch, which takes seconds; nothing is compiled or allocated.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "PyTorch is not installed; install a build with CUDA: pip install torch"
    if torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is a build without CUDA; pick one with it at "
            "https://pytorch.org/get-started/locally"
        )
    if not torch.cuda.is_available():
        if ctypes.util.find_library("cuda") is None:
            return (
                "no NVIDIA driver is installed; install the one for your GPU: https://www.nvidia.com/drivers"
            )
        return (
            f"PyTorch {torch.__version__} finds no GPU that its CUDA {torch.version.cuda} can use; "
            "see what nvidia-smi says, update the driver, or check CUDA_VISIBLE_DEVICES"
        )
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST:
        return (
            f"{torch.cuda.get_device_name()} has compute capability {capability[0]}.{capability[1]}; "
            f"{OLDEST[0]}.{OLDEST[1]} or newer is needed (GeForce 16 and 20 series, Tesla T4 and later)"
        )
    try:
        importlib.import_module("cuda.core")
    except ImportError:
        return "cuda-core is not installed or not whole: pip install 'geo3d[cuda]'"
    return None
