"""Where an export is written: a folder, or an address that fsspec reaches. Either is whole, or not there.

A folder gets its name at the end. Object stores have no renames: there `export.json` comes last, and without it an export is
unfinished. What is unfinished is gone on with by the same command.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import (
    TEMPORARY,
    disk_errors,
    make_folder,
    put_bytes,
    remove_file,
    sync_folder,
    write_bytes,
    writing,
)
from dmforge.curation.io.checksums import write_checksums
from dmforge.curation.io.locations import filesystem_of, is_remote
from dmforge.curation.io.locks import lock, lock_file
from dmforge.schemas.errors import InputError, LakeError

SEAL = "export.json"
"""The file that says what an export is; the last one that is written."""
PARTS = "parts"
"""The folder of what is needed only until an export is finished."""
_BEGUN = f"{PARTS}/export.json"
LOCK = ".lock"
"""What the lock of an unfinished folder has behind the folder's name."""
OTHER_OUT = "give another place with --out"


class ExportPlace(Protocol):
    """Takes the files of an export by their names."""

    @property
    def where(self) -> str: ...

    def write(self, name: str, content: bytes) -> None:
        """Write a file; it lasts once `keep` has been called for it."""
        ...

    def keep(self, names: Iterable[str]) -> None: ...

    def write_whole(self, name: str, content: bytes) -> None:
        """Write a file that is whole or not there, whatever happens, and lasts."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        ...

    def has_whole(self, sizes: Mapping[str, int]) -> bool:
        """Whether all files that were written behind each other are still there, as long as they were."""
        ...

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        """A file to write; it has its name when the block ends well."""
        ...

    @contextmanager
    def held(self, export_json: dict[str, Any]) -> Generator[None]:
        """Hold the place for this export, alone: what another one had left unfinished is removed. When the block ends well, the
        place is finished; what the block had written before it failed is gone on with, unless input was at fault."""
        ...


def export_place(location: str) -> ExportPlace:
    """The place for a local path or an address."""
    return RemotePlace(location.rstrip("/")) if is_remote(location) else LocalPlace(Path(location))


@dataclass(frozen=True)
class LocalPlace:
    """A folder."""

    folder: Path

    @property
    def where(self) -> str:
        return str(self.folder)

    @property
    def unfinished(self) -> Path:
        return self.folder.with_name(self.folder.name + TEMPORARY)

    def write(self, name: str, content: bytes) -> None:
        file_path = self.unfinished / name
        with disk_errors(file_path):
            make_folder(file_path.parent)
            put_bytes(file_path, content)

    def keep(self, names: Iterable[str]) -> None:
        file_paths = [self.unfinished / name for name in names]
        for path in (*file_paths, *sorted({file_path.parent for file_path in file_paths})):
            sync_folder(path)

    def write_whole(self, name: str, content: bytes) -> None:
        write_bytes(self.unfinished / name, content)

    def read(self, name: str) -> bytes | None:
        file_path = self.unfinished / name
        with disk_errors(file_path):
            return file_path.read_bytes() if file_path.exists() else None

    def has_whole(self, sizes: Mapping[str, int]) -> bool:
        paths_and_sizes = [(self.unfinished / name, size) for name, size in sizes.items()]
        return all(path.exists() and path.stat().st_size == size for path, size in paths_and_sizes)

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        with writing(self.unfinished / name) as written_file, io.BufferedWriter(written_file) as buffered_file:
            yield buffered_file

    @contextmanager
    def held(self, export_json: dict[str, Any]) -> Generator[None]:
        with self._alone():
            if self.folder.exists():
                raise InputError("there is something here already", where=self.where, hint=OTHER_OUT)
            if self.read(_BEGUN) != _encoded(export_json):
                self._clear()
                write_bytes(self.unfinished / _BEGUN, _encoded(export_json))
            try:
                yield
            except InputError:
                with suppress(OSError):
                    machine.current.remove_tree(self.unfinished)
                raise
            with disk_errors(self.folder):
                write_checksums(self.unfinished, self.unfinished / PARTS)  # parts go last: hashing takes long, and may fail
                machine.current.remove_tree(self.unfinished / PARTS)
                sync_folder(self.unfinished)
                machine.current.replace(self.unfinished, self.folder)
                sync_folder(self.folder.parent)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Hold the place. Its lock lies beside it, since all in it moves or goes at the end, and stays as long as an unfinished
        folder does: who has opened it and waits for its turn may otherwise hold what has no name any more."""
        lock_path = self.unfinished.with_name(self.unfinished.name + LOCK)
        with lock_file(lock_path) as descriptor:
            if not lock(descriptor, LOCK_EX | LOCK_NB, lock_path) or not _is_file(descriptor, lock_path):
                raise InputError("another export is writing here", where=self.where, hint=f"let it end, or {OTHER_OUT}")
            try:
                yield
            finally:
                if not self.unfinished.exists():
                    remove_file(lock_path)
                    sync_folder(lock_path.parent)

    def _clear(self) -> None:
        """Remove what another export has left unfinished."""
        with disk_errors(self.unfinished):
            if self.unfinished.exists():
                machine.current.remove_tree(self.unfinished)
                sync_folder(self.unfinished.parent)  # else a power cut may leave parts of that one to this one


@dataclass(frozen=True)
class RemotePlace:
    """A folder at an address."""

    where: str

    @cached_property
    def _system(self) -> tuple[Any, str]:
        try:
            system, folder = filesystem_of(self.where)
            if "file" in system.protocol:  # object stores have no folders to make
                system.auto_mkdir = True
            return system, folder
        except (ValueError, ImportError) as error:
            hint = "give a folder, or an address whose storage fsspec knows: s3 (pip install s3fs), gs (gcsfs), ..."
            raise InputError(f"no storage: {error}", where=self.where, hint=hint) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePlace, (self.where,)

    def write(self, name: str, content: bytes) -> None:
        system, folder = self._system
        with self._errors():
            system.pipe_file(f"{folder}/{name}", content)

    def keep(self, names: Iterable[str]) -> None:
        """A file lasts once it has been written."""

    def write_whole(self, name: str, content: bytes) -> None:
        self.write(name, content)

    def read(self, name: str) -> bytes | None:
        system, folder = self._system
        with self._errors():
            try:
                content: bytes = system.cat_file(f"{folder}/{name}")
            except FileNotFoundError:
                return None
            return content

    def has_whole(self, sizes: Mapping[str, int]) -> bool:
        """Nothing is asked: a part is written behind its files, and a request for each would take longer than the export."""
        return True

    @contextmanager
    def file(self, name: str) -> Generator[IO[bytes]]:
        system, folder = self._system
        with tempfile.TemporaryDirectory(prefix="dmforge-export-") as temporary_folder:
            local_path = Path(temporary_folder, "content")
            with local_path.open("wb") as local_file:
                yield local_file
            with self._errors():
                system.put_file(str(local_path), f"{folder}/{name}")

    @contextmanager
    def held(self, export_json: dict[str, Any]) -> Generator[None]:
        system, folder = self._system
        with self._errors():
            if system.exists(f"{folder}/{SEAL}"):
                raise InputError("there is an export here already", where=self.where, hint=OTHER_OUT)
            begun = self.read(_BEGUN)
            if begun is None and system.exists(folder) and system.ls(folder):
                raise InputError("there is something here already", where=self.where, hint=OTHER_OUT)
            if begun != _encoded(export_json):
                if begun is not None:
                    system.rm(folder, recursive=True)
                self.write(_BEGUN, _encoded(export_json))
        try:
            yield
        except InputError:
            with self._errors():
                system.rm(folder, recursive=True)
            raise
        with self._errors():
            system.rm(f"{folder}/{PARTS}", recursive=True)

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except (InputError, FileNotFoundError):
            raise
        except Exception as error:  # every storage has errors of its own
            hint = "see what its server says; the same command goes on from here"
            raise LakeError(f"can't be written: {type(error).__name__}", where=self.where, hint=hint) from error


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _encoded(export_json: dict[str, Any]) -> bytes:
    return (json.dumps(export_json, indent=1) + "\n").encode()
