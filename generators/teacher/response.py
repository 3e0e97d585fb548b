"""What a provider's response is: an answer, or a refusal and what kind. Total: whatever bytes come, they are one of these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dmforge.curation.accounts import token_counts
from dmforge.curation.lake.journal import Answer
from dmforge.generators.teacher.limits import Hint, error_of, read_hint

Kind = Literal["filtered", "too large", "busy", "passing", "unreadable", "final"]
"""`unreadable`: what came is no chat completion, though nothing says that anything went wrong."""
FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
"""Codes of refusals that say something about one question only."""
PASSING = (408, 409)
"""Statuses that may be otherwise the next time: a time-out, a conflict. All from 500 on may, too."""
TOO_LARGE = re.compile(
    r"context[ _](length|window|size)|too[ _](long|large|big|many[ _](images|tokens))|longer than the (maximum|model)"
    r"|(at most|less than) \d+ (image|item|token|character|byte)|maximum number of (image|item|token)"
    r"|(size|length|tokens|images|payload) .{0,20}exceed|exceeds? .{0,40}maximum",
    re.IGNORECASE,
)
"""How servers say that a question has more tokens, images or bytes than they take; the status is 400, 413 or 422."""
TOO_LARGE_AT_ALL = re.compile(r"request[ _]too[ _]large", re.IGNORECASE)
"""Said with 429: a request of more tokens than a whole minute has. Waiting is of no use."""
SAID = ("message", "detail", "msg", "error")
"""Where servers put their words."""
MAX_WORDS = 400
"""Letters of a provider's words that a person is shown."""
MAX_SEARCHED = 4096
"""Letters in which they are looked for: the rest of a page says no more."""
MAX_FAULTS = 5
"""Faults of a request that are told, where a server lists them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer, and what that means for whoever asked."""

    kind: Kind
    words: str
    """The provider's own, as they came."""
    status: int | None = None
    hint: Hint = field(default_factory=Hint)
    may_cost: bool = False
    """Whether something may have been charged all the same."""


def read_response(status: int, headers: Mapping[str, str], body: bytes) -> Answer | Refusal:
    """What a response is. Some relays send the refusals of others with status 200."""
    try:
        return _read(status, headers, body, json.loads(body))
    except (ValueError, RecursionError):  # no JSON, or deeper than anybody means it
        return _read(status, headers, body, None)


def shown(words: str) -> str:
    """What a provider says, for a person: one line of what can be seen, and no more than one reads."""
    head = words[:MAX_SEARCHED]
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in head).split())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}..."


def _read(status: int, headers: Mapping[str, str], body: bytes, document: Any) -> Answer | Refusal:
    if status < 300 and isinstance(document, dict):
        answer = _answer(document)
        if answer is not None:
            return answer
    words, hint = _words(document, body), read_hint(headers, document)
    code = error_of(document).get("code")
    if status < 300 and type(code) is int and 400 <= code < 600:
        status = code
    if status < 300:
        return Refusal("unreadable", words, status, hint, may_cost=True)
    if status < 400:
        words = f"it sends on to {headers.get('location', 'nowhere')}"
    return Refusal("final" if hint.no_money else _kind(status, code, words, document), words, status, hint)


def _kind(status: int, code: object, words: str, document: Any) -> Kind:
    if status == 400 and code in FILTERED:
        return "filtered"
    searched = f"{words[:MAX_SEARCHED]} {code if isinstance(code, str) else ''} {_kind_of_error(document)}"
    if status == 413 or (status in (400, 422) and TOO_LARGE.search(searched)):
        return "too large"
    if status == 429:
        return "too large" if TOO_LARGE_AT_ALL.search(searched) else "busy"
    return "passing" if status >= 500 or status in PASSING else "final"


def _kind_of_error(document: Any) -> str:
    """What a server calls the kind of a refusal: `exceed_context_size_error`."""
    name = error_of(document).get("type")
    return name[:MAX_WORDS] if isinstance(name, str) else ""


def _answer(document: dict[Any, Any]) -> Answer | None:
    """An answer, also one without words: filters let nothing through but the frame of it. None for what is no completion."""
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice: dict[Any, Any] = first if isinstance(first, dict) else {}
    message, finish = choice.get("message"), choice.get("finish_reason")
    end = finish[:MAX_WORDS] if isinstance(finish, str) else ""
    usage = token_counts(document.get("usage"))
    if isinstance(message, dict):
        content, refusal = _text(message.get("content")), _text(message.get("refusal"))
        return {"content": content, "refusal": refusal, "finish": end, "usage": usage}
    is_completion = "choices" in document or document.get("object") == "chat.completion"
    if not is_completion or document.get("error") or choice.get("error"):
        return None
    return {"content": "", "refusal": f"no message came {end}".rstrip(), "finish": end, "usage": usage}


def _text(value: Any) -> str:
    """A text, or one in parts; of anything else its JSON: no reply that can be read, but none that is lost."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        texts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "".join(text for text in texts if isinstance(text, str))
    return json.dumps(value) if value else ""


def _words(document: Any, body: bytes) -> str:
    """What a server says, where servers say it; else all that it sent."""
    error = error_of(document)
    for name in SAID:
        said = error.get(name)
        if isinstance(said, list) and said:  # FastAPI's: [{"loc": ["body", "model"], "msg": "field required"}]
            said = "; ".join(map(_fault, said[:MAX_FAULTS]))
        if isinstance(said, str) and said:
            return said
    page = re.sub(r"<[^<>]*>", " ", body.decode("utf-8", "replace"))  # whole: half a key would not be known for one
    return page.strip() or "nothing was said"


def _fault(fault: Any) -> str:
    if not isinstance(fault, dict):
        return fault if isinstance(fault, str) else ""
    place = fault.get("loc")
    names = [str(name) for name in place[:MAX_FAULTS] if isinstance(name, str | int)] if isinstance(place, list) else []
    said = [".".join(names), *(text for name in ("msg", "type") if isinstance(text := fault.get(name), str))]
    return ": ".join(filter(None, said))
