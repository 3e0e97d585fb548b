"""LLaVA-Video and other ShareGPT conversations about a video; some write `<image>` where they mean it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import exchanges


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    duration_field = record.get("duration")
    for exchange in exchanges(record["conversations"], "from", "value", "human", "gpt"):
        flags = ("image tag",) if "<image>" in exchange.question else ()
        duration_s = float(duration_field) if isinstance(duration_field, int | float) else None
        yield exchange.as_question(record["video"], flags, duration_s)


FORMAT = AnnotationFormat(
    "sharegpt_video", "json", frozenset({"id", "video", "conversations"}), questions,
    "lines, or a list, of {id, video, conversations: [{from, value}]}",
)  # fmt: skip
