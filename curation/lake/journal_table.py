"""The answers in the journal as a table for audits, and the sums of their tokens."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.io.batching import batched
from dmforge.curation.io.line_files import end_of_lines
from dmforge.curation.lake.answer_columns import ROWS_AT_ONCE, open_columns, write_columns
from dmforge.curation.lake.journal import UNINDEXED_BYTES, UNINDEXED_SHARE, line_head, read_line
from dmforge.curation.lake.request_origin import read_origin
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import schema
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import Id, read
from dmforge.schemas.units import Index


@dataclass(frozen=True, slots=True)
class JournalAnswer:
    """An answer that was paid for: a line of the journal."""

    request: Id | None
    """The question's key; none where the line is damaged."""
    video: Id | None
    """The video that was asked about; none where the line is damaged."""
    model: str
    """The model that answered; of a damaged line the folder that it lies in."""
    input_tokens: int | None
    """That the question took; none where the server gave no number that makes sense, as in the next one."""
    output_tokens: int | None
    """That the answer took."""
    batched: bool
    """Whether it came in a batch, which costs less."""
    stage: str | None
    """The stage that asked; none where the line doesn't say, as in the next three."""
    prompt: str | None
    """The name of its prompt."""
    prompt_sha256: str | None
    """Of the instruction's text: it says which version of the prompt it was."""
    attempt: Index | None
    """Which attempt it was."""
    fault: str | None
    """What is wrong with the line, and where it stands; none where nothing is."""


ANSWERS = schema(JournalAnswer)
BATCH_ROWS = ROWS_AT_ONCE
"""How many answers become columns at once: they take a tenth of the memory that they take in Python."""


def answers(workspace: WorkspaceFolder) -> pa.Table:
    """Every answer in the journal with its token counts, for audits. What columns beside its files have is not read again."""
    tables = (table for journal_path in sorted(workspace.journal.glob("*/*.jsonl")) for table in _tables_of(journal_path))
    return pa.concat_tables([ANSWERS.empty_table(), *tables])


def keep_columns(workspace: WorkspaceFolder) -> None:
    """Make the columns beside files of the journal anew where they lack many lines. A disk that refuses them stops nothing."""
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")):
        with suppress(LakeError), journal_path.open("rb") as journal_file:
            kept = open_columns(journal_path, ANSWERS)
            covered_bytes = 0 if kept is None else kept.covered_bytes
            end_offset = end_of_lines(journal_file.fileno())
            if end_offset - covered_bytes > max(UNINDEXED_BYTES, covered_bytes // UNINDEXED_SHARE):
                lines = ReadLines(journal_path, covered_bytes, 0 if kept is None else kept.row_count)
                known_tables = () if kept is None else kept.tables()
                tables = itertools.chain(known_tables, lines.tables(end_offset, until_damaged=True))
                write_columns(journal_path, tables, ANSWERS, lambda lines=lines: lines.offset, workspace.writer_suffix)


def _tables_of(journal_path: Path) -> Iterator[pa.Table]:
    kept = open_columns(journal_path, ANSWERS)
    if kept is None:
        yield from ReadLines(journal_path).tables()
    else:
        yield kept.table()
        yield from ReadLines(journal_path, kept.covered_bytes, kept.row_count).tables()


def answered_tokens(workspace: WorkspaceFolder) -> dict[tuple[str, bool], Counter[str]]:
    """By model, and by whether they came in batches, the tokens of answers in the journal, as far as they are known: the sums
    alone, in a third of the time."""
    sums_by_model: dict[tuple[str, bool], Counter[str]] = {}
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")):
        with journal_path.open("rb") as journal_file:
            for journal_line in journal_file:
                with suppress(ValueError):  # a damaged line, or half of one
                    answer_record = read_line(journal_line)
                    model_and_batching = answer_record.get("model", journal_path.parent.name), _is_batched(answer_record)
                    sums_by_model.setdefault(model_and_batching, Counter()).update(
                        token_counts(answer_record["answer"].get("usage"))
                    )
    return sums_by_model


OriginRow = tuple[str | None, str | None, str | None, int | None]
AnswerRow = tuple[Id | None, Id | None, str, int | None, int | None, bool, *OriginRow, str | None]
"""The columns of `ANSWERS`."""
NO_ORIGIN: OriginRow = (None, None, None, None)


@dataclass
class ReadLines:
    """The lines of a file from some place on, as rows. A damaged line is a row with a `fault`: it was paid for, too, and must
    not stop an audit."""

    journal_path: Path
    offset: int = 0
    """Up to where lines have become rows."""
    row_count: int = 0
    """How many lines stand before that."""

    def tables(self, end_offset: int | None = None, *, until_damaged: bool = False) -> Iterator[pa.Table]:
        """Their rows, some at a time; up to a place, and to the first line that can't be read."""
        for row_batch in batched(self._rows(end_offset, until_damaged), BATCH_ROWS):
            yield pa.table(dict(zip(ANSWERS.names, zip(*row_batch, strict=True), strict=True)), ANSWERS)

    def _rows(self, end_offset: int | None, until_damaged: bool) -> Iterator[AnswerRow]:
        model_folder = self.journal_path.parent
        with self.journal_path.open("rb") as journal_file:
            journal_file.seek(self.offset)
            for journal_line in journal_file:
                if not journal_line.endswith(b"\n") or (end_offset is not None and self.offset >= end_offset):
                    return
                try:
                    *row_values, fault = _answer_row(journal_line, model_folder.name)
                except (ValueError, InputError) as error:
                    if until_damaged:
                        return
                    row_values, fault = [None, None, model_folder.name, None, None, False, *NO_ORIGIN], str(error)
                self.offset, self.row_count = self.offset + len(journal_line), self.row_count + 1
                place = f"{model_folder.parent.name}/{model_folder.name}/{self.journal_path.name}, line {self.row_count}"
                yield *row_values, fault and f"{place}: {fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _is_batched(answer_record: dict[str, Any]) -> bool:
    return answer_record["answer"].get("batched") is True


def _answer_row(journal_line: bytes, model: str) -> AnswerRow:
    head_match, answer_record = line_head(journal_line), read_line(journal_line)
    answer = answer_record["answer"]
    usage, origin = answer.get("usage"), read_origin(answer)
    count_by_name = token_counts(usage)
    usage_fault = (
        f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(count_by_name) < len(COUNTS) else None
    )
    return (
        read(head_match[1].decode())[1],
        _video_id(head_match[2].decode()),
        answer_record.get("model", model),
        count_by_name.get(COUNTS[0]),
        count_by_name.get(COUNTS[1]),
        _is_batched(answer_record),
        origin.stage,
        origin.prompt,
        origin.prompt_sha256,
        origin.attempt,
        usage_fault,
    )


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(printed_id: str) -> Id:
    return read(printed_id)[1]
