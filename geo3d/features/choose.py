"""Choose the pairs of a database by the name of a strategy."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np

from geo3d.features.pairs import (
    Pair,
    exhaustive_pairs,
    gps_pairs,
    read_pairs,
    sequential_pairs,
    sorted_pairs,
)
from geo3d.features.retrieval import retrieval_pairs, signature
from geo3d.images import Gps
from geo3d.io import ColmapDatabase
from geo3d.util.threads import map_threads, single_threaded_blas

EXHAUSTIVE_UP_TO = 200  # photos; about 20,000 pairs
STRATEGIES = ("auto", "exhaustive", "sequential", "gps", "retrieval")


def choose_pairs(
    database: ColmapDatabase,
    matching: Literal["auto", "exhaustive", "sequential", "gps", "retrieval"] = "auto",
    pairs_file: str | os.PathLike | None = None,
    *,
    gps_radius_m: float | None = None,
    threads: int | None = None,
) -> list[Pair]:
    """Pairs of the database's images to match.

    "auto" takes all pairs of up to 200 photos. Of more it takes, for each photo, the 30 that look most like it, 30
    that were taken near it where it says where that was, and the next 5 by name. "sequential" closes loops with every
    tenth photo.

    Parameters
    ----------
    database : ColmapDatabase
        Places are its pose priors in WGS 84. For "retrieval", and "auto" of more than 200 photos, it has to hold their
        descriptors.
    matching : {"auto", "exhaustive", "sequential", "gps", "retrieval"}
    pairs_file : path, optional
        A user's list, which takes the place of `matching`.
    gps_radius_m : float, optional
        Photos further apart are no neighbours by GPS.
    threads : int, optional
        By default all cores.

    Raises
    ------
    ValueError
        If the list is wrong, `matching` is unknown, or "gps" is asked for and fewer than two photos have a
        place.
    """
    names = [image.name for image in database.images().values()]
    check_choice(database, matching, pairs_file)
    if pairs_file is not None:
        return read_pairs(pairs_file, names)
    if matching == "sequential":
        return sequential_pairs(names, loop_every=10)
    if matching == "exhaustive" or (matching == "auto" and len(names) <= EXHAUSTIVE_UP_TO):
        return exhaustive_pairs(names)
    places = _places(database)
    if matching == "gps":
        return gps_pairs(places, gps_radius_m)
    pairs = _retrieval(database, threads)
    if matching == "auto":
        placed = {name: gps for name, gps in places.items() if gps is not None}
        pairs += gps_pairs(placed, gps_radius_m) + sequential_pairs(names, 5, quadratic=False)
    return sorted_pairs(pairs)


def check_choice(
    database: ColmapDatabase, matching: str = "auto", pairs_file: str | os.PathLike | None = None
) -> None:
    """Raise what `choose_pairs` would raise, without choosing.

    Parameters
    ----------
    database : ColmapDatabase
    matching : {"auto", "exhaustive", "sequential", "gps", "retrieval"}
    pairs_file : path, optional

    Raises
    ------
    ValueError
        As `choose_pairs`.
    """
    names = [image.name for image in database.images().values()]
    if pairs_file is not None:
        read_pairs(pairs_file, names)
        return
    if matching not in STRATEGIES:
        raise ValueError(f"matching must be one of {', '.join(STRATEGIES)}, got {matching!r}")
    placed = sum(gps is not None for gps in _places(database).values())
    if matching == "gps" and placed < 2:
        raise ValueError(
            f"matching by GPS: {placed} of {len(names)} photos say where they were taken; "
            "use exhaustive, sequential or retrieval matching"
        )


def _retrieval(database: ColmapDatabase, threads: int | None) -> list[Pair]:
    """Pairs of photos that look alike, of those with features."""
    counts = database.keypoint_counts()
    names = {i: image.name for i, image in database.images().items() if counts.get(i, 0) > 0}
    descriptors = (database.descriptors(image_id) for image_id in names)
    signatures: dict[str, np.ndarray] = dict(
        zip(names.values(), map_threads(signature, descriptors, threads))
    )
    with single_threaded_blas():
        return retrieval_pairs(signatures)


def _places(database: ColmapDatabase) -> dict[str, Gps | None]:
    priors = database.pose_priors()
    places: dict[str, Gps | None] = {}
    for image_id, image in database.images().items():
        prior = priors.get(image_id)
        places[image.name] = None
        if prior is not None and prior.coordinate_system == "WGS84":
            latitude, longitude = (float(value) for value in prior.position[:2])
            places[image.name] = Gps(latitude, longitude)
    return places
