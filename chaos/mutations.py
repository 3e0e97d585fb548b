"""Valid examples, spoilt: bytes cut, doubled and swapped, and something else in the place of a value of a document.

What comes out is a function of the draw alone, so a finding is found again by its seed.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

WORDS = (
    b"<think>", b"</think>", b"<span>", b"</span>", b"<fps>", b"</fps>", b"<answer>", b"</answer>", b"<tool_call>",
    b"\n</tool_call>", b"<|im_end|>", b"<|im_start|>user\n", b"</tool_response>", b"<grounding>", b"</grounding>",
    b"12.00 - 20.00", b"0/0",
    b"-1", b"1e999", b"NaN", b"null", b"[", b"{", b'"', b"\\ud800", b"\xff\xfe", b"\0", b"\xef\xbb\xbf", b"\n", b"9" * 5000,
    b"../../etc/passwd", b"\x1b[2J", "\u202e".encode(), "\u0661".encode(), b"a.b.c.d = 1", b"'''", b"##", b",", b"\r",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, 1e308, float("inf"), float("nan"), 0.1, "", " ", "A", "\ud800", "\0",
    "../../x", "1.00 - 2.00",  "1/3", "9" * 5000, [], {}, [[]], [None], [1, 2, 3], ["a", "a"], {"a": 1}, "\x1b[2J",
    [[1, 2], [3]], [[float("nan"), 1]], "<think>", "9" * 400 + ".0", {"text": None}, [["a", "b"]], "٣",
)  # fmt: skip
DEEP = 100_000


def spoilt(example: bytes, draw: random.Random) -> bytes:
    """An example after a few accidents."""
    data = example
    if draw.random() < 0.6:
        data = _of_documents(data, draw) or data
    if draw.random() < 0.6:
        for _ in range(draw.randint(1, 4)):
            data = draw.choice(BYTES)(data, draw)
    return data


def _flip(data: bytes, draw: random.Random) -> bytes:
    if not data:
        return data
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randint(0, len(data))]


def _leave_out(data: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(data))
    return data[:start] + data[start + draw.randint(0, 64) :]


def _twice(data: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(data))
    stop = start + draw.randint(0, 600)
    return data[:stop] + data[start:stop] + data[stop:]


def _word(data: bytes, draw: random.Random) -> bytes:
    at = draw.randint(0, len(data))
    return data[:at] + draw.choice(WORDS) + data[at:]


def _deep(data: bytes, draw: random.Random) -> bytes:
    at = draw.randint(0, len(data))
    return data[:at] + draw.choice((b"[", b'{"a":')) * draw.choice((50, 2_000, DEEP)) + data[at:]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _flip, _cut, _leave_out, _twice, _word, _word, _deep)


def _of_documents(data: bytes, draw: random.Random) -> bytes | None:
    """A JSON document, or one of several lines, with another value somewhere; None where it is none."""
    for is_single, lines in ((True, [data]), (False, data.split(b"\n"))):
        at = draw.randrange(len(lines))
        try:
            document = json.loads(lines[at])
        except ValueError:
            continue
        for _ in range(draw.randint(1, 3)):
            document = _other(document, draw)
        written = json.dumps(document, ensure_ascii=draw.random() < 0.9).encode("utf-8", "surrogatepass")
        return written if is_single else b"\n".join([*lines[:at], written, *lines[at + 1 :]])
    return None


def _other(document: Any, draw: random.Random) -> Any:
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return draw.choice(VALUES)
    holder, key = draw.choice(places)
    way = draw.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.25 and isinstance(holder, dict):
        holder[draw.choice(("unknown", "", "video", "__class__"))] = draw.choice(VALUES)
    elif way < 0.35:
        holder[key] = [holder[key]]
    else:
        holder[key] = draw.choice(VALUES)
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a document, as what holds it and under which key."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from _places(document[key])
