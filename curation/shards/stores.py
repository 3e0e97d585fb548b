"""Reads ranges of files in a folder of shards, on this machine or anywhere that fsspec reaches."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol

from dmforge.curation.io.locations import filesystem_of, is_remote
from dmforge.schemas.errors import InputError, LakeError

CURRENT = "current"
"""The file beside the selections of a corpus that names the newest of them. No link: object stores have none, and a copy that
follows links would hold the shards twice."""
MAX_NAME = 256
SELECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_OPEN = 128
"""How many files a reader holds open."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Parts of one file that lie close together and are read as one range."""

    name: str
    parts: tuple[tuple[int, int], ...]
    """The offset and size of each part, ascending."""


class Store(Protocol):
    """A folder that can be read from."""

    place: str

    def open(self, name: str) -> IO[bytes]:
        """Open a file of the folder for reading, from any position."""
        ...

    def read(self, requests: Sequence[ByteRange]) -> list[list[bytes]]:
        """The bytes of each request's parts; where it pays, all are fetched at once."""
        ...


def open_store(place: str) -> Store:
    """The store for a local path or a remote address; `.../current` means the selection that this file names."""
    place = selection_place(place)
    return RemoteStore(place) if is_remote(place) else LocalStore(place)


def selection_place(place: str) -> str:
    """The folder that a place means: the place itself or, where it is a file `current`, the folder beside it that it names."""
    parent, _, name = place.rstrip("/").rpartition("/")
    if name != CURRENT or (not is_remote(place) and not Path(place).is_file()):
        return place
    with (RemoteStore(parent) if is_remote(place) else LocalStore(parent or ".")).open(CURRENT) as file:
        selection = file.read(MAX_NAME).decode("utf-8", "replace").strip()
    if not SELECTION.fullmatch(selection):
        hint = "give the folder of a selection; the next run that packs writes this file anew"
        raise InputError(f"it names no folder beside it: {selection!r}", where=place, hint=hint)
    return f"{parent}/{selection}" if parent else selection


class LocalStore:
    """A store in a local folder. One `pread` for each part, so nothing is copied twice; files stay open."""

    def __init__(self, place: str) -> None:
        self.place = place
        # closed with the cache's last reference; `pread` has no position, so forks may share a descriptor
        self._open_cached = lru_cache(MAX_OPEN)(self.open)

    def open(self, name: str) -> IO[bytes]:
        path = Path(self.place, name)
        try:
            if not path.is_file():  # to open a pipe is to wait for whoever writes to it
                raise FileNotFoundError(path)
            return path.open("rb", buffering=0)
        except OSError as error:
            raise _missing(str(path), error) from None

    def read(self, requests: Sequence[ByteRange]) -> list[list[bytes]]:
        results: list[list[bytes]] = []
        for stretch in requests:
            descriptor = self._open_cached(stretch.name).fileno()
            results.append([os.pread(descriptor, size, offset) for offset, size in stretch.parts])
        return results


class RemoteStore:
    """A store at a remote address. A stretch is one range request; those of a call are fetched together."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        try:
            self._system, self._path = filesystem_of(self.place)
        except (ValueError, ImportError) as error:  # a storage that fsspec doesn't know, or whose package isn't installed
            hint = "give a folder, or an address whose storage fsspec knows: https, s3 (pip install s3fs), gs (gcsfs), ..."
            raise InputError(f"no storage: {error}", where=self.place, hint=hint) from None

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._system.open(f"{self._path}/{name}", "rb")
        except Exception as error:  # every storage has errors of its own
            raise _missing(f"{self.place}/{name}", error) from None

    def read(self, requests: Sequence[ByteRange]) -> list[list[bytes]]:
        paths = [f"{self._path}/{stretch.name}" for stretch in requests]
        starts = [stretch.parts[0][0] for stretch in requests]
        ends = [sum(stretch.parts[-1]) for stretch in requests]
        try:
            ranges: list[Any] = self._system.cat_ranges(paths, starts, ends, on_error="raise")
        except Exception as error:
            raise LakeError(
                f"can't be read: {type(error).__name__}", where=self.place, hint="try again when its server answers"
            ) from error
        fetched = zip(requests, starts, ranges, strict=True)
        return [
            [data[offset - start : offset - start + size] for offset, size in stretch.parts] for stretch, start, data in fetched
        ]


def _missing(where: str, error: Exception) -> InputError:
    hint = "give the folder of a selection, the one with manifest.json in it"
    return InputError(f"can't be read: {type(error).__name__}", where=where, hint=hint)
