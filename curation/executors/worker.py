"""The killable process in which an Each stage works: it says which input it is at, and dies with its parent."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import time
from collections.abc import MutableSequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection

import pyarrow as pa

from dmforge.curation.settled import Key, Result, settle, to_bytes
from dmforge.curation.stage import Each
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import DmforgeError, LakeError, Transient
from dmforge.schemas.records import Item, Record

MEMORY = "memory"
"""The fault after which the process is replaced: what ate the memory may still hold it."""
DETAIL_CHARS = 500
IDLE = -1
"""What stands in the shared cell while no input is being worked on."""
PR_SET_PDEATHSIG = 1
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Inputs that travel together: Arrow IPC of the records, and their videos."""

    items: bytes
    videos: list[bytes]


@dataclass(frozen=True, slots=True)
class Fault:
    """What an input did instead of giving a result."""

    index: int
    reason: str
    detail: str
    transient: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a chunk: Arrow IPC by table of what was settled, and the faults of the rest."""

    settled: dict[str, bytes]
    faults: tuple[Fault, ...]
    took_s: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The process is ready for its first chunk."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """The stage itself can't be run: no input is to blame. `told` is what was raised on purpose: it says itself what to do."""

    message: str
    told: DmforgeError | None = None


def serve(
    connection: Connection, stage: Each[Item, Record], workspace: Workspace, memory_mb: int, at: MutableSequence[int]
) -> None:
    """Work on chunks until there are no more. `at` is for whoever watches: the index of the input at hand, and how often its
    work has got on."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the driver decides what ends
    try:
        stage.gets_on = partial(_step, at)
        stage.open(workspace)
        _limit_memory(memory_mb)
        connection.send(Opened())
        while True:
            try:
                chunk: Chunk = connection.recv()
            except EOFError:
                return
            reply = _work(stage, chunk, at)
            at[0] = IDLE
            connection.send(reply)
    except Exception as error:  # of the stage itself, not of an input: it must reach the driver, which stops the run with it
        connection.send(Unfit(f"{type(error).__name__}: {error}", error if isinstance(error, DmforgeError) else None))


def _step(at: MutableSequence[int]) -> None:
    at[1] += 1


def _work(stage: Each[Item, Record], chunk: Chunk, at: MutableSequence[int]) -> Reply:
    began_s = time.monotonic()
    items = from_arrow(stage.item, pa.ipc.open_stream(chunk.items).read_all())
    keys: list[Key] = []
    results: list[Result] = []
    faults: list[Fault] = []
    for index, (item, video) in enumerate(zip(items, chunk.videos, strict=True)):
        at[0] = index
        try:
            results.append(stage.process(item))
            keys.append(Key(item.id, video))
        except (Transient, LakeError) as error:  # of the second, the disk is to blame, not the input
            faults.append(Fault(index, "transient", str(error), transient=True))
        except MemoryError:
            faults.append(Fault(index, MEMORY, "over its memory limit", transient=False))
        except Exception as error:  # foreign bytes raise anything; the input is tried once more, then quarantined with this
            faults.append(Fault(index, type(error).__name__, _lasting(error), transient=False))
    return Reply(to_bytes(settle(stage.origin, keys, results, stage.makes)), tuple(faults), time.monotonic() - began_s)


def _lasting(error: Exception) -> str:
    """What an exception says, without what changes from run to run: outcomes must not vary."""
    return ADDRESS.sub("0x...", str(error))[:DETAIL_CHARS]


def _die_with_parent() -> None:
    """A driver that is SIGKILLed can't tidy up: let the kernel do it.

    Our parent is the fork server. It ends when nobody holds the other end of its pipe; it gives each child that end, so that
    a child that hangs would keep it, and so itself, alive for ever: it is closed here.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    alive: int | None = forkserver._forkserver._forkserver_alive_fd  # pyright: ignore (there is no public way to it)
    if alive is not None:
        os.close(alive)


def _limit_memory(memory_mb: int) -> None:
    """Bound what the process may allocate from now on. RLIMIT_DATA counts what is really its own; RLIMIT_AS would also
    count libraries and mapped files, of which torch alone has gigabytes."""
    limit = _data_bytes() + (memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _data_bytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
