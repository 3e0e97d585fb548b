"""Locks of files that processes share: taken, held by another, or a plain error where the file system has none."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dmforge.schemas.errors import LakeError

MEND = "move the workspace to a file system with locks, or mount this one with them (Lustre: flock; NFS: lockd, without nolock)"


def lock(descriptor: int, how: int, path: Path) -> bool:
    """Lock an open file; False where `how` says not to wait and another process holds it."""
    with lock_errors(path):
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            return False
        return True


@contextmanager
def lock_errors(path: Path) -> Generator[None]:
    """That a lock is held passes; whatever else the file system says of locks names the folder."""
    try:
        yield
    except (BlockingIOError, PermissionError):
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LakeError(f"the file system gives no locks: {reason}", where=str(path.parent), mend=MEND) from error
