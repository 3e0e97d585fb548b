"""File locks between processes: taken, held by another process, or an error where the file system has none."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder
from dmforge.schemas.errors import LakeError

HINT = "move the workspace to a file system with locks, or mount this one with them (Lustre: flock; NFS: lockd, without nolock)"


@contextmanager
def lock_file(path: Path) -> Generator[int]:
    """A file to lock, made where there is none. It is closed at the end, and with that its locks end."""
    with disk_errors(path):
        make_folder(path.parent)
        descriptor = machine.current.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        machine.current.close(descriptor)


def lock(descriptor: int, flock_operation: int, path: Path) -> bool:
    """Lock an open file; False where `flock_operation` says not to wait and another process holds the lock."""
    with lock_errors(path):
        try:
            machine.current.flock(descriptor, flock_operation)
        except BlockingIOError:
            return False
        return True


@contextmanager
def lock_errors(path: Path) -> Generator[None]:
    """Turn errors of a file system without locks into a LakeError; errors about a held lock pass."""
    try:
        yield
    except (BlockingIOError, PermissionError):
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LakeError(f"the file system gives no locks: {reason}", where=str(path.parent), hint=HINT) from error
