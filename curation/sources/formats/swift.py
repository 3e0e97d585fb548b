"""ms-swift's rows for RL: messages without an answer, and the solution beside them."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.llamafactory import HELD
from dmforge.curation.sources.formats.message_rows import gold_question, is_answered, read_messages, row_questions


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    row = read_messages(record["messages"], record["videos"] or ())
    if is_answered(row.messages):
        yield from row_questions(record, row, HELD)
    else:
        yield gold_question(record, row, record["solution"], (*HELD, "solution"))


FORMAT = AnnotationFormat(
    "swift", "json", frozenset({"messages", "videos", "solution"}), questions,
    "lines {messages, videos, solution}: ms-swift's rows for RL; those for SFT are llamafactory's",
)  # fmt: skip
