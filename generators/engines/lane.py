"""One engine process: whatever becomes of it, each leg that was given to it comes to an end.

A process that dies, or stands still, is replaced, and all that was on its way goes again. What was on its way in two deaths
goes alone the next time, so that one bad row doesn't take others with it; if the process dies over a row that is alone, and
not for the first time, the row has failed.
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

from dmforge.generators.engines.contract import Failed
from dmforge.generators.engines.legs import Beat, Broken, Errand, Forget, Gone, Leg, Order, Ready, Renew, Renewed, Start
from dmforge.schemas.errors import DmforgeError, Transient

TOGETHER = 2
"""So many deaths a leg may see in company."""
STARTS = 2
"""Processes that may end before they are ready, one after the other."""


@dataclass(frozen=True, slots=True)
class Hiring:
    """How a process is started, and what is expected of it."""

    command: Sequence[str]
    """The number of a connection is put behind it."""
    start: Start
    environment: Mapping[str, str]
    rows: int
    """Legs that are on their way at once."""
    start_s: float
    """Until it is ready."""
    still_s: float
    """Until it is heard of again, while it has something to do."""


@dataclass(slots=True)
class _Open:
    order: Order
    number: int
    leg: Leg
    deaths: int = 0

    def __lt__(self, other: _Open) -> bool:
        return self.order < other.order


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    connection: Connection
    log: IO[bytes]
    heard_s: float
    is_ready: bool = False
    told: str = ""

    def end(self) -> str:
        """Why it is gone, once it is."""
        self.process.kill()
        code = self.process.wait()
        cause = self.told or (f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")
        if not self.is_ready and not self.told:
            cause += f"; it said: {self._last_words()}"
        self.connection.close()
        self.log.close()
        return cause

    def _last_words(self) -> str:
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - 4096))
        lines = self.log.read().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


class Lane:
    """A process, or none so far, and its legs."""

    def __init__(self, hiring: Hiring) -> None:
        self._hiring = hiring
        self._waiting: list[_Open] = []
        self._suspects: deque[_Open] = deque()
        self._on_way: dict[int, _Open] = {}
        self._tickets = 0
        self._brought: set[str] = set()
        self._process: _Process | None = None
        self._starts = 0
        self._alone = False
        self._renews = False

    @property
    def connection(self) -> Connection | None:
        return self._process and self._process.connection

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process and self._process.process.pid

    @property
    def renews(self) -> bool:
        """Whether the process is reading weights again."""
        return self._renews

    def add(self, number: int, order: Order, leg: Leg) -> None:
        heapq.heappush(self._waiting, _Open(order, number, leg))

    def hand_out(self) -> None:
        """Give the process what it can take, in order; the suspects at last, one by one."""
        if self._process is None and (self._waiting or self._suspects):
            self._hire()
        if self._process is None or not self._process.is_ready or self._alone:
            return
        while self._waiting and len(self._on_way) < self._hiring.rows:
            self._send(heapq.heappop(self._waiting))
        if self._suspects and not self._on_way:
            self._alone = True
            self._send(self._suspects.popleft())

    def hear(self) -> dict[int, Gone | Failed]:
        """What the process has to say, after its connection has something to read."""
        assert self._process is not None
        try:
            message = self._process.connection.recv()
        except (EOFError, OSError):
            return self._mourn(self._process.end())
        self._process.heard_s = time.monotonic()
        if isinstance(message, Ready):
            self._process.is_ready, self._starts = True, 0
        elif isinstance(message, Renewed):
            self._renews = False
        elif isinstance(message, Broken):
            self._process.told = message.told
            if self._renews:  # it would be so each time, and each round would begin with the start of a process
                mend = "see that vllm is of a version that docs/engines.md names"
                raise DmforgeError(f"the engine can't take other weights: {message.told}", mend=mend)
        elif isinstance(message, Beat):
            return self._take(message.done)
        return {}

    def patrol(self) -> dict[int, Gone | Failed]:
        """End the process if it has stood still for too long."""
        now = self._process
        if now is None or (now.is_ready and not self._on_way and not self._renews):
            return {}
        patience_s = self._hiring.still_s if now.is_ready and not self._renews else self._hiring.start_s
        if time.monotonic() - now.heard_s < patience_s:
            return {}
        now.told = f"nothing was heard of it for {patience_s:g} s"
        return self._mourn(now.end())

    def clear(self) -> None:
        """Whatever is on its way is no longer wanted."""
        self._waiting, self._on_way, self._alone = [], {}, False
        self._suspects.clear()
        self._brought.clear()
        if self._process is not None and self._process.is_ready:
            self._tell(self._process, Forget())

    def renew(self) -> None:
        """The checkpoint has other weights now. What is on its way was begun with the old ones."""
        self.clear()
        if self._process is None:
            return  # the next one begins with them
        if not self._process.is_ready:  # nobody knows which it is reading
            self.close()
            return
        self._process.heard_s = time.monotonic()
        self._renews = True
        self._tell(self._process, Renew())

    def close(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _send(self, opened: _Open) -> None:
        assert self._process is not None
        self._tickets += 1
        self._on_way[self._tickets] = opened
        clips = {clip.name: clip for clip in opened.leg.clips}
        brought = tuple(clip for name, clip in clips.items() if name not in self._brought)
        self._brought |= clips.keys()
        names = tuple(clip.name for clip in opened.leg.clips)
        if len(self._on_way) == 1:
            self._process.heard_s = time.monotonic()
        self._tell(self._process, Errand(self._tickets, replace(opened.leg, clips=()), names, brought))

    @staticmethod
    def _tell(process: _Process, message: Errand | Forget | Renew) -> None:
        try:
            process.connection.send(message)
        except OSError:
            return  # it is gone: listening will tell

    def _take(self, done: Mapping[int, Gone]) -> dict[int, Gone | Failed]:
        # what was cleared away meanwhile is nobody's
        found = {self._on_way.pop(ticket).number: gone for ticket, gone in done.items() if ticket in self._on_way}
        if found:
            self._alone = False
        return dict(found)

    def _mourn(self, cause: str) -> dict[int, Gone | Failed]:
        assert self._process is not None
        was_ready, self._process, self._renews = self._process.is_ready, None, False
        self._brought.clear()
        lost, self._on_way = list(self._on_way.values()), {}
        if not was_ready and self._starts >= STARTS:
            raise Transient(f"the engine does not start: {cause}", mend="see what it says; then run again")
        alone, self._alone = len(lost) == 1, False
        failed: dict[int, Gone | Failed] = {}
        for opened in lost:
            opened.deaths += 1
            if alone and opened.deaths > 1:
                failed[opened.number] = Failed(cause)
            elif opened.deaths < TOGETHER:
                heapq.heappush(self._waiting, opened)
            else:
                self._suspects.append(opened)
        return failed

    def _hire(self) -> None:
        self._starts += 1
        ours, theirs = socket.socketpair()
        log = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the process)
        with theirs:
            process = subprocess.Popen(
                [*self._hiring.command, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **self._hiring.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._process = _Process(process, Connection(ours.detach()), log, time.monotonic())
        self._process.connection.send(self._hiring.start)
