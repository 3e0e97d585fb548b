"""Stages that misbehave in every way that decoders of foreign files have been seen to."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pyarrow as pa

from dmforge.curation.contract.stage import Ask, AskConfig, Batch, Each, EachConfig, Root, Stage, StageConfig
from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.curation.engine.executors.batch_results import FinishedBatch
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.rehearsal import RehearsalNumber
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import to_arrow
from dmforge.schemas.errors import DmforgeError, Transient
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Task, Verdict, Video

VIDEO = digest("video", "one")


class MisbehaveConfig(EachConfig):
    """How the stage misbehaves, and at which input."""

    how: str
    """How it misbehaves."""
    number: int = 5
    """The number of the input at which it misbehaves."""
    traces: str = ""
    """A folder in which every attempt leaves a file."""


class Misbehave(Each[RehearsalNumber, Verdict]):
    name, version = "misbehave", 1
    config: MisbehaveConfig

    def process(self, item: RehearsalNumber) -> Result:
        if self.config.traces:
            (Path(self.config.traces) / f"{item.number}-{time.monotonic_ns()}").touch()
        if item.number == self.config.number or self.config.how.startswith("all_"):
            misbehave(self.config.how)
        return Made((verdict(item),))


class Stuck(Misbehave):
    """Hangs before it has an input to blame."""

    def open(self, workspace: WorkspaceFolder) -> None:
        time.sleep(1e6)


class Dies(Misbehave):
    """Its process dies before it has an input."""

    def open(self, workspace: WorkspaceFolder) -> None:
        os._exit(3)


class EchoConfig(AskConfig):
    """Which inputs are slow or fail."""

    slow: int = -1
    """The number of the input that takes `slow_s`."""
    slow_s: float = 0.0
    """Seconds that the slow input takes."""
    transient: int = -1
    """The number of the input that fails for now."""
    fatal: int = -1
    """The number of the input that stops the stage."""


class Echo(Ask[RehearsalNumber, Verdict]):
    name, version = "echo", 1
    config: EchoConfig

    def open(self, workspace: WorkspaceFolder) -> None:
        self.in_flight = self.max_in_flight = 0

    async def process(self, item: RehearsalNumber) -> Result:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        await asyncio.sleep(self.config.slow_s if item.number == self.config.slow else 0.001)
        self.in_flight -= 1
        if item.number == self.config.transient:
            raise Transient("quota")
        if item.number == self.config.fatal:
            raise DmforgeError("the key was refused")
        return Made((verdict(item),))


class Ahead(Batch[RehearsalNumber, Verdict]):
    """Reads ahead over the ends of batches, as an engine with continuous batching does."""

    name, version = "ahead", 1
    config: StageConfig

    def process(self, items: Iterator[RehearsalNumber]) -> Iterator[Result]:
        pending: list[RehearsalNumber] = []
        for item in items:
            pending.append(item)
            if len(pending) == 7:
                yield from (Made((verdict(seed),)) for seed in pending)
                pending.clear()
        yield from (Rejected("late") for _ in pending)


def verdict(item: RehearsalNumber) -> Verdict:
    return Verdict(item.video, item.id, "task", "misbehave", float(item.number), 1)


def misbehave(how: str) -> None:
    match how:
        case "sleep":
            time.sleep(1e6)
        case "sleep_holding_the_gil":
            ctypes.PyDLL(None).sleep(1_000_000)
        case "spin":
            while True:
                pass
        case "eat_memory":
            hoard = [bytearray(10 << 20) for _ in range(1000)]
            del hoard
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit" | "all_exit":
            os._exit(3)
        case "raise" | "all_raise":
            raise ValueError("not what it says it is")
        case "raise_with_address":
            raise ValueError(f"no stream in {object()}")
        case "transient":
            raise Transient("the disk was busy")
        case _:
            pass


def seeds(count: int) -> list[RehearsalNumber]:
    return [RehearsalNumber(VIDEO, number) for number in range(count)]


def batches(count: int, size: int) -> Iterator[WorkBatch]:
    all_seeds = seeds(count)
    for start in range(0, count, size):
        batch_seeds = all_seeds[start : start + size]
        yield WorkBatch(
            pa.Table.from_batches([to_arrow(RehearsalNumber, batch_seeds)]),
            [seed.id for seed in batch_seeds],
            [VIDEO] * len(batch_seeds),
        )


def execute(stage: Stage[RehearsalNumber, Verdict], workspace: Path, count: int, size: int) -> list[FinishedBatch]:
    return list(LocalExecutor().execute(stage, WorkspaceFolder(workspace), batches(count, size), lambda _: None))


def statuses(finished: list[FinishedBatch]) -> dict[Id, tuple[str, str]]:
    """Outcome and reason of each input."""
    rows = [row for batch in finished if batch.settled for row in batch.settled.outcomes.to_pylist()]
    assert len(rows) == len({row["input"] for row in rows})
    return {row["input"]: (row["status"], row["reason"]) for row in rows}


class Halve(Root, Each[RehearsalNumber, Task]):
    """Makes the same task from each two numbers."""

    name, version = "halve", 1
    config: EachConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return "forty"

    def scan(self, workspace: WorkspaceFolder) -> Iterator[RehearsalNumber]:
        yield from seeds(40)

    def process(self, item: RehearsalNumber) -> Result:
        return Made((Task(VIDEO, "open", f"half of {item.number // 2 * 2}", (), "", (), "any"),))


class HalveOnce(Halve):
    """Makes the same task from each two numbers, and allows repeats."""

    allows_duplicate_rows = True


def misbehaving(how: str, tmp_path: Path, **limits: float) -> Misbehave:
    settings = {
        "how": how,
        "workers": 2,
        "cpu_s": 20,
        "hang_timeout_s": 20,
        "wall_timeout_s": 60,
        "memory_mb": 300,
        "traces": str(tmp_path),
    } | limits
    return Misbehave(MisbehaveConfig.model_validate(settings))


class Film(Root, Each[RehearsalNumber, Video]):
    """Makes videos of two sources from numbers."""

    name, version = "film", 1
    config: EachConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return "ten"

    def scan(self, workspace: WorkspaceFolder) -> Iterator[RehearsalNumber]:
        for number in range(10):
            yield RehearsalNumber(film(number).id, number)

    def process(self, item: RehearsalNumber) -> Result:
        return Made((film(item.number),))


def film(number: int) -> Video:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return Video(sha256, 100, 64, 64, Fraction(25), "h264", 0, 1000, source="theirs" if number % 2 else "ours")
