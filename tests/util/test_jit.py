"""A change in a file that a kernel depends on starts a fresh cache folder; nothing else does."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import geo3d
from geo3d.util import jit

CALLEE = """
from geo3d.util.jit import njit

@njit(nogil=True)
def value(x):
    return x + {constant}
"""
CALLER = """
import numpy as np
from geo3d.callee import value
from geo3d.util.jit import njit

@njit(nogil=True)
def total(x):
    s = 0.0
    for v in x:
        s += value(v)
    return s
"""


@pytest.fixture
def small_package(tmp_path: Path) -> Path:
    """A copy of the package with nothing but its util, to which kernels are added."""
    root = tmp_path / "site" / "geo3d"
    shutil.copytree(Path(geo3d.__file__).parent / "util", root / "util")
    (root / "__init__.py").touch()
    (root / "caller.py").write_text(CALLER)
    return root


def total(root: Path, cache: Path) -> tuple[float, str]:
    """Result of the kernel, and the name of the cache folder, in a fresh process."""
    code = (
        "import numpy as np\nfrom geo3d.caller import total\nfrom geo3d.util.jit import _folder_of\n"
        "import geo3d.caller, pathlib\n"
        "print(total(np.zeros(3)), _folder_of(pathlib.Path(geo3d.caller.__file__)).name)"
    )
    environment = {**os.environ, "PYTHONPATH": str(root.parent), "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    value, folder = done.stdout.split()
    return float(value), folder


def test_a_changed_callee_in_another_file_is_noticed(small_package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (small_package / "callee.py").write_text(CALLEE.format(constant=1.0))
    first, folder = total(small_package, cache)
    again, same_folder = total(small_package, cache)
    (small_package / "callee.py").write_text(CALLEE.format(constant=2.0))
    changed, other_folder = total(small_package, cache)
    assert (first, again, changed) == (3.0, 3.0, 6.0)
    assert folder == same_folder != other_folder
    assert any((cache / "geo3d" / folder).rglob("*.nbi")), "nothing was cached"


def test_other_files_do_not_count(small_package: Path, tmp_path: Path) -> None:
    (small_package / "callee.py").write_text(CALLEE.format(constant=1.0))
    _, folder = total(small_package, tmp_path)
    (small_package / "other.py").write_text(CALLEE.format(constant=5.0))
    assert total(small_package, tmp_path)[1] == folder


@pytest.mark.parametrize(
    "line",
    [
        "from geo3d.callee import value",
        "from geo3d import caller, callee",
        "from geo3d import (\n    callee,\n)",
        "import geo3d.callee",
        "from geo3d.between import value",
        "def f():\n    from geo3d.callee import value",
    ],
)
def test_every_way_to_import_is_followed(
    small_package: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_package / "callee.py").touch()
    (small_package / "between.py").write_text("from geo3d.callee import value\n")
    (small_package / "user.py").write_text(f"x = 1\n{line}\n")
    monkeypatch.setattr(jit, "_ROOT", small_package)
    assert small_package / "callee.py" in jit._sources(small_package / "user.py")
    assert small_package / "util" / "json_line.py" not in jit._sources(small_package / "user.py")


def test_folders_unused_for_a_month_are_removed(tmp_path: Path) -> None:
    young, old = (tmp_path / name for name in ("kernels-young", "kernels-old"))
    for folder in (young, old):
        folder.mkdir()
    then = time.time() - 31 * 24 * 3600
    os.utime(old, (then, then))
    jit._remove_old(tmp_path)
    assert young.exists() and not old.exists()


def test_an_unwritable_cache_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    jit.kernel_cache.cache_clear()
    try:
        folder = jit.kernel_cache()
        assert folder.is_dir() and not folder.is_relative_to(tmp_path)
    finally:
        jit.kernel_cache.cache_clear()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache goes when there is no better place, not made yet."""
    monkeypatch.setattr(jit.tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"geo3d-{os.getuid()}"


def test_a_temporary_cache_is_private_and_kept(temporary: Path) -> None:
    before = os.umask(0)
    try:
        assert jit._temporary_cache() == temporary
    finally:
        os.umask(before)
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
    (temporary / "kernels-a").mkdir()
    assert jit._temporary_cache() == temporary
    assert (temporary / "kernels-a").exists()


def _open_to_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def _a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder.with_name("target")
    target.mkdir(mode=0o700)
    folder.symlink_to(target)


def _a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.touch(mode=0o600)


def _of_someone_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    folder.rename(folder.with_name(f"geo3d-{os.getuid() + 1}"))
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)


@pytest.mark.parametrize("prepare", [_open_to_others, _a_link, _a_file, _of_someone_else])
def test_a_temporary_cache_that_others_may_have_made_is_not_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    prepare(temporary, monkeypatch)
    there = set(temporary.parent.iterdir())
    folder = jit._temporary_cache()
    assert folder not in there
    assert folder.parent == temporary.parent
    assert not folder.is_symlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_njit_compiles_when_called() -> None:
    @jit.njit(nogil=True)
    def twice(x):
        return 2 * x

    assert not twice.signatures  # pyright: ignore[reportFunctionMemberAccess]
    assert np.array_equal(twice(np.arange(3.0)), [0, 2, 4])
