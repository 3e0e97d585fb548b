"""docs/schema.md, written from the records: every table of a lake, and every column with its type, unit, format and meaning.

`make docs` writes it; a test fails while it says something else than the records, or while a column has no meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from dmforge.curation.audit.described_tables import EXTRA_TABLES, MADE_FROM_COLUMN, columns_of_table, table_meaning
from dmforge.curation.lake.journal_seals import AnswerLine
from dmforge.curation.sources.videos import ListedVideo
from dmforge.recipe import STAGES, stage_class
from dmforge.schemas import formats
from dmforge.schemas.column_meanings import ColumnMeaning, columns_of, structs_of
from dmforge.schemas.evaluated_sample import EvaluatedSample
from dmforge.schemas.later_members import is_later_member
from dmforge.schemas.records import Outcome, Record, format_of

PAGE = Path(__file__).parents[1] / "docs" / "schema.md"
HEAD = """# What is in a lake

Written by `make docs` from the records; what a column means stands under its field there. `dmforge audit columns` says the
same of a lake of your own, members of structs included, and views that DuckDB alone opens have it as comments
([audit.md](audit.md#in-duckdb-alone)).

Tables are Parquet: `lake/<table>/part-<stage>-<id>.parquet`. *Since* is the number of the table's format that introduced a
column, and *members* that of the latest member of its struct; rows of older parts have the default: nothing, none or 0. A
workspace's numbers stand in its `format.json` ([compatibility.md](compatibility.md)).

| type | in Parquet | in `current` views and printed |
|---|---|---|
| id | 16 bytes | `task_mzxw6...`, with the kind of what it names |
| text | string, UTF-8 | |
| whole number | 64 bits, signed | hundredths of a second as seconds |
| number | double | |
| true or false | boolean | |
| fraction | struct `num`, `den` of whole numbers | `2`, `0.5`, `30000/1001` |
| list, struct | list, struct | |

Nothing is null but where *or none* stands.
"""
LINES = """
## Lines

Each line is a JSON object, or a list, with a seal: a sha256 of all else in it. One without a seal was written before there
were seals, or by a person.

| file | a line | format |
|---|---|---|
"""
WORKSPACE = f"workspace {formats.WORKSPACE}"
FILES = (
    ("journal/<model>/<writer>.jsonl", "an answer that was paid for: [below](#answerline)", f"journal {formats.JOURNAL}"),
    ("inputs/videos.jsonl", "a video that was brought: [below](#listedvideo), and `seal`", WORKSPACE),
    (
        "inputs/annotations/*.jsonl",
        "first what is claimed of all questions, and how many there are; then a list each: the video's id, file and row, the "
        "question as JSON, the seal",
        WORKSPACE,
    ),
    ("inputs/benchmarks/*.jsonl", "the same of videos and questions that nothing may be trained on", WORKSPACE),
    (
        "inputs/reviews/<name>.jsonl",
        "a decision: `subject`, `video`, `decision`, `reason`, `note`, `seal`, and `gold` (`answer`, `windows`) where that is "
        "corrected; of several on a subject the last counts",
        WORKSPACE,
    ),
    ("inputs/forgotten.jsonl", "a takedown: `video`, `reason`, `seal`", WORKSPACE),
    (
        "inputs/further_attempts.jsonl",
        "one more round of attempts for a rejected input: `stage`, `input`, `video`, `reason`, `seal`",
        WORKSPACE,
    ),
)
FOOT = f"""
Commits, receipts and records of runs are one JSON document each: [lake.md](lake.md). Members of shards, their documents and
the index (shards {formats.SHARDS}, documents up to {formats.DOCUMENTS}, frames up to {formats.FRAMES}):
[shards.md](shards.md).
"""


def tables() -> dict[str, type[Record]]:
    """Every table that a stage reads or makes, and that of evaluations, in alphabetical order."""
    records = {record.table: record for name in STAGES for record in (stage_class(name).reads, *stage_class(name).makes)}
    return dict(sorted({**records, EvaluatedSample.table: EvaluatedSample}.items()))


def table_columns(record: type[Record]) -> list[ColumnMeaning]:
    """The columns of a table as its parts have them."""
    return [*columns_of(record), *([MADE_FROM_COLUMN] if _makers(record) else [])]


def structs() -> list[type]:
    """Every dataclass that is a column's type, or a member's, in alphabetical order."""
    inner_structs = {struct for record in (*tables().values(), Outcome) for struct in structs_of(record)}
    return sorted(inner_structs, key=lambda struct: struct.__name__)


def page() -> str:
    """The whole page."""
    parts = [HEAD, "\n## Tables\n"]
    for table, record in tables().items():
        parts += [f"\n### {table}\n", f"{table_meaning(record)} {_origin(record)}\n", *_rows(table_columns(record))]
    parts += [f"\n### {Outcome.table}\n", f"{table_meaning(Outcome)} Filled by every stage.\n", *_rows(columns_of(Outcome))]
    parts.append("\n## Structs\n")
    for struct in structs():
        later_members = frozenset(member.name for member in fields(struct) if is_later_member(member))
        parts += [f"\n### {struct.__name__}\n", f"{table_meaning(struct)}\n", *_rows(columns_of(struct), later_members)]
    parts.append("\n## Beside them in audits\n\nThese lie in no part: audits make them, and views hold copies.\n")
    for table, row in sorted(EXTRA_TABLES.items()):
        if table != EvaluatedSample.table:
            parts += [f"\n### {table}\n", f"{table_meaning(row)}\n", *_rows(columns_of_table(table, row))]
    parts.append(LINES + "\n".join(f"| `{file}` | {line} | {number} |" for file, line, number in FILES) + "\n" + FOOT)
    for line in (AnswerLine, ListedVideo):
        parts += [f"\n### {line.__name__}\n", f"{table_meaning(line)}\n", *_rows(columns_of(line))]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts) + "\n")


def _makers(record: type[Record]) -> list[str]:
    return [name for name in STAGES if record in stage_class(name).makes]


def _origin(record: type[Record]) -> str:
    """Who fills a table, how its ids are printed, and its format."""
    listing = [name for name in STAGES if stage_class(name).reads is record] if not _makers(record) else []
    filled = "Filled by `dmforge evaluate`." if record is EvaluatedSample else f"Filled by {', '.join(_makers(record))}."
    origin = f"The inputs of {' and '.join(listing)}." if listing else filled
    return f"{origin} Ids are printed `{record.kind}_...`. Format {format_of(record)}."


def _rows(columns: Sequence[ColumnMeaning], later_members: Collection[str] = ()) -> Iterator[str]:
    struct_names = {struct.__name__ for struct in structs()}
    yield "| column | type | unit | since | |\n|---|---|---|---|---|"
    for column in columns:
        words = column.type.replace(",", " ,").split()
        linked = " ".join(f"[{word}](#{word.lower()})" if word in struct_names else word for word in words)
        since = (
            str(column.since)
            if column.members_since in (0, column.since)
            else f"{column.since}, members {column.members_since}"
        )
        since = "later" if column.name in later_members else since
        cells = (f"`{column.name}`", linked.replace(" ,", ","), column.unit, since, column.meaning.replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
