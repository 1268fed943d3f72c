"""The camera that each group of photos starts with: given by the user, or from EXIF, or a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.images import ScannedPhoto
from geo3d.io import read_calibration
from geo3d.options import ReconstructOptions
from geo3d.sfm.match_graph import MatchGraph

DEFAULT_MODEL = "SIMPLE_RADIAL"
"""Lens model of a camera of which nothing is known: one focal length, one radial term."""


def first_cameras(
    options: ReconstructOptions, photos: list[ScannedPhoto]
) -> tuple[dict[str, Camera], dict[str, str]]:
    """A camera for each group of photos.

    Parameters
    ----------
    options : ReconstructOptions
        May give the calibration, or the model.
    photos : list of ScannedPhoto

    Returns
    -------
    cameras : dict
        Group to Camera.
    notes : dict
        Group to a word on where its intrinsics come from.

    Raises
    ------
    ValueError
        As `known_camera`.
    """
    known = known_camera(options, photos)
    cameras, notes = {}, {}
    for photo in photos:
        if photo.group in cameras:
            continue
        if known is not None:
            cameras[photo.group] = known.rescaled(photo.width, photo.height)
            notes[photo.group] = "given and kept" if options.fix_intrinsics else "given, refined"
        else:
            model = options.camera_model or DEFAULT_MODEL
            camera = Camera.from_focal(model, photo.width, photo.height, photo.focal_px)
            cameras[photo.group] = replace(camera, prior_focal=photo.focal_source != "guess")
            guess = photo.focal_source == "guess"
            notes[photo.group] = (
                "focal length " + ("a guess" if guess else f"from {photo.focal_source}") + ", refined"
            )
    return cameras, notes


def known_camera(options: ReconstructOptions, photos: list[ScannedPhoto]) -> Camera | None:
    """The calibration that the options give, of the size of the largest photos; None when they give none.

    Parameters
    ----------
    options : ReconstructOptions
    photos : list of ScannedPhoto

    Raises
    ------
    ValueError
        If it does not fit the photos, or is to be kept but not given.
    """
    sizes = sorted({(photo.width, photo.height) for photo in photos})
    if options.calib is None and options.camera_params is None:
        if options.fix_intrinsics:
            raise ValueError("--fix-intrinsics needs a calibration: give --calib FILE, or --camera-params")
        return None
    aspects = {round(width / height, 2) for width, height in sizes}
    if len(aspects) > 1:
        text = ", ".join(f"{w}x{h}" for w, h in sizes)
        raise ValueError(f"one calibration cannot fit photos of {text}: reconstruct each size by itself")
    width, height = sizes[-1]
    if options.calib is not None:
        camera = read_calibration(options.calib, (width, height))
    else:
        camera = Camera(options.camera_model or DEFAULT_MODEL, width, height, np.array(options.camera_params))
    if abs(camera.width * height - camera.height * width) > 0.01 * camera.width * height:
        raise ValueError(
            f"the calibration is for {camera.width}x{camera.height}, the photos are {width}x{height}: "
            "their proportions differ"
        )
    cx, cy = camera.principal_point
    if not (0 <= cx <= camera.width and 0 <= cy <= camera.height):
        raise ValueError(
            f"the calibration has its principal point at ({cx:.1f}, {cy:.1f}), outside of photos of "
            f"{camera.width}x{camera.height}: it is of photos of another size, or its numbers are in another order. "
            "Give one that says its size (geo3d's camera.json, COLMAP's cameras.txt), or scale it to these photos"
        )
    return replace(camera, prior_focal=True)


def set_known_cameras(graph: MatchGraph, options: ReconstructOptions, photos: list[ScannedPhoto]) -> None:
    """Let a calibration that the user gives take the place of all cameras of a graph; nothing if none is given.

    Parameters
    ----------
    graph : MatchGraph
        Changed in place.
    options : ReconstructOptions
    photos : list of ScannedPhoto

    Raises
    ------
    ValueError
        As `known_camera`.
    """
    if options.calib is None and options.camera_params is None:
        return
    known = known_camera(options, photos)
    if known is not None:
        graph.cameras = {i: known.rescaled(c.width, c.height) for i, c in graph.cameras.items()}
