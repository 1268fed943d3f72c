"""COLMAP's database: photos, cameras, features, matches and verified pairs in one SQLite file.

Keypoints are pixels with the centre of the top-left pixel at (0.5, 0.5), in 2 columns (x, y), 4 (and scale,
orientation in radians) or 6 (and the affine shape a11 a12 a21 a22).

Writes happen in transactions: a killed process loses the open one, never the file. The journal is a WAL while
the database is open, and folded back into the one file when it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from geo3d.geometry import matrix_to_quaternion
from geo3d.io.database_keep import DatabaseKeep
from geo3d.io.database_schema import (
    DESCRIPTOR_SIFT,
    DESCRIPTOR_UNDEFINED,
    TwoViewRecord,
    pack,
    pair_id,
    pair_of,
    unpack_geometry,
    unpack_matrix,
)


class ColmapDatabase(DatabaseKeep):
    """An open database; a context manager that closes it.

    Every method that writes raises ValueError where COLMAP could not read the result, and OSError where the
    disk is full or locked. Every method that reads raises ValueError where the file is corrupt.

    Parameters
    ----------
    path : path-like
        The SQLite file. Made with COLMAP 4.2's tables if missing or empty; one of an older COLMAP gets the tables
        and columns of 4.2, as COLMAP itself would do.
    readonly : bool
        Change nothing; databases of any COLMAP from 3.0 on can be read so.

    Raises
    ------
    FileNotFoundError
        If it is missing and `readonly`.
    ValueError
        If the file is not a COLMAP database.
    OSError
        If it cannot be opened or written, or another process has locked it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from geo3d.cameras import Camera
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ColmapDatabase(pathlib.Path(folder) / "database.db") as database, database.transaction():
    ...         camera_id = database.add_camera(Camera("PINHOLE", 640, 480, [500, 500, 320, 240]))
    ...         image_id = database.add_image("a.jpg", camera_id)
    ...         database.images()[image_id].name
    'a.jpg'
    """

    def write_keypoints(self, image_id: int, keypoints: np.ndarray) -> None:
        """Set the keypoints of an image, in place of those that it had.

        Parameters
        ----------
        image_id : int
        keypoints : (N, 2), (N, 4) or (N, 6)
            Columns x, y; and scale, orientation; or and the affine shape a11 a12 a21 a22. Stored as float32. Pixels,
            the centre of the top-left pixel is (0.5, 0.5).

        Raises
        ------
        ValueError
            If the shape is another, there are NaN, or there is no such image.
        """
        keypoints = np.asarray(keypoints, np.float32)
        if keypoints.ndim != 2 or keypoints.shape[1] not in (2, 4, 6) or not np.isfinite(keypoints).all():
            raise ValueError(f"keypoints: expected finite (N, 2), (N, 4) or (N, 6), got {keypoints.shape}")
        self._insert("keypoints", image_id, *keypoints.shape, pack(keypoints, np.float32))

    def keypoints(self, image_id: int) -> np.ndarray:
        """(N, 2), (N, 4) or (N, 6) float32; (0, 2) where the image has none."""
        rows = self._rows("SELECT rows, cols, data FROM keypoints WHERE image_id=?", (image_id,))
        if not rows:
            return np.zeros((0, 2), np.float32)
        where = f"{self.path}, keypoints of image {image_id}"
        found = unpack_matrix(rows[0], np.float32, where)
        if found.shape[1] not in (2, 4, 6) or not np.isfinite(found[:, :2]).all():
            raise ValueError(f"{where}: expected finite (N, 2), (N, 4) or (N, 6), found {found.shape}")
        return found

    def keypoint_counts(self) -> dict[int, int]:
        """Number of keypoints of each image whose features are stored (also where it is 0), by image id."""
        return self._counts("ORDER BY image_id")

    def _counts(self, which: str, values: tuple[int, ...] = ()) -> dict[int, int]:
        counts = dict(self._rows(f"SELECT image_id, rows FROM keypoints {which}", values))
        if not all(isinstance(count, int) for count in counts.values()):
            raise ValueError(f"{self.path}: expected integers in the column rows of keypoints; it is corrupt")
        return counts

    def write_descriptors(self, image_id: int, descriptors: np.ndarray) -> None:
        """Set the descriptors of an image, in place of those that it had.

        Parameters
        ----------
        image_id : int
        descriptors : (N, D) uint8 or float32
            uint8 is SIFT; float32 is of no kind that COLMAP knows.

        Raises
        ------
        ValueError
            If the shape or type is another, or there is no such image.
        """
        descriptors = np.asarray(descriptors)
        if descriptors.ndim != 2 or descriptors.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"descriptors: expected (N, D) uint8 or float32, got {descriptors.shape} {descriptors.dtype}"
            )
        kind = DESCRIPTOR_SIFT if descriptors.dtype == np.uint8 else DESCRIPTOR_UNDEFINED
        rows, columns = descriptors.shape[0], descriptors.shape[1] * descriptors.dtype.itemsize
        blob = pack(descriptors, descriptors.dtype.type)
        self._insert("descriptors", image_id, kind, rows, columns, blob)

    def descriptors(self, image_id: int) -> np.ndarray:
        """(N, D) uint8 where they are SIFT, else float32; (0, 128) uint8 where the image has none."""
        kind = "type" if self._has("descriptors", "type") else str(DESCRIPTOR_SIFT)
        rows = self._rows(f"SELECT {kind}, rows, cols, data FROM descriptors WHERE image_id=?", (image_id,))
        if not rows:
            return np.zeros((0, 128), np.uint8)
        where = f"{self.path}, descriptors of image {image_id}"
        found = unpack_matrix(rows[0][1:], np.uint8, where)
        if rows[0][0] == DESCRIPTOR_SIFT:
            return found
        if found.shape[1] % 4:
            raise ValueError(f"{where}: expected float32, found {found.shape[1]} bytes each; it is corrupt")
        return found.view(np.float32)

    def clear_features(self) -> None:
        """Remove all keypoints and descriptors, and the matches that refer to them."""
        self.clear_matches()
        self._execute("DELETE FROM keypoints")
        self._execute("DELETE FROM descriptors")

    def write_matches(self, id1: int, id2: int, matches: np.ndarray) -> None:
        """Set the matches of a pair, in place of those that it had.

        Parameters
        ----------
        id1, id2 : int
            Image ids, in the order of the columns.
        matches : (M, 2) int
            Rows of the keypoints of `id1` and `id2`.

        Raises
        ------
        ValueError
            If the shape or type is another, or the ids are equal or out of range.
        """
        found = _check_matches(matches)
        found = found if id1 < id2 else found[:, ::-1]
        self._insert("matches", pair_id(id1, id2), *found.shape, pack(found, np.uint32))

    def matches(self, id1: int, id2: int) -> np.ndarray:
        """(M, 2) uint32, rows of the keypoints of `id1` and of `id2`; (0, 2) where the pair has none."""
        rows = self._rows("SELECT rows, cols, data FROM matches WHERE pair_id=?", (pair_id(id1, id2),))
        if not rows:
            return np.zeros((0, 2), np.uint32)
        counts = self._counts("WHERE image_id IN (?, ?)", (id1, id2))
        found = self._unpack_matches(rows[0], pair_of(pair_id(id1, id2)), counts)
        return found if id1 < id2 else np.ascontiguousarray(found[:, ::-1])

    def pairs_with_matches(self) -> list[tuple[int, int]]:
        """Pairs whose matches are stored (also where there are 0), ascending."""
        return [pair_of(key) for (key,) in self._rows("SELECT pair_id FROM matches ORDER BY pair_id")]

    def match_counts(self) -> dict[tuple[int, int], int]:
        """Number of matches of each pair whose matches are stored, by (id1, id2) with id1 < id2, ascending."""
        rows = self._rows("SELECT pair_id, rows FROM matches ORDER BY pair_id")
        return {pair_of(key): count for key, count in rows}

    def write_two_view_geometry(self, id1: int, id2: int, geometry: Any) -> None:
        """Set what was found about a pair.

        Parameters
        ----------
        id1, id2 : int
            Image ids, in the order that `geometry` means.
        geometry : TwoViewRecord
            Or anything with its attributes.
        """
        record = TwoViewRecord(
            int(geometry.config),
            _check_matches(geometry.matches),
            geometry.F,
            geometry.E,
            geometry.H,
            geometry.cam2_from_cam1,
        )
        record = record if id1 < id2 else record.inverted()
        blobs = [
            None if m is None else pack(np.reshape(m, 9), np.float64) for m in (record.F, record.E, record.H)
        ]
        pose = record.cam2_from_cam1
        blobs += [
            None if pose is None else pack(matrix_to_quaternion(pose.rotation), np.float64),
            None if pose is None else pack(pose.translation, np.float64),
        ]
        self._insert(
            "two_view_geometries",
            pair_id(id1, id2),
            *record.matches.shape,
            pack(record.matches, np.uint32),
            record.config,
            *blobs,
        )

    def two_view_geometry(self, id1: int, id2: int) -> TwoViewRecord | None:
        """What was found about the images `id1` and `id2`, in this order; None where nothing is stored."""
        counts = self._counts("WHERE image_id IN (?, ?)", (id1, id2))
        for _, record in self._geometries("WHERE pair_id=?", (pair_id(id1, id2),), counts):
            return record if id1 < id2 else record.inverted()
        return None

    def two_view_geometries(self) -> dict[tuple[int, int], TwoViewRecord]:
        """What was found about each pair, by (id1, id2) with id1 < id2, ascending."""
        return dict(self._geometries("ORDER BY pair_id", (), self.keypoint_counts()))

    def clear_matches(self) -> None:
        """Remove all matches and two-view geometries."""
        self._execute("DELETE FROM matches")
        self.clear_two_view_geometries()

    def clear_two_view_geometries(self) -> None:
        """Remove all two-view geometries."""
        self._execute("DELETE FROM two_view_geometries")

    def _geometries(
        self, which: str, values: tuple[int, ...], counts: dict[int, int]
    ) -> Iterator[tuple[tuple[int, int], TwoViewRecord]]:
        if not self._has("two_view_geometries"):
            return
        names = [
            n if self._has("two_view_geometries", n) else "NULL" for n in ("F", "E", "H", "qvec", "tvec")
        ]
        columns = ", ".join(["pair_id", "rows", "cols", "data", "config", *names])
        for key, rows, cols, data, config, *blobs in self._rows(
            f"SELECT {columns} FROM two_view_geometries {which}", values
        ):
            pair = pair_of(key)
            found = self._unpack_matches((rows, cols, data), pair, counts)
            yield pair, unpack_geometry(config, found, tuple(blobs), f"{self.path}, pair {pair}")

    def _unpack_matches(self, row: tuple, pair: tuple[int, int], counts: dict[int, int]) -> np.ndarray:
        where = f"{self.path}, matches of images {pair[0]} and {pair[1]}"
        rows, columns, data = row
        found = unpack_matrix((rows, 2 if rows == 0 else columns, data), np.uint32, where)
        if found.shape[1] != 2:
            raise ValueError(f"{where}: expected 2 columns, found {found.shape[1]}; it is corrupt")
        for image_id, column in zip(pair, found.T, strict=True):
            if len(column) and column.max() >= counts.get(image_id, 0):
                raise ValueError(
                    f"{where}: keypoint {column.max()} of image {image_id}, which has "
                    f"{counts.get(image_id, 0)}"
                )
        return found


def _check_matches(matches: np.ndarray) -> np.ndarray:
    """(M, 2) uint32."""
    found = np.asarray(matches)
    if found.size == 0:
        return np.zeros((0, 2), np.uint32)
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu" or found.min() < 0:
        raise ValueError(f"matches: expected (M, 2) rows of keypoints, got {found.shape} {found.dtype}")
    return found.astype(np.uint32)
