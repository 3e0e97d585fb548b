"""What an executor hands to the driver: a settled batch, with the inputs that stay pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.contract.stage_results import Key, Result, StageResults, joined, settle
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder


@dataclass(frozen=True, slots=True)
class Deferred:
    """An input without an outcome: it stays pending and may work the next time."""

    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """A batch after its work. `settled` is None where every input was deferred."""

    settled: StageResults | None
    deferred: tuple[Deferred, ...] = ()


@dataclass
class OpenBatch:
    """A batch in progress in this process, whose inputs get their results one by one, in any order."""

    keys: list[Key]
    results: dict[int, Result] = field(default_factory=dict[int, Result])
    """By the number of the input in the batch."""
    deferred: list[Deferred] = field(default_factory=list[Deferred])

    @property
    def is_done(self) -> bool:
        return len(self.results) + len(self.deferred) == len(self.keys)

    def finished(self, stage: AnyStage) -> FinishedBatch:
        """The finished batch, its results in the order of its inputs."""
        settled_indices = sorted(self.results)
        stage_results = settle(
            stage.origin,
            [self.keys[input_index] for input_index in settled_indices],
            [self.results[input_index] for input_index in settled_indices],
            stage.makes,
        )
        return FinishedBatch(stage_results if settled_indices else None, tuple(self.deferred))


@dataclass
class BatchInProgress:
    """A batch in progress, whose inputs are processed in pieces elsewhere, in any order."""

    batch: WorkBatch
    keys: list[Key]
    inputs_left: int
    pieces: list[StageResults] = field(default_factory=list[StageResults])
    deferred: list[Deferred] = field(default_factory=list[Deferred])

    @staticmethod
    def of(batch: WorkBatch) -> BatchInProgress:
        """A batch with no input processed yet."""
        return BatchInProgress(batch, batch.keys(), batch.items.num_rows)

    def finished(self) -> FinishedBatch:
        """The finished batch, its pieces joined."""
        return FinishedBatch(joined(self.pieces, self.keys) if self.pieces else None, tuple(self.deferred))


Advance = Callable[[int], None]
"""Called with the number of further inputs that were processed: for the progress display."""


class Executor(Protocol):
    """Runs a stage over batches, in any order, several at a time. It commits nothing."""

    def execute(
        self, stage: AnyStage, workspace: WorkspaceFolder, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[FinishedBatch]: ...
