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
    parent_place, _, folder_name = place.rstrip("/").rpartition("/")
    if folder_name != CURRENT or (not is_remote(place) and not Path(place).is_file()):
        return place
    with (RemoteStore(parent_place) if is_remote(place) else LocalStore(parent_place or ".")).open(CURRENT) as current_file:
        selection_name = current_file.read(MAX_NAME).decode("utf-8", "replace").strip()
    if not SELECTION.fullmatch(selection_name):
        hint = "give the folder of a selection; the next run that packs writes this file anew"
        raise InputError(f"it names no folder beside it: {selection_name!r}", where=place, hint=hint)
    return f"{parent_place}/{selection_name}" if parent_place else selection_name


class LocalStore:
    """A store in a local folder. One `pread` for each part, so nothing is copied twice; files stay open."""

    def __init__(self, place: str) -> None:
        self.place = place
        # closed with the cache's last reference; `pread` has no position, so forks may share a descriptor
        self._open_cached = lru_cache(MAX_OPEN)(self.open)

    def open(self, name: str) -> IO[bytes]:
        file_path = Path(self.place, name)
        try:
            if not file_path.is_file():  # to open a pipe is to wait for whoever writes to it
                raise FileNotFoundError(file_path)
            return file_path.open("rb", buffering=0)
        except OSError as error:
            raise _missing(str(file_path), error) from None

    def read(self, requests: Sequence[ByteRange]) -> list[list[bytes]]:
        bytes_by_request: list[list[bytes]] = []
        for byte_range in requests:
            descriptor = self._open_cached(byte_range.name).fileno()
            bytes_by_request.append(
                [os.pread(descriptor, part_size, part_offset) for part_offset, part_size in byte_range.parts]
            )
        return bytes_by_request


class RemoteStore:
    """A store at a remote address. A stretch is one range request; those of a call are fetched together."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        self._connect()

    def _connect(self) -> None:
        self._process = os.getpid()
        try:
            self._opened_system, self._path = filesystem_of(self.place)
        except (ValueError, ImportError) as error:  # a storage that fsspec doesn't know, or whose package isn't installed
            hint = "give a folder, or an address whose storage fsspec knows: https, s3 (pip install s3fs), gs (gcsfs), ..."
            raise InputError(f"no storage: {error}", where=self.place, hint=hint) from None

    @property
    def _system(self) -> Any:
        """The connection of this process: one that was forked off, as to decode ahead, can't use that of its parent."""
        if self._process != os.getpid():
            self._connect()
        return self._opened_system

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._system.open(f"{self._path}/{name}", "rb")
        except Exception as error:  # every storage has errors of its own
            raise _missing(f"{self.place}/{name}", error) from None

    def read(self, requests: Sequence[ByteRange]) -> list[list[bytes]]:
        file_paths = [f"{self._path}/{byte_range.name}" for byte_range in requests]
        start_offsets = [byte_range.parts[0][0] for byte_range in requests]
        end_offsets = [sum(byte_range.parts[-1]) for byte_range in requests]
        try:
            range_bytes: list[Any] = self._system.cat_ranges(file_paths, start_offsets, end_offsets, on_error="raise")
        except Exception as error:
            raise LakeError(
                f"can't be read: {type(error).__name__}", where=self.place, hint="try again when its server answers"
            ) from error
        fetched_ranges = zip(requests, start_offsets, range_bytes, strict=True)
        return [
            [
                range_data[part_offset - range_start : part_offset - range_start + part_size]
                for part_offset, part_size in byte_range.parts
            ]
            for byte_range, range_start, range_data in fetched_ranges
        ]


def _missing(store_place: str, error: Exception) -> InputError:
    hint = "give the folder of a selection, the one with manifest.json in it"
    return InputError(f"can't be read: {type(error).__name__}", where=store_place, hint=hint)
