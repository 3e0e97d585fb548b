"""Results of calls on a workspace: typed, and shown alike on a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmforge.commands.run import Forecast, Listed
from dmforge.curation.contract.collective import StageCounts
from dmforge.curation.exports import Exported
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake import logical_digest
from dmforge.curation.shards.folders import Manifest


@dataclass(frozen=True, slots=True)
class RecipeList(CommandResult):
    """The recipes that a workspace can begin with."""

    recipes: tuple[Listed, ...]

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(recipe) for recipe in self.recipes]

    def blocks(self) -> Iterator[Block]:
        yield TextTable(["recipe", "what it builds"], [[recipe.name, recipe.description] for recipe in self.recipes])


@dataclass(frozen=True, slots=True)
class Plan(CommandResult):
    """What a run would do and cost, stage by stage."""

    stages: tuple[Forecast, ...]
    waiting_files: int
    """Files that the recipe itself names and that no run has registered yet: they are not in the forecast."""

    @property
    def cost(self) -> float:
        """The expected cost in dollars."""
        return sum(forecast.cost.usd for forecast in self.stages)

    @property
    def blocked(self) -> Forecast | None:
        """The stage before which a run would end, since something has to be made by other means first."""
        return next((forecast for forecast in self.stages if forecast.blocked_by), None)

    def as_json(self) -> dict[str, Any]:
        return {"stages": list(map(_forecast_json, self.stages)), "cost": self.cost}

    def blocks(self) -> Iterator[Block]:
        columns = ["stage", "to do", "expected more", "reused", "superseded", "calls", "tokens in", "tokens out", "cost $"]
        yield TextTable(columns, list(map(_forecast_row, self.stages)))


def _forecast_json(forecast: Forecast) -> dict[str, Any]:
    forecast_counts = {"name": forecast.name, **asdict(forecast.tally), **asdict(forecast.cost.usage)}
    more_values = {"expected": forecast.expected, "superseded": forecast.superseded}
    return forecast_counts | more_values | {"cost": forecast.cost.usd, "awaits": forecast.blocked_by}


def _forecast_row(forecast: Forecast) -> list[object]:
    usage = forecast.cost.usage
    spending_cells = (
        [usage.calls, usage.input_tokens, usage.output_tokens, f"{forecast.cost.usd:.2f}"] if usage.calls else [""] * 4
    )
    return [
        forecast.name,
        forecast.tally.pending,
        forecast.expected,
        forecast.tally.settled,
        forecast.superseded,
        *spending_cells,
    ]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Where a stage stands."""

    name: str
    tally: StageCounts
    deferred: Mapping[str, int] | None = None
    """After a run: reason -> inputs that stay pending for it."""
    awaits: str = ""
    """What has to be made by other means before this stage can work."""

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

    @property
    def is_unfinished(self) -> bool:
        """Whether the same run could do more."""
        return any(stage.is_unfinished for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        return {"stages": [stage.as_json() for stage in self.stages], "cost": self.cost}

    def blocks(self) -> Iterator[Block]:
        stage_rows = [[stage.name, *asdict(stage.tally).values()] for stage in self.stages]
        yield TextTable(["stage", "pending", "made", "rejected", "quarantined"], stage_rows)


@dataclass(frozen=True, slots=True)
class PackedFolder(CommandResult):
    """A corpus that was packed as shards."""

    folder: Path
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        return self._counts() | {
            "selection": self.manifest.selection, "path": str(self.folder), "partial": self.manifest.partial,
        }  # fmt: skip

    def blocks(self) -> Iterator[Block]:
        yield f"{self.folder}: " + ", ".join(f"{count} {name}" for name, count in self._counts().items())

    def _counts(self) -> dict[str, Any]:
        return {"shards": len(self.manifest.shards), "samples": self.manifest.samples, "bytes": self.manifest.bytes}


@dataclass(frozen=True, slots=True)
class ExportFolder(CommandResult):
    """A corpus that was exported for another trainer."""

    folder: Path
    exported: Exported

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.exported), "path": str(self.folder)}

    def blocks(self) -> Iterator[Block]:
        yield f"{self.folder}: {self.exported.samples} samples, {self.exported.left_out} left out"


@dataclass(frozen=True, slots=True)
class LakeDigest(CommandResult):
    """The logical digest of a lake: equal digests are equal corpora, whatever their history."""

    tables: tuple[logical_digest.TableDigest, ...]

    @property
    def digest(self) -> str:
        return logical_digest.digest_of_all(list(self.tables))

    def as_json(self) -> dict[str, Any]:
        digest_rows = [[table_digest.table, table_digest.rows, table_digest.sha256] for table_digest in self.tables]
        return {"columns": ["table", "rows", "sha256"], "rows": digest_rows, "digest": self.digest}

    def blocks(self) -> Iterator[Block]:
        digest_document = self.as_json()
        yield TextTable(digest_document["columns"], digest_document["rows"])
        yield f"digest {self.digest}"


@dataclass(frozen=True, slots=True)
class ReportFile(CommandResult):
    """The page that was written."""

    path: Path

    def as_json(self) -> dict[str, Any]:
        return {"report": str(self.path), "bytes": self.path.stat().st_size}

    def blocks(self) -> Iterator[Block]:
        yield f"{self.path}: {self.path.stat().st_size} bytes"
