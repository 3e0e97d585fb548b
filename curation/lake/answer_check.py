"""Holds the answers in the journal against their seals, and against what rows that were made from them repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.io.batching import batched
from dmforge.curation.lake.commits import Commit, Lake
from dmforge.curation.lake.database import CONNECTION, interruptible
from dmforge.curation.lake.journal import HEAD, read_line
from dmforge.curation.lake.journal_seals import reply_digest
from dmforge.curation.lake.parts import Part
from dmforge.curation.lake.sql_text import quoted_path
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import ID_BYTES, Id, read, show

TORN = "half a line at its end"
"""What a kill leaves, and a file that was cut short: such a line was never acknowledged, and the next run cuts it off."""
REPEATED = "answers"
"""The column of digests; `requests`, or in some tables `request`, says of which answers."""
REPLY_DIGESTS = pa.schema([("key", pa.binary(ID_BYTES)), ("reply", pa.binary(ID_BYTES))])
BATCH_ROWS = 10_000
GONE = "the journal has no such answer"
OTHERWISE = "the journal says something else there"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A line of the journal, with what is wrong with it."""

    path: Path
    number: int
    offset: int
    key: Id = b""
    reply_digest: Id = b""
    """The digest of what it says."""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class UnheldAnswer:
    """An answer that a row was made from, and that the journal doesn't hold as the row repeats it."""

    part: Path
    row: Id
    request: str
    fault: str
    line: JournalLine | None
    """A line with that key, if there is one."""

    def __str__(self) -> str:
        place = "" if self.line is None else f"{self.line.path.name}, line {self.line.number}: "
        return f"{place}{self.request}: {self.fault}"


def scanned_lines(journal_path: Path) -> Iterator[JournalLine]:
    """Every line of a file, held against its seal."""
    line_offset = 0
    with disk_errors(journal_path), journal_path.open("rb") as journal_file:
        for line_number, journal_line in enumerate(journal_file, 1):
            yield _scanned(JournalLine(journal_path, line_number, line_offset), journal_line)
            line_offset += len(journal_line)


def _scanned(place: JournalLine, line: bytes) -> JournalLine:
    if not line.endswith(b"\n"):
        return JournalLine(place.path, place.number, place.offset, fault=TORN)
    try:
        head_match, record = HEAD.match(line), read_line(line)
        if head_match is None:
            raise ValueError("it doesn't begin with a key")
        key = read(head_match[1].decode())[1]
        return JournalLine(place.path, place.number, place.offset, key, reply_digest(record["answer"]))
    except ValueError as error:
        return JournalLine(place.path, place.number, place.offset, fault=str(error))


def journal_files(workspace: WorkspaceFolder) -> list[Path]:
    return sorted(workspace.journal.glob("*/*.jsonl"))


def check_answers(lake: Lake) -> None:
    """Check that no line of the journal was changed, nor says something else than rows that were made from it; an error names
    the file and the line. Of a line that is gone the rows stand: `dmforge verify -w` names it."""
    damaged_lines: list[JournalLine] = []

    def sound_lines() -> Iterator[JournalLine]:
        for journal_path in journal_files(lake.workspace):
            for line in scanned_lines(journal_path):
                if line.fault and line.fault != TORN:
                    damaged_lines.append(line)
                yield line

    unheld = unheld_answers(lake, lake.commits.values(), sound_lines())
    hint = "`dmforge verify -w WS` names all that is wrong, and what can be had again"
    for line in damaged_lines:
        raise LakeError(f"line {line.number} was changed: {line.fault}", where=str(line.path), hint=hint)
    for answer in unheld:
        if answer.line is not None:
            raise LakeError(f"{answer}; {answer.part.name} was made from it", where=str(answer.line.path), hint=hint)


def unheld_answers(lake: Lake, commits: Iterable[Commit], lines: Iterator[JournalLine]) -> list[UnheldAnswer]:
    """The answers that rows repeat and that none of these lines holds. All lines are read, whatever rows there are."""
    parts = {str(part.path(lake.workspace.lake)): part for commit in commits for part in commit.parts}
    row_selects = [sql for path, part in sorted(parts.items()) if (sql := _repeated_sql(Path(path), part))]
    with duckdb.connect(config=CONNECTION) as database, interruptible():
        database.register("lines", pa.RecordBatchReader.from_batches(REPLY_DIGESTS, _batches(lines)))
        database.execute("CREATE TABLE replies AS SELECT * FROM lines")
        if not row_selects:
            return []
        database.execute(f"CREATE TABLE repeated AS {' UNION ALL '.join(row_selects)}")
        unheld_sql = (
            "SELECT r.* FROM repeated r ANTI JOIN replies s ON s.key = r.request AND s.reply = r.answer ORDER BY 1, 2, 3"
        )
        unheld_rows = database.execute(unheld_sql).fetchall()
    line_by_key = _lines_of(lake.workspace, {request for _, _, request, _ in unheld_rows})
    return [
        UnheldAnswer(
            Path(path), row_id, show("ask", request), OTHERWISE if request in line_by_key else GONE, line_by_key.get(request)
        )
        for path, row_id, request, _ in unheld_rows
    ]


def _repeated_sql(part_path: Path, part: Part) -> str:
    """SQL of the answers that the rows of a part repeat; nothing where its table, or its format, repeats none."""
    if part.table == "outcomes" or REPEATED not in (columns := pq.read_schema(part_path).names):
        return ""
    requests = "requests" if "requests" in columns else "[request]"
    pairs = (
        f"SELECT id, unnest({requests}) AS request, unnest({REPEATED}) AS answer FROM read_parquet({quoted_path(part_path)})"
    )
    return f"SELECT {quoted_path(part_path)} AS part, * FROM ({pairs} WHERE len({REPEATED}) = len({requests}))"


def _batches(lines: Iterator[JournalLine]) -> Iterator[pa.RecordBatch]:
    for line_batch in batched((line for line in lines if line.key), BATCH_ROWS):
        columns = [[line.key for line in line_batch], [line.reply_digest for line in line_batch]]
        yield pa.record_batch([pa.array(column, pa.binary(ID_BYTES)) for column in columns], schema=REPLY_DIGESTS)


def _lines_of(workspace: WorkspaceFolder, keys: set[Id]) -> dict[Id, JournalLine]:
    """The last line of each of these keys."""
    paths: Sequence[Path] = journal_files(workspace) if keys else ()
    return {line.key: line for path in paths for line in scanned_lines(path) if line.key in keys}
