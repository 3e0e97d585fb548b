"""Reads a chat request for the oracle: its text, stamps and images, and nothing else."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, get_args

from dmforge.curation.video.jpeg import NoImage, from_jpeg
from dmforge.generators.synthetic.worlds.rasterize import Picture
from dmforge.schemas.looks import Look, Window, read_density, read_span
from dmforge.schemas.replies import REPLIES, Form, QuestionType

STAMP = re.compile(r"<[0-9]+\.[0-9] seconds>")
GIVEN = re.compile(r"\n\nThe closer look will be at (\S+ - \S+) seconds\.")
ANNOUNCED_LOOK = re.compile(r"You are shown \S+ - \S+ seconds at \S+ frames per second\.")
ANNOUNCED_OVERVIEW = "You are shown the whole video coarsely."
LOOK = re.compile(r"shown ([0-9.]+ - [0-9.]+) seconds at ([0-9./]+) frames")
WANTED = re.compile(r"[0-9]+\. (\w+), (\w+)")
OPTION = re.compile(r"([A-Z])\. (.+)")
TYPES, FORMS = frozenset[QuestionType](get_args(QuestionType)), frozenset[Form](get_args(Form))
JPEG = "data:image/jpeg;base64,"


@dataclass(frozen=True, slots=True)
class OracleRequest:
    """A chat request, parsed."""

    reply: str
    """The name of the reply that is asked for, such as `look` or `answer`."""
    question: str
    options: tuple[str, ...]
    clips: tuple[Look | None, ...]
    """The look of each clip that is shown, by the text; None for the coarse clip."""
    stamps: tuple[str, ...]
    pictures: tuple[tuple[Picture, ...], ...]
    """The pictures under each stamp."""
    clip_indices: tuple[int, ...]
    """Of each stamp, which clip it belongs to."""
    attempt: int
    text: str
    instruction: str
    requested_questions: tuple[tuple[QuestionType, Form], ...]
    """Questions that the teacher is asked to write, by type and form."""
    given_window: Window | None
    """The window of the next look, where the request gives it to the teacher."""

    @property
    def look(self) -> Look | None:
        """The latest look that is shown; None where only the coarse clip is."""
        return self.clips[-1]

    @property
    def shown_windows(self) -> tuple[Window, ...]:
        """The windows of all looks that are shown."""
        return tuple(look.window for look in self.clips if look is not None)


class BadRequest(Exception):
    """A malformed request: answered by status 400, with the field."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def read_request(body: bytes) -> OracleRequest:
    """Parse a chat request; raises `BadRequest` where it is malformed."""
    try:
        request = json.loads(body)
        messages = request["messages"]
        content_parts: list[Any] = [
            content_part
            for chat_message in messages
            if chat_message["role"] == "user"
            for content_part in _parts(chat_message["content"])
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest(f"this is no chat request: {error!r}", "messages") from None
    if not isinstance(request.get("model"), str):
        raise BadRequest("you must name a model", "model")
    prompt_text, stamp_texts, pictures_by_stamp = _content(content_parts)
    clips, clip_indices = _clips(content_parts, prompt_text)
    given_match = GIVEN.search(prompt_text)
    question, *option_lines = GIVEN.sub("", prompt_text).rstrip().rpartition("\n\n")[2].split("\n")
    return OracleRequest(
        reply=_reply_name(request),
        question=question,
        options=tuple(option_match[2] for option_line in option_lines if (option_match := OPTION.fullmatch(option_line))),
        clips=clips,
        stamps=tuple(stamp_texts),
        pictures=tuple(map(tuple, pictures_by_stamp)),
        clip_indices=clip_indices,
        attempt=request.get("seed") or 0,
        text=prompt_text,
        requested_questions=_wanted_questions(prompt_text),
        given_window=_window(given_match[1]) if given_match else None,
        instruction="".join(
            str(content_part.get("text", ""))
            for chat_message in messages
            if chat_message["role"] == "system"
            for content_part in _parts(chat_message["content"])
            if isinstance(content_part, dict)
        ),
    )


def _parts(message_content: Any) -> list[Any]:
    return [{"type": "text", "text": message_content}] if isinstance(message_content, str) else message_content


def _content(content_parts: list[Any]) -> tuple[str, list[str], list[list[Picture]]]:
    """The text, the stamps, and the pictures under each stamp."""
    text_parts: list[str] = []
    stamp_texts: list[str] = []
    jpeg_images: list[bytes] = []
    stamp_indices: list[int] = []
    for part_index, content_part in enumerate(content_parts):
        part_type = content_part.get("type") if isinstance(content_part, dict) else None
        if part_type == "text" and STAMP.fullmatch(content_part["text"]):
            stamp_texts.append(content_part["text"])
        elif part_type == "text":
            text_parts.append(content_part["text"])
        elif part_type == "image_url":
            if not stamp_texts:
                raise BadRequest("an image without a stamp before it", f"messages.content[{part_index}]")
            jpeg_images.append(_jpeg_bytes(content_part, f"messages.content[{part_index}].image_url"))
            stamp_indices.append(len(stamp_texts) - 1)
        else:
            raise BadRequest(f"content of type {part_type!r} is not supported", f"messages.content[{part_index}].type")
    pictures_by_stamp: list[list[Picture]] = [[] for _ in stamp_texts]
    try:
        for stamp_index, picture in zip(stamp_indices, from_jpeg(jpeg_images), strict=True):
            pictures_by_stamp[stamp_index].append(picture)
    except NoImage as error:
        raise BadRequest(f"image {error.index} can't be read", "messages.content") from None
    return "\n\n".join(text_parts), stamp_texts, pictures_by_stamp


def _jpeg_bytes(content_part: Any, field: str) -> bytes:
    try:
        image_url = content_part["image_url"]["url"]
        if image_url.startswith(JPEG):
            return base64.b64decode(image_url[len(JPEG) :], validate=True)
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    raise BadRequest("only JPEG images in data URLs are supported", field)


def _reply_name(request: Any) -> str:
    try:
        schema_name = request["response_format"]["json_schema"]["name"]
    except (KeyError, TypeError):
        raise BadRequest("ask for a reply by its JSON schema", "response_format") from None
    if schema_name not in REPLIES:
        raise BadRequest(
            f"no schema {schema_name!r} is known here: {', '.join(sorted(REPLIES))}", "response_format.json_schema.name"
        )
    return schema_name


def _wanted_questions(text: str) -> tuple[tuple[QuestionType, Form], ...]:
    line_matches = (WANTED.fullmatch(line_match) for line_match in text.split("\n"))
    type_and_form_pairs = ((line_match[1], line_match[2]) for line_match in line_matches if line_match is not None)
    return tuple(
        (question_type, form) for question_type, form in type_and_form_pairs if question_type in TYPES and form in FORMS
    )


def _window(span_text: str) -> Window:
    bounds_cs = read_span(span_text)
    if bounds_cs is None or bounds_cs[0] >= bounds_cs[1]:
        raise BadRequest("the window that is given can't be read", "messages")
    return Window(*bounds_cs)


def _clips(parts: list[Any], prompt_text: str) -> tuple[tuple[Look | None, ...], tuple[int, ...]]:
    """The look of each clip, and for each stamp its clip. Of several clips each stands below a text that says what it is."""
    clips: list[Look | None] = []
    clip_indices: list[int] = []
    for content_part in parts:
        part_text = content_part.get("text", "") if isinstance(content_part, dict) else ""
        if STAMP.fullmatch(part_text):
            clip_indices.append(max(0, len(clips) - 1))
        elif part_text == ANNOUNCED_OVERVIEW or ANNOUNCED_LOOK.fullmatch(part_text):
            clips.append(_look(part_text))
    return tuple(clips) or (_look(prompt_text),), tuple(clip_indices)


def _look(text: str) -> Look | None:
    look_match = LOOK.search(text)
    if look_match is None:
        return None
    bounds_cs, fps = read_span(look_match[1]), read_density(look_match[2])
    if bounds_cs is None or bounds_cs[0] >= bounds_cs[1] or not fps or fps <= 0:
        raise BadRequest("the window or the density that is shown can't be read", "messages")
    return Look(Window(*bounds_cs), fps)
