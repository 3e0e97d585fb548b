"""Where the stages of a workspace stand, as a table for people and a document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dmforge.curation.io.command_result import Block, CommandResult, TextTable

if TYPE_CHECKING:
    from dmforge.curation.contract.collective import StageCounts
    from dmforge.curation.contract.request_totals import SpentByStage


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Where a stage stands."""

    name: str
    tally: StageCounts
    deferred: Mapping[str, int] | None = None
    """After a run: reason -> inputs that stay pending for it."""
    awaits: str = ""
    """What has to be made by other means before this stage can work."""
    is_in_vain: bool = False
    """After a run: all of its inputs are rejected since no reply of a teacher could be used."""
    to_change: str = ""
    """After a run: what to change first, where the same run would end alike."""

    @property
    def is_unfinished(self) -> bool:
        """Whether the same run could do more."""
        return self.tally.pending > 0 and not self.awaits

    def as_json(self) -> dict[str, Any]:
        stage_counts = {"name": self.name, **asdict(self.tally)}
        return (
            stage_counts if self.deferred is None else stage_counts | {"deferred": dict(self.deferred), "awaits": self.awaits}
        )


@dataclass(frozen=True, slots=True)
class StageTable(CommandResult):
    """Where every stage stands, and what all runs have cost."""

    stages: tuple[StageStatus, ...]
    cost: float
    """Dollars."""
    spent: SpentByStage | None = None
    """After a run: what it spent itself."""
    requests_out: tuple[str, ...] = ()
    """A line for each model that owes answers in batches."""

    @property
    def is_unfinished(self) -> bool:
        """Whether the same run could do more."""
        return any(stage.is_unfinished for stage in self.stages)

    @property
    def asked_in_vain(self) -> list[str]:
        """The stages that asked, in this run or before it, and of whose inputs none ever led to anything."""
        asking_stages = set(self.spent.stages) if self.spent else set[str]()
        in_vain = (stage for stage in self.stages if stage.is_in_vain or stage.name in asking_stages)
        return [stage.name for stage in in_vain if not stage.tally.made]

    @property
    def to_change(self) -> dict[str, str]:
        """By stage: what to change first, where the same run would end alike."""
        return {stage.name: stage.to_change for stage in self.stages if stage.to_change}

    def as_json(self) -> dict[str, Any]:
        document = {"stages": [stage.as_json() for stage in self.stages], "cost": self.cost}
        document |= {"requests_out": list(self.requests_out)} if self.requests_out else {}
        return document if self.spent is None else document | {"spent": self.spent.as_json()}

    def blocks(self) -> Iterator[Block]:
        rows = [[stage.name, *asdict(stage.tally).values()] for stage in self.stages]
        yield TextTable(["stage", "pending", "made", "rejected", "quarantined"], rows)
        yield from self.requests_out
