"""The killable process in which an Each stage works: it reports which input it is at, and dies with its parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import MutableSequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection

from dmforge.curation.contract.stage import Each
from dmforge.curation.contract.stage_results import Key, Result, settle, to_bytes
from dmforge.curation.io.arrow_stream import table_of
from dmforge.curation.io.memory_limit import limit_memory
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.errors import DmforgeError, LakeError, Transient
from dmforge.schemas.records import Item, Record

MEMORY = "memory"
"""The fault after which the process is replaced: the memory may not be given back."""
DETAIL_CHARS = 500
IDLE = -1
"""The index in the shared progress cell while no input is being worked on."""
PR_SET_PDEATHSIG = 1
MEMORY_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


@dataclass(frozen=True, slots=True)
class InputChunk:
    """Inputs that are sent together: Arrow IPC of the records, and their videos."""

    items: bytes
    videos: list[bytes]


@dataclass(frozen=True, slots=True)
class InputFault:
    """An input's failure to give a result."""

    index: int
    reason: str
    detail: str
    transient: bool


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """The results of a chunk: Arrow IPC by table of the settled inputs, and the faults of the others."""

    settled: dict[str, bytes]
    faults: tuple[InputFault, ...]
    took_s: float


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The process is ready for its first chunk."""


@dataclass(frozen=True, slots=True)
class UnusableStage:
    """The stage itself can't be run: no input is to blame. `error` is one that was raised on purpose, with its own remedy."""

    message: str
    error: DmforgeError | None = None


def serve(
    connection: Connection,
    stage: Each[Item, Record],
    workspace: WorkspaceFolder,
    memory_mb: int,
    progress: MutableSequence[int],
) -> None:
    """Work on chunks until there are no more. `progress` is shared with the watching driver: the index of the current input,
    and how often its work has reported progress."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; the driver decides what ends
    try:
        stage.heartbeat = partial(_count_progress, progress)
        stage.open(workspace)
        limit_memory(memory_mb << 20)
        connection.send(WorkerReady())
        while True:
            try:
                input_chunk: InputChunk = connection.recv()
            except EOFError:
                return
            chunk_result = _work(stage, input_chunk, progress)
            progress[0] = IDLE
            connection.send(chunk_result)
    except Exception as error:  # of the stage itself, not of an input: it must reach the driver, which stops the run with it
        connection.send(UnusableStage(f"{type(error).__name__}: {error}", error if isinstance(error, DmforgeError) else None))


def _count_progress(progress: MutableSequence[int]) -> None:
    progress[1] += 1


def _work(stage: Each[Item, Record], chunk: InputChunk, progress: MutableSequence[int]) -> ChunkResult:
    began_s = time.monotonic()
    items = from_arrow(stage.item, table_of(chunk.items))
    settled_keys: list[Key] = []
    results: list[Result] = []
    input_faults: list[InputFault] = []
    for input_index, (input_item, video) in enumerate(zip(items, chunk.videos, strict=True)):
        progress[0] = input_index
        try:
            results.append(stage.process(input_item))
            settled_keys.append(Key(input_item.id, video))
        except (Transient, LakeError) as error:  # of the second, the disk is to blame, not the input
            input_faults.append(InputFault(input_index, "transient", str(error), transient=True))
        except MemoryError:
            input_faults.append(InputFault(input_index, MEMORY, "over its memory limit", transient=False))
        except Exception as error:  # foreign bytes raise anything; the input is tried once more, then quarantined with this
            input_faults.append(InputFault(input_index, type(error).__name__, _stable_text(error), transient=False))
    return ChunkResult(
        to_bytes(settle(stage.origin, settled_keys, results, stage.makes)), tuple(input_faults), time.monotonic() - began_s
    )


def _stable_text(error: Exception) -> str:
    """The text of an exception without memory addresses, which change from run to run: outcomes must not vary. It is one
    line, since it is printed in one."""
    return MEMORY_ADDRESS.sub("0x...", str(error).replace("\n  hint: ", "; hint: "))[:DETAIL_CHARS]


def _die_with_parent() -> None:
    """Have the kernel end this process with its parent: a driver that is SIGKILLed can't tidy up.

    Our parent is the fork server. It ends when nobody holds the other end of its pipe; it gives each child that end, so that
    a child that hangs would keep it, and so itself, alive for ever: it is closed here.
    """
    if sys.platform == "linux":
        parent_pid = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)
    alive_fd: int | None = forkserver._forkserver._forkserver_alive_fd  # pyright: ignore (there is no public way to it)
    if alive_fd is not None:
        os.close(alive_fd)
