"""Results of calls on a workspace: typed, and shown alike on a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmforge.commands.plan import Forecast
from dmforge.commands.run import Listed
from dmforge.curation.contract.budget import Usage, print_amount
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
    remarks: tuple[str, ...] = ()
    """What is to be said of the recipe's prices, and of what is out in batches."""

    @property
    def cost(self) -> float:
        """The expected cost in dollars."""
        return sum(forecast.cost.usd for forecast in self.stages)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Stages that will ask, whose cost isn't known yet: it is missing from the sum."""
        return tuple(forecast.name for forecast in self.stages if forecast.has_unknown_cost)

    @property
    def blocked(self) -> Forecast | None:
        """The stage before which a run would end, since something has to be made by other means first."""
        return next((forecast for forecast in self.stages if forecast.blocked_by), None)

    def notes(self) -> Iterator[str]:
        """What the numbers don't say."""
        if self.waiting_files:
            hint = "dmforge run --until ingest, and plan again"
            yield f"{self.waiting_files} files of the recipe's [bring] are not taken in yet: {hint}"
        if self.blocked is not None:
            yield f"a run ends before {self.blocked.name}: {self.blocked.blocked_by}"
        if self.unpriced:
            hint = "a pilot tells: dmforge run --videos 20, and plan again"
            yield f"the cost of {', '.join(self.unpriced)} isn't known yet and not in the sum: {hint}"

    def as_json(self) -> dict[str, Any]:
        return {"stages": list(map(_forecast_json, self.stages)), "cost": self.cost, "remarks": list(self.remarks)}

    def blocks(self) -> Iterator[Block]:
        count_titles = ["to do", "expected more", "reused", "superseded", "read anew"]
        column_titles = ["stage", *count_titles, "calls", "tokens in", "tokens out", "cost $"]
        total_usage = sum((forecast.cost.usage for forecast in self.stages), Usage())
        total_row = [
            "in all",
            *[""] * len(count_titles),
            total_usage.calls,
            total_usage.input_tokens,
            total_usage.output_tokens,
            print_amount(self.cost),
        ]
        yield TextTable(column_titles, [*map(_forecast_row, self.stages), total_row])
        yield from self.remarks


def _forecast_json(forecast: Forecast) -> dict[str, Any]:
    forecast_counts = {"name": forecast.name, **asdict(forecast.tally), **asdict(forecast.cost.usage)}
    further_counts = {"expected": forecast.expected, "superseded": forecast.superseded, "read_anew": forecast.read_anew}
    return forecast_counts | further_counts | {"cost": forecast.cost.usd, "awaits": forecast.blocked_by}


def _forecast_row(forecast: Forecast) -> list[object]:
    usage = forecast.cost.usage
    spent_cells = (
        [usage.calls, usage.input_tokens, usage.output_tokens, print_amount(forecast.cost.usd)] if usage.calls else [""] * 4
    )
    count_cells = [forecast.tally.pending, forecast.expected, forecast.tally.settled, forecast.superseded, forecast.read_anew]
    return [forecast.name, *count_cells, *spent_cells]


@dataclass(frozen=True, slots=True)
class PackedFolder(CommandResult):
    """A corpus that was packed as shards."""

    folder: Path
    manifest: Manifest
    remarks: tuple[str, ...] = ()
    """What is to be said of its looks."""

    def as_json(self) -> dict[str, Any]:
        remarks = {"remarks": list(self.remarks)} if self.remarks else {}
        return self._counts() | {
            "selection": self.manifest.selection, "path": str(self.folder), "partial": self.manifest.partial, **remarks,
        }  # fmt: skip

    def blocks(self) -> Iterator[Block]:
        yield f"{self.folder}: " + ", ".join(f"{count} {name}" for name, count in self._counts().items())
        yield from self.remarks

    def _counts(self) -> dict[str, Any]:
        return {"shards": len(self.manifest.shards), "samples": self.manifest.samples, "bytes": self.manifest.bytes}


@dataclass(frozen=True, slots=True)
class ExportFolder(CommandResult):
    """A corpus that was exported for another trainer."""

    place: str
    """A folder, or an address."""
    exported: Exported

    @property
    def folder(self) -> Path:
        return Path(self.place)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.exported), "path": self.place}

    def blocks(self) -> Iterator[Block]:
        yield f"{self.place}: {self.exported.samples} samples, {self.exported.left_out} left out"
        yield from (f"note: {caveat}" for caveat in self.exported.caveats)


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
class ViewsFile(CommandResult):
    """The views that were written."""

    path: Path
    views: int

    def as_json(self) -> dict[str, Any]:
        return {"file": str(self.path), "views": self.views}

    def blocks(self) -> Iterator[Block]:
        how = f"duckdb DATABASE < {self.path}" if self.path.suffix == ".sql" else f"duckdb -readonly {self.path}"
        yield f"{self.path}: {self.views} views, of what counts now; open them with: {how}"


@dataclass(frozen=True, slots=True)
class ReportFile(CommandResult):
    """The page that was written."""

    path: Path

    def as_json(self) -> dict[str, Any]:
        return {"report": str(self.path), "bytes": self.path.stat().st_size}

    def blocks(self) -> Iterator[Block]:
        yield f"{self.path}: {self.path.stat().st_size} bytes"
