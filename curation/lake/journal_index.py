"""An index of the journal: where each answer stands. It is on disk, in a nameless scratch file: memory doesn't grow with it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from dmforge.curation.io.atomic import disk_errors

CACHE_KB = 8192
"""The cache of pages in memory: a look-up takes 5 microseconds; a million answers 90 MB of disk."""

Whereabout = tuple[str, int, int]
"""A key, the number of its file, and where in the file its line begins."""


class JournalIndex:
    """The positions of keys in the journal. Gone with the process: made from the journal's files, it can't go stale."""

    def __init__(self, entries: Iterator[Whereabout]) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._write_error: OSError | None = None
        place_columns = "file INTEGER NOT NULL, at INTEGER NOT NULL"
        with self._trusted():
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
                self._table.execute(f"PRAGMA {pragma}")
            self._table.execute(f"CREATE TABLE places (key TEXT PRIMARY KEY, {place_columns}) WITHOUT ROWID")
            # sorted first: keys are digests, and a tree that is filled at random touches another page of the disk for each
            self._table.execute(f"CREATE TABLE unsorted (key TEXT NOT NULL, {place_columns})")
            self._insert("INSERT INTO unsorted VALUES (?, ?, ?)", entries)
            # the first place of a key is the one that counts
            self._table.execute("INSERT OR IGNORE INTO places SELECT key, file, at FROM unsorted ORDER BY key, rowid")
            self._table.execute("DROP TABLE unsorted")

    def __len__(self) -> int:
        with self._trusted():
            ((key_count,),) = self._table.execute("SELECT count(*) FROM places")
        return key_count

    def find(self, key: str) -> tuple[int, int] | None:
        """The number of a key's file, and the offset of its line."""
        with self._trusted():
            return self._table.execute("SELECT file, at FROM places WHERE key = ?", (key,)).fetchone()

    def note(self, entries: Iterable[Whereabout]) -> None:
        """Add keys that have just been written."""
        with self._trusted():
            self._insert("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", entries)

    def close(self) -> None:
        self._table.close()

    def _insert(self, statement: str, entries: Iterable[Whereabout]) -> None:
        self._table.execute("BEGIN")
        self._table.executemany(statement, entries)
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
