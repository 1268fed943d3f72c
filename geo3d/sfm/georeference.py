"""Give models of a scene their scale and place: ground control, GPS, known lengths, or at least which way is up.

What places a model, the first that it has:

    control   three or more surveyed points that are marked in two photos each
    gps       the GPS of three or more photos; known lengths then give the scale, one or two surveyed points the shift
    scale     known lengths: metres, z up
    none      z up, scale as it came

With control or GPS the world is metres east, north and up of an origin in their middle, and a last bundle adjustment
takes in what they know beyond the similarity (`georeference_adjust`); it is kept unless the photos object. Models that
are well placed so become one (`georeference_join`), whether or not they share points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from geo3d.geometry import EnuFrame
from geo3d.scene import Reconstruction
from geo3d.sfm.georeference_adjust import SURVEY_STD_M
from geo3d.sfm.georeference_gps import PhotoPosition, altitude_offset, local_frame
from geo3d.sfm.georeference_join import join_by_place
from geo3d.sfm.georeference_known import KnownPlace
from geo3d.sfm.georeference_place import ModelPlacer
from geo3d.sfm.georeference_result import GeoreferenceResult
from geo3d.sfm.georeference_scale import Distance
from geo3d.sfm.ground_control import GroundControl, match_photos_of_control

_FAR_M = 50_000.0


@dataclass(frozen=True)
class Georeferenced:
    """Models in their world, the one with most photos first, and how they came there.

    There are fewer of them than were given where some were joined; `result` has all parts.
    """

    models: list[Reconstruction]
    result: GeoreferenceResult


def georeference(
    models: Sequence[Reconstruction], known: KnownPlace, seed: int = 0, threads: int | None = None
) -> Georeferenced:
    """Place models in the world, and join those whose places are known well; those given stay as they are.

    Parameters
    ----------
    models : sequence of Reconstruction
        Of one scene, the one with most photos first, no photo in two of them.
    known : KnownPlace
    seed : int
        Of the samples; the same seed gives the same result.
    threads : int, optional
        Default: all cores.

    Returns
    -------
    Georeferenced

    Raises
    ------
    ValueError
        If there is no model, a mark lies outside of its photo, the control points contradict each other, lie far from
        the photos' GPS, or cannot be used and there is no GPS.
    """
    if not models:
        raise ValueError("models is empty: there is nothing to place")
    _check_marks(models, known)
    frame = _frame(known)
    placers = [ModelPlacer(model, known, frame, seed, threads) for model in models]
    for placer in placers:
        placer.place()
    shifts = [placer.gps_shift for placer in placers if placer.gps_shift is not None]
    for placer in placers:
        if placer.placement.source == "gps" and placer.gps_shift is None and shifts:
            placer.move(shifts[0])
        placer.adjust()
        placer.measure()
    if known.control is not None and not any(p.placement.on_earth for p in placers):
        raise ValueError(
            "the ground control cannot place any model: three points that are not check points, each marked in two "
            "or more placed photos, are needed (fewer only where the photos have GPS)"
        )
    if known.control is not None:
        placers[0].placement.warnings += _tell_unseen(known.control, placers)
    on_earth = any(placer.placement.on_earth for placer in placers)
    joined = join_by_place(
        [placer.model for placer in placers], [placer.placement for placer in placers], known.positions
    )
    return Georeferenced(
        joined.models,
        GeoreferenceResult(
            frame if on_earth else None,
            joined.placements,
            altitude_offset(known.positions) if on_earth else None,
            known.control.crs if known.control else "",
            joined.sentences,
        ),
    )


def check_known_names(
    photos: Iterable[str], control: GroundControl | None, distances: Sequence[Distance]
) -> tuple[Distance, ...]:
    """Refuse control points and distances that name nothing that is there, before anything is computed.

    A photo of a distance may be named without its folder or extension where that fits one photo only.

    Parameters
    ----------
    photos : iterable of str
        Names of the photos.
    control : GroundControl or None
    distances : sequence of Distance

    Returns
    -------
    tuple of Distance
        With the full names of the photos.

    Raises
    ------
    ValueError
        If no photo of the control is there, an end of a distance is neither a photo nor a control point, or both ends
        are one photo.
    """
    names = set(photos)
    if control is not None:
        match_photos_of_control(control, names)
    points = {point.name for point in control.points} if control is not None else set()
    short: dict[str, set[str]] = {}
    for photo in names:
        path = PurePosixPath(photo)
        for part in (path.name, path.stem, str(path.with_suffix(""))):
            short.setdefault(part, set()).add(photo)

    def full(name: str) -> str:
        if name in names | points:
            return name
        fits = sorted(short.get(name, ()))
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise ValueError(f"distance: {name!r} may be {fits[0]!r} or {fits[1]!r}; write the whole name")
        raise ValueError(
            f"distance: {name!r} is neither a photo (they are called as {min(names)!r}) nor a ground control "
            f"point{'' if points else ' (none are given)'}"
        )

    return tuple(Distance(full(d.first), full(d.second), d.metres) for d in distances)


def _tell_unseen(control: GroundControl, placers: Sequence[ModelPlacer]) -> list[str]:
    """Sentences about photos of the control that are not there, and points that too few placed photos show."""
    missing, told = control.missing, []
    if missing:
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        what = "photos that are" if len(missing) > 1 else "photo that is"
        told.append(f"the ground control names {len(missing)} {what} not there: {some}")
    for count, words in ((0, "no placed photo"), (1, "one placed photo only")):
        names = [
            point.name
            for point in control.points
            if max(len(p.located[point.name].marks) + len(p.located[point.name].wrong) for p in placers)
            == count
        ]
        if names:
            some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            verb = "are" if len(names) > 1 else "is"
            told.append(f"{some} {verb} marked in {words}; two are needed; not used")
    return told


def _check_marks(models: Sequence[Reconstruction], known: KnownPlace) -> None:
    """Refuse marks outside of their photo: of another size, or turned by EXIF."""
    sizes = {
        view.name: (model.cameras[view.camera_id].width, model.cameras[view.camera_id].height)
        for model in models
        for view in model.views.values()
    }
    for point in known.control.points if known.control else []:
        for name, (x, y) in sorted(point.clicks.items()):
            width, height = sizes.get(name, (np.inf, np.inf))
            if not (0 <= x <= width and 0 <= y <= height):
                raise ValueError(
                    f"the mark of {point.name} in {name} at ({x - 0.5:g}, {y - 0.5:g}) lies outside of the photo "
                    f"({width} x {height}); marks are pixels of the photo as stored, not turned by EXIF, at full size"
                )


def _frame(known: KnownPlace) -> EnuFrame | None:
    """The local frame: in the middle of the control points, else of the photos."""
    surveyed = [
        PhotoPosition(point.name, point.geodetic, np.array(SURVEY_STD_M))
        for point in (known.control.points if known.control else [])
    ]
    if not surveyed:
        return local_frame(known.positions) if known.positions else None
    frame = local_frame(surveyed)
    if known.positions:
        middle = local_frame(known.positions)
        away = frame.from_geodetic([middle.latitude_deg, middle.longitude_deg, frame.height_m])
        if np.hypot(away[0], away[1]) > _FAR_M:
            raise ValueError(
                f"the ground control points lie {np.hypot(away[0], away[1]) / 1000:.0f} km from the photos' GPS "
                f"({middle.latitude_deg:.4f}, {middle.longitude_deg:.4f}): check the coordinate system, and that x is "
                "east or longitude and y north or latitude"
            )
    return frame
