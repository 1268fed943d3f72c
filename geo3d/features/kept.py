"""What the features and two-view geometries of a scene's database were made from, so that they are kept while that is
the same: one photo more or another calibration costs what it changes, not everything.

Matches need no record of their own. They depend on the features of the two photos alone, and go with these.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from geo3d.io import ColmapDatabase
from geo3d.util.files import read_json_object, write_text


@dataclass
class MadeFrom:
    """The record of a database.

    Attributes
    ----------
    features : dict of str to str
        Photo to a hash of all that its features depend on, if the database has any of it.
    geometries : str
        A hash of all that the two-view geometries depend on, besides features and cameras; empty when not known.
    """

    features: dict[str, str] = field(default_factory=dict)
    geometries: str = ""

    @classmethod
    def read(cls, path: str | os.PathLike) -> MadeFrom:
        """The record in the file `path`; an empty one where there is none or it is damaged."""
        record = read_json_object(Path(path))
        features, geometries = record.get("features"), record.get("geometries")
        return cls(
            features if isinstance(features, dict) else {}, geometries if isinstance(geometries, str) else ""
        )

    def write(self, path: str | os.PathLike) -> None:
        """Write the record to the file `path`."""
        write_text(path, json.dumps(asdict(self), ensure_ascii=False))


def take_over(source: str | os.PathLike, database: ColmapDatabase, photos: Collection[str]) -> int:
    """Take the features of photos and the matches between them over from the database that was there before.

    Two-view geometries come along where the cameras of both photos are what they were. What a damaged database holds
    is not taken.

    Parameters
    ----------
    source : path-like
        Need not exist.
    database : ColmapDatabase
        The new one, with cameras and images, without features.
    photos : collection of str
        Names of photos whose features are still right.

    Returns
    -------
    int
        Number of photos whose features were there.
    """
    if not photos or not Path(source).is_file():
        return 0
    try:
        with ColmapDatabase(source) as old:
            before, cameras, have = old.images(), old.cameras(), old.keypoint_counts()
        ids = {image.name: image_id for image_id, image in database.images().items()}
        copied = {i: ids[image.name] for i, image in before.items() if image.name in photos and i in have}
        now, new_cameras = database.images(), database.cameras()
        same = [
            i for i, new in copied.items() if cameras[before[i].camera_id] == new_cameras[now[new].camera_id]
        ]
        database.copy_features(source, copied, same)
    except ValueError:
        return 0
    return len(copied)
