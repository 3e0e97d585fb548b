"""What an executor hands to the driver: a batch that is settled, but for the inputs that stay pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from dmforge.curation.lake.views import AnyStage
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.settled import Key, Settled, joined
from dmforge.curation.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Deferred:
    """An input without an outcome: it may work the next time."""

    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A batch as far as it came. `settled` is None where every input was deferred."""

    settled: Settled | None
    deferred: tuple[Deferred, ...] = ()


@dataclass
class Underway:
    """A batch whose inputs are dealt with in pieces, in any order."""

    batch: WorkBatch
    keys: list[Key]
    left: int
    pieces: list[Settled] = field(default_factory=list[Settled])
    deferred: list[Deferred] = field(default_factory=list[Deferred])

    @staticmethod
    def of(batch: WorkBatch) -> Underway:
        """With all of it before it."""
        return Underway(batch, batch.keys(), batch.items.num_rows)

    def finished(self) -> Finished:
        """What its pieces come to."""
        return Finished(joined(self.pieces, self.keys) if self.pieces else None, tuple(self.deferred))


Advance = Callable[[int], None]
"""Told, as they happen, how many more inputs were dealt with: for the progress display."""


class Executor(Protocol):
    """Runs a stage over batches, in any order, several at a time. It commits nothing."""

    def execute(
        self, stage: AnyStage, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[Finished]: ...
