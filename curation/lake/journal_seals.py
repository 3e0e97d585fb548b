"""Seals of the journal: of each line, so that no changed one is read; and of what an answer says, which rows repeat."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.record_fields import later
from dmforge.schemas.units import Tokens

SEAL = re.compile(rb', "sha256": "([0-9a-f]{64})"\}\n?')
SEAL_BYTES = len(b', "sha256": ""}') + 64
CHANGED = "it was changed after it was written: its seal doesn't fit"


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """A line of `journal/<model>/<writer>.jsonl`: an answer that was paid for. Its fields stand in this order."""

    key: str
    """The question's, `ask_...`: a digest of what was asked."""
    video: str
    """The video that was asked about, `video_...`."""
    limit: Tokens | None = later(None, since=2)
    """The most tokens that the answer could have; left out where nobody said it."""
    cut: bool = later(False, since=2)
    """Whether the answer was cut off at its limit; left out where it wasn't."""
    model: str = field(kw_only=True)
    """The model that answered, by the name that its endpoint knows."""
    answer: dict[str, Any] = field(kw_only=True)
    """The response: `content`, `finish`, `refusal`, `usage` with its tokens, and `asked`: by which stage, with which prompt."""
    sha256: str = later("", since=3)
    """Of all that stands before it in the line."""


FIELDS = frozenset(line_field.name for line_field in fields(AnswerLine))
"""Of a line. Another one is a name that was changed."""
REPLY_FIELDS = ("content", "refusal", "finish")
"""What rows follow from; what an answer has cost, and how it was sent, is for books."""


class AnswerReference(NamedTuple):
    """What a row remembers of an answer that it was made from."""

    key: Id
    """Under which it stands in the journal."""
    reply_digest: Id
    """The digest of what it says."""


def reply_digest(answer: Mapping[str, Any]) -> Id:
    """The digest of what an answer says: a row repeats it, so that nobody can change the one without the other."""
    reply_json = json.dumps([answer.get(field_name) for field_name in REPLY_FIELDS])
    return hashlib.sha256(reply_json.encode("ascii")).digest()[:ID_BYTES]


def sealed_line(fields: Mapping[str, Any]) -> bytes:
    """A line of the journal, with the sha256 of all that stands before it at its end."""
    content = json.dumps(fields, ensure_ascii=True).encode("ascii")[:-1]
    return content + b', "sha256": "' + hashlib.sha256(content).hexdigest().encode("ascii") + b'"}\n'


def check_seal(line: bytes) -> bool:
    """Whether a line has a seal: those of formats 1 and 2 have none. ValueError where it doesn't fit."""
    seal_start = len(line) - SEAL_BYTES - line.endswith(b"\n")
    seal_match = SEAL.fullmatch(line, max(0, seal_start))
    if seal_match is not None and hashlib.sha256(line[:seal_start]).hexdigest().encode("ascii") != seal_match[1]:
        raise ValueError(CHANGED)
    return seal_match is not None


def check_fields(record: Mapping[str, Any], *, is_sealed: bool) -> None:
    """Raise ValueError where a line has a field that no journal writes, or a seal that is none."""
    if "sha256" in record and not is_sealed:
        raise ValueError(CHANGED)
    if unknown := sorted(record.keys() - FIELDS):
        raise ValueError(f"it has a field {unknown[0][:40]!r}, which no journal writes")
