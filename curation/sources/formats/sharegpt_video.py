"""LLaVA-Video and other ShareGPT conversations about a video; some write `<image>` where they mean it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import NOBODY_ANSWERS, exchanges


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    duration_field, has_questions = record.get("duration"), False
    for exchange in exchanges(record["conversations"], "from", "value", "human", "gpt"):
        has_questions = True
        flags = ("image tag",) if "<image>" in exchange.question else ()
        duration_s = float(duration_field) if isinstance(duration_field, int | float) else None
        yield exchange.as_question(record["video"], flags, duration_s)
    if not has_questions:
        yield RefusedQuestion(record["video"], NOBODY_ANSWERS)


FORMAT = AnnotationFormat(
    "sharegpt_video", "json", frozenset({"id", "video", "conversations"}), questions,
    "lines, or a list, of {id, video, conversations: [{from, value}]}",
)  # fmt: skip
