"""Features of all photos of a database, written as they come, so that a killed run goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geo3d.features.sift import Features, SiftOptions, extract, extraction_bytes
from geo3d.images import PhotoError, find_mask, find_mask_folder, read_mask, read_photo
from geo3d.io import ColmapDatabase
from geo3d.util.files import path_inside
from geo3d.util.memory import threads_for_memory
from geo3d.util.require import require
from geo3d.util.threads import map_threads

Progress = Callable[[int, int, str], object]

_DECODED = 8  # bytes a pixel of the file, at most: as Pillow holds it, copies in grey, and the file itself


def extract_photos(
    database: ColmapDatabase,
    images_folder: str | os.PathLike,
    options: SiftOptions | None = None,
    progress: Progress | None = None,
    *,
    masks_folder: str | os.PathLike | None = None,
    threads: int | None = None,
) -> dict[str, str]:
    """Detect and describe the features of every image of the database that has none yet.

    Keypoints (x, y, scale, angle) and descriptors of a photo are written in one transaction. What is written
    does not depend on the threads. A photo's mask, and its own alpha channel where that is below one half,
    keep features out.

    Parameters
    ----------
    database : ColmapDatabase
        Its images are named below `images_folder`.
    images_folder : path
    options : SiftOptions, optional
    progress : callable, optional
        Called as `progress(done, total, text)`.
    masks_folder : path, optional
        By default `masks/` inside of the images folder or beside it, if there is one.
    threads : int, optional
        By default all cores; fewer where the memory that is free does not suffice for photos of this size.

    Returns
    -------
    dict
        Photos that could not be read: name to reason. They are tried again by the next call.
    """
    options = options or SiftOptions()
    folder = Path(images_folder)
    masks = find_mask_folder(folder) if masks_folder is None else Path(masks_folder)
    images, done = database.images(), database.keypoint_counts()
    todo = [(image_id, images[image_id].name) for image_id in sorted(images) if image_id not in done]
    cameras = database.cameras()
    used = {images[image_id].camera_id for image_id, _ in todo}
    most = max((_photo_bytes(cameras[i].width, cameras[i].height, options) for i in used), default=0)
    threads = threads_for_memory(most, threads)
    failed: dict[str, str] = {}
    report = progress or (lambda done, total, text: None)
    report(len(images) - len(todo), len(images), "")

    def one(item: tuple[int, str]) -> Features | str:
        try:
            return _extract_file(folder, item[1], masks, options)
        except (PhotoError, OSError) as error:
            return str(error)

    cv2 = require("cv2")
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for i, ((image_id, name), result) in enumerate(zip(todo, map_threads(one, todo, threads)), 1):
            if isinstance(result, str):
                failed[name] = result
            else:
                with database.transaction():
                    _write(database, image_id, result)
            report(len(images) - len(todo) + i, len(images), name)
    finally:
        cv2.setNumThreads(before)
    return failed


def _photo_bytes(width: int, height: int, options: SiftOptions) -> int:
    """About the most memory that one photo takes: its features, or before that its decoder."""
    shrink = min(1.0, options.max_size / max(width, height))
    return max(_DECODED * width * height, extraction_bytes(round(shrink * width), round(shrink * height)))


def _extract_file(folder: Path, name: str, masks: Path | None, options: SiftOptions) -> Features:
    photo = read_photo(path_inside(folder, name), "gray", max_size=options.max_size)
    keep = None if photo.alpha is None or photo.alpha.min() >= 128 else photo.alpha >= 128
    mask_path = None if masks is None else find_mask(masks, name)
    if mask_path is not None:
        height, width = photo.pixels.shape
        mask = read_mask(mask_path, (width, height), full_size=(photo.width, photo.height))
        keep = mask if keep is None else keep & mask
    return extract(photo.pixels, options, keep, photo.scale)


def _write(database: ColmapDatabase, image_id: int, features: Features) -> None:
    rows = np.column_stack([features.keypoints, features.scales, features.angles])
    database.write_keypoints(image_id, rows)
    database.write_descriptors(image_id, features.descriptors)
