"""The answers in the journal as a table for audits, and the sums of their tokens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.io.batching import batched
from dmforge.curation.lake.journal import checked_head, read_line
from dmforge.curation.lake.request_origin import RequestOrigin, read_origin
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import schema
from dmforge.schemas.errors import InputError
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
BATCH_ROWS = 10_000
"""How many answers become columns at once: they take a tenth of the memory that they take in Python."""


def answers(workspace: WorkspaceFolder) -> pa.Table:
    """Every answer in the journal with its token counts, for audits."""
    answer_rows, answer_tables = _answer_rows(workspace), [ANSWERS.empty_table()]
    for row_batch in batched(answer_rows, BATCH_ROWS):
        answer_tables.append(pa.table(dict(zip(ANSWERS.names, zip(*row_batch, strict=True), strict=True)), ANSWERS))
    return pa.concat_tables(answer_tables)


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


def _answer_rows(workspace: WorkspaceFolder) -> Iterator[AnswerRow]:
    """A row for every line. A damaged line is a row with a `fault`: it was paid for, too, and must not stop an audit."""
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")):
        location = journal_path.relative_to(workspace.root)
        with journal_path.open("rb") as journal_file:
            for line_number, journal_line in enumerate(journal_file, start=1):
                if journal_line.endswith(b"\n"):
                    try:
                        *row_values, usage_fault = _answer_row(journal_line, journal_path.parent.name)
                    except (ValueError, InputError) as error:
                        row_values, usage_fault = (
                            [None, None, journal_path.parent.name, None, None, False, *_origin_row(RequestOrigin())],
                            str(error),
                        )
                    yield *row_values, usage_fault and f"{location}, line {line_number}: {usage_fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _is_batched(answer_record: dict[str, Any]) -> bool:
    return answer_record["answer"].get("batched") is True


def _answer_row(journal_line: bytes, model: str) -> AnswerRow:
    head_match, answer_record = checked_head(journal_line), read_line(journal_line)
    usage = answer_record["answer"].get("usage")
    count_by_name = token_counts(usage)
    usage_fault = (
        f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(count_by_name) < len(COUNTS) else None
    )
    request_and_video = read(head_match[1].decode())[1], _video_id(head_match[2].decode())
    return (
        *request_and_video,
        answer_record.get("model", model),
        count_by_name.get(COUNTS[0]),
        count_by_name.get(COUNTS[1]),
        _is_batched(answer_record),
        *_origin_row(read_origin(answer_record["answer"])),
        usage_fault,
    )


def _origin_row(origin: RequestOrigin) -> OriginRow:
    return origin.stage, origin.prompt, origin.prompt_sha256, origin.attempt


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(printed_id: str) -> Id:
    return read(printed_id)[1]
