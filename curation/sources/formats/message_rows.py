"""Functions for rows of messages: OpenAI's, with parts; LLaMA-Factory's, ms-swift's and verl's, with texts beside videos.

Where the assistant looks, a row is about the video that it names before that: what comes later are the clips of its looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dmforge.curation.sources.annotation_format import Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import Windows, answered
from dmforge.curation.sources.formats.conversations import NOBODY_ANSWERS, VIDEO, exchanges
from dmforge.curation.sources.published_turns import FixedDensity
from dmforge.curation.sources.row_rest import with_rest
from dmforge.schemas.records import TaskKind

PATH_KEYS = ("url", "video", "path", "file")
"""Where sets write the path of a video that is an object: `{"url": ...}`, `{"video": ...}`."""
COARSE_SUFFIX = ".coarse.mp4"
CLIPS, TOOLS, INFO = "clips", "tools", "extra_info"
"""Fields of our own exports that describe their files and their dialect, and say nothing of a task. For verl the clips are
described in `extra_info`."""


@dataclass(frozen=True, slots=True)
class MessageRow:
    """The conversation of a row."""

    messages: list[Raw]
    """With their contents as texts, in which marks stand for clips."""
    videos: tuple[str, ...]
    """The names of all videos that it shows."""
    overviews: tuple[str, ...]
    """The names of those that are shown before the assistant first speaks."""

    has_parts: bool
    """Whether a content is a list of parts."""

    @property
    def question(self) -> str:
        """What the user asks last before the assistant first speaks."""
        users = [message["content"] for message in self.messages[: _first_answer(self.messages)] if message["role"] == "user"]
        return users[-1] if users else ""


def read_messages(messages: Any, listed_videos: Iterable[Any] | None) -> MessageRow:
    """The conversation of messages, which Parquet may hold as a JSON text; `listed_videos` are those of the row, if it lists
    them, else its parts name them."""
    texts: list[Raw] = []
    names, first_names, has_parts = list[str](), list[str](), False
    for message in json.loads(messages) if isinstance(messages, str) else messages:
        content, part_names = _text_and_names(message["content"])
        has_parts |= isinstance(message["content"], list)
        texts.append({**message, "content": content})
        names += part_names
        if not is_answered(texts):
            first_names += part_names
    if listed_videos is not None:
        names = [video_name(video) for video in listed_videos]
        first_marks = sum(message["content"].count(VIDEO) for message in texts[: _first_answer(texts)])
        first_names = names[: first_marks or None]
    return MessageRow(texts, tuple(names), tuple(dict.fromkeys(first_names)), has_parts)


def video_name(video: Any) -> str:
    """The name of a video, which some sets give with the stretch of a look, or as the address of a file."""
    if isinstance(video, Mapping):
        video = next(video[key] for key in PATH_KEYS if isinstance(video.get(key), str))
    return video.removeprefix("file://")


def exported_name(name: str) -> str:
    """The id of the video whose overview our exports call like this."""
    return f"video_{PurePosixPath(name).name.removesuffix(COARSE_SUFFIX)}" if name.endswith(COARSE_SUFFIX) else name


def row_questions(
    record: Raw, row: MessageRow, held_fields: Iterable[str], *, fixed_density: FixedDensity | None = None,
    flags: tuple[str, ...] = (),
) -> Iterator[Question | RefusedQuestion]:  # fmt: skip
    """The questions of a row, with the rest of it: one for each exchange."""
    own_fields, has_questions = _own_fields(record), False
    for exchange in exchanges(row.messages, "role", "content", "user", "assistant"):
        has_questions = True
        names = _names(record, row.overviews if exchange.looks else row.videos)
        if len(names) == 1:
            question = exchange.as_question(names[0], flags, fixed_density=fixed_density)
            yield with_rest(question, record, {*held_fields, *own_fields})
        else:
            yield _no_video(names)
    if not has_questions:
        yield RefusedQuestion(next(iter(row.videos), ""), NOBODY_ANSWERS)


def gold_question(
    record: Raw, row: MessageRow, gold: object, held_fields: Iterable[str], *, kind: TaskKind | None = None,
    windows: Windows = (),
) -> Question | RefusedQuestion:  # fmt: skip
    """The question of a row whose right answer stands beside the conversation, with the rest of it."""
    names = _names(record, row.videos)
    if len(names) != 1:
        return _no_video(names)
    question = answered(names[0], row.question, gold, kind=kind, windows=windows)
    return with_rest(question, record, {*held_fields, *_own_fields(record)})


def is_answered(messages: Iterable[Raw]) -> bool:
    """Whether an assistant speaks in a conversation."""
    return any(message["role"] == "assistant" for message in messages)


def _own_fields(record: Raw) -> set[str]:
    """The fields that only our own exports have; none in rows of others."""
    info = record.get(INFO)
    if CLIPS in record:
        return {CLIPS, TOOLS}
    return {INFO, TOOLS} if isinstance(info, Mapping) and CLIPS in info else set()


def _names(record: Raw, names: Sequence[str]) -> Sequence[str]:
    return [exported_name(name) for name in names] if _own_fields(record) else names


def _no_video(names: Sequence[str]) -> RefusedQuestion:
    return RefusedQuestion(names[0] if names else "", "several videos" if names else "not a video")


def _first_answer(messages: Sequence[Raw]) -> int:
    """The number of the assistant's first message; how many messages there are where it has none."""
    return next((number for number, message in enumerate(messages) if message["role"] == "assistant"), len(messages))


def _text_and_names(content: Any) -> tuple[str, list[str]]:
    """The text of a content with marks for its clips, and the names of videos in it."""
    if content is None or isinstance(content, str):
        return content or "", []
    texts, names = list[str](), list[str]()
    for part in content:
        if part["type"] == "text":
            texts.append(part["text"])
        elif part["type"].startswith("video"):
            texts.append(VIDEO)
            source = part.get(part["type"])
            names += [video_name(source)] if source else []
        else:  # a picture or a sound
            texts.append(f"<{part['type'].partition('_')[0]}>")
    return "".join(texts), names
