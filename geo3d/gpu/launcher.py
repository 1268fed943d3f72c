"""Launches CUDA kernels on torch tensors, on torch's current stream, through cuda-core."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.gpu.compile import cached_path, compile_into, find_cubin
from geo3d.gpu.usable import why_not

_CONFIGS = 10_000  # that are kept
_DEFAULT_STREAM = 1  # CU_STREAM_LEGACY; torch calls it 0


class Launcher:
    """Kernels of one folder of .cu files, on one GPU.

    `launcher("file/kernel", grid, block, *arguments)` runs `kernel` of `file.cu` in `grid` blocks of `block` threads.
    Arguments: contiguous torch tensors of this GPU (as pointers), None (a null pointer), int (int32), float (float32).
    It returns at once; what fails on the GPU is raised by torch later, as for torch's own kernels.

    Parameters
    ----------
    sources : Path
        Folder of the .cu files and their headers.
    cache : Path
        Folder for kernels that are compiled here; nobody else may be able to write into it.

    Raises
    ------
    RuntimeError
        If there is no usable GPU; says why and what to do.
    """

    def __init__(self, sources: Path, cache: Path):
        reason = why_not()
        if reason is not None:
            raise RuntimeError(f"no usable GPU: {reason}")
        import torch

        self.device = torch.device("cuda", torch.cuda.current_device())
        self._sources, self._cache = sources, cache
        self._core = importlib.import_module("cuda.core")
        self._gpu = self._core.Device(self.device.index)
        self._architecture = int("".join(map(str, torch.cuda.get_device_capability(self.device))))
        self._modules: dict[str, Any] = {}
        self._kernels: dict[str, Any] = {}
        self._streams: dict[int, Any] = {}
        self._configs: dict[tuple[int, int], Any] = {}
        self._threads = threading.local()

    def __call__(self, kernel: str, grid: int, block: int, *arguments: Any) -> None:
        """Run a kernel.

        Parameters
        ----------
        kernel : str
            "file/kernel".
        grid, block : int
            Blocks, and threads of a block. Nothing happens where `grid` is 0.
        *arguments
            In the order of the kernel's parameters.
        """
        if grid == 0:
            return
        if not getattr(self._threads, "current", False):
            self._gpu.set_current()
            self._threads.current = True
        if kernel not in self._kernels:
            file, name = kernel.split("/")
            self._kernels[kernel] = self._module(file).get_kernel(name)
        held = [_argument(value) for value in arguments]
        if (grid, block) not in self._configs:
            if len(self._configs) > _CONFIGS:
                self._configs.clear()
            self._configs[grid, block] = self._core.LaunchConfig(grid=grid, block=block)
        self._core.launch(self._stream(), self._configs[grid, block], self._kernels[kernel], *held)

    def _stream(self) -> Any:
        import torch

        handle = torch.cuda.current_stream(self.device).cuda_stream or _DEFAULT_STREAM
        if handle not in self._streams:
            self._streams[handle] = self._core.Stream.from_handle(handle)
        return self._streams[handle]

    def _module(self, file: str) -> Any:
        if file not in self._modules:
            source = self._sources / f"{file}.cu"
            self._modules[file] = self._load(source)
        return self._modules[file]

    def _load(self, source: Path) -> Any:
        """A loaded cubin: the wheel's may be too new for the driver, while the NVRTC that is installed fits it."""
        try:
            module = self._core.ObjectCode.from_cubin(find_cubin(source, self._architecture, self._cache))
            _ = module.handle  # loads it
            return module
        except (ImportError, OSError):
            raise
        except Exception as first:  # cuda-core's CUDAError
            path = cached_path(source, self._architecture, self._cache)
            try:
                module = self._core.ObjectCode.from_cubin(compile_into(path, source, self._architecture))
                _ = module.handle
                return module
            except Exception:
                raise RuntimeError(
                    f"the NVIDIA driver does not take {source.name} ({first}); update it to release 580 or newer"
                ) from first


def _argument(value: Any) -> Any:
    if value is None:
        return 0  # cuda-core takes a Python int as a pointer
    if isinstance(value, int):
        return np.int32(value)
    if isinstance(value, float):
        return np.float32(value)
    return value.data_ptr()
