"""docs/schema.md is what the records say, and every column of every table has a meaning, and every number a unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import get_type_hints

import pytest

from dmforge.curation.audit.described_tables import EXTRA_TABLES
from dmforge.curation.contract.stage_results import row_schema
from dmforge.curation.lake.journal_seals import AnswerLine
from dmforge.curation.sources.videos import ListedVideo
from dmforge.schemas.column_meanings import columns_of, columns_with_members, is_number, structs_of
from dmforge.schemas.columns import schema
from dmforge.schemas.evaluated_sample import EvaluatedSample
from dmforge.schemas.record_fields import later
from dmforge.schemas.records import Outcome, Sample, format_of
from tools import schema as schema_page

DESCRIBED = {**schema_page.tables(), "outcomes": Outcome, **EXTRA_TABLES, "journal": AnswerLine, "videos.jsonl": ListedVideo}


def test_the_page_is_that_of_the_records() -> None:
    assert schema_page.PAGE.read_text("utf-8") == schema_page.page(), "stale: make docs"


def described() -> Iterator[tuple[str, type]]:
    """Every table, and every struct in one."""
    yield from DESCRIBED.items()
    yield from ((struct.__name__, struct) for struct in schema_page.structs())


@pytest.mark.parametrize(("name", "row"), [*described()], ids=lambda value: value if isinstance(value, str) else "")
def test_every_column_has_a_meaning_and_every_number_a_unit(name: str, row: type) -> None:
    type_hints = get_type_hints(row)
    columns = columns_of(row)
    assert [column.name for column in columns] == [field.name for field in dataclasses.fields(row)]
    for column in columns:
        assert column.meaning, f"{name}.{column.name}: write a docstring under the field"
        if is_number(type_hints[column.name]):
            assert column.unit, f"{name}.{column.name}: end its name in a unit, or annotate it by one of schemas/units.py"


def test_the_page_has_every_column_that_parts_have() -> None:
    for table, record in schema_page.tables().items():
        names = [column.name for column in schema_page.table_columns(record)]
        is_made = names[-1] == "made_from"
        assert names == (row_schema(record) if is_made else schema(record)).names, table
        assert is_made != (table in {"files", "rows", "seeds", "reviews", "evaluations"}), table


def test_what_came_later_says_since_when() -> None:
    since = {column.name: column.since for column in columns_with_members(Sample)}
    assert since["target"] == since["target.window.start_cs"] == 1
    assert since["target.box"] == since["target.box.x1"] == 2
    assert since["further_targets"] == since["further_targets.fps"] == format_of(Sample) == 3
    assert set(structs_of(EvaluatedSample)) >= set(structs_of(Sample))


@dataclasses.dataclass(frozen=True)
class Base:
    size_bytes: int
    """Of all."""


@dataclasses.dataclass(frozen=True)
class Derived(Base):
    """What it is."""

    """Not a field's."""
    silent: str
    count_of_all: int | None = later(None, since=7)
    """Has a | and
    two lines."""


def test_a_meaning_is_what_stands_under_its_own_field() -> None:
    size, silent, count = columns_of(Derived)
    assert (size.meaning, size.unit, silent.meaning, count.unit) == ("Of all.", "bytes", "", "")
    assert (count.meaning, count.type, count.since) == ("Has a | and two lines.", "whole number, or none", 7)


def test_a_class_without_a_source_has_no_meanings() -> None:
    made = dataclasses.make_dataclass("Made", [("size_bytes", int)])
    (column,) = columns_of(made)
    assert (column.meaning, column.unit) == ("", "bytes")
