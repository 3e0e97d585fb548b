"""Reads what came of a batch: a file of JSON lines, in any order, with whatever else may stand in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.generators.teacher.http_bounds import MAX_REPLY

FAILED = 500
"""The status of a request of which only an error is said: it may be asked again."""


@dataclass(frozen=True, slots=True)
class BatchedResult:
    """What came for one request of a batch."""

    key: str
    status: int
    body: bytes


def results_in(path: Path) -> Iterator[BatchedResult]:
    """The results in a file. A line that is none, or too long to be one, is passed over: its request counts as unanswered."""
    with path.open("rb") as lines:
        while line := lines.readline(MAX_REPLY):
            result = _result(line)
            if result is not None:
                yield result


def _result(line: bytes) -> BatchedResult | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("custom_id"), str):
        return None
    response = fields.get("response")
    status: Any = response.get("status_code") if isinstance(response, dict) else None
    if isinstance(response, dict) and type(status) is int and 100 <= status < 600:
        return BatchedResult(fields["custom_id"], status, json.dumps(response.get("body")).encode())
    return BatchedResult(fields["custom_id"], FAILED, json.dumps({"error": fields.get("error")}).encode())
