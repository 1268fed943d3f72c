"""An SQLite connection to a COLMAP database: opening, schema, transactions, errors that say what is wrong."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from geo3d.io.database_schema import COLUMNS, INDEXES, OLDEST_TABLES, TABLES, USER_VERSION

# what SQLite says of a file that is damaged; ERROR: a table or column of the schema is not there
_CORRUPT = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
}
_REPLACED = {"keypoints", "descriptors", "matches", "two_view_geometries"}
_SYSTEM_ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
}


class DatabaseConnection:
    """An open database file; a context manager that closes it. See `ColmapDatabase`."""

    def __init__(self, path: str | os.PathLike, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        if readonly and not self.path.is_file():
            raise FileNotFoundError(f"no database at {self.path}")
        self._closed = False
        self._connection = self._connect("mode=ro" if readonly else "mode=rwc")
        try:
            self._columns = self._check_schema()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self, options: str) -> sqlite3.Connection:
        with self._errors():
            connection = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?{options}", uri=True, isolation_level=None
            )
            connection.text_factory = lambda text: text.decode(errors="surrogateescape")
            return connection

    def _check_schema(self) -> dict[str, set[str]]:
        """Columns of each table; a new file gets COLMAP's tables first."""
        self._check_size()
        try:
            found = self._read_columns()
        except OSError:
            # COLMAP leaves its files in WAL mode, which cannot be read in a folder that cannot be written
            if not self.readonly or self._has_journal():
                raise
            self._connection.close()
            self._connection = self._connect("mode=ro&immutable=1")
            found = self._read_columns()
        if not found and not self.readonly and self._rows("PRAGMA schema_version")[0][0] == 0:
            self._execute("PRAGMA journal_mode=WAL")
            with self.transaction():
                for sql in (*TABLES.values(), *INDEXES, f"PRAGMA user_version={USER_VERSION}"):
                    self._execute(sql)
            found = self._read_columns()
        missing = [name for name in OLDEST_TABLES if name not in found]
        if missing:
            raise ValueError(f"{self.path} is not a COLMAP database: it has no table {', '.join(missing)}")
        if not self.readonly:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                self._execute(f"PRAGMA {pragma}")
            self._upgrade(found)
            found = self._read_columns()
        return found

    def _has_journal(self) -> bool:
        wal = self.path.with_name(self.path.name + "-wal")
        return wal.exists() and wal.stat().st_size > 0

    def _check_size(self) -> None:
        """SQLite itself notices a missing end only when it reads there."""
        with self.path.open("rb") as file:
            head = file.read(100)
        if len(head) < 100 or self._has_journal():
            return
        page = int.from_bytes(head[16:18], "big")  # the header's fields are big-endian; 1 means 65536
        pages, counted, changed = (int.from_bytes(head[i : i + 4], "big") for i in (28, 92, 24))
        size = pages * (65536 if page == 1 else page)
        if counted == changed and self.path.stat().st_size < size:
            raise ValueError(
                f"{self.path}: expected {size} bytes, found {self.path.stat().st_size}; the file is truncated"
            )

    def _upgrade(self, found: dict[str, set[str]]) -> None:
        """Give a database of an older COLMAP the tables and columns of the newest, as COLMAP does itself."""
        with closing(sqlite3.connect(":memory:")) as fresh:
            for sql in TABLES.values():
                fresh.execute(sql)
            lacks = {name: _columns_of(fresh, name) - found.get(name, set()) for name in TABLES}
        if not any(lacks.values()):
            return
        with self.transaction():
            priors = self._old_priors(found) if "corr_data_id" in lacks["pose_priors"] else None
            if priors is not None:
                self._execute("DROP TABLE IF EXISTS pose_priors")
                lacks["pose_priors"] = set()
                self._execute(TABLES["pose_priors"])
            for name in TABLES:
                if name not in found and name != "pose_priors":
                    self._execute(TABLES[name])
                    continue
                for column in sorted(lacks[name]):
                    kind = "INTEGER NOT NULL DEFAULT 0" if column == "type" else "BLOB"
                    self._execute(f"ALTER TABLE {name} ADD COLUMN {column} {kind}")
            for sql in INDEXES:
                self._execute(sql.replace("INDEX", "INDEX IF NOT EXISTS"))
            if "rigs" not in found:
                self._execute("INSERT INTO rigs SELECT camera_id, camera_id, 0 FROM cameras")
                self._execute("INSERT INTO frames SELECT image_id, camera_id FROM images")
                self._execute("INSERT INTO frame_data SELECT image_id, image_id, camera_id, 0 FROM images")
            for row in priors or ():
                self._insert("pose_priors", *row)
            self._execute(f"PRAGMA user_version={USER_VERSION}")

    def _old_priors(self, found: dict[str, set[str]]) -> list[tuple[Any, ...]]:
        """Rows of a table pose_priors that has one row an image, as rows of the newest."""
        if "pose_priors" not in found:
            return []
        covariance = "position_covariance" if "position_covariance" in found["pose_priors"] else "NULL"
        return self._rows(
            f"SELECT image_id, camera_id, 0, position, {covariance}, NULL, coordinate_system "
            "FROM pose_priors JOIN images USING (image_id) ORDER BY image_id"
        )

    def _read_columns(self) -> dict[str, set[str]]:
        names = {row[0] for row in self._rows("SELECT name FROM sqlite_master WHERE type='table'")}
        with self._errors():
            return {name: _columns_of(self._connection, name) for name in TABLES if name in names}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Fold the journal into the file and close it. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.readonly:
                if self._connection.in_transaction:
                    self._connection.rollback()
                self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._execute("PRAGMA journal_mode=DELETE")
        finally:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes in the block or none of them; one transaction at a time."""
        assert not self._connection.in_transaction, "transactions do not nest"
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise ValueError(
                f"{self.path}: {error}; an id or name is used twice, or one is not there"
            ) from error
        except UnicodeDecodeError as error:  # of SQLite's own message
            raise ValueError(f"{self.path}: {error}; the file is no database, or it is corrupt") from error
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _CORRUPT:
                raise ValueError(
                    f"{self.path}: {error}; the file is no database, or it is corrupt"
                ) from error
            if code in _SYSTEM_ERRORS:
                raise OSError(_SYSTEM_ERRORS[code], f"{error} (database)", str(self.path)) from error
            raise

    def _execute(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        """Run one statement; the id of the row that it inserted."""
        with self._errors():
            return self._connection.execute(sql, values).lastrowid or 0

    def _insert(self, table: str, *values: Any) -> int:
        """Insert or replace a row of `COLUMNS[table]`; its id."""
        marks = ", ".join("?" * len(values))
        verb = "INSERT OR REPLACE" if table in _REPLACED else "INSERT"
        return self._execute(f"{verb} INTO {table} ({COLUMNS[table]}) VALUES ({marks})", values)

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._connection.execute(sql, values).fetchall()

    def _has(self, table: str, column: str | None = None) -> bool:
        return table in self._columns and (column is None or column in self._columns[table])


def _columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
