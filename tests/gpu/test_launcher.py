"""What the launcher hands to cuda-core, with a GPU's parts replaced by ones that record."""

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from geo3d.gpu import launcher as gpu_launcher
from geo3d.gpu.launcher import Launcher


class Recorder:
    """Stands in for `cuda.core`: a GPU that takes every cubin but those it is told to refuse."""

    def __init__(self, refused=()):
        self.launched, self.loaded, self.refused = [], [], refused

    def module(self) -> ModuleType:
        recorder = self

        class ObjectCode:
            def __init__(self, code):
                self.code = code

            @staticmethod
            def from_cubin(code):
                recorder.loaded.append(code)
                return ObjectCode(code)

            @property
            def handle(self):
                if self.code in recorder.refused:
                    raise OverflowError("no kernel image")
                return 1

            def get_kernel(self, name):
                return self.code, name

        module = ModuleType("cuda.core")
        module.__dict__.update(
            ObjectCode=ObjectCode,
            Device=lambda index: SimpleNamespace(set_current=lambda: None),
            Stream=SimpleNamespace(from_handle=lambda handle: ("stream", handle)),
            LaunchConfig=lambda grid, block: (grid, block),
            launch=lambda *arguments: recorder.launched.append(arguments),
        )
        return module


@pytest.fixture
def gpu(monkeypatch):
    """A function that makes a launcher on a recorder."""

    def make(folder, refused=(), stream=0):
        recorder = Recorder(refused)
        monkeypatch.setattr(gpu_launcher, "why_not", lambda: None)
        monkeypatch.setattr(gpu_launcher, "find_cubin", lambda source, *_: b"wheel " + source.stem.encode())
        monkeypatch.setattr(
            gpu_launcher, "compile_into", lambda _, source, *__: b"fresh " + source.stem.encode()
        )
        monkeypatch.setattr(gpu_launcher, "cached_path", lambda *_: folder / "cached")
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (12, 0))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: SimpleNamespace(cuda_stream=stream))
        monkeypatch.setitem(sys.modules, "cuda.core", recorder.module())
        return Launcher(folder, folder), recorder

    return make


def test_arguments_have_the_types_of_the_parameters(gpu, tmp_path):
    launch, recorder = gpu(tmp_path)
    tensor = torch.arange(3.0)
    launch("blend/blend_3", 5, 256, tensor, 7, 0.5, None)
    ((stream, config, kernel, *arguments),) = recorder.launched
    assert stream == ("stream", 1), "torch's stream 0 is the legacy default stream, 1 in the driver"
    assert config == (5, 256) and kernel == (b"wheel blend", "blend_3")
    assert arguments == [tensor.data_ptr(), 7, 0.5, 0]
    assert [type(a) for a in arguments] == [int, np.int32, np.float32, int]


def test_another_stream_of_torch_is_used(gpu, tmp_path):
    launch, recorder = gpu(tmp_path, stream=4096)
    launch("blend/blend_3", 1, 32)
    assert recorder.launched[0][0] == ("stream", 4096)


def test_nothing_is_launched_without_blocks(gpu, tmp_path):
    launch, recorder = gpu(tmp_path)
    launch("blend/blend_3", 0, 256)
    assert not recorder.launched and not recorder.loaded


def test_a_file_is_loaded_once(gpu, tmp_path):
    launch, recorder = gpu(tmp_path)
    for name in ("blend_3", "blend_4", "blend_3"):
        launch(f"blend/{name}", 1, 32)
    assert recorder.loaded == [b"wheel blend"]


def test_a_cubin_that_the_driver_refuses_is_compiled_here(gpu, tmp_path):
    launch, recorder = gpu(tmp_path, refused=(b"wheel blend",))
    launch("blend/blend_3", 1, 32)
    assert recorder.launched[0][2] == (b"fresh blend", "blend_3")


def test_an_old_driver_is_told_what_to_do(gpu, tmp_path):
    launch, _ = gpu(tmp_path, refused=(b"wheel blend", b"fresh blend"))
    with pytest.raises(RuntimeError, match=r"does not take blend.cu .no kernel image.; update it"):
        launch("blend/blend_3", 1, 32)


def test_cuda_core_has_what_is_used():
    import cuda.core as core

    assert {"Device", "LaunchConfig", "ObjectCode", "Program", "ProgramOptions", "Stream", "launch"} <= set(
        dir(core)
    )
    assert hasattr(core.Stream, "from_handle") and hasattr(core.Device, "set_current")
    assert hasattr(core.ObjectCode, "from_cubin") and hasattr(core.ObjectCode, "get_kernel")
    assert hasattr(core.ObjectCode, "handle")
    core.LaunchConfig(grid=5, block=256)


def test_cuda_core_reads_arguments_as_the_launcher_means_them():
    """A Python int as a pointer of eight bytes, NumPy's scalars as they are."""
    from cuda.core._kernel_arg_handler import ParamHolder

    holder = ParamHolder((0x123456789ABCDEF0, np.int32(-7), np.float32(1.5), 0))
    places = ctypes.cast(holder.ptr, ctypes.POINTER(ctypes.c_void_p))
    kinds = (ctypes.c_uint64, ctypes.c_int32, ctypes.c_float, ctypes.c_uint64)
    found = [kind.from_address(place).value for kind, place in zip(kinds, places[:4])]
    assert found == [0x123456789ABCDEF0, -7, 1.5, 0]
