"""What an executor hands to the driver: a batch that is settled, but for the inputs that stay pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dmforge.curation.lake.views import AnyStage
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.settled import Key, Settled
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


Advance = Callable[[int], None]
"""Told, as they happen, how many more inputs were dealt with: for the progress display."""


class Executor(Protocol):
    """Runs a stage over batches, in any order, several at a time. It commits nothing."""

    def execute(
        self, stage: AnyStage, workspace: Workspace, batches: Iterator[WorkBatch], advance: Advance
    ) -> Iterator[Finished]: ...
