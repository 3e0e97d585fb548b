"""LLaVA-Video and other ShareGPT conversations about a video; some write `<image>` where they mean it."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused
from dmforge.curation.sources.formats.conversations import pairs, untagged, with_options


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    del beside
    duration = record.get("duration")
    for asked, answered in pairs(record["conversations"], "from", "value", "human", "gpt"):
        flags = ("image tag",) if "<image>" in asked else ()
        duration_s = float(duration) if isinstance(duration, int | float) else None
        question = Question(record["video"], "open", untagged(asked), answered, duration_s=duration_s, flags=flags)
        yield with_options(question)


FORMAT = Format(
    "sharegpt_video", "json", frozenset({"id", "video", "conversations"}), questions,
    "lines, or a list, of {id, video, conversations: [{from, value}]}",
)  # fmt: skip
