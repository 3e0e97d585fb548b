"""OpenAI's messages, whose parts name the videos: XTuner's and lmms-engine's rows, and what `export --to messages` writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, known_kind
from dmforge.curation.sources.formats.message_rows import (
    MessageRow,
    gold_question,
    is_answered,
    read_messages,
    row_questions,
)

HELD = ("messages", "kind", "gold")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    row = read_parts(record)
    gold = record.get("gold")
    kind = known_kind(record.get("kind"))
    if gold is not None and not is_answered(row.messages):
        yield gold_question(record, row, gold, HELD, kind=kind)
        return
    for question in row_questions(record, row, HELD):
        if isinstance(question, Question) and gold is not None:  # right is what the export says, not what was answered
            task = answered(question.video, row.question, gold, kind=kind)
            task_fields = {name: getattr(task, name) for name in ("kind", "question", "options", "answer", "windows")}
            yield replace(question, **task_fields)
        else:
            yield question


def read_parts(record: Raw) -> MessageRow:
    """The conversation of a row whose contents are parts."""
    row = read_messages(record["messages"], None)
    if not row.has_parts:
        raise ValueError("its contents are no lists of parts")
    return row


FORMAT = AnnotationFormat(
    "messages", "json", frozenset({"messages"}), questions, "[{messages: [{role, content: [{type, video_url, text}]}]}]",
)  # fmt: skip
