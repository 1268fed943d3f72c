"""Splats while they are trained: the files that `geo3d train` replaces are looked at every second.

Both are written beside and renamed into place, so what is read is whole; one that cannot be read is told, and what was
shown before stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geo3d.io import read_splats
from geo3d.scene import Gaussians
from geo3d.util.files import read_json_object

INTERVAL_S = 1.0


@dataclass(frozen=True)
class TrainingState:
    """How far a training is; None where the file does not tell."""

    step: int | None = None
    psnr_db: float | None = None
    count: int | None = None

    def text(self) -> str:
        """A line for people; empty where nothing is known."""
        words = []
        if self.step is not None:
            words.append(f"step {self.step:,}")
        if self.psnr_db is not None:
            words.append(f"PSNR {self.psnr_db:.2f} dB")
        if self.count is not None:
            words.append(f"{self.count:,} splats")
        return ", ".join(words)


class LiveFiles:
    """The splats and the metrics of a training, with what changed since they were last looked at.

    Parameters
    ----------
    splat_file, metrics_file : Path
        Need not be there yet.
    loaded : bool
        The splats that are there now are known already.
    """

    def __init__(self, splat_file: Path, metrics_file: Path, loaded: bool) -> None:
        self.splat_file, self.metrics_file = splat_file, metrics_file
        self._splats_seen = _stamp(splat_file) if loaded else None
        self._metrics_seen: tuple[int, int, int] | None = None

    def new_splats(self) -> Gaussians | None:
        """The Gaussians if the file was replaced since the last call, else None.

        Raises
        ------
        ValueError, OSError
            If the new file cannot be read; it is not tried again until it changes.
        """
        now = _stamp(self.splat_file)
        if now is None or now == self._splats_seen:
            return None
        self._splats_seen = now
        return read_splats(self.splat_file).gaussians

    def new_state(self) -> TrainingState | None:
        """How far the training is if its file was replaced since the last call, else None."""
        now = _stamp(self.metrics_file)
        if now is None or now == self._metrics_seen:
            return None
        self._metrics_seen = now
        return training_state(self.metrics_file)


def training_state(metrics_file: Path) -> TrainingState:
    """What `metrics.json` tells; what is missing or of another type counts as not known."""
    record = read_json_object(metrics_file)
    return TrainingState(
        step=_whole(record.get("steps")),
        psnr_db=_number(record.get("psnr_db")),
        count=_whole(record.get("gaussians")),
    )


def watch(
    files: LiveFiles,
    stop: threading.Event,
    on_splats: Callable[[Gaussians], None],
    on_state: Callable[[TrainingState], None],
    on_error: Callable[[str], None],
) -> None:
    """Look at the files until `stop` is set.

    Parameters
    ----------
    files : LiveFiles
    stop : Event
    on_splats, on_state, on_error : callable
        Called with what is new, and with why a file cannot be read.
    """
    while not stop.wait(INTERVAL_S):
        try:
            if (splats := files.new_splats()) is not None:
                on_splats(splats)
        except (ValueError, OSError) as error:
            on_error(str(error))
        if (state := files.new_state()) is not None:
            on_state(state)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file is replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
