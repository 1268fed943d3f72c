"""Features and matches of hloc (Hierarchical-Localization) in a COLMAP database.

features.h5 has a group for each photo, named by it: `keypoints` (N, 2) with pixel centres at integers, and
`descriptors` (D, N). matches.h5 has a group for each pair, named "a/b" with "/" in photo names written "-" (old
files: "a_b"): `matches0` (N,) gives for each keypoint of a the one of b, -1 for none.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.io.database import ColmapDatabase
from geo3d.util.require import require

# gzip makes at most 1032 bytes of one; a data set that claims more than that of what is stored is a trap
_LARGEST_RATIO = 1100


@dataclass(frozen=True)
class HlocImport:
    """What came in.

    Attributes
    ----------
    images : int
        Photos that got features.
    pairs : int
        Pairs that got matches.
    unknown : tuple of str
        Photos of the features file that the database does not know; they are left out.
    """

    images: int
    pairs: int
    unknown: tuple[str, ...]


def import_hloc(
    features: str | os.PathLike, matches: str | os.PathLike | None, database: ColmapDatabase
) -> HlocImport:
    """Bring hloc's features and matches into a database that has the photos, in one transaction.

    0.5 is added to the keypoints (COLMAP's pixel centres). Descriptors become (N, D) float32, or stay uint8.

    Parameters
    ----------
    features, matches : path-like
        The h5 files; without `matches` only features are read.
    database : ColmapDatabase
        Open for writing, outside of a transaction; its photos go by the same names.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is truncated, corrupt or of another layout, or no photo is known to the database.
    ImportError
        If h5py is not installed; the message tells how to.
    """
    ids = {image.name: image_id for image_id, image in database.images().items()}
    unknown: list[str] = []
    count = pairs = 0
    with database.transaction():
        with _H5(features) as file:
            for name, group in file.groups("keypoints"):
                if name not in ids:
                    unknown.append(name)
                    continue
                count += 1
                _import_features(file, name, group, ids[name], database)
        if not count:
            raise ValueError(
                f"{features}: none of its {len(unknown)} photos is among the {len(ids)} of {database.path}"
                + (f", e.g. {unknown[0]!r}" if unknown else "")
            )
        if matches is not None:
            pairs = _import_matches(matches, ids, database)
    return HlocImport(count, pairs, tuple(sorted(unknown)))


class _H5:
    """An HDF5 file whose errors are ValueErrors and whose data sets are no larger than what is stored."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"no file at {self.path}")
        self._h5py = require("h5py")

    def __enter__(self) -> "_H5":
        try:
            self._file = self._h5py.File(self.path, "r")
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.path}: expected HDF5, found {error}; it is truncated or corrupt"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def groups(self, dataset: str) -> Iterator[tuple[str, Any]]:
        """Names and groups, at any depth, that hold this data set; ascending by name."""
        names: list[str] = []

        def visit(name: str, node: Any) -> None:
            if isinstance(node, self._h5py.Group) and isinstance(node.get(dataset), self._h5py.Dataset):
                names.append(name)

        try:
            self._file.visititems(visit)
            for name in sorted(names):
                yield name, self._file[name]
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{self.path}: {error}; it is truncated or corrupt") from error

    def read(self, group: Any, name: str, dimensions: int, kinds: str) -> np.ndarray:
        """A data set with that many dimensions and one of these dtype kinds."""
        node = group[name]
        where = f"{self.path}, {group.name}/{name}"
        if node.ndim != dimensions or node.dtype.kind not in kinds:
            raise ValueError(
                f"{where}: expected {dimensions} dimensions of numbers, found {node.shape} {node.dtype}"
            )
        if node.size * node.dtype.itemsize > _LARGEST_RATIO * node.id.get_storage_size():
            raise ValueError(
                f"{where}: claims the shape {node.shape}, but nearly nothing of it is stored; refused"
            )
        return node[()]


def _import_features(file: _H5, name: str, group: Any, image_id: int, database: ColmapDatabase) -> None:
    keypoints = file.read(group, "keypoints", 2, "fiu").astype(np.float32)
    if keypoints.shape[1] != 2:
        raise ValueError(f"{file.path}, {name}: expected keypoints (N, 2), found {keypoints.shape}")
    database.write_keypoints(image_id, keypoints + np.float32(0.5))
    if "descriptors" not in group:
        return
    descriptors = file.read(group, "descriptors", 2, "fiu")
    if descriptors.shape[1] != len(keypoints):
        raise ValueError(
            f"{file.path}, {name}: expected descriptors (D, {len(keypoints)}), found {descriptors.shape}"
        )
    kind = np.uint8 if descriptors.dtype == np.uint8 else np.float32
    database.write_descriptors(image_id, np.ascontiguousarray(descriptors.T, kind))


def _import_matches(path: str | os.PathLike, ids: dict[str, int], database: ColmapDatabase) -> int:
    """Number of pairs."""
    written: dict[str, list[int]] = {}
    for name, image_id in ids.items():
        written.setdefault(name.replace("/", "-"), []).append(image_id)
    counts = database.keypoint_counts()
    seen: set[tuple[int, int]] = set()
    with _H5(path) as file:
        for name, group in file.groups("matches0"):
            pair = _pair_ids(name, written)
            if pair is None or tuple(sorted(pair)) in seen:
                continue
            if len(set(pair)) < 2:
                raise ValueError(f"{file.path}: {name!r} is no pair of two photos")
            seen.add((min(pair), max(pair)))
            found = file.read(group, "matches0", 1, "iu").astype(np.int64)
            limits = [counts.get(image_id, 0) for image_id in pair]
            if len(found) != limits[0] or (len(found) and not -1 <= found.min() <= found.max() < limits[1]):
                raise ValueError(
                    f"{file.path}, {name}: expected {limits[0]} matches from -1 to {limits[1] - 1}, found {len(found)}"
                    + (f" from {found.min()} to {found.max()}" if len(found) else "")
                )
            rows = np.flatnonzero(found >= 0)
            database.write_matches(*pair, np.stack([rows, found[rows]], axis=1))
    return len(seen)


def _pair_ids(name: str, written: dict[str, list[int]]) -> tuple[int, int] | None:
    """Image ids of a pair's group name; None where a photo is not known.

    Raises
    ------
    ValueError
        If the name can be read in more than one way.
    """
    separator = "/" if "/" in name else "_"
    cuts = [i for i, c in enumerate(name) if c == separator]
    found = [(a, b) for i in cuts for a in written.get(name[:i], ()) for b in written.get(name[i + 1 :], ())]
    if len(found) > 1:
        raise ValueError(f"the pair {name!r} can mean {len(found)} pairs of photos; rename them")
    return found[0] if found else None
