"""Processes that do the demo's work together, one a core: the ranks of a run, and those of a training, which find each other
as those of `torchrun` do.

Each is told the same jobs, one after the other, and shares them with the others as runs and trainers do. They live as long as
the demo, since loading torch takes longer than some of the jobs; and they end with it, whatever ends it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from rich.console import Console

from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError

RANKS = 2
"""The same on every machine, so that figures are, too."""
Job = Literal["run", "sft", "sdgrpo", "evaluate"]


class DemoRanks:
    """Some processes for jobs."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._connections: list[Connection] = []
        self._processes: list[Any] = []

    def start(self) -> None:
        """Start them, if they aren't. Until there is a job they load what jobs need."""
        if self._processes:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        context = get_context("spawn")
        for rank in range(RANKS):
            parent_end, child_end = context.Pipe()
            process = context.Process(target=_serve, args=(rank, port, child_end, self._command))
            process.start()
            child_end.close()
            self._connections.append(parent_end)
            self._processes.append(process)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def run(self, job: Job, settings: Path) -> Any:
        """Have a job done, on a workspace or by a file of settings; what it comes to."""
        self.start()
        for connection in self._connections:
            with suppress(OSError):  # a process that has ended is found out below
                connection.send((job, settings))
        waited_for, result = list(self._connections), None
        while waited_for:
            for connection in cast(list[Connection], wait(waited_for)):
                waited_for.remove(connection)
                try:
                    answer = connection.recv()
                except (EOFError, OSError):
                    hint = "see above why; the same command goes on from the last checkpoint"
                    answer = DmforgeError("a process of the training has ended", where=str(settings), hint=hint)
                if isinstance(answer, DmforgeError):
                    raise answer
                result = answer if answer is not None else result
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _serve(rank: int, port: int, connection: Connection, command: str) -> None:
    """Do jobs until whoever started this process hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group; who started it decides
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    inbox: queue.SimpleQueue[tuple[Job, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    for needed_later in ("trainers.sft", "trainers.sdgrpo.sdgrpo", "trainers.evaluate"):
        import_module(f"dmforge.{needed_later}")
    while True:
        job, settings = inbox.get()
        try:
            result = _run_share(settings, rank, command) if job == "run" else _train(job, settings)
        except DmforgeError as error:
            connection.send(error)
            raise SystemExit(1) from None
        connection.send(result if rank == 0 else None)


def _listen(connection: Connection, inbox: queue.SimpleQueue[tuple[Job, Path]]) -> None:
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)  # the demo is gone, perhaps killed; a training goes on from its last checkpoint


def _run_share(workspace: Path, rank: int, command: str) -> None:
    from dmforge.commands.rank_run import run_share

    console = Console(stderr=True, soft_wrap=True, quiet=rank > 0)
    for _ in run_share(WorkspaceFolder(workspace), console, command, Share(rank, RANKS), wait_timeout_s=600):
        pass


def _train(job: Job, settings: Path) -> Any:
    import torch

    torch.set_num_threads(1)
    if job == "sft":
        from dmforge.trainers.sft import train as imitate
        from dmforge.trainers.training_settings import read_sft

        return imitate(read_sft(settings)).checkpoint
    if job == "sdgrpo":
        from dmforge.trainers.sdgrpo.sdgrpo import train as practise
        from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo

        return practise(read_sdgrpo(settings)).checkpoint
    from dmforge.trainers.evaluate import evaluate
    from dmforge.trainers.evaluation_settings import read_evaluation

    return evaluate(read_evaluation(settings))
