"""Where a folder of shards lies, here or anywhere that fsspec reaches: ranges of its files, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol

from dmforge.curation.sources.places import is_remote, reached
from dmforge.schemas.errors import InputError, LakeError

MAX_OPEN = 128
"""Files that a reader holds open."""


class Store(Protocol):
    """A folder that can be read from."""

    place: str

    def open(self, name: str) -> IO[bytes]:
        """A whole file, to be read from its beginning or anywhere."""
        ...

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """So many bytes from an offset of a file, several times; where it pays, all at once."""
        ...


def store(place: str) -> Store:
    """The store at a path or an address."""
    return Elsewhere(place) if is_remote(place) else Here(place)


class Here:
    """A local folder. One `pread` a range; files stay open."""

    def __init__(self, place: str) -> None:
        self.place = place
        # closed with the cache's last reference; `pread` has no position, so forks may share a descriptor
        self._opened = lru_cache(MAX_OPEN)(self.open)

    def open(self, name: str) -> IO[bytes]:
        path = Path(self.place, name)
        try:
            return path.open("rb", buffering=0)
        except OSError as error:
            raise _missing(str(path), error) from None

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        return [os.pread(self._opened(name).fileno(), size, offset) for name, offset, size in asked]


class Elsewhere:
    """An address. Ranges of one call travel together, over the connections that the file system keeps."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        self._system, self._path = reached(self.place)

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._system.open(f"{self._path}/{name}", "rb")
        except Exception as error:  # every storage has errors of its own
            raise _missing(f"{self.place}/{name}", error) from None

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        paths = [f"{self._path}/{name}" for name, _, _ in asked]
        starts = [offset for _, offset, _ in asked]
        ends = [offset + size for _, offset, size in asked]
        try:
            found: list[Any] = self._system.cat_ranges(paths, starts, ends, on_error="raise")
        except Exception as error:
            raise LakeError(
                f"can't be read: {type(error).__name__}", where=self.place, mend="try again when its server answers"
            ) from error
        return found


def _missing(where: str, error: Exception) -> InputError:
    mend = "give the folder of a selection, the one with manifest.json in it"
    return InputError(f"can't be read: {type(error).__name__}", where=where, mend=mend)
