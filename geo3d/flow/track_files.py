"""Tracks of points in files: .npz for NumPy, .json for everything else. Places have the top-left centre at 0.5, 0.5.

    npz   frames (N,), size (2,), first (T,), lengths (T,), points (M, 2), skipped (K,)
    json  {"size": [w, h], "frames": [...], "tracks": [{"first": i, "points": [[x, y], ...]}, ...],
           "skipped": [{"frame": n, "reason": "..."}, ...]}

`frames` are numbers in the video; `first` counts among them. In a .npz the points of the first track come first.
"""

import io
import json
import os
from pathlib import Path

import numpy as np

from geo3d.flow.tracks import PointTracks
from geo3d.util.files import write_bytes, write_text

TRACK_ENDINGS = (".npz", ".json")
"""Of the files that `write_tracks` writes."""


def write_tracks(path: str | os.PathLike, tracks: PointTracks) -> None:
    """Write tracks as .npz or .json, atomically.

    Parameters
    ----------
    path : path
        Replaced if it is there.
    tracks : PointTracks

    Raises
    ------
    ValueError
        If the ending is another.
    """
    ending = Path(path).suffix.lower()
    if ending not in TRACK_ENDINGS:
        raise ValueError(f"{path}: expected a name that ends with {' or '.join(TRACK_ENDINGS)}")
    if ending == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            frames=tracks.numbers,
            size=np.array(tracks.size, np.int64),
            first=tracks.first,
            lengths=tracks.lengths,
            points=tracks.points.astype(np.float32),
            skipped=np.array([frame.number for frame in tracks.skipped], np.int64),
        )
        write_bytes(path, buffer.getvalue())
        return
    rounded = np.round(tracks.points, 3)
    pieces = np.split(rounded, np.cumsum(tracks.lengths)[:-1]) if len(tracks) else []
    content = {
        "size": list(tracks.size),
        "frames": tracks.numbers.tolist(),
        "tracks": [{"first": int(f), "points": p.tolist()} for f, p in zip(tracks.first, pieces)],
        "skipped": [{"frame": frame.number, "reason": frame.reason} for frame in tracks.skipped],
    }
    write_text(path, json.dumps(content, separators=(",", ":")))
