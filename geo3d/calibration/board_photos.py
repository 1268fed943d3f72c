"""Photos of a board, from whatever names them: a folder, a pattern, a list of files, or the frames of a video.

Pixels are grey and as stored: EXIF orientation, and the turn that a video asks for, are not applied, so that portrait
and landscape photos of one camera have one size and one calibration.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from geo3d.images import PHOTO_SUFFIXES, VIDEO_SUFFIXES, list_photos, list_videos, read_frames, read_photo
from geo3d.util.require import require
from geo3d.util.threads import map_threads

R = TypeVar("R")
GivenPhotos = str | os.PathLike | Sequence[str | os.PathLike]


@dataclass(frozen=True)
class PhotoFiles:
    """Photos in files.

    Attributes
    ----------
    given : str
        What named them, for messages.
    paths : dict of str to Path
        By name: relative to the folder that they have in common, with forward slashes; sorted.
    """

    given: str
    paths: dict[str, Path]

    @property
    def names(self) -> list[str]:
        """Sorted."""
        return list(self.paths)

    def each(
        self,
        function: Callable[[np.ndarray], R],
        names: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> Iterator[tuple[str, R | OSError | ValueError]]:
        """Apply a function to photos, read and worked on by several threads.

        Parameters
        ----------
        function : callable
            Of grey pixels (H, W) uint8.
        names : sequence of str, optional
            By default all.
        threads : int, optional
            By default all cores.

        Yields
        ------
        str, result
            Name, and what the function returned, or the error by which the photo could not be read.
        """

        def one(name: str) -> R | OSError | ValueError:
            try:
                pixels = read_photo(self.paths[name], "gray").pixels
            except (OSError, ValueError) as error:
                return error
            return function(pixels)

        chosen = self.names if names is None else list(names)
        yield from zip(chosen, map_threads(one, chosen, threads))


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video.

    Attributes
    ----------
    video : Path
    numbers : dict of str to int
        Name to number of the frame in the video, ascending.
    """

    video: Path
    numbers: dict[str, int]

    @property
    def given(self) -> str:
        """The video, for messages."""
        return str(self.video)

    @property
    def names(self) -> list[str]:
        """In the order of the video, which is sorted."""
        return list(self.numbers)

    def each(
        self,
        function: Callable[[np.ndarray], R],
        names: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> Iterator[tuple[str, R]]:
        """Apply a function to frames, in the order of the video.

        Parameters
        ----------
        function : callable
            Of grey pixels (H, W) uint8.
        names : sequence of str, optional
            By default all.
        threads : int, optional
            By default all cores.

        Yields
        ------
        str, result

        Raises
        ------
        VideoError, OSError
            If the video cannot be read.
        """
        cv2 = require("cv2")
        wanted = {self.numbers[name]: name for name in (self.names if names is None else names)}
        if not wanted:
            return
        frames = read_frames(self.video, wanted, max(wanted))
        grey = ((wanted[number], cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) for number, rgb in frames)
        yield from map_threads(lambda frame: (frame[0], function(frame[1])), grey, threads)


def frame_name(number: int) -> str:
    """Name of a frame of a video; sorted as they are numbered."""
    return f"frame_{number:06d}"


def find_photo_files(photos: GivenPhotos) -> PhotoFiles | Path:
    """Which photos are meant.

    Parameters
    ----------
    photos : path, or sequence of paths
        A folder (looked into recursively), a photo, a pattern as "photos/left*.jpg" (`**` for folders at any depth), a
        list of photos, or a video.

    Returns
    -------
    PhotoFiles or Path
        The latter is a video.

    Raises
    ------
    ValueError
        If there are no photos.
    FileNotFoundError
        If there is no such folder or file.
    """
    if not isinstance(photos, str | os.PathLike):
        return _listed(f"the {len(photos)} files given", [Path(path) for path in photos])
    path, given = Path(photos), os.fspath(photos)
    if path.is_dir():
        names = list_photos(path)
        return PhotoFiles(given, {name: path / name for name in names}) if names else _no_photos(path)
    if path.is_file():
        return path if path.suffix.lower() in VIDEO_SUFFIXES else _listed(given, [path])
    if not glob.has_magic(given):
        raise FileNotFoundError(
            f"there is no {given!r}: give a folder of photos, a pattern as 'photos/left*.jpg', or a video"
        )
    found = glob.glob(given, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    matches = [Path(match) for match in sorted(found)]
    files = [match for match in matches if match.is_file() and match.suffix.lower() in PHOTO_SUFFIXES]
    videos = [match for match in matches if match.is_file() and match.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1 and not files:
        return videos[0]
    if not files:
        folders = sum(match.is_dir() for match in matches)
        what = f"{len(matches)} matches, {folders} of them folders" if matches else "nothing matches"
        raise ValueError(f"no photos match {given!r} ({what}): expected .jpg, .png, .tif, .heic, ...")
    return _listed(given, files)


def _listed(given: str, paths: list[Path]) -> PhotoFiles:
    """Files by their names below the folder that they have in common, each once."""
    if not paths:
        raise ValueError("no photos are given: the list is empty")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} photos are no files, the first is {os.fspath(missing[0])!r}"
        )
    whole = {path.absolute() for path in paths}
    common = os.path.commonpath([path.parent for path in whole])
    named = {path.relative_to(common).as_posix(): path for path in whole}
    return PhotoFiles(given, dict(sorted(named.items())))


def _no_photos(folder: Path) -> PhotoFiles:
    videos = list_videos(folder)
    if videos:
        raise ValueError(
            f"no photos in {folder}, but a video, {videos[0]}: give the video itself, {folder / videos[0]}"
        )
    others = sum(1 for path in folder.rglob("*") if path.is_file())
    raise ValueError(f"no photos in {folder} ({others} other files): expected .jpg, .png, .tif, .heic, ...")
