"""LLaMA-Factory's own demo shape: messages, with the videos that their tags stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import exchanges


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    videos = record.get("videos") or ()
    flags = ("has audio",) if record.get("audios") else ()
    for exchange in exchanges(record["messages"], "role", "content", "user", "assistant"):
        names = [_name(video) for video in videos]
        if exchange.looks:  # clips of looks are listed under the name of their video
            names = list(dict.fromkeys(names))
        if len(names) != 1:
            yield RefusedQuestion(names[0] if names else "", "several videos" if names else "not a video")
        else:
            yield exchange.as_question(names[0], flags)


def _name(video: Any) -> str:
    """The name of a video, which some sets give with the stretch of a look."""
    return video["url"] if isinstance(video, dict) else video


FORMAT = AnnotationFormat("llamafactory", "json", frozenset({"messages"}), questions, "[{messages: [{role, content}], videos}]")
