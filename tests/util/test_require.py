"""A missing package or system library is answered with the line that installs it."""

import importlib

import pytest

from geo3d.util.require import require


def test_what_is_there_is_imported() -> None:
    assert require("json").loads("1") == 1


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("viser", ModuleNotFoundError("No module named 'viser'", name="viser"), "pip install 'geo3d[view]'"),
        (
            "open3d",
            ModuleNotFoundError("No module named 'open3d'", name="open3d"),
            "pip install 'geo3d[mesh]'",
        ),
        ("cv2", ModuleNotFoundError("No module named 'cv2'", name="cv2"), "pip install opencv-python"),
        ("cv2", ImportError("libGL.so.1: cannot open shared object file"), "apt-get install libgl1"),
        (
            "cv2",
            ImportError("libgthread-2.0.so.0: cannot open shared object file"),
            "apt-get install libglib2.0-0",
        ),
        ("open3d", ImportError("libusb-1.0.so.0: cannot open shared object"), "apt-get install libusb-1.0-0"),
    ],
)
def test_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, error: ImportError, line: str
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError) as caught:
        require(name)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_dependency_is_not_blamed_on_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'inner'", name="inner")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="inner"):
        require("torch")
