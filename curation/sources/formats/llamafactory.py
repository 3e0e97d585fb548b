"""LLaMA-Factory's own demo shape: messages, with the videos that their tags stand for."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused
from dmforge.curation.sources.formats.conversations import pairs, untagged, with_options


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    del beside
    videos = record.get("videos") or ()
    flags = ("has audio",) if record.get("audios") else ()
    for asked, answered in pairs(record["messages"], "role", "content", "user", "assistant"):
        if len(videos) != 1:
            yield Refused(videos[0] if videos else "", "several videos" if videos else "not a video")
        else:
            yield with_options(Question(videos[0], "open", untagged(asked), answered, flags=flags))


FORMAT = Format("llamafactory", "json", frozenset({"messages"}), questions, "[{messages: [{role, content}], videos}]")
