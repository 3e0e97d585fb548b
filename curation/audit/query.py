"""Named queries on the lake, answered by DuckDB over the committed parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import pyarrow as pa

from dmforge.curation.audit.described_tables import meanings
from dmforge.curation.audit.extra_rows import StageStanding
from dmforge.curation.audit.undescribed_parts import gaps
from dmforge.curation.contract.collective import View
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake.views import interruptible
from dmforge.schemas.columns import to_arrow
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

FOLDER = Path(__file__).parent
QUERIES, WORDS = FOLDER / "queries", FOLDER / "words"
QUESTION = re.compile(r"-- (.*?\?)")
"""The first line of a query says which question it answers."""
COMMENT = re.compile(r"--.*")
OTHER_TABLES = ("others", "other_decisions", "other_scores")
"""The tables of questions that compare with another selection or another run: no workspace has them by itself."""
NEAR_TABLES = ("near_task_pairs", "near_task_groups")
"""Tables of questions that are nearly the same: worked out when they are asked for."""


@dataclass(frozen=True, slots=True)
class Query:
    """A named query, with the question that it answers."""

    name: str
    question: str
    sql: str


@dataclass(frozen=True, slots=True)
class QueryResult(CommandResult):
    """The answer to a query: columns and rows."""

    columns: list[str]
    rows: list[list[Any]]

    def as_json(self) -> dict[str, Any]:
        return {"columns": self.columns, "rows": self.rows}

    def blocks(self) -> Iterable[Block]:
        yield TextTable(self.columns, [["" if cell is None else cell for cell in row] for row in self.rows])


Tables = Mapping[str, Callable[[], pa.Table]]
"""Further tables, each made when a query names it."""
NO_TABLES: Tables = MappingProxyType({})


def names() -> list[str]:
    return sorted(sql_path.stem for sql_path in QUERIES.glob("*.sql"))


def query(name: str) -> Query:
    """A query by its name."""
    if name not in names():
        raise InputError(f"there is no query {name!r}", where="audit", hint=nearest(name, names()))
    sql = (QUERIES / f"{name}.sql").read_text("utf-8")
    first_line, _, _ = sql.partition("\n")
    question_match = QUESTION.match(first_line)
    return Query(name, question_match[1] if question_match else first_line, sql)


def compares(name: str) -> bool:
    """Whether a named query compares with another workspace."""
    return _names_any(name, OTHER_TABLES)


def is_worked_out(name: str) -> bool:
    """Whether a named query asks for what only Python works out: it can be no view."""
    return _names_any(name, NEAR_TABLES)


def _names_any(name: str, tables: Iterable[str]) -> bool:
    return name in names() and any(is_named(table, COMMENT.sub("", query(name).sql)) for table in tables)


def listed() -> QueryResult:
    """The names and questions of all queries."""
    return QueryResult(["query", "question"], [[named_query.name, named_query.question] for named_query in map(query, names())])


def ask(view: View, name: str, extra_tables: Tables = NO_TABLES) -> QueryResult:
    """The answer to a named query: over every table of the lake, and `stages`, with where each of them stands."""
    return as_answer(ask_table(view, name, extra_tables))


def ask_table(view: View, name: str, extra_tables: Tables = NO_TABLES) -> pa.Table:
    """The answer to a named query as an Arrow table."""
    sql = COMMENT.sub("", query(name).sql)  # a word of prose is no table, and the journal is long
    cursor = view.cursor(with_words(sql))
    prepare(cursor, sql, {**tables_of(view), **extra_tables})
    with interruptible():
        return cursor.sql(sql).to_arrow_table()


def word_table(word: str, view: View) -> pa.Table:
    """All rows of a word that queries share; `word` is one of our own."""
    cursor = view.cursor(with_words(word))
    prepare(cursor, word, tables_of(view))
    with interruptible():
        return cursor.sql(f"SELECT * FROM {word}").to_arrow_table()


def as_answer(table: pa.Table) -> QueryResult:
    cell_columns = [column.to_pylist() for column in table.columns]
    return QueryResult(table.column_names, [list(row) for row in zip(*cell_columns, strict=True)])


def prepare(connection: duckdb.DuckDBPyConnection, sql: str, extra_tables: Tables) -> None:
    """Give a connection the tables and words that SQL names: tables first, since words may be defined over them."""
    sql_with_words = with_words(sql)
    for table_name, make_table in extra_tables.items():
        if is_named(table_name, sql_with_words):
            connection.register(table_name, make_table())
    for statement in named_words(sql).values():
        connection.execute(statement)


def words() -> dict[str, str]:
    """Statements that define the words that queries share, each behind the words that it names itself."""
    unordered = {sql_path.stem: COMMENT.sub("", sql_path.read_text("utf-8")) for sql_path in sorted(WORDS.glob("*.sql"))}
    ordered = dict[str, str]()
    while unordered:
        word_name = next(name for name, statement in unordered.items() if not _others_named(name, statement, unordered))
        ordered[word_name] = unordered.pop(word_name)
    return ordered


def _others_named(word_name: str, statement: str, word_names: Iterable[str]) -> bool:
    return any(is_named(other_name, statement) for other_name in word_names if other_name != word_name)


def named_words(sql: str) -> dict[str, str]:
    """The words that SQL names, and those that these name."""
    named = dict[str, str]()
    for word_name, statement in reversed(words().items()):
        if is_named(word_name, " ".join([sql, *named.values()])):
            named[word_name] = statement
    return dict(reversed(named.items()))


def with_words(sql: str) -> str:
    """A query with the statements that define its words: together they name every table that it reads."""
    return " ".join([sql, *named_words(sql).values()])


def is_named(name: str, sql: str) -> bool:
    """Whether SQL may mean this table or word."""
    return re.search(rf"\b{name}\b", sql, re.IGNORECASE) is not None


def tables_of(view: View) -> Tables:
    """What questions may ask beside the tables of the lake: where stages stand, what was not described, what columns mean."""
    return {"stages": lambda: stages(view), "gaps": lambda: gaps(view), "column_meanings": lambda: meanings(view)}


def stages(view: View) -> pa.Table:
    """Where each stage of the recipe stands, in their order."""
    stage_tallies = [(stage.name, view.tally(stage)) for stage in view.stages]
    standings = [
        StageStanding(position, stage_name, stage_tally.settled + stage_tally.pending, stage_tally.pending)
        for position, (stage_name, stage_tally) in enumerate(stage_tallies)
    ]
    return pa.Table.from_batches([to_arrow(StageStanding, standings)])
