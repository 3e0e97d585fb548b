"""LLaVA-Video and other ShareGPT conversations about a video; some write `<image>` where they mean it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import pairs, untagged, with_options


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    duration_field = record.get("duration")
    for user_message, answer in pairs(record["conversations"], "from", "value", "human", "gpt"):
        flags = ("image tag",) if "<image>" in user_message else ()
        duration_s = float(duration_field) if isinstance(duration_field, int | float) else None
        open_question = Question(record["video"], "open", untagged(user_message), answer, duration_s=duration_s, flags=flags)
        yield with_options(open_question)


FORMAT = AnnotationFormat(
    "sharegpt_video", "json", frozenset({"id", "video", "conversations"}), questions,
    "lines, or a list, of {id, video, conversations: [{from, value}]}",
)  # fmt: skip
