"""Files are whole or not there: after errors, kills and in folders that cannot be written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo3d.util.files import atomic_path, path_inside, write_bytes, write_text


def test_success_replaces(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "one")
    write_text(target, "zwei ü")
    assert target.read_text(encoding="utf-8") == "zwei ü"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")
    with pytest.raises(error), atomic_path(target) as path:
        path.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for text in ("one", "two"):
        with atomic_path(target) as path:
            path.mkdir()
            (path / text).touch()
    assert [p.name for p in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import sys, time\nfrom geo3d.util.files import atomic_path\n"
        f"with atomic_path({str(target)!r}) as path:\n"
        "    path.write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert target.read_text() == "old"
    write_text(target, "new")
    assert target.read_text() == "new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_os_error(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(PermissionError):
        write_text(folder / "a.txt", "x")
    assert list(folder.iterdir()) == []


def test_a_file_in_the_way_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        write_text(tmp_path / "file" / "a.txt", "x")


@pytest.mark.parametrize("name", ["a.jpg", "deep/er/a.jpg", "a/../b.jpg", "with space/ü-名.jpg"])
def test_names_inside_pass(tmp_path: Path, name: str) -> None:
    assert path_inside(tmp_path, name).is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "a/../../../../etc/passwd"])
def test_names_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        path_inside(tmp_path, name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="outside"):
        path_inside(folder, "link/a.jpg")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), min_size=1, max_size=8))
def test_no_name_leads_out(parts: list[str]) -> None:
    root = Path("/nowhere/scene")
    try:
        path = path_inside(root, "/".join(parts))
    except ValueError:
        return
    assert path == root or root in path.parents


def test_a_null_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        path_inside(tmp_path, "a\0.jpg")
