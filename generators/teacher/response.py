"""Classifies a provider's response: an answer, or a refusal of some kind. Total: any bytes are one of these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.content_filters import PROMPT_FILTER, block_reason, is_filtered, names_filter
from dmforge.generators.teacher.rate_limits import RetryHint, error_of, read_hint

Kind = Literal["filtered", "too large", "busy", "passing", "unreadable", "final"]
"""`unreadable`: what came is no chat completion, though nothing says that anything went wrong."""
PASSING = (408, 409)
"""Statuses worth a retry: a time-out, a conflict. So are all from 500 on."""
TOO_LARGE = re.compile(
    r"context[ _](length|window|size)|too[ _](long|large|big|many[ _](images|tokens))|longer than the (maximum|model)"
    r"|(at most|less than) \d+ (image|item|token|character|byte)|maximum number of (image|item|token)"
    r"|(size|length|tokens|images|payload) .{0,20}exceed|exceeds? .{0,40}maximum",
    re.IGNORECASE,
)
"""Messages of servers about a question with more tokens, images or bytes than they take; the status is 400, 413 or 422."""
TOO_LARGE_AT_ALL = re.compile(r"request[ _]too[ _]large", re.IGNORECASE)
"""Said with 429: a request of more tokens than a whole minute has. Waiting is of no use."""
NO_SIGHT = re.compile(r"\b(images?|videos?)\b.{0,20}not supported|does not support .{0,20}\b(images?|videos?)\b", re.IGNORECASE)
"""Messages of servers whose model takes no pictures: llama.cpp's has status 500, and no retry mends it."""
SAID = ("message", "detail", "msg", "error")
"""Keys under which servers put the message of an error."""
THOUGHTS = ("thinking", "reasoning", "redacted_thinking", "thought")
"""Types of the parts of a message that hold what a model thought before its reply."""
MAX_WORDS = 400
"""Characters of a provider's message that a person is shown."""
MAX_SEARCHED = 4096
"""Characters of a message that are searched: the rest of a page says no more."""
MAX_FAULTS = 5
"""The most faults of a request that are shown, where a server lists them."""


@dataclass(frozen=True, slots=True)
class TeacherRefusal:
    """A response without an answer, and what it means for the caller."""

    kind: Kind
    words: str
    """The provider's message, as it came."""
    status: int | None = None
    hint: RetryHint = field(default_factory=RetryHint)
    may_cost: bool = False
    """Whether something may have been charged all the same."""
    parameter: str = ""
    """The parameter that the provider says is at fault."""
    is_adapted: bool = False
    """The parameter that was refused is sent otherwise from now on: the question may be asked again at once."""
    sent_bytes: int = 0
    """Bytes of text and images of what was refused."""
    never_arrived: bool = False
    """Nobody was there: the request was never sent."""


def read_response(status: int, headers: Mapping[str, str], body: bytes) -> Answer | TeacherRefusal:
    """Read a response as an answer or a refusal. Some relays send the refusals of others with status 200."""
    try:
        return _read(status, headers, body, json.loads(body))
    except (ValueError, RecursionError):  # no JSON, or nested absurdly deep
        return _read(status, headers, body, None)


def shown(words: str) -> str:
    """A provider's message for a person: one line of printable characters, cut to `MAX_WORDS`."""
    head = words[:MAX_SEARCHED]
    line = " ".join("".join(character if character.isprintable() else " " for character in head).split())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}..."


def _read(status: int, headers: Mapping[str, str], body: bytes, document: Any) -> Answer | TeacherRefusal:
    if status < 300 and isinstance(document, dict):
        answer = _answer(document)
        if answer is not None:
            return answer
    words, hint = _message_of(document, body), read_hint(headers, document)
    code = error_of(document).get("code")
    if status < 300 and type(code) is int and 400 <= code < 600:
        status = code
    if status < 300:
        kind = "filtered" if is_filtered(status, document, words) else "unreadable"
        return TeacherRefusal(kind, words, status, hint, may_cost=True)
    if status < 400:
        words = f"the endpoint redirects to {headers.get('location', 'nowhere')}"
    kind = "final" if hint.no_money else _kind(status, code, words, document)
    return TeacherRefusal(kind, words, status, hint, parameter=_text_of(document, "param"))


def _kind(status: int, code: object, words: str, document: Any) -> Kind:
    if is_filtered(status, document, words[:MAX_SEARCHED]):
        return "filtered"
    searched = f"{words[:MAX_SEARCHED]} {code if isinstance(code, str) else ''} {_text_of(document, 'type')}"
    if status == 413 or (status in (400, 422) and TOO_LARGE.search(searched)):
        return "too large"
    if status == 429:
        return "too large" if TOO_LARGE_AT_ALL.search(searched) else "busy"
    may_pass = status in PASSING or (status >= 500 and not NO_SIGHT.search(searched))
    return "passing" if may_pass else "final"


def _text_of(document: Any, name: str) -> str:
    """A field of an error that is a short text: its `type` in a server's own words, such as `exceed_context_size_error`."""
    value = error_of(document).get(name)
    return value[:MAX_WORDS] if isinstance(value, str) else ""


def _answer(document: dict[Any, Any]) -> Answer | None:
    """The answer in a document, even one without text, as filters leave it. None if it is no completion."""
    choices = document.get("choices")
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    choice: dict[Any, Any] = first_choice if isinstance(first_choice, dict) else {}
    message, finish_reason = choice.get("message"), choice.get("finish_reason")
    finish = finish_reason[:MAX_WORDS] if isinstance(finish_reason, str) else ""
    usage = token_counts(document.get("usage"))
    if isinstance(message, dict):
        content, refusal = _text(message.get("content")) or _arguments(message), _text(message.get("refusal"))
        if not content and not refusal and names_filter(finish):
            refusal = f"nothing came: {finish}"
        if content and usage.get(COUNTS[0]) == 0:  # a question of no tokens is no question
            usage = {}
        return {"content": content, "refusal": refusal, "finish": finish, "usage": usage}
    if reason := block_reason(document):
        return {"content": "", "refusal": f"the question was blocked: {reason}", "finish": PROMPT_FILTER, "usage": usage}
    is_completion = "choices" in document or document.get("object") == "chat.completion"
    if not is_completion or document.get("error") or choice.get("error"):
        return None
    return {"content": "", "refusal": f"no message came {finish}".rstrip(), "finish": finish, "usage": usage}


def _text(value: Any) -> str:
    """The text in a value, whole or in parts; of anything else its JSON: unreadable as a reply, but not lost."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        texts = [part.get("text") if isinstance(part, dict) else part for part in value if not _is_thought(part)]
        return "".join(text for text in texts if isinstance(text, str))
    return json.dumps(value) if value else ""


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and (part.get("thought") is True or part.get("type") in THOUGHTS)


def _arguments(message: dict[Any, Any]) -> str:
    """What a model said as arguments of a tool that nobody offered."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else None
    function = call.get("function") if isinstance(call, dict) else None
    return _text(function.get("arguments")) if isinstance(function, dict) else ""


def _message_of(document: Any, body: bytes) -> str:
    """The message of an error, from the keys that servers use; else the whole body as text."""
    error = error_of(document)
    for name in SAID:
        message = error.get(name)
        if isinstance(message, list) and message:  # FastAPI's: [{"loc": ["body", "model"], "msg": "field required"}]
            message = "; ".join(map(_fault_text, message[:MAX_FAULTS]))
        if isinstance(message, str) and message:
            return message
    page_text = re.sub(
        r"<[^<>]*>", " ", body.decode("utf-8", "replace")
    )  # the whole body: of a key that is cut in half nobody could remove the rest
    return page_text.strip() or "nothing was said"


def _fault_text(fault: Any) -> str:
    if not isinstance(fault, dict):
        return fault if isinstance(fault, str) else ""
    location = fault.get("loc")
    names = [str(name) for name in location[:MAX_FAULTS] if isinstance(name, str | int)] if isinstance(location, list) else []
    parts = [".".join(names), *(text for name in ("msg", "type") if isinstance(text := fault.get(name), str))]
    return ": ".join(filter(None, parts))
