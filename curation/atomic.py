"""The one way a file comes into being: written beside, fsynced, renamed. A reader sees all of it or nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmforge.schemas.errors import InputError, LakeError

TEMPORARY = ".writing"
"""Suffix of a file that isn't whole yet. Left behind by a kill, it is swept away by the next run."""

MENDS = {
    errno.ENOSPC: "free some space and run the same command again: it goes on where it stopped",
    errno.EDQUOT: "raise the quota or free some space, and run the same command again: it goes on where it stopped",
    errno.EFBIG: "raise the file-size limit (ulimit -f) and run the same command again: it goes on where it stopped",
    errno.EROFS: "make the folder writable, or copy the workspace to a disk that is",
    errno.EACCES: "give yourself write permission on the folder, or run as its owner",
    errno.EPERM: "give yourself write permission on the folder, or run as its owner",
}
OTHERWISE = "see what stands there and what the disk says; what was acknowledged is not lost"


class HashedFile(io.RawIOBase):
    """A file that knows the sha256 and the length of what was written to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._sha256, self.size_bytes = descriptor, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._sha256.update(view)
        self.size_bytes += len(view)
        done = 0
        while done < len(view):  # a nearly full disk takes part of a write before it refuses
            done += os.write(self._descriptor, view[done:])
        return len(view)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def writing(path: Path, mode: int = 0o666, mark: str = "") -> Generator[HashedFile]:
    """A file that appears at `path` when the block ends well, and not at all when it doesn't. Never through a link.

    `mark` keeps it apart from the same file that another process may be writing: one that is thought to be dead, say.
    """
    beside = path.with_name(path.name + mark + TEMPORARY)
    with disk_errors(path):
        refuse_other_kinds(path)
        make_folder(path.parent)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            yield HashedFile(descriptor)
            os.fsync(descriptor)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


@contextmanager
def placing(path: Path, mark: str = "") -> Generator[Path]:
    """The same for writers that want a name: what they write under the given one appears at `path` when the block ends well."""
    beside = path.with_name(path.name + mark + TEMPORARY)
    with disk_errors(path):
        refuse_other_kinds(path)
        make_folder(path.parent)
        try:
            yield beside
            descriptor = os.open(beside, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def refuse_other_kinds(path: Path) -> None:
    """A rename would put a plain file where a device is: of `/dev/null`, for all who write to it."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a device, a pipe or a socket"
        raise InputError(f"there is {what} already", where=str(path), mend="give the path of a file, new or to be replaced")


def make_folder(folder: Path) -> None:
    """A folder whose name is as durable as what will be put into it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename is, only after its folder was fsynced."""
    with disk_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, content: object, mark: str = "") -> None:
    """A small JSON document: one content, one sequence of bytes."""
    with writing(path, mark=mark) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    sync_folder(path.parent)


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """What the disk refused, said in words, with the mend."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LakeError(f"the disk refused: {reason}", where=str(path), mend=MENDS.get(error.errno or 0, OTHERWISE)) from error
