"""Choose the pairs of a database by the name of a strategy."""

from __future__ import annotations

import os
from typing import Literal

from geo3d.features.pairs import Pair, exhaustive_pairs, gps_pairs, read_pairs, sequential_pairs
from geo3d.images import Gps
from geo3d.io import ColmapDatabase

EXHAUSTIVE_UP_TO = 200  # photos; about 20,000 pairs


def choose_pairs(
    database: ColmapDatabase,
    matching: Literal["auto", "exhaustive", "sequential", "gps"] = "auto",
    pairs_file: str | os.PathLike | None = None,
) -> list[Pair]:
    """Pairs of the database's images to match.

    "auto" takes all pairs of up to 200 photos; of more, the 30 nearest neighbours of each where nine of ten
    photos have GPS, and else all pairs (with the quick check of `match_photos`). "sequential" closes loops
    with every tenth photo.

    Parameters
    ----------
    database : ColmapDatabase
        Places are its pose priors in WGS 84.
    matching : {"auto", "exhaustive", "sequential", "gps"}
    pairs_file : path, optional
        A user's list, which takes the place of `matching`.

    Raises
    ------
    ValueError
        If the list is wrong, `matching` is unknown, or "gps" is asked for and fewer than two photos have a
        place.
    """
    names = [image.name for image in database.images().values()]
    if pairs_file is not None:
        return read_pairs(pairs_file, names)
    if matching == "sequential":
        return sequential_pairs(names, loop_every=10)
    if matching == "exhaustive":
        return exhaustive_pairs(names)
    if matching not in ("auto", "gps"):
        raise ValueError(f"matching must be auto, exhaustive, sequential or gps, got {matching!r}")
    places = _places(database)
    placed = sum(gps is not None for gps in places.values())
    if matching == "gps":
        if placed < 2:
            raise ValueError(
                f"matching by GPS: {placed} of {len(names)} photos say where they were taken; "
                "use exhaustive or sequential matching"
            )
        return gps_pairs(places)
    many = len(names) > EXHAUSTIVE_UP_TO
    return gps_pairs(places) if many and placed >= 0.9 * len(names) else exhaustive_pairs(names)


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
