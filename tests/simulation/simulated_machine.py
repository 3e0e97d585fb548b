"""The machine that product code runs on in a simulation: every call is a step, at which faults come and others may go on."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from dmforge.curation.io import known_checksums, machine
from tests.simulation.forgetful_disk import ForgetfulDisk
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.simulated_loop import SimulatedLoop

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
POLL_S = 0.05
"""Between two looks at a lock that another process holds."""
FULL_STEPS = 25
"""How long a disk stays full."""
SLOW_S = 30.0
"""What a call to a slow disk takes, and at most a lock that takes long."""
SLOW_LOCKS = 0.1
"""The share of locks that take long: others come and go before it is there."""


@dataclass
class Locks:
    """Who holds which file, by its inode."""

    whole: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    """The operation, shared or exclusive, by descriptor."""
    ranges: dict[int, list[tuple[Process, range]]] = field(default_factory=dict[int, list[tuple[Process, range]]])


class SimulatedMachine(machine.Machine):
    """Files on a disk that forgets, locks between simulated processes, a clock and a network without time."""

    def __init__(self, scheduler: Scheduler, disk: ForgetfulDisk, network: Callable[[], httpx2.AsyncBaseTransport]) -> None:
        self._scheduler, self.disk, self._network = scheduler, disk, network
        self._locks = Locks()
        self._full_until = 0
        self.armed: list[str] = []
        """Faults of the disk that are due: each at the next call that it can befall."""
        self.met = Counter[str]()
        """Faults of the disk that processes have met."""
        self.switch_off: Callable[[], None] = lambda: None
        """Called where the power goes just before an fsync."""
        self.after_change: Callable[[Path], None] = lambda path: None
        """Called when a name on the disk has changed."""

    @property
    def refusals(self) -> int:
        """How often the disk has refused: what nobody can be blamed for."""
        return self.met["eio"] + self.met["full"]

    # files

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        self._step("open", path)
        if flags & os.O_CREAT:
            self._refuse("open", path)
        descriptor = os.open(path, flags, mode)
        self._scheduler.running.process.descriptors.add(descriptor)
        if self.disk.covers(path):
            self.disk.opened(path, descriptor)
            if flags & os.O_TRUNC:
                self.disk.wrote(descriptor, 0, None)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._step("close")
        self._close(self._scheduler.running.process, descriptor)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            end = os.fstat(descriptor).st_size
        return self._write(descriptor, data, end, lambda part: os.write(descriptor, part))

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        return self._write(descriptor, data, offset, lambda part: os.pwrite(descriptor, part, offset))

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._step("truncate")
        os.ftruncate(descriptor, size_bytes)
        self.disk.wrote(descriptor, size_bytes, None)

    def fsync(self, descriptor: int) -> None:
        self._step("fsync")
        if self._is_due("power cut"):  # what was written is not yet safe
            self.switch_off()
            self._step("gone")
        self._refuse("fsync")
        os.fsync(descriptor)
        self.disk.synced(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self._step("replace", target)
        self._refuse("replace", target)
        os.replace(source, target)
        self.disk.renamed(source, target)
        self.after_change(target)

    def unlink(self, path: Path) -> None:
        self._step("unlink", path)
        path.unlink()
        self.disk.removed(path)
        self.after_change(path)

    def make_folder(self, path: Path) -> None:
        self._step("mkdir", path)
        self._refuse("mkdir", path)
        path.mkdir(exist_ok=True)
        self.disk.made(path)

    def remove_tree(self, folder: Path) -> None:
        self._step("rmtree", folder)
        for path in sorted(folder.rglob("*"), reverse=True):
            self._step("rmtree", path)
            path.rmdir() if path.is_dir() else path.unlink()
            self.disk.removed(path)
        shutil.rmtree(folder)
        self.disk.removed(folder)

    # locks

    def flock(self, descriptor: int, operation: int) -> None:
        self._step("flock")
        if self._scheduler.draw().random() < SLOW_LOCKS:
            self._scheduler.sleep(self._scheduler.draw().uniform(0, SLOW_S))
        inode, wants = os.fstat(descriptor).st_ino, operation & (fcntl.LOCK_SH | fcntl.LOCK_EX)
        holders = self._locks.whole.setdefault(inode, {})
        while any(fcntl.LOCK_EX in (wants, held) for other, held in holders.items() if other != descriptor):
            if operation & fcntl.LOCK_NB:
                raise BlockingIOError(errno.EAGAIN, "another process holds it")
            self._scheduler.sleep(POLL_S)
        holders[descriptor] = wants

    def lock_bytes(self, descriptor: int, length: int, start: int) -> None:
        self._step("lock")
        process, wants = self._scheduler.running.process, range(start, start + length)
        held = self._locks.ranges.setdefault(os.fstat(descriptor).st_ino, [])
        if any(other is not process and wants.start < taken.stop and taken.start < wants.stop for other, taken in held):
            raise BlockingIOError(errno.EAGAIN, "another process holds it")
        held.append((process, wants))

    def holds(self, path: Path) -> bool:
        """Whether the process that runs has locked this file."""
        holders = self._locks.whole.get(path.stat().st_ino, {}) if path.exists() else {}
        return not holders.keys().isdisjoint(self._scheduler.running.process.descriptors)

    # time, chance, network

    def monotonic(self) -> float:
        return self._scheduler.now_s

    def utc_now(self) -> datetime:
        return BEGAN + timedelta(seconds=self._scheduler.now_s)

    def sleep(self, seconds: float) -> None:
        self._step("sleep")
        self._scheduler.sleep(seconds)

    def process_id(self) -> int:
        return self._scheduler.running.process.number

    def random_hex(self, byte_count: int) -> str:
        return self._scheduler.draw().randbytes(byte_count).hex()

    def event_loop(self) -> asyncio.AbstractEventLoop:
        return SimulatedLoop(self._scheduler)

    def http_transport(self) -> httpx2.AsyncBaseTransport:
        return self._network()

    # what befalls it

    def release(self, process: Process) -> None:
        """What the system gives back of a process that has ended."""
        for descriptor in list(process.descriptors):
            self._close(process, descriptor)

    def cut_power(self, rng: random.Random) -> None:
        self.disk.cut(rng)
        known_checksums._sha256_by_version.clear()  # pyright: ignore[reportPrivateUsage]
        self._full_until = 0

    def fill_disk(self) -> None:
        self._full_until = self._scheduler.steps + FULL_STEPS

    def _write(self, descriptor: int, data: bytes | memoryview, offset: int, put: Callable[[bytes], int]) -> int:
        self._step(f"write {len(data)}")
        part = bytes(data)
        if len(part) > 1 and self._is_due("short"):
            part = part[: self._scheduler.draw().randint(1, len(part) - 1)]
        self._refuse("write")
        put(part)
        self.disk.wrote(descriptor, offset, part)
        return len(part)

    def _step(self, call: str, path: Path | None = None) -> None:
        where = "" if path is None else f" {path.relative_to(self.disk.root) if self.disk.covers(path) else path.name}"
        self._scheduler.step(call + where)

    def _is_due(self, kind: str) -> bool:
        if kind not in self.armed:
            return False
        self.armed.remove(kind)
        self.met[kind] += 1
        return True

    def _refuse(self, call: str, path: Path | None = None) -> None:
        """Raise what is due at a call that changes the disk."""
        if self._is_due("slow"):
            self._scheduler.sleep(SLOW_S)
        if self._is_due("eio"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if call != "fsync" and self._scheduler.steps < self._full_until:
            self.met["full"] += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _close(self, process: Process, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        self._locks.whole.get(inode, {}).pop(descriptor, None)
        self._locks.ranges[inode] = [
            (other, taken) for other, taken in self._locks.ranges.get(inode, []) if other is not process
        ]
        self.disk.closed(descriptor)
        process.descriptors.discard(descriptor)
        os.close(descriptor)
