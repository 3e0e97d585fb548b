"""Where each answer stands in the journal. On disk, in a nameless scratch file: memory doesn't grow with what was asked."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from dmforge.curation.atomic import disk_errors

CACHE_KB = 8192
"""Of pages that are held in memory: a look-up takes 5 microseconds; a million answers 90 MB of disk."""

Whereabout = tuple[str, int, int]
"""A key, the number of its file, and where in the file its line begins."""


class Whereabouts:
    """A table of keys. Gone with the process: the journal's files say it all, and nothing can go stale."""

    def __init__(self, known: Iterator[Whereabout]) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._refused: OSError | None = None
        columns = "file INTEGER NOT NULL, at INTEGER NOT NULL"
        with self._trusted():
            for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KB}"):
                self._table.execute(f"PRAGMA {setting}")
            self._table.execute(f"CREATE TABLE places (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID")
            # sorted first: keys are digests, and a tree that is filled at random touches another page of the disk for each
            self._table.execute(f"CREATE TABLE unsorted (key TEXT NOT NULL, {columns})")
            self._insert("INSERT INTO unsorted VALUES (?, ?, ?)", known)
            # the first place of a key is the one that counts
            self._table.execute("INSERT OR IGNORE INTO places SELECT key, file, at FROM unsorted ORDER BY key, rowid")
            self._table.execute("DROP TABLE unsorted")

    def __len__(self) -> int:
        with self._trusted():
            ((count,),) = self._table.execute("SELECT count(*) FROM places")
        return count

    def find(self, key: str) -> tuple[int, int] | None:
        """File and place of a key."""
        with self._trusted():
            return self._table.execute("SELECT file, at FROM places WHERE key = ?", (key,)).fetchone()

    def note(self, places: Iterable[Whereabout]) -> None:
        """Keys that have just been written."""
        with self._trusted():
            self._insert("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", places)

    def close(self) -> None:
        self._table.close()

    def _insert(self, statement: str, places: Iterable[Whereabout]) -> None:
        self._table.execute("BEGIN")
        self._table.executemany(statement, places)
        self._table.execute("COMMIT")

    @contextmanager
    def _trusted(self) -> Generator[None]:
        """A disk that is full is no fault of the journal's. What a write left there, undone by nothing, is never read again."""
        with disk_errors(Path(gettempdir())):
            if self._refused is not None:
                raise self._refused
            try:
                yield
            except sqlite3.DatabaseError as error:
                number = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
                self._refused = OSError(number, str(error))
                raise self._refused from error
