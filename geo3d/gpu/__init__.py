"""CUDA kernels of our own, without a toolkit: compiled by NVRTC or found in the wheel, launched on torch tensors."""

from geo3d.gpu.compile import ARCHITECTURES, compile_cubin
from geo3d.gpu.late import LateNumbers
from geo3d.gpu.launcher import Launcher
from geo3d.gpu.usable import why_not

__all__ = ["ARCHITECTURES", "LateNumbers", "Launcher", "compile_cubin", "why_not"]
