"""Atomic file writes: a temporary file is written, fsynced and renamed, so that a reader sees all of it or nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dmforge.curation.io import machine
from dmforge.schemas.errors import InputError, LakeError

TEMPORARY = ".writing"
"""Suffix of an unfinished file. If a kill leaves one behind, the next run removes it."""

MENDS = {
    errno.ENOSPC: "free some space and run the same command again: it goes on where it stopped",
    errno.EDQUOT: "raise the quota or free some space, and run the same command again: it goes on where it stopped",
    errno.EFBIG: "raise the file-size limit (ulimit -f) and run the same command again: it goes on where it stopped",
    errno.EROFS: "make the folder writable, or copy the workspace to a disk that is",
    errno.EACCES: "give yourself write permission on the folder, or run as its owner",
    errno.EPERM: "give yourself write permission on the folder, or run as its owner",
    errno.EIO: "the disk or its server fails: see what the system's log says, copy the workspace to another disk, and let "
    "`dmforge verify -w WS` say what of it is whole",
    errno.ESTALE: "the server no longer knows this file: mount the share again, and run the same command again",
    errno.ENOLCK: "the server is out of locks, or gives none: mount this file system with them (NFS: lockd, without nolock)",
}
NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})
"""What file systems say whose folders can't be fsynced, as mounts of object stores: there a rename lasts once it is done."""
DEFAULT_HINT = "see what stands there and what the disk says; what was acknowledged is not lost"


class HashedFile(io.RawIOBase):
    """A file that counts and hashes (sha256) what is written to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._sha256, self.size_bytes = descriptor, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data_or_view: Any) -> int:
        if self.closed:  # a writer that failed tries once more as it is collected: the descriptor is another file's by then
            raise ValueError("the file is closed")
        byte_view = memoryview(data_or_view).cast("B")
        self._sha256.update(byte_view)
        self.size_bytes += len(byte_view)
        written_bytes = 0
        while written_bytes < len(byte_view):  # a nearly full disk takes part of a write before it refuses
            written_bytes += machine.current.write(self._descriptor, byte_view[written_bytes:])
        return len(byte_view)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def writing(path: Path, mode: int = 0o666, suffix: str = "") -> Generator[HashedFile]:
    """A file that appears at `path` when the block ends well, and not at all when it doesn't. Never through a link.

    `suffix` sets its temporary name apart from that of another process which may be writing the same file.
    """
    with _replacing(path, suffix) as temporary_path:
        descriptor = machine.current.open(temporary_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        file = HashedFile(descriptor)
        try:
            yield file
            machine.current.fsync(descriptor)
        finally:
            file.close()
            machine.current.close(descriptor)


@contextmanager
def placing(path: Path, suffix: str = "") -> Generator[Path]:
    """Like `writing`, for writers that need a path: the file written at the yielded one is moved to `path` at the end."""
    with _replacing(path, suffix) as temporary_path:
        yield temporary_path
        _sync(temporary_path)


@contextmanager
def _replacing(path: Path, suffix: str) -> Generator[Path]:
    temporary_path = path.with_name(path.name + suffix + TEMPORARY)
    with disk_errors(path):
        refuse_other_kinds(path)
        make_folder(path.parent)
        try:
            yield temporary_path
            machine.current.replace(temporary_path, path)
        except BaseException:
            remove_file(temporary_path)
            raise


def _sync(path: Path) -> None:
    descriptor = machine.current.open(path, os.O_RDONLY)
    try:
        machine.current.fsync(descriptor)
    finally:
        machine.current.close(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        machine.current.unlink(path)


def refuse_other_kinds(path: Path) -> None:
    """Refuse a path that is a folder, a device or a pipe: a rename would replace `/dev/null`, say, by a plain file."""
    if path.exists() and not path.is_file():
        kind_noun = "a folder" if path.is_dir() else "a device, a pipe or a socket"
        raise InputError(
            f"there is {kind_noun} already", where=str(path), hint="give the path of a file, new or to be replaced"
        )


def make_folder(folder: Path) -> None:
    """Make a folder, and fsync its parents, so that its name is as durable as its files."""
    if not folder.is_dir():
        make_folder(folder.parent)
        machine.current.make_folder(folder)
        sync_folder(folder.parent)


def sync_files(folder: Path) -> None:
    """Fsync all that others have written into a folder and the folders in it, and these."""
    with disk_errors(folder):
        for path in sorted(folder.rglob("*"), reverse=True):
            sync_folder(path) if path.is_dir() else _sync(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Fsync a folder: a rename in it is durable only afterwards."""
    with disk_errors(folder):
        try:
            _sync(folder)
        except OSError as error:
            if error.errno not in NO_FOLDER_SYNC:
                raise


def write_bytes(path: Path, data: bytes, mode: int = 0o666, suffix: str = "") -> None:
    """Write a whole file. Once this returns, it is on the disk under its name."""
    with writing(path, mode, suffix) as file:
        file.write(data)
    sync_folder(path.parent)


def put_bytes(path: Path, data: bytes) -> None:
    """Write a file in its place, without an fsync: for what nobody reads before it was synced."""
    descriptor = machine.current.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        with HashedFile(descriptor) as file:
            file.write(data)
    finally:
        machine.current.close(descriptor)


def write_json(path: Path, content: object, suffix: str = "", indent: int = 1) -> None:
    """Write a small JSON document; equal content gives equal bytes."""
    write_bytes(path, (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode(), suffix=suffix)


def write_json_lines(path: Path, rows: Iterable[object]) -> int:
    """Write a JSON document a line, as they come; how many there were."""
    row_count = 0
    with writing(path) as file:
        for json_row in rows:
            file.write((json.dumps(json_row, ensure_ascii=False) + "\n").encode())
            row_count += 1
    sync_folder(path.parent)
    return row_count


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Turn an OSError into a LakeError with a hint."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LakeError(
            f"the disk refused: {reason}", where=str(path), hint=MENDS.get(error.errno or 0, DEFAULT_HINT)
        ) from error
