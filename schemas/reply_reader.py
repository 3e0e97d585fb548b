"""Reads a teacher's text as a reply: thoughts, prose and fences around its JSON count for nothing. Total: any text is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from dmforge.schemas.replies import Reply
from dmforge.schemas.text_limits import MAX_REPLY_CHARS

READER_VERSION = 2
"""Raised when a text is read otherwise than before: it is part of the work key of every stage that reads replies, so a new
reader settles all of them anew, from the journal."""
THOUGHT_BEGINS = re.compile(r"\s*(<(think|thinking|thought|reasoning)>|\[THINK\]|\u25c1think\u25b7)")
THOUGHT_ENDS = re.compile(r"</(think|thinking|thought|reasoning)>|\[/THINK\]|\u25c1/think\u25b7")
"""Marks around what a model writes before its reply; the templates of some write the first mark themselves."""
JSON_BEGINS = re.compile(r"\s*(```\w*\s*)?[\[{]")
MAX_BRACES = 1000
"""The most places of a text at which an object is looked for."""

R = TypeVar("R", bound=Reply)


def read_reply(reply_class: type[R], text: str) -> R | str:
    """The last object in a text, behind any thought, that is a whole reply; else, in one line, why there is none."""
    text_after_thought = behind_thought(text)
    if text_after_thought is None:
        return "it ends within its thought"
    if len(text_after_thought) > MAX_REPLY_CHARS:  # a number with so many digits would take its time, too
        return f"it is longer than {MAX_REPLY_CHARS} characters"
    reply: R | None = None
    longest_fault, fault_length = "it holds no JSON object", 0
    for object_or_fault, object_length in _objects(text_after_thought):
        reply_or_fault = object_or_fault if isinstance(object_or_fault, str) else _validated(reply_class, object_or_fault)
        if not isinstance(reply_or_fault, str):
            reply = reply_or_fault
        elif object_length > fault_length:  # what is wrong with the longest says most: prose has small things in braces, too
            longest_fault, fault_length = reply_or_fault, object_length
    return longest_fault if reply is None else reply


def behind_thought(text: str) -> str | None:
    """What a text says after the model has thought; None where it ends within the thought."""
    if JSON_BEGINS.match(text):
        return text
    thought_ends = [end_match.end() for end_match in THOUGHT_ENDS.finditer(text)]
    if thought_ends:
        return text[thought_ends[-1] :]
    return None if THOUGHT_BEGINS.match(text) else text


def _objects(text: str) -> Iterator[tuple[dict[str, Any] | str, int]]:
    """The outermost JSON objects of a text, or why one is broken, each with its length."""
    decoder = json.JSONDecoder(parse_float=Decimal, strict=False)  # not strict: line ends within texts are what models write
    object_start, brace_count = text.find("{"), 0
    while object_start >= 0 and brace_count < MAX_BRACES:
        brace_count += 1
        try:
            json_object, object_end = decoder.raw_decode(text, object_start)
            yield json_object, object_end - object_start
        except json.JSONDecodeError as error:
            yield f"its JSON is broken: {error.msg.lower()}", error.pos - object_start
            object_end = object_start + 1
        except (ValueError, ArithmeticError, RecursionError) as error:
            yield _oddity(error), 1
            object_end = object_start + 1
        object_start = text.find("{", object_end)


def _validated(reply_class: type[R], json_object: dict[str, Any]) -> R | str:
    try:
        json.dumps(json_object, ensure_ascii=False, default=str).encode()  # half a surrogate could be stored nowhere
        return reply_class.model_validate(json_object)
    except ValidationError as error:
        first_fault = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first_fault['loc'])) or 'reply'}: {first_fault['msg'].lower()}"
    except (ValueError, ArithmeticError, RecursionError) as error:
        return _oddity(error)


def _oddity(error: ValueError | ArithmeticError | RecursionError) -> str:
    """What is wrong with a JSON document that JSON itself allows, and no table could hold."""
    if isinstance(error, UnicodeEncodeError):
        return "it holds half a character"
    return "its JSON is nested too deeply" if isinstance(error, RecursionError) else "it holds a number out of all bounds"
