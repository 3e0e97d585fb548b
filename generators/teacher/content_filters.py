"""Recognises a content filter by code, finish reason or words, whatever a provider calls it: it concerns one question alone.

Only what names the content counts. What says something about whoever asks (a flagged account, a region) must not be taken for
a filter: every question would be settled as refused, for good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dmforge.generators.teacher.rate_limits import error_of

CONTENT_FILTER = "content_filter"
"""The `finish` of an answer that was filtered on its way back: another attempt is another text, and may pass."""
PROMPT_FILTER = "prompt_filter"
"""The `finish` where the question itself was refused. A filter judges the same frames and words alike, whatever the seed, and
some providers charge for it (Azure does): one such answer settles the question, and no further attempt is sent."""
STEMS = (
    "contentfilter", "contentpolicy", "contentviolation", "policyviolation", "responsibleai", "datainspection", "safety",
    "unsafe", "harmful", "prohibitedcontent", "recitation", "sensitive", "flagged", "moderation", "blocklist", "guardrail",
    "censor", "spii", "refusal",
)  # fmt: skip
"""What stands in codes, types and finish reasons of filters, without capitals and signs: `DataInspectionFailed`, `SAFETY`."""
CALLER = re.compile(
    r"\b(your|this|the) (account|organi[sz]ation|api[ _-]?key|project|team|plan|subscription)\b"
    r"|\b(region|country|territor\w+|suspended|deactivated|banned)\b",
    re.IGNORECASE,
)
"""Words about whoever asks."""
WORDS = re.compile(
    r"content (management polic|filter|polic|moderation|safety)|\bsafety (system|filter|check|polic|guideline|reason)"
    r"|\b(usage|acceptable use|community) (polic|guideline)"
    r"|\b(prompt|input|output|content|image|text|data|frame)s?\b.{0,60}"
    r"\b(flagged|blocked|filtered|inappropriate|(?<!case.)sensitive|unsafe|prohibited|harmful|high risk)\b"
    r"|敏感|违规|不安全|不合规|有害",
    re.IGNORECASE,
)
"""What filters say in words, where they have no code of their own."""
SPEAKING = (400, 403, 422, 451)
"""Statuses whose words are read for that."""
NO_FILTER = (401, 402, 404, 408, 409, 413, 429)
"""Statuses that say something else, whatever stands beside them."""
ABOUT_OUTPUT = re.compile(r"\b(output|response|completion|generated|generation)s?\b", re.IGNORECASE)
ABOUT_PROMPT = re.compile(r"\b(prompt|input|question|request|message)s?\b", re.IGNORECASE)


def names_filter(label: str) -> bool:
    """Whether a code, a type or a finish reason is that of a filter."""
    letters = re.sub("[^a-z]", "", label.lower())
    return any(stem in letters for stem in STEMS) and "account" not in letters


def is_filtered(status: int, document: Any, words: str) -> bool:
    """Whether a response without an answer says that a filter refused its question."""
    if status in NO_FILTER:
        return False
    if any(map(names_filter, _labels(document))):
        return True
    # a page without JSON is what a firewall sends: it has not even seen the question
    is_readable = status in SPEAKING and isinstance(document, dict | list) and CALLER.search(words) is None
    return is_readable and (status == 451 or WORDS.search(words) is not None)


def filter_finish(words: str) -> str:
    """The `finish` of a filter's refusal: whether it was the question that it refused, or what came back."""
    is_about_output = ABOUT_OUTPUT.search(words) is not None and ABOUT_PROMPT.search(words) is None
    return CONTENT_FILTER if is_about_output else PROMPT_FILTER


def block_reason(document: dict[Any, Any]) -> str:
    """Google's `{"promptFeedback": {"blockReason": "SAFETY"}}`: the reason, empty where no question was blocked."""
    feedback = document.get("promptFeedback") or document.get("prompt_feedback")
    reason = (feedback.get("blockReason") or feedback.get("block_reason")) if isinstance(feedback, dict) else None
    return reason if isinstance(reason, str) else ""


def _labels(document: Any) -> Iterator[str]:
    """The codes and types of an error, of its inner one (Azure), and the keys that moderations leave beside it (OpenRouter)."""
    error = error_of(document)
    choices = document.get("choices") if isinstance(document, dict) else None
    for source in (error, error.get("innererror"), error_of(choices)):
        if isinstance(source, dict):
            yield from (source[name] for name in ("code", "type", "status", "reason") if isinstance(source.get(name), str))
            metadata = source.get("metadata")
            yield from (name for name in metadata if isinstance(name, str)) if isinstance(metadata, dict) else ()
