"""Receipts of answers: what the rows of a lineage repeat of them, and the lines of the journal that hold them."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.audit.stored_rows import StoredRow
from dmforge.curation.lake.answer_check import GONE, TORN, journal_files, scanned_lines
from dmforge.curation.lake.journal import read_line
from dmforge.curation.lake.journal_seals import reply_digest
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, show

CHUNK_BYTES = 1 << 20
UNKNOWN = "unknown"
"""What a row of an earlier format repeats: then a line is held against its own seal alone."""


@dataclass(frozen=True, slots=True)
class AnswerReceipt:
    """What a row says of an answer, and what the journal says there."""

    request: str
    path: Path
    line: int
    """0 where no line has it."""
    expected: str
    actual: str


def answer_receipts(workspace: WorkspaceFolder, rows: Iterable[StoredRow]) -> Iterator[AnswerReceipt]:
    """A receipt for each answer that a row was made from: the line that fits; where none does, one that doesn't."""
    digest_by_request = {
        show("ask", request): repeated
        for stored_row in rows
        for request, repeated in _answers_of(stored_row)
        if request is not None
    }
    for request_key, repeated in digest_by_request.items():
        receipts = list(_receipts(workspace, request_key, repeated))
        fitting = [receipt for receipt in receipts if receipt.expected == receipt.actual]
        yield from (fitting or receipts or _of_missing(workspace, request_key, repeated))[:1]


def _answers_of(row: StoredRow) -> Iterator[tuple[Id | None, Id | None]]:
    """The key of each answer that a row was made from, and the digest that it repeats; None in rows of earlier formats."""
    requests = row.values.get("requests") or [row.values.get("request")]
    answers = row.values.get("answers") or []
    yield from zip(requests, answers if len(answers) == len(requests) else [None] * len(requests), strict=True)


def _receipts(workspace: WorkspaceFolder, request_key: str, repeated: Id | None) -> Iterator[AnswerReceipt]:
    for journal_path in journal_files(workspace):
        if journal_path.stat().st_size:
            with journal_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as journal_bytes:
                for offset in line_offsets(journal_bytes, request_key):
                    journal_bytes.seek(offset)
                    expected = UNKNOWN if repeated is None else repeated.hex()
                    actual = _actual(journal_bytes.readline(), expected)
                    yield AnswerReceipt(request_key, journal_path, _line_number(journal_bytes, offset), expected, actual)


def _line_number(journal_bytes: mmap.mmap, offset: int) -> int:
    chunk_starts = range(0, offset, CHUNK_BYTES)
    return 1 + sum(journal_bytes[start : min(start + CHUNK_BYTES, offset)].count(b"\n") for start in chunk_starts)


def _actual(line: bytes, expected: str) -> str:
    try:
        actual = reply_digest(read_line(line)["answer"]).hex()
    except ValueError as error:
        return str(error)
    return expected if expected == UNKNOWN else actual


def _of_missing(workspace: WorkspaceFolder, request_key: str, repeated: Id | None) -> list[AnswerReceipt]:
    """The receipt of an answer that is gone; it may stand in a line that was changed, so the first such is named."""
    if repeated is None:
        return []
    lines = (line for path in journal_files(workspace) for line in scanned_lines(path))
    damaged = next((line for line in lines if line.fault and line.fault != TORN), None)
    path, number = (workspace.journal, 0) if damaged is None else (damaged.path, damaged.number)
    return [AnswerReceipt(request_key, path, number, repeated.hex(), GONE if damaged is None else damaged.fault)]


def line_offsets(journal_bytes: mmap.mmap, request_key: str) -> Iterator[int]:
    """Where lines of a request begin. Its key can stand nowhere else: within an answer its quotes would be escaped."""
    line_start = b'{"key": "' + request_key.encode() + b'", '
    offset = journal_bytes.find(line_start)
    while offset >= 0:
        if offset == 0 or journal_bytes[offset - 1 : offset] == b"\n":
            yield offset
        offset = journal_bytes.find(line_start, offset + 1)
