"""Memory left is the least that the machine and the control groups leave, and threads fit into it."""

from pathlib import Path

import pytest

from geo3d.util import memory
from geo3d.util.memory import available_bytes, threads_for_memory

GIB = 2**30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 8 GiB left."""
    write(tmp_path / "proc/meminfo", f"MemTotal: 99999999 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    return tmp_path


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_without_groups_it_is_the_machine_s(root: Path) -> None:
    assert available_bytes(root) == 8 * GIB


@pytest.mark.parametrize("place", ["/", "/job/step"])
def test_a_group_s_limit_counts(root: Path, place: str) -> None:
    """Of version 2, also that of a group around one's own; files that can be dropped are free."""
    write(root / "proc/self/cgroup", f"0::{place}")
    own, around = root / "sys/fs/cgroup" / place[1:], root / "sys/fs/cgroup"
    write(own / "memory.max", "max")
    write(own / "memory.current", 1)
    write(around / "memory.max", 4 * GIB)
    write(around / "memory.current", 3 * GIB)
    write(around / "memory.stat", f"anon 5\ninactive_file {GIB}\nactive_file 7")
    assert available_bytes(root) == 2 * GIB


def test_a_group_of_version_1_counts_also_where_only_its_inside_is_mounted(root: Path) -> None:
    write(root / "proc/self/cgroup", "9:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/")
    group = root / "sys/fs/cgroup/memory"
    write(group / "memory.limit_in_bytes", 3 * GIB)
    write(group / "memory.usage_in_bytes", 5 * GIB)
    assert available_bytes(root) == 0
    write(group / "memory.limit_in_bytes", 2**63 - 4096)
    assert available_bytes(root) == 8 * GIB


def test_this_machine_has_memory() -> None:
    left = available_bytes()
    assert left is None or left > 2**20


@pytest.mark.parametrize(
    ("free", "each", "most", "expected"),
    [(10, 1, 4, 4), (10, 4, 4, 2), (10, 8.1, 4, 1), (0, 1, 4, 1), (None, 1e6, 4, 4), (10, 0, 4, 4)],
)
def test_threads_fit(monkeypatch: pytest.MonkeyPatch, free, each, most, expected) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: free)
    assert threads_for_memory(each, most) == expected
