"""LLaMA-Factory's own demo shape: messages, with the videos that their tags stand for."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import pairs, untagged, with_options


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_paths = record.get("videos") or ()
    flags = ("has audio",) if record.get("audios") else ()
    for question, answer in pairs(record["messages"], "role", "content", "user", "assistant"):
        if len(video_paths) != 1:
            yield RefusedQuestion(video_paths[0] if video_paths else "", "several videos" if video_paths else "not a video")
        else:
            yield with_options(Question(video_paths[0], "open", untagged(question), answer, flags=flags))


FORMAT = AnnotationFormat("llamafactory", "json", frozenset({"messages"}), questions, "[{messages: [{role, content}], videos}]")
