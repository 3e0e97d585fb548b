"""Where a folder of shards lies, here or anywhere that fsspec reaches: ranges of its files, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol

from dmforge.curation.sources.places import filesystem_of, is_remote
from dmforge.schemas.errors import InputError, LakeError

MAX_OPEN = 128
"""Files that a reader holds open."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some parts of a file that lie close together."""

    name: str
    parts: tuple[tuple[int, int], ...]
    """Offset and size, ascending."""


class Store(Protocol):
    """A folder that can be read from."""

    place: str

    def open(self, name: str) -> IO[bytes]:
        """A whole file, to be read from its beginning or anywhere."""
        ...

    def read(self, asked: Sequence[Stretch]) -> list[list[bytes]]:
        """The parts of stretches of files; where it pays, all at once."""
        ...


def store(place: str) -> Store:
    """The store at a path or an address."""
    return Elsewhere(place) if is_remote(place) else Here(place)


class Here:
    """A local folder. One `pread` a part, so nothing is copied twice; files stay open."""

    def __init__(self, place: str) -> None:
        self.place = place
        # closed with the cache's last reference; `pread` has no position, so forks may share a descriptor
        self._opened = lru_cache(MAX_OPEN)(self.open)

    def open(self, name: str) -> IO[bytes]:
        path = Path(self.place, name)
        try:
            if not path.is_file():  # to open a pipe is to wait for whoever writes to it
                raise FileNotFoundError(path)
            return path.open("rb", buffering=0)
        except OSError as error:
            raise _missing(str(path), error) from None

    def read(self, asked: Sequence[Stretch]) -> list[list[bytes]]:
        found: list[list[bytes]] = []
        for stretch in asked:
            descriptor = self._opened(stretch.name).fileno()
            found.append([os.pread(descriptor, size, offset) for offset, size in stretch.parts])
        return found


class Elsewhere:
    """An address. A stretch is one request, and those of a call travel together, over connections that are kept."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        try:
            self._system, self._path = filesystem_of(self.place)
        except (ValueError, ImportError) as error:  # a storage that fsspec doesn't know, or whose package isn't installed
            hint = "give a folder, or an address whose storage fsspec knows: https, s3 (pip install s3fs), gs (gcsfs), ..."
            raise InputError(f"no storage: {error}", where=self.place, mend=hint) from None

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._system.open(f"{self._path}/{name}", "rb")
        except Exception as error:  # every storage has errors of its own
            raise _missing(f"{self.place}/{name}", error) from None

    def read(self, asked: Sequence[Stretch]) -> list[list[bytes]]:
        paths = [f"{self._path}/{stretch.name}" for stretch in asked]
        starts = [stretch.parts[0][0] for stretch in asked]
        ends = [sum(stretch.parts[-1]) for stretch in asked]
        try:
            found: list[Any] = self._system.cat_ranges(paths, starts, ends, on_error="raise")
        except Exception as error:
            raise LakeError(
                f"can't be read: {type(error).__name__}", where=self.place, mend="try again when its server answers"
            ) from error
        whole = zip(asked, starts, found, strict=True)
        return [[data[at - start : at - start + size] for at, size in stretch.parts] for stretch, start, data in whole]


def _missing(where: str, error: Exception) -> InputError:
    mend = "give the folder of a selection, the one with manifest.json in it"
    return InputError(f"can't be read: {type(error).__name__}", where=where, mend=mend)
