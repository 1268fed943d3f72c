"""The scene folder: what may lie in it before the first run, and the models that a run leaves."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from geo3d.io.colmap import read_colmap, write_colmap
from geo3d.io.database import ColmapDatabase
from geo3d.scene import Reconstruction
from geo3d.util.files import atomic_path, write_text

_OWN = 0x67656F33  # "geo3", SQLite's application id
_MAY_BE_GIVEN = {"database.db", "features.h5", "matches.h5", "images", "masks"}


@dataclass(frozen=True)
class GivenFiles:
    """What files made elsewhere hold: a COLMAP database, or hloc's features.h5 and matches.h5."""

    database: bool = False
    features: bool = False
    matches: bool = False
    geometries: bool = False  # verified pairs


def check_scene_folder(scene: Path) -> None:
    """Refuse a folder that holds something else, before anything is written into it.

    Raises
    ------
    ValueError
        If it is a file, or holds files that are not of a scene.
    """
    if scene.exists() and not scene.is_dir():
        raise ValueError(f"{scene} is a file: give a folder for the scene")
    if not scene.is_dir() or (scene / ".geo3d").exists():
        return
    strangers = sorted({path.name for path in scene.iterdir()} - _MAY_BE_GIVEN)
    if strangers:
        raise ValueError(
            f"{scene} holds other files (e.g. {strangers[0]!r}) and no scene of geo3d: choose an empty or new folder"
        )


def given_files(scene: Path) -> GivenFiles | None:
    """What was in the folder before the first run; None when nothing was.

    The answer is written down at the first call, so that it is the same after an interruption.
    """
    memory = scene / ".geo3d" / "given.json"
    if not memory.exists() and not (scene / ".geo3d" / "stages.json").exists():
        given = _look(scene)
        write_text(memory, json.dumps(None if given is None else asdict(given)))
        return given
    try:
        record = json.loads(memory.read_text(encoding="utf-8"))
        return None if record is None else GivenFiles(**record)
    except (OSError, ValueError, TypeError):  # missing or damaged: what is there may be our own
        return None


def _look(scene: Path) -> GivenFiles | None:
    if (scene / "database.db").exists():
        with ColmapDatabase(scene / "database.db") as database:
            return GivenFiles(
                database=True,
                features=any(database.keypoint_counts().values()),
                matches=bool(database.pairs_with_matches()),
                geometries=bool(database.two_view_geometries()),
            )
    if (scene / "features.h5").exists():
        return GivenFiles(features=True, matches=(scene / "matches.h5").exists())
    return None


def mark_own(database: Path) -> None:
    """Mark a database as made by geo3d, so that it may be made anew."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA application_id={_OWN}")


def is_own(database: Path) -> bool:
    """Whether a database was made by geo3d. What is no database is nobody's."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("PRAGMA application_id").fetchone()[0] == _OWN
    except sqlite3.Error:
        return False


def read_components(scene: Path) -> list[Reconstruction]:
    """The models of a scene folder, the largest first."""
    return _read_models(scene / "sparse")


def read_mapped(scene: Path) -> list[Reconstruction]:
    """The models as they were mapped, before they were placed in the world; kept at the first call.

    Placing starts from these, so that it can be done again with other control points or none.
    """
    kept = scene / ".geo3d" / "mapped"
    if not kept.exists():
        with atomic_path(kept) as folder:
            shutil.copytree(scene / "sparse", folder)
    return _read_models(kept)


def write_components(models: Sequence[Reconstruction], scene: Path) -> None:
    """Write `models` as sparse/0, sparse/1, ... of a `scene`, in place of those that are there."""
    with atomic_path(scene / "sparse") as folder:
        for number, model in enumerate(models):
            write_colmap(model, folder / str(number))


def forget_mapped(scene: Path) -> None:
    """Remove what `read_mapped` kept, because other models are about to be mapped."""
    shutil.rmtree(scene / ".geo3d" / "mapped", ignore_errors=True)


def _read_models(parent: Path) -> list[Reconstruction]:
    folders = [folder for folder in parent.glob("[0-9]*") if folder.name.isdigit()]
    folders.sort(key=lambda folder: int(folder.name))
    return [read_colmap(folder) for folder in folders]
