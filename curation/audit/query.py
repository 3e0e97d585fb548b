"""Named questions to the lake, answered by DuckDB over the committed parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from dmforge.curation.lake.views import View, interruptible
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

QUERIES = Path(__file__).parent / "queries"


@dataclass(frozen=True, slots=True)
class Answer:
    """A table."""

    columns: list[str]
    rows: list[list[Any]]


def names() -> list[str]:
    return sorted(path.stem for path in QUERIES.glob("*.sql"))


Tables = Mapping[str, Callable[[], pa.Table]]
"""Tables beside the lake, made when a query names them."""


def ask(view: View, name: str, beside: Tables = MappingProxyType({})) -> Answer:
    """The answer to a named query: over every table of the lake, and `stages`, with where each of them stands."""
    if name not in names():
        raise InputError(f"there is no query {name!r}", where="audit", mend=nearest(name, names()))
    cursor = view.connection.cursor()
    cursor.register("stages", _stages(view))
    sql = (QUERIES / f"{name}.sql").read_text("utf-8")
    for table, make in beside.items():
        if re.search(rf"\b{table}\b", sql):
            cursor.register(table, make())
    with interruptible():
        found = cursor.execute(sql)
        columns = [column[0] for column in found.description or []]
        return Answer(columns, [list(row) for row in found.fetchall()])


def _stages(view: View) -> pa.Table:
    tallies = [(stage.name, view.tally(stage)) for stage in view.stages]
    return pa.table({
        "position": pa.array(range(len(tallies)), pa.int64()),
        "stage": pa.array([name for name, _ in tallies], pa.string()),
        "inputs": pa.array([tally.settled + tally.pending for _, tally in tallies], pa.int64()),
        "pending": pa.array([tally.pending for _, tally in tallies], pa.int64()),
    })  # fmt: skip
