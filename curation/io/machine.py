"""The machine under the lake: the calls by which files, locks and time are touched, in one place that can be replaced.

What a disk does with what was not yet fsynced, and in which order processes come to their locks, can't be had from a real
machine on demand. A simulation puts a machine of its own in the place of `current`, and product code runs on it as it is. Reads
need no place here: they see what was written, fsynced or not.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    import httpx2


class Machine:
    """The calls of the operating system, as they are."""

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        return os.open(path, flags, mode)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write at the file's position; how many bytes were taken, which may be fewer."""
        return os.write(descriptor, data)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        return os.pwrite(descriptor, data, offset)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        os.ftruncate(descriptor, size_bytes)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def remove_tree(self, folder: Path) -> None:
        shutil.rmtree(folder)

    def flock(self, descriptor: int, operation: int) -> None:
        """Lock a whole file for this open file description."""
        fcntl.flock(descriptor, operation)

    def lock_bytes(self, descriptor: int, length: int, start: int) -> None:
        """Lock a range of a file for this process, or raise BlockingIOError or PermissionError at once."""
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)

    def monotonic(self) -> float:
        return time.monotonic()

    def utc_now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def process_id(self) -> int:
        return os.getpid()

    def random_hex(self, byte_count: int) -> str:
        """Random digits for a name that no other process may choose."""
        return secrets.token_hex(byte_count)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop, with its clock and its threads."""
        import asyncio  # here, since every command imports this module

        return asyncio.new_event_loop()

    def http_transport(self) -> httpx2.AsyncBaseTransport | None:
        """The network as a client takes it; None for the real one."""
        return None


current = Machine()
"""The machine that this process runs on."""
