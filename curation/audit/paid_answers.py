"""The teachers' answers that candidates were made from: where they stand in the journal, their tokens, their text."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.audit.answer_receipts import line_offsets
from dmforge.curation.audit.stored_rows import StoredRow
from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.lake.journal import read_line
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import show


@dataclass(frozen=True, slots=True)
class PaidAnswer:
    """A paid answer: a line of the journal."""

    candidate: str
    request: str
    """The digest of all that was asked."""
    model: str
    path: Path
    offset: int
    input_tokens: int | None
    output_tokens: int | None
    """None where the server gave no count that makes sense."""
    text: str


def paid_answers(workspace: WorkspaceFolder, candidates: Iterable[StoredRow]) -> Iterator[PaidAnswer]:
    """The line of each request, as far as the journal still has it."""
    candidate_by_request = {
        show("ask", request_key): show("candidate", candidate_row.id)
        for candidate_row in candidates
        for request_key in candidate_row.values.get("requests") or ()
    }
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")) if candidate_by_request else ():
        if journal_path.stat().st_size:
            with journal_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as journal_bytes:
                for request_key, candidate_id in candidate_by_request.items():
                    line_offset = next(line_offsets(journal_bytes, request_key), None)
                    if line_offset is not None:
                        journal_bytes.seek(line_offset)
                        yield _paid(candidate_id, request_key, journal_path, line_offset, journal_bytes.readline())


def _paid(candidate_id: str, request_key: str, path: Path, offset: int, line: bytes) -> PaidAnswer:
    try:
        journal_record = read_line(line)
    except ValueError as error:
        return PaidAnswer(
            candidate_id, request_key, path.parent.name, path, offset, None, None, f"this line is damaged: {error}"
        )
    answer = journal_record["answer"]
    count_by_name = token_counts(answer.get("usage"))
    answer_text = str(answer.get("content") or answer.get("refusal") or "")
    input_tokens, output_tokens = (count_by_name.get(count_name) for count_name in COUNTS)
    return PaidAnswer(
        candidate_id,
        request_key,
        journal_record.get("model", path.parent.name),
        path,
        offset,
        input_tokens,
        output_tokens,
        answer_text,
    )
