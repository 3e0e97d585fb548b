"""The world outside: a teacher that is asked over a network without time, and counts what it was asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter

import httpx2

from dmforge.schemas.ids import Id
from tests.simulation.scheduler import BrokenPromise, Process, Scheduler

MAX_LATENCY_S = 2.0
FAULTS = ("busy", "unreached", "lost")
"""It refuses; the request doesn't come to it; its reply, which is paid for, doesn't come back."""


class SimulatedTeacher:
    """Scores tasks. What it answered and was acknowledged is never to be asked again."""

    def __init__(self, scheduler: Scheduler, fault_share: float) -> None:
        self._scheduler, self._fault_share = scheduler, fault_share
        self.answered = Counter[str]()
        self.acknowledged: dict[str, Id] = {}
        """The video of each question whose answer was returned to a stage."""
        self.forgotten: set[Id] = set()
        """Videos whose takedown has been acknowledged."""
        self.met = Counter[str]()

    def transport(self) -> httpx2.AsyncBaseTransport:
        """The network of the process that runs."""
        return _Line(self, self._scheduler.running.process)

    def acknowledge(self, key: str, video: Id) -> None:
        if not self._scheduler.running.process.is_dead:
            self.acknowledged[key] = video
            if video in self.forgotten:
                raise BrokenPromise("a question about a video was asked after its takedown")

    def forget(self, video: Id) -> None:
        """A takedown begins: its answers will go."""
        self.acknowledged = {key: other for key, other in self.acknowledged.items() if other != video}

    def end_faults(self) -> None:
        self._fault_share = 0.0

    async def reply(self, request: httpx2.Request, process: Process) -> httpx2.Response:
        rng, key = self._scheduler.draw(), request.headers["Idempotency-Key"]
        self._scheduler.step("ask")
        fault = rng.choice(FAULTS) if rng.random() < self._fault_share else ""
        self.met.update([fault] if fault else [])
        await asyncio.sleep(rng.uniform(0, MAX_LATENCY_S))
        if fault == "unreached":
            raise httpx2.ConnectError("no route", request=request)
        if key in self.acknowledged:
            raise BrokenPromise(f"{key} was asked again, though its answer had been acknowledged")
        if fault == "busy":
            return httpx2.Response(503, json={"error": "busy"}, request=request)
        self.answered[key] += 1
        await asyncio.sleep(rng.uniform(0, MAX_LATENCY_S))
        if fault == "lost":
            raise httpx2.ReadError("connection lost", request=request)
        score = hashlib.sha256(json.dumps(json.loads(request.content)).encode()).digest()[0] / 255
        return httpx2.Response(200, json={"score": score}, request=request)


class _Line(httpx2.AsyncBaseTransport):
    """The network as one process has it."""

    def __init__(self, teacher: SimulatedTeacher, process: Process) -> None:
        self._teacher, self._process = teacher, process

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._teacher.reply(request, self._process)
