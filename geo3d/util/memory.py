"""Memory that this process may still take: of the machine, and of the control groups that hold it (containers, batch
jobs).
"""

from __future__ import annotations

import os
from pathlib import Path

from geo3d.util.threads import cpu_count

_SHARE = 0.8  # of the memory that is free: what is estimated is not all that is taken


def threads_for_memory(bytes_each: float, threads: int | None = None) -> int:
    """As many threads, at least one, as there is memory for if each takes `bytes_each`.

    Parameters
    ----------
    bytes_each : float
    threads : int, optional
        At most so many; by default all cores.
    """
    most = threads or cpu_count()
    free = available_bytes()
    return most if free is None else max(1, min(most, int(_SHARE * free // max(bytes_each, 1.0))))


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be taken without swapping, the least of the machine's and its control groups'; None if unknown.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are.
    """
    found = [_machine(root), *_groups(root)]
    return min((free for free in found if free is not None), default=None)


def _machine(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _groups(root: Path) -> list[int]:
    """What is left in each control group of this process, from its own to the outermost that can be seen."""
    left = []
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, place = line.split(":", 2)
        if number == "0":
            top, limit, used, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            used, cache = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        folder = root / top / place.lstrip("/")
        while folder.is_relative_to(root / top):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                # Pages of files that nobody reads any more are given back when there is need.
                stat = dict(row.split()[:2] for row in _lines(folder / "memory.stat"))
                left.append(max(most - taken + int(stat.get(cache, 0)), 0))
            folder = folder.parent
    return left


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else None  # "max" is no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
