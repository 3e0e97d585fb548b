"""Supervises one engine process: whatever becomes of it, each request that was given to it gets a result.

A process that dies, or hangs, is replaced, and all requests that it had are sent again. A request that was there in two deaths
is sent alone the next time, so that one bad row doesn't take others with it; if the process dies over a row that is alone, and
not for the first time, the row has failed. Where row after row fails and none has come back yet, the engine is given up.
"""

from __future__ import annotations

import heapq
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import IO

from dmforge.generators.inference.engines.engine import FailedRow
from dmforge.generators.inference.engines.messages import (
    DropAll,
    EngineFailed,
    EngineReady,
    Generate,
    Generated,
    GenerateWithClips,
    Heartbeat,
    Order,
    ReloadWeights,
    StartEngine,
    WeightsReloaded,
)
from dmforge.schemas.errors import DmforgeError, Transient

TOGETHER = 2
"""Deaths that a request may see while others are on their way; from then on it is sent alone."""
STARTS = 2
"""Processes in a row that may end before they are ready."""
FRUITLESS = 3
"""Rows that may fail before the first result."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How an engine process is started, and the time limits that it must keep."""

    command: Sequence[str]
    """The command line; the file descriptor of a connection is put behind it."""
    start: StartEngine
    environment: Mapping[str, str]
    max_in_flight: int
    """Requests that are on their way at once."""
    start_s: float
    """Seconds until the process must be ready."""
    hang_timeout_s: float
    """Seconds within which it must give a sign, while it is at work."""


@dataclass(slots=True)
class _Pending:
    order: Order
    row_index: int
    request: Generate
    deaths: int = 0

    def __lt__(self, other: _Pending) -> bool:
        return self.order < other.order


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    connection: Connection
    log: IO[bytes]
    last_sign_s: float
    is_ready: bool = False
    error: str = ""

    def end(self) -> str:
        """Kill the process, and say why it ended."""
        self.process.kill()
        exit_code = self.process.wait()
        end_cause = self.error or (f"ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}")
        if not self.is_ready and not self.error:
            end_cause += f"; its last line: {self._last_words()}"
        self.connection.close()
        self.log.close()
        return end_cause

    def _last_words(self) -> str:
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - 4096))
        log_lines = self.log.read().decode("utf-8", "replace").splitlines()
        return next((log_line.strip() for log_line in reversed(log_lines) if log_line.strip()), "nothing")


class WorkerProcess:
    """A process (or none so far) and the requests for it."""

    def __init__(self, worker_spec: WorkerSpec) -> None:
        self._hiring = worker_spec
        self._waiting: list[_Pending] = []
        self._suspects: deque[_Pending] = deque()
        self._in_flight: dict[int, _Pending] = {}
        self._last_request_id = 0
        self._sent_clips: set[str] = set()
        self._process: _Process | None = None
        self._starts = 0
        self._fruitless: int | None = 0
        """Rows that have failed so far; None since there is a result."""
        self._sends_alone = False
        self._is_reloading = False

    @property
    def connection(self) -> Connection | None:
        return self._process and self._process.connection

    @property
    def pid(self) -> int | None:
        """The id of the process."""
        return self._process and self._process.process.pid

    @property
    def is_reloading(self) -> bool:
        """The process is loading new weights."""
        return self._is_reloading

    def add(self, row_index: int, order: Order, request: Generate) -> None:
        heapq.heappush(self._waiting, _Pending(order, row_index, request))

    def hand_out(self) -> None:
        """Send the process as many requests as it can take, in order; suspects come last, one by one."""
        if self._process is None and (self._waiting or self._suspects):
            self._start_process()
        if self._process is None or not self._process.is_ready or self._sends_alone:
            return
        while self._waiting and len(self._in_flight) < self._hiring.max_in_flight:
            self._send(heapq.heappop(self._waiting))
        if self._suspects and not self._in_flight:
            self._sends_alone = True
            self._send(self._suspects.popleft())

    def hear(self) -> dict[int, Generated | FailedRow]:
        """Receive a message of the process, whose connection has something to read; return the results in it by row index."""
        assert self._process is not None
        try:
            message = self._process.connection.recv()
        except (EOFError, OSError):
            return self._replace_dead(self._process.end())
        self._process.last_sign_s = time.monotonic()
        if isinstance(message, EngineReady):
            self._process.is_ready, self._starts = True, 0
        elif isinstance(message, WeightsReloaded):
            self._is_reloading = False
        elif isinstance(message, EngineFailed):
            self._process.error = message.cause
            if self._is_reloading:  # the next reload would fail as well, and each round would begin by starting a process
                hint = "see that vllm is of a version that docs/engines.md names"
                raise DmforgeError(f"the engine can't take other weights: {message.cause}", hint=hint)
        elif isinstance(message, Heartbeat):
            return self._take_results(message.results)
        return {}

    def patrol(self) -> dict[int, Generated | FailedRow]:
        """End the process if it has given no sign for too long."""
        engine_process = self._process
        if engine_process is None or (engine_process.is_ready and not self._in_flight and not self._is_reloading):
            return {}
        timeout_s = self._hiring.hang_timeout_s if engine_process.is_ready and not self._is_reloading else self._hiring.start_s
        if time.monotonic() - engine_process.last_sign_s < timeout_s:
            return {}
        engine_process.error = f"the process gave no sign for {timeout_s:g} s"
        return self._replace_dead(engine_process.end())

    def clear(self) -> None:
        """Drop all requests."""
        self._waiting, self._in_flight, self._sends_alone = [], {}, False
        self._suspects.clear()
        self._sent_clips.clear()
        if self._process is not None and self._process.is_ready:
            self._write(self._process, DropAll())

    def renew(self) -> None:
        """Load the checkpoint's new weights. Requests that were begun with the old ones are dropped."""
        self.clear()
        if self._process is None:
            return  # the next process starts with the new weights
        if not self._process.is_ready:  # it may be reading the old weights or the new
            self.close()
            return
        self._process.last_sign_s = time.monotonic()
        self._is_reloading = True
        self._write(self._process, ReloadWeights())

    def close(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _send(self, pending_request: _Pending) -> None:
        assert self._process is not None
        self._last_request_id += 1
        self._in_flight[self._last_request_id] = pending_request
        clip_by_name = {clip.name: clip for clip in pending_request.request.clips}
        new_clips = tuple(clip for clip_name, clip in clip_by_name.items() if clip_name not in self._sent_clips)
        self._sent_clips |= clip_by_name.keys()
        clip_names = tuple(clip.name for clip in pending_request.request.clips)
        if len(self._in_flight) == 1:
            self._process.last_sign_s = time.monotonic()
        self._write(
            self._process,
            GenerateWithClips(self._last_request_id, replace(pending_request.request, clips=()), clip_names, new_clips),
        )

    @staticmethod
    def _write(process: _Process, message: GenerateWithClips | DropAll | ReloadWeights) -> None:
        try:
            process.connection.send(message)
        except OSError:
            return  # the process is gone: `hear` will notice

    def _take_results(self, generated_by_request: Mapping[int, Generated]) -> dict[int, Generated | FailedRow]:
        # results of requests that were cleared meanwhile are dropped
        result_by_row = {
            self._in_flight.pop(request_id).row_index: generated
            for request_id, generated in generated_by_request.items()
            if request_id in self._in_flight
        }
        if result_by_row:
            self._sends_alone, self._fruitless = False, None
        return dict(result_by_row)

    def _replace_dead(self, cause: str) -> dict[int, Generated | FailedRow]:
        assert self._process is not None
        was_ready, self._process, self._is_reloading = self._process.is_ready, None, False
        self._sent_clips.clear()
        pending_requests, self._in_flight = list(self._in_flight.values()), {}
        if not was_ready and self._starts >= STARTS:
            raise Transient(f"the engine does not start: {cause}", hint="see the cause above, then run again")
        was_alone, self._sends_alone = len(pending_requests) == 1, False
        failed_by_row: dict[int, Generated | FailedRow] = {}
        for pending_request in pending_requests:
            pending_request.deaths += 1
            if was_alone and pending_request.deaths > 1:
                failed_by_row[pending_request.row_index] = FailedRow(cause)
            elif pending_request.deaths < TOGETHER:
                heapq.heappush(self._waiting, pending_request)
            else:
                self._suspects.append(pending_request)
        if self._fruitless is not None:
            self._fruitless += len(failed_by_row)
            if self._fruitless >= FRUITLESS:
                hint = "see the cause above: the engine can't run this student"
                raise DmforgeError(f"the engine ends over each row that it is given: {cause}", hint=hint)
        return failed_by_row

    def _start_process(self) -> None:
        self._starts += 1
        our_socket, their_socket = socket.socketpair()
        log_file = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the process)
        with their_socket:
            process = subprocess.Popen(
                [*self._hiring.command, str(their_socket.fileno())],
                pass_fds=(their_socket.fileno(),),
                env={**os.environ, **self._hiring.environment},
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
            )
        self._process = _Process(process, Connection(our_socket.detach()), log_file, time.monotonic())
        self._process.connection.send(self._hiring.start)
