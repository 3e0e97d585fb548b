"""What each column of each table means that an audit can ask: those of the lake, and those that stand beside them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

import pyarrow as pa

from dmforge.curation.audit.extra_rows import BroughtVideo, ModelPrice, StageStanding
from dmforge.curation.audit.undescribed_parts import UndescribedPart
from dmforge.curation.contract.collective import View
from dmforge.curation.contract.stage_results import MADE_FROM
from dmforge.curation.engine.run_log import StageOfRun
from dmforge.curation.lake.evaluations import EVALUATION
from dmforge.curation.lake.journal_table import JournalAnswer
from dmforge.curation.sources.reviews import Review
from dmforge.schemas.column_meanings import PLAIN_TYPES, ColumnMeaning, columns_of, columns_with_members
from dmforge.schemas.columns import schema
from dmforge.schemas.evaluated_sample import EvaluatedSample
from dmforge.schemas.records import RECORDS, Outcome, Record
from dmforge.schemas.units import FormatNumber

MADE_FROM_COLUMN = ColumnMeaning(
    MADE_FROM, PLAIN_TYPES[bytes], "", 1, "The input of its stage that the row was made from. The row counts while that does."
)
EVALUATION_COLUMN = ColumnMeaning(
    EVALUATION, PLAIN_TYPES[str], "", 1, "A digest of checkpoint, samples and settings: those of one were measured together."
)


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A column of a table, or a member of a struct in one."""

    table_name: str
    """The table."""
    column_name: str
    """The column; of a member with the columns that it is in, as `look.window.start_cs`."""
    type: str
    """Of its values, in words."""
    unit: str
    """Of numbers; empty for all else."""
    since: FormatNumber
    """The number of the table's format that introduced it."""
    meaning: str
    """What it says."""


EXTRA_TABLES: Mapping[str, type] = MappingProxyType({
    "answers": JournalAnswer, "brought": BroughtVideo, "column_meanings": DescribedColumn, "evaluations": EvaluatedSample,
    "gaps": UndescribedPart, "prices": ModelPrice, "reviews": Review, "run_stages": StageOfRun, "stages": StageStanding,
})  # fmt: skip
"""The rows of each table that stands beside those of the lake."""


def tables_of_recipe(view: View) -> dict[str, type]:
    """The tables of a recipe, in the order in which its stages fill them, and those beside them."""
    made = {record.table: record for record in (*RECORDS, *(record for stage in view.stages for record in stage.makes))}
    return {**made, Outcome.table: Outcome, **EXTRA_TABLES}


def columns_of_table(table: str, row: type) -> list[ColumnMeaning]:
    """The columns of a table as audits read it, without the members of structs."""
    return [*columns_of(row), *_further_columns(table, row)]


def meanings(view: View) -> pa.Table:
    """Every column of every table, for audits."""
    rows = [
        asdict(DescribedColumn(table, column.name, column.type, column.unit, column.since, column.meaning))
        for table, row in tables_of_recipe(view).items()
        for column in (*columns_with_members(row), *_further_columns(table, row))
    ]
    return pa.Table.from_pylist(rows, schema(DescribedColumn))


def _further_columns(table: str, row: type) -> Iterator[ColumnMeaning]:
    """What is said of a row where it is stored, and not by itself."""
    if table == EvaluatedSample.table:
        yield EVALUATION_COLUMN
    elif issubclass(row, Record) and table not in EXTRA_TABLES:
        yield MADE_FROM_COLUMN


def table_meaning(row: type) -> str:
    """What a row of a table is."""
    return " ".join((inspect.getdoc(row) or "").split())


def as_read(column: ColumnMeaning) -> ColumnMeaning:
    """A column as people read it: seconds, printed ids and densities."""
    name = f"{column.name.removesuffix('_cs')}_s" if column.name.endswith("_cs") else column.name
    return replace(column, name=name, unit="seconds" if name != column.name else column.unit)
