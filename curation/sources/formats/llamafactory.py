"""LLaMA-Factory's own demo shape: messages, with the videos that their tags stand for."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import pairs, untagged, with_options


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    videos = record.get("videos") or ()
    flags = ("has audio",) if record.get("audios") else ()
    for question, answer in pairs(record["messages"], "role", "content", "user", "assistant"):
        if len(videos) != 1:
            yield RefusedQuestion(videos[0] if videos else "", "several videos" if videos else "not a video")
        else:
            yield with_options(Question(videos[0], "open", untagged(question), answer, flags=flags))


FORMAT = AnnotationFormat("llamafactory", "json", frozenset({"messages"}), questions, "[{messages: [{role, content}], videos}]")
