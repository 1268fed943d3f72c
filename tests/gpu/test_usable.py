"""Without a usable GPU, one line says why and what to do."""

import ctypes.util
import importlib
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from geo3d.gpu import Launcher, usable, why_not


def torch_like(version_cuda, available=True, capability=(9, 0)) -> ModuleType:
    """A module that answers as torch does."""
    module = ModuleType("torch")
    module.__dict__.update(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=version_cuda),
        cuda=SimpleNamespace(
            is_available=lambda: available,
            get_device_capability=lambda *_: capability,
            get_device_name=lambda *_: "GeForce GTX 1080",
            current_device=lambda: 0,
        ),
    )
    return module


def without(monkeypatch, name):
    """Make the import of a module fail."""
    real = importlib.import_module

    def load(module, *rest):
        if module == name:
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(usable.importlib, "import_module", load)


@pytest.mark.parametrize(
    ("torch", "driver", "words"),
    [
        (torch_like(None), None, "build without CUDA"),
        (torch_like("13.0", available=False), None, "no NVIDIA driver"),
        (torch_like("13.0", available=False), "libcuda.so.1", "update the driver"),
        (torch_like("12.6", capability=(6, 1)), "libcuda.so.1", "GTX 1080 has compute capability 6.1; 7.5"),
    ],
)
def test_each_reason_has_its_line(monkeypatch, torch, driver, words):
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: driver)
    reason = why_not()
    assert reason is not None and words in reason and "\n" not in reason


def test_missing_packages_are_named(monkeypatch):
    with monkeypatch.context() as patched:
        without(patched, "torch")
        assert "PyTorch is not installed" in str(why_not())
    monkeypatch.setitem(sys.modules, "torch", torch_like("13.0"))
    without(monkeypatch, "cuda.core")
    assert "pip install 'geo3d[cuda]'" in str(why_not())


def test_a_gpu_that_can_be_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_like("13.0"))
    assert why_not() is None


def test_the_launcher_says_the_reason(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", torch_like(None))
    with pytest.raises(RuntimeError, match=r"no usable GPU: PyTorch 2.13.0 is a build without CUDA"):
        Launcher(tmp_path, tmp_path)


def test_importing_the_package_loads_no_gpu_library():
    code = "import sys, geo3d.gpu; assert not {'torch', 'cuda', 'cuda.core'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
