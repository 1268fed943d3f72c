"""The runner of a job made of stages: what is done is not done again, and what was cut short goes on.

Every stage has a key: a hash of its inputs, its options, its version, and the key of the stage before it. A stage
that finished under the same key is skipped. One that was interrupted under the same key goes on where it stopped.
One whose key has changed is cleared first. The record is one JSON file in the job's folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo3d.util.files import read_json_object, write_text
from geo3d.util.progress import Progress, StageProgress

FORMAT = 1
"""Version of the record. A folder with a newer one is refused; an older one is done again."""


@dataclass(frozen=True)
class Stage:
    """One stage of a job.

    Attributes
    ----------
    name : str
    inputs : object
        All that its result depends on and that JSON can hold: options, hashes of files.
    run : callable of StageProgress
        Does the work; what it returns (JSON) is kept in the record and given back when the stage is skipped.
    clear : callable
        Removes what an earlier run with other inputs left.
    check : callable
        Raises if the stage cannot be run as asked; called before anything is removed.
    outputs : tuple of Path
        Files without which the stage has to run again.
    outdated : callable of the result
        Whether the result of a finished stage, though of the same inputs, has to be made again.
    version : int
        Raised when the code changes so that old results no longer hold.
    """

    name: str
    inputs: object
    run: Callable[[StageProgress], Any]
    clear: Callable[[], object] = lambda: None
    outputs: tuple[Path, ...] = ()
    check: Callable[[], object] = lambda: None
    outdated: Callable[[Any], bool] = lambda result: False
    version: int = 1


def stage_key(inputs: object) -> str:
    """A hash of what JSON can hold."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class StageRunner:
    """Runs stages in a folder and keeps the record `folder/.geo3d/stages.json`.

    Raises
    ------
    ValueError
        If the record was written by a newer version.
    """

    def __init__(self, folder: Path, progress: Progress, version: str):
        self.path = folder / ".geo3d" / "stages.json"
        self.progress = progress
        self.version = version
        self.previous = ""
        self.seen: list[str] = []  # stages of this run so far
        self.stages: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            record = read_json_object(self.path)
            number, stages = record.get("format", 0), record.get("stages")
            if isinstance(number, int) and number > FORMAT:
                raise ValueError(
                    f"{folder} was written by a newer geo3d ({record.get('geo3d', '?')}, format {number}; this one "
                    f"knows {FORMAT}): update geo3d or choose another folder"
                )
            if (
                number == FORMAT
                and isinstance(stages, dict)
                and all(isinstance(v, dict) for v in stages.values())
            ):
                self.stages = stages
            else:
                progress.note(f"{folder} was written by an older geo3d: its stages are run again")

    def __call__(self, stage: Stage, *, again: bool = False) -> Any:
        """Run a stage, or skip it if it is done; return its result.

        `again` runs it even if it is done.
        """
        key = stage_key([stage.name, stage.version, self.version, stage.inputs, self.previous])
        self.previous = key
        self.seen.append(stage.name)
        known = self.stages.get(stage.name, {})
        done = known.get("key") == key and known.get("state") == "done"
        whole = done and all(path.exists() for path in stage.outputs)
        if whole and not again and not stage.outdated(known["result"]):
            self.progress.note(f"{stage.name}: done before, unchanged")
            return known["result"]
        stage.check()
        # What comes after this stage rests on what it is about to change.
        self.stages = {name: entry for name, entry in self.stages.items() if name in self.seen}
        if known.get("key") != key or again or known.get("state") == "done":
            self._record(stage.name, {"key": "", "state": "cleared", "seconds": 0.0})
            stage.clear()
        started = time.monotonic()
        before = (
            known.get("seconds", 0.0) if known.get("key") == key and known.get("state") == "running" else 0.0
        )
        self._record(stage.name, {"key": key, "state": "running", "seconds": before})
        with self.progress.stage(stage.name) as shown:
            try:
                result = stage.run(shown)
            finally:
                seconds = before + time.monotonic() - started
                self.stages[stage.name]["seconds"] = round(seconds, 3)
        self._record(
            stage.name, {"key": key, "state": "done", "seconds": round(seconds, 3), "result": result}
        )
        return result

    def timings(self) -> dict[str, float]:
        """Seconds of each stage, those of interrupted runs included."""
        return {name: entry["seconds"] for name, entry in self.stages.items()}

    def _record(self, name: str, entry: dict[str, Any]) -> None:
        self.stages[name] = entry
        record = {"format": FORMAT, "geo3d": self.version, "stages": self.stages}
        write_text(self.path, json.dumps(record, indent=1, ensure_ascii=False))
