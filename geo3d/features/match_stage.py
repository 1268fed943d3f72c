"""Matches of many pairs of a database and their verification, written as they come.

A killed run goes on where it was, and ends in the same database: each pair's result depends on the pair
alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from zlib import crc32

import numpy as np

from geo3d.features.extract_stage import Progress
from geo3d.features.matcher import MatchOptions, match_overlapping
from geo3d.features.verify import TwoViewGeometry, VerifyOptions, verify_pair
from geo3d.features.word_index import DescriptorIndex, index_descriptors
from geo3d.io import ColmapDatabase
from geo3d.util.threads import map_threads, single_threaded_blas

_TILE = 64  # photos whose pairs with 64 others are matched together
_IN_MEMORY = 256  # photos; about three megabytes each
_KEYPOINTS_IN_MEMORY = 4096  # photos; an eighth of a megabyte each


def match_photos(
    database: ColmapDatabase,
    pairs: Iterable[tuple[str, str]],
    options: MatchOptions | None = None,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
) -> int:
    """Match the pairs that the database has no matches of yet.

    Each pair is written in a transaction of its own, also when it has no matches. What is found depends on the two
    photos alone.

    Parameters
    ----------
    database : ColmapDatabase
    pairs : iterable of (str, str)
        Names of photos, as from `choose_pairs`. Pairs of photos without features are left out.
    options : MatchOptions, optional
    progress : callable, optional
        Called as `progress(done, total, text)`.
    threads : int, optional
        By default all cores.

    Returns
    -------
    int
        Number of pairs of `pairs` that have matches.

    Raises
    ------
    ValueError
        If a pair names an image that the database does not have.
    """
    options = options or MatchOptions()
    wanted = _pair_ids(database, pairs)
    done = set(database.pairs_with_matches())
    todo = [pair for pair in wanted if pair not in done]
    todo.sort(key=lambda pair: (pair[0] // _TILE, pair[1] // _TILE, pair))
    names = {i: image.name for i, image in database.images().items()}
    photos = _IndexedPhotos(database, threads)
    report = progress or (lambda done, total, text: None)
    report(len(wanted) - len(todo), len(wanted), "")

    def one(pair: tuple[int, int]) -> np.ndarray | None:
        return match_overlapping(photos[pair[0]], photos[pair[1]], options)

    count = len(wanted) - len(todo)
    for _, tile in groupby(todo, lambda pair: (pair[0] // _TILE, pair[1] // _TILE)):
        pairs_here = list(tile)
        photos.load({image_id for pair in pairs_here for image_id in pair})
        for (i, j), found in zip(pairs_here, map_threads(one, pairs_here, threads)):
            with database.transaction():
                database.write_matches(i, j, np.zeros((0, 2), int) if found is None else found)
            count += 1
            text = "do not overlap" if found is None else f"{len(found)}"
            report(count, len(wanted), f"{names[i]} - {names[j]}: {text}")
    counts = database.match_counts()
    return sum(counts.get(pair, 0) > 0 for pair in wanted)


class _IndexedPhotos:
    """The indices of photos, of the last ones that were asked for."""

    def __init__(self, database: ColmapDatabase, threads: int | None) -> None:
        self._database, self._threads = database, threads
        self._kept: dict[int, DescriptorIndex] = {}

    def load(self, wanted: set[int]) -> None:
        """Make these ready; others may go."""
        spare = [image_id for image_id in self._kept if image_id not in wanted]
        for image_id in spare[: max(len(self._kept) + len(wanted) - _IN_MEMORY, 0)]:
            del self._kept[image_id]
        missing = sorted(wanted - self._kept.keys())
        descriptors = (self._database.descriptors(image_id) for image_id in missing)
        self._kept.update(zip(missing, map_threads(index_descriptors, descriptors, self._threads)))

    def __getitem__(self, image_id: int) -> DescriptorIndex:
        return self._kept[image_id]


def verify_matches(
    database: ColmapDatabase,
    options: VerifyOptions | None = None,
    progress: Progress | None = None,
    *,
    threads: int | None = None,
) -> int:
    """Verify the pairs with matches that the database has no two-view geometry of yet.

    The seed of a pair is `options.seed` plus a hash of its names, so that other photos make no difference.

    Parameters
    ----------
    database : ColmapDatabase
    options : VerifyOptions, optional
    progress : callable, optional
        Called as `progress(done, total, text)`.
    threads : int, optional
        By default all cores.

    Returns
    -------
    int
        Number of pairs of the database that one geometry explains.
    """
    options = options or VerifyOptions()
    images, cameras = database.images(), database.cameras()
    matched = [pair for pair, count in database.match_counts().items() if count > 0]
    verified = database.two_view_geometries()
    todo = [pair for pair in matched if pair not in verified]
    good = sum(len(record.matches) > 0 for record in verified.values())
    load = _Recent(database.keypoints, _KEYPOINTS_IN_MEMORY)
    report = progress or (lambda done, total, text: None)
    report(len(matched) - len(todo), len(matched), "")

    def jobs() -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
        for i, j in todo:
            yield i, j, load(i), load(j), database.matches(i, j)

    def one(job: tuple[int, int, np.ndarray, np.ndarray, np.ndarray]) -> TwoViewGeometry:
        i, j, keypoints1, keypoints2, matches = job
        camera1, camera2 = cameras[images[i].camera_id], cameras[images[j].camera_id]
        names = f"{images[i].name}\n{images[j].name}".encode()
        seeded = replace(options, seed=options.seed + crc32(names))
        return verify_pair(keypoints1, keypoints2, matches, camera1, camera2, seeded)

    with single_threaded_blas():
        for n, ((i, j), geometry) in enumerate(zip(todo, map_threads(one, jobs(), threads)), 1):
            with database.transaction():
                database.write_two_view_geometry(i, j, geometry)
            good += len(geometry.matches) > 0
            text = f"{images[i].name} - {images[j].name}: {len(geometry.matches)}"
            report(len(matched) - len(todo) + n, len(matched), text)
    return good


def _pair_ids(database: ColmapDatabase, pairs: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    """Pairs of image ids, ascending, each once, of images that have features."""
    ids = {image.name: image_id for image_id, image in database.images().items()}
    usable = {image_id for image_id, count in database.keypoint_counts().items() if count > 0}
    found = set()
    for a, b in pairs:
        if a not in ids or b not in ids or a == b:
            raise ValueError(f"pairs: expected two different images of {database.path}, got {a!r} and {b!r}")
        if ids[a] in usable and ids[b] in usable:
            found.add((min(ids[a], ids[b]), max(ids[a], ids[b])))
    return sorted(found)


class _Recent:
    """What `load` gave for the last `size` ids."""

    def __init__(self, load: Callable[[int], np.ndarray], size: int) -> None:
        self._load, self._size = load, size
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __call__(self, image_id: int) -> np.ndarray:
        if image_id in self._kept:
            self._kept.move_to_end(image_id)
            return self._kept[image_id]
        self._kept[image_id] = self._load(image_id)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return self._kept[image_id]
