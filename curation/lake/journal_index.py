"""An index of the journal: where each answer stands. Memory doesn't grow with it: what indexes beside the files don't say is on
disk, in a nameless scratch file."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from types import MappingProxyType

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.lake.journal_index_file import IndexFile
from dmforge.curation.lake.journal_place import Place

CACHE_KB = 8192
"""The cache of pages in memory: a look-up takes 5 microseconds; a million answers 90 MB of disk."""


class JournalIndex:
    """The positions of keys in the journal: in indexes beside its files, by the number of the file, and of all other lines in
    a table that is gone with the process."""

    def __init__(self, entries: Iterator[Place], kept: Mapping[int, IndexFile] = MappingProxyType({})) -> None:
        self._kept = kept
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
            self.has_unlimited = bool(self._table.execute(has_unlimited).fetchone()[0]) or any(
                index.has_unlimited for index in kept.values()
            )
            """Whether some lines that were there at first have no limit."""

    def __len__(self) -> int:
        """How many lines it knows: a key that stands in two files may count twice."""
        with self._trusted():
            ((place_count,),) = self._table.execute("SELECT count(*) FROM places")
        return place_count + sum(index.count for index in self._kept.values())

    def places(self) -> Iterator[Place]:
        """Where the lines stand that the table knows, in the order of their keys."""
        with self._trusted():
            for place_row in self._table.execute("SELECT key, lim, cut, file, at FROM places ORDER BY key"):
                yield Place(place_row[0], place_row[1], bool(place_row[2]), place_row[3], place_row[4])

    def find(self, request_key: str) -> Place | None:
        """Where the line of a key stands that counts; IndexUnfit where an index turns out to be damaged."""
        kept = ((file_number, index.find(request_key)) for file_number, index in self._kept.items())
        places = [replace(place, file=file_number) for file_number, place in kept if place is not None]
        if (newer_place := self._find_in_table(request_key)) is not None:
            places.append(newer_place)
        return min(places, key=lambda place: (place.rank, place.file, place.offset), default=None)

    def _find_in_table(self, request_key: str) -> Place | None:
        with self._trusted():
            place_row = self._table.execute("SELECT lim, cut, file, at FROM places WHERE key = ?", (request_key,)).fetchone()
        return None if place_row is None else Place(request_key, place_row[0], bool(place_row[1]), place_row[2], place_row[3])

    def note(self, places: Iterable[Place]) -> None:
        """Add lines that have just been written: one with a key that is known is of an answer that the former gives way to."""
        with self._trusted():
            self._insert("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?)", map(_row, places))

    def close(self) -> None:
        self._table.close()
        for index in self._kept.values():
            index.close()

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
