"""Classifies a provider's response: an answer, or a refusal of some kind. Total: any bytes are one of these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dmforge.curation.contract.budget import token_counts
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.rate_limits import RetryHint, error_of, read_hint

Kind = Literal["filtered", "too large", "busy", "passing", "unreadable", "final"]
"""`unreadable`: what came is no chat completion, though nothing says that anything went wrong."""
FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
"""Codes of refusals that say something about one question only."""
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
SAID = ("message", "detail", "msg", "error")
"""Keys under which servers put the message of an error."""
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


def read_response(status: int, headers: Mapping[str, str], body: bytes) -> Answer | TeacherRefusal:
    """Read a response as an answer or a refusal. Some relays send the refusals of others with status 200."""
    try:
        return _read(status, headers, body, json.loads(body))
    except (ValueError, RecursionError):  # no JSON, or nested absurdly deep
        return _read(status, headers, body, None)


def shown(words: str) -> str:
    """A provider's message for a person: one line of printable characters, cut to `MAX_WORDS`."""
    first_words = words[:MAX_SEARCHED]
    printable_line = " ".join("".join(character if character.isprintable() else " " for character in first_words).split())
    return printable_line if len(printable_line) <= MAX_WORDS else f"{printable_line[:MAX_WORDS]}..."


def _read(status: int, headers: Mapping[str, str], body: bytes, document: Any) -> Answer | TeacherRefusal:
    if status < 300 and isinstance(document, dict):
        answer = _answer(document)
        if answer is not None:
            return answer
    provider_message, hint = _message_of(document, body), read_hint(headers, document)
    error_code = error_of(document).get("code")
    if status < 300 and type(error_code) is int and 400 <= error_code < 600:
        status = error_code
    if status < 300:
        return TeacherRefusal("unreadable", provider_message, status, hint, may_cost=True)
    if status < 400:
        provider_message = f"the endpoint redirects to {headers.get('location', 'nowhere')}"
    return TeacherRefusal(
        "final" if hint.no_money else _kind(status, error_code, provider_message, document), provider_message, status, hint
    )


def _kind(status: int, error_code: object, provider_message: str, document: Any) -> Kind:
    if status == 400 and error_code in FILTERED:
        return "filtered"
    searched_text = (
        f"{provider_message[:MAX_SEARCHED]} {error_code if isinstance(error_code, str) else ''} {_error_type(document)}"
    )
    if status == 413 or (status in (400, 422) and TOO_LARGE.search(searched_text)):
        return "too large"
    if status == 429:
        return "too large" if TOO_LARGE_AT_ALL.search(searched_text) else "busy"
    return "passing" if status >= 500 or status in PASSING else "final"


def _error_type(document: Any) -> str:
    """The type of an error in a server's own words, such as `exceed_context_size_error`."""
    type_name = error_of(document).get("type")
    return type_name[:MAX_WORDS] if isinstance(type_name, str) else ""


def _answer(document: dict[Any, Any]) -> Answer | None:
    """The answer in a document, even one without text, as filters leave it. None if it is no completion."""
    choices = document.get("choices")
    first_choice = choices[0] if isinstance(choices, list) and choices else None
    choice: dict[Any, Any] = first_choice if isinstance(first_choice, dict) else {}
    choice_message, finish_reason = choice.get("message"), choice.get("finish_reason")
    finish_text = finish_reason[:MAX_WORDS] if isinstance(finish_reason, str) else ""
    usage_counts = token_counts(document.get("usage"))
    if isinstance(choice_message, dict):
        content, refusal = _text(choice_message.get("content")), _text(choice_message.get("refusal"))
        return {"content": content, "refusal": refusal, "finish": finish_text, "usage": usage_counts}
    is_completion = "choices" in document or document.get("object") == "chat.completion"
    if not is_completion or document.get("error") or choice.get("error"):
        return None
    return {"content": "", "refusal": f"no message came {finish_text}".rstrip(), "finish": finish_text, "usage": usage_counts}


def _text(value: Any) -> str:
    """The text in a value, whole or in parts; of anything else its JSON: unreadable as a reply, but not lost."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        part_texts = [content_part.get("text") if isinstance(content_part, dict) else content_part for content_part in value]
        return "".join(part_text for part_text in part_texts if isinstance(part_text, str))
    return json.dumps(value) if value else ""


def _message_of(document: Any, body: bytes) -> str:
    """The message of an error, from the keys that servers use; else the whole body as text."""
    error = error_of(document)
    for message_key in SAID:
        error_message = error.get(message_key)
        # FastAPI's: [{"loc": ["body", "model"], "msg": "field required"}]
        if isinstance(error_message, list) and error_message:
            error_message = "; ".join(map(_fault_text, error_message[:MAX_FAULTS]))
        if isinstance(error_message, str) and error_message:
            return error_message
    page_text = re.sub(
        r"<[^<>]*>", " ", body.decode("utf-8", "replace")
    )  # the whole body: of a key that is cut in half nobody could remove the rest
    return page_text.strip() or "nothing was said"


def _fault_text(fault: Any) -> str:
    if not isinstance(fault, dict):
        return fault if isinstance(fault, str) else ""
    location = fault.get("loc")
    location_names = (
        [str(name) for name in location[:MAX_FAULTS] if isinstance(name, str | int)] if isinstance(location, list) else []
    )
    fault_parts = [
        ".".join(location_names),
        *(fault_field for name in ("msg", "type") if isinstance(fault_field := fault.get(name), str)),
    ]
    return ": ".join(filter(None, fault_parts))
