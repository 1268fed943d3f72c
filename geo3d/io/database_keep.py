"""What of a COLMAP database is kept when photos or pairs change: rows are copied or removed within SQLite."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from geo3d.io.database_scene import DatabaseScene
from geo3d.io.database_schema import COLUMNS, MAX_IMAGES, pair_id


class DatabaseKeep(DatabaseScene):
    """Taking features and matches over, and removing them. See `ColmapDatabase`."""

    def copy_features(
        self, source: str | os.PathLike, image_ids: Mapping[int, int], geometries_of: Collection[int] = ()
    ) -> None:
        """Take over keypoints, descriptors and matches of images from another database; not within a transaction.

        Matches of a pair whose ids come in the other order here are left out: what was found depends on the order.

        Parameters
        ----------
        source : path-like
            A closed database that has been opened by this class before, which gave it the present tables.
        image_ids : mapping of int to int
            Id in `source` to id here, of images that have no features here.
        geometries_of : collection of int
            Ids in `source`; two-view geometries of pairs of these are taken over too.

        Raises
        ------
        ValueError
            If `source` is no such database or corrupt, or an image is not there.
        OSError
            If it cannot be read.
        """
        wanted = set(geometries_of)
        self._execute("ATTACH DATABASE ? AS source", (f"{Path(source).resolve().as_uri()}?mode=ro",))
        try:
            with self.transaction():
                rows = [(old, new, int(old in wanted)) for old, new in image_ids.items()]
                self._temporary("copied", "old INTEGER PRIMARY KEY, new INTEGER, geometries INTEGER", rows)
                self._copy()
        finally:
            self._execute("DETACH DATABASE source")

    def _copy(self) -> None:
        for table in ("keypoints", "descriptors"):
            chosen = COLUMNS[table].replace("image_id", "copied.new")
            self._execute(
                f"INSERT INTO main.{table} ({COLUMNS[table]}) SELECT {chosen} FROM source.{table} "
                "JOIN copied ON image_id = copied.old"
            )
        for table, which in (("matches", ""), ("two_view_geometries", "AND a.geometries AND b.geometries")):
            chosen = COLUMNS[table].replace("pair_id", f"a.new * {MAX_IMAGES} + b.new")
            self._execute(
                f"INSERT INTO main.{table} ({COLUMNS[table]}) SELECT {chosen} FROM source.{table} "
                f"JOIN copied a ON pair_id / {MAX_IMAGES} = a.old JOIN copied b ON pair_id % {MAX_IMAGES} = b.old "
                f"WHERE a.new < b.new {which}"
            )

    def remove_features(self, image_ids: Iterable[int]) -> None:
        """Remove keypoints and descriptors of images, and the matches and two-view geometries that refer to them.

        Parameters
        ----------
        image_ids : iterable of int
        """
        self._temporary("gone", "id INTEGER PRIMARY KEY", [(i,) for i in set(image_ids)])
        for table in ("keypoints", "descriptors"):
            self._execute(f"DELETE FROM {table} WHERE image_id IN (SELECT id FROM gone)")
        for table in ("matches", "two_view_geometries"):
            self._execute(
                f"DELETE FROM {table} WHERE pair_id / {MAX_IMAGES} IN (SELECT id FROM gone) "
                f"OR pair_id % {MAX_IMAGES} IN (SELECT id FROM gone)"
            )

    def keep_pairs(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Remove the matches and two-view geometries of all other pairs.

        Parameters
        ----------
        pairs : iterable of (int, int)
            Image ids.
        """
        self._temporary("kept", "id INTEGER PRIMARY KEY", [(i,) for i in {pair_id(*pair) for pair in pairs}])
        for table in ("matches", "two_view_geometries"):
            self._execute(f"DELETE FROM {table} WHERE pair_id NOT IN (SELECT id FROM kept)")

    def _temporary(self, table: str, columns: str, rows: list[tuple[int, ...]]) -> None:
        """A table of this connection alone, in place of the one that was there before."""
        self._execute(f"DROP TABLE IF EXISTS temp.{table}")
        self._execute(f"CREATE TEMP TABLE {table} ({columns})")
        marks = ", ".join("?" * (columns.count(",") + 1))
        for row in rows:
            self._execute(f"INSERT INTO {table} VALUES ({marks})", row)
