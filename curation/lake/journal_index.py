"""An index of the journal: where each answer stands. It is on disk, in a nameless scratch file: memory doesn't grow with it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from dmforge.curation.io.atomic import disk_errors

BEHIND_ALL = 2**62
"""Beyond any limit, which have at most 18 digits."""
CACHE_KB = 8192
"""The cache of pages in memory: a look-up takes 5 microseconds; a million answers 90 MB of disk."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key's line stands, and what bears on whether it is the line that counts."""

    key: str
    limit: int | None = None
    """The most tokens that the answer could have; None where the line doesn't say."""
    is_cut: bool = False
    """The answer was cut off there."""
    file: int = 0
    """The number of its file."""
    offset: int = 0
    """Where in the file the line begins."""

    @property
    def rank(self) -> int:
        """The line with the lowest counts: those that aren't cut by their limit, then those that are, the largest first."""
        limit_or_zero = self.limit or 0
        return BEHIND_ALL - limit_or_zero if self.is_cut else limit_or_zero


class JournalIndex:
    """The positions of keys in the journal. Gone with the process: made from the journal's files, it can't go stale."""

    def __init__(self, entries: Iterator[Place]) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._write_error: OSError | None = None
        columns_sql = "lim INTEGER, cut INTEGER NOT NULL, file INTEGER NOT NULL, at INTEGER NOT NULL"
        with self._trusted():
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
                self._table.execute(f"PRAGMA {pragma}")
            self._table.execute(f"CREATE TABLE places (key TEXT PRIMARY KEY, {columns_sql}) WITHOUT ROWID")
            # sorted first: keys are digests, and a tree that is filled at random touches another page of the disk for each
            self._table.execute(f"CREATE TABLE unsorted (key TEXT NOT NULL, {columns_sql}, rank INTEGER NOT NULL)")
            self._insert(
                "INSERT INTO unsorted VALUES (?, ?, ?, ?, ?, ?)",
                ((*_row(answer_place), answer_place.rank) for answer_place in entries),
            )
            columns_sql = "key, lim, cut, file, at"
            self._table.execute(f"INSERT OR IGNORE INTO places SELECT {columns_sql} FROM unsorted ORDER BY key, rank, rowid")
            self._table.execute("DROP TABLE unsorted")
            has_unlimited = "SELECT EXISTS (SELECT 1 FROM places WHERE lim IS NULL)"
            self.has_unlimited = bool(self._table.execute(has_unlimited).fetchone()[0])
            """Whether some lines that were there at first have no limit."""

    def __len__(self) -> int:
        with self._trusted():
            ((place_count,),) = self._table.execute("SELECT count(*) FROM places")
        return place_count

    def find(self, request_key: str) -> Place | None:
        """Where the line of a key stands that counts."""
        with self._trusted():
            place_row = self._table.execute("SELECT lim, cut, file, at FROM places WHERE key = ?", (request_key,)).fetchone()
        return None if place_row is None else Place(request_key, place_row[0], bool(place_row[1]), place_row[2], place_row[3])

    def note(self, places: Iterable[Place]) -> None:
        """Add lines that have just been written: one with a key that is known is of an answer that the former gives way to."""
        with self._trusted():
            self._insert("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?)", map(_row, places))

    def close(self) -> None:
        self._table.close()

    def _insert(self, statement: str, place_rows: Iterable[tuple[object, ...]]) -> None:
        self._table.execute("BEGIN")
        self._table.executemany(statement, place_rows)
        self._table.execute("COMMIT")

    @contextmanager
    def _trusted(self) -> Generator[None]:
        """Turn errors of SQLite into errors of the disk. After a failed write, which nothing undoes, nothing is read again."""
        with disk_errors(Path(gettempdir())):
            if self._write_error is not None:
                raise self._write_error
            try:
                yield
            except sqlite3.DatabaseError as error:
                error_number = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
                self._write_error = OSError(error_number, str(error))
                raise self._write_error from error


def _row(place: Place) -> tuple[object, ...]:
    return place.key, place.limit, place.is_cut, place.file, place.offset
