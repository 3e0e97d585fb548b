"""LLaMA-Factory's own shape: messages, with the videos that their tags stand for. ms-swift and verl train on it, too."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.message_rows import read_messages, row_questions

HELD = ("messages", "videos", "images", "audios")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    row = read_messages(record["messages"], record.get("videos") or ())
    if row.has_parts:
        raise ValueError("its contents are lists of parts")
    yield from row_questions(record, row, HELD, flags=("has audio",) if record.get("audios") else ())


FORMAT = AnnotationFormat(
    "llamafactory", "json", frozenset({"messages"}), questions,
    "[{messages: [{role, content}], videos}]: also ms-swift's and verl's rows for SFT",
)  # fmt: skip
