"""Reads trajectories of tool calls and groundings as others publish them, a turn for each look or for several at once.

White space, the order of keys and the name of the function differ from set to set; what a look says is read exactly, or the
trajectory is left out. Times are seconds; a call without a density is no look of ours, for nothing says how densely it shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from dmforge.schemas.dialects import grounding_dialect, tool_dialect
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.grounding_dialect import FPS, GROUNDING, TOKENS_OF_STRATEGY
from dmforge.schemas.dialects.tool_dialect import TOOL
from dmforge.schemas.dialects.turn_form import TURN_END
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window, read_density

NO_DENSITY = "trajectory left out: a look says no density"
UNREADABLE = "trajectory left out: a look or a turn can't be read"
READERS = {TOOL.look_tag: TOOL, GROUNDING.look_tag: GROUNDING}
MAX_DIGITS = 20
"""Characters of a number: longer ones are no times."""
_TAG = re.compile(r"(</?(?:think|answer|tool_call|grounding)>)")
_RESPONSE = re.compile("<tool_response>[^<]*</tool_response>")
_START_KEYS, _END_KEYS = ("start_time", "start"), ("end_time", "end")


def dialect_of_turn(reply: str) -> Dialect | None:
    """The dialect in which a turn asks for looks; None where it asks for none."""
    return next((dialect for tag, dialect in READERS.items() if f"</{tag}>" in reply), None)


def is_asking(reply: str) -> bool:
    """Whether a turn asks for looks and goes on after them."""
    return dialect_of_turn(reply) is not None and "<answer>" not in reply


def turns_of(message: Mapping[str, Any], content_key: str) -> list[str]:
    """The turns of an assistant's message, calls in a field of their own included: some sets have all turns in one message,
    with the answers of the tool between. A message without looks is one turn, as it stands."""
    calls = [_call_text(call.get("function", call)) for call in message.get("tool_calls") or ()]
    text = (message[content_key] or "") + "".join(f"\n<tool_call>\n{call_text}\n</tool_call>" for call_text in calls)
    return [turn.strip() for turn in _RESPONSE.split(text)] if dialect_of_turn(text) else [text]


def _call_text(call: Mapping[str, Any]) -> str:
    """A call as one writes it in a text; empty where its arguments are no JSON, or nested beyond reading."""
    name, arguments = call["name"], call["arguments"]
    try:
        return json.dumps({"name": name, "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments})
    except (ValueError, RecursionError):
        return ""


def joined(turns: Sequence[str], clip_mark: str) -> str:
    """Turns as one text in their dialect, as they are worded, with the runtime's answers between and marks for clips."""
    forms = {TOOL.look_tag: tool_dialect.FORM, GROUNDING.look_tag: grounding_dialect.FORM}
    text = ""
    for turn in turns[:-1]:
        dialect = dialect_of_turn(turn)
        form = forms[dialect.look_tag if dialect else TOOL.look_tag]
        before, between, behind = form.response
        marks = (clip_mark + between) * (turn.count(f"</{form.look_tag}>") - 1) + clip_mark
        text += f"{turn}{TURN_END}{before}{marks}{behind}"
    return text + turns[-1]


def canonical_text(turns: Sequence[str]) -> tuple[str, str]:
    """The trajectory of published turns in its dialect, and nothing; or nothing, and why it is left out."""
    trajectory = _trajectory(turns)
    if isinstance(trajectory, str):
        return "", trajectory
    dialect = next(filter(None, map(dialect_of_turn, turns)), TOOL)
    try:
        return dialect.render(trajectory), ""
    except InputError:  # turns of two dialects
        return "", UNREADABLE


def _trajectory(turns: Sequence[str]) -> Trajectory | str:
    thoughts: list[str] = []
    looks: list[Look] = []
    group_sizes: list[int] = []
    answer = ""
    for turn in turns:
        elements = _elements(turn)
        if elements is None or answer:
            return UNREADABLE
        thoughts.append("".join(content.strip("\n") for tag, content in elements if tag == "think"))
        answer = "".join(content for tag, content in elements if tag == "answer")
        calls = [_look(tag, content.strip()) for tag, content in elements if tag in READERS]
        fault = next((call for call in calls if isinstance(call, str)), "")
        if fault:
            return fault
        looks += [call for call in calls if isinstance(call, Look)]
        group_sizes += [len(calls)] if calls else []
    try:
        groups = tuple(group_sizes) if max(group_sizes, default=1) > 1 else ()
        return Trajectory(tuple(thoughts), tuple(looks), answer, turns=groups)
    except ValueError:  # a tag of another dialect in a thought, no answer, a turn without a call
        return UNREADABLE


def _elements(turn: str) -> list[tuple[str, str]] | None:
    """Name and content of each element of a turn; None where they are not one behind the other, or text stands between."""
    parts = _TAG.split(turn)  # text, opening, content, closing, text, ...
    if len(parts) % 4 != 1 or any(map(str.strip, parts[::4])):
        return None
    names = [opening[1:-1] for opening in parts[1::4]]
    if any(closing != f"</{name}>" for name, closing in zip(names, parts[3::4], strict=True)):
        return None
    return list(zip(names, parts[2::4], strict=True)) if names.count("think") <= 1 and names.count("answer") <= 1 else None


def _look(tag: str, content: str) -> Look | str:
    form = tool_dialect.FORM if tag == TOOL.look_tag else grounding_dialect.FORM
    canonical_look = form.read_look(content)
    if isinstance(canonical_look, Look):
        return canonical_look
    try:
        call = json.loads(content, parse_float=_number, parse_int=_number, parse_constant=_number)
        return _grounding(call) if form is grounding_dialect.FORM else _tool_call(call["arguments"])
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return UNREADABLE


def _grounding(call: Mapping[str, Any]) -> Look:
    start_s, end_s = call["temporal_segment"]
    return Look(_window(start_s, end_s), FPS, tokens=TOKENS_OF_STRATEGY[call["sampling_strategy"]])


def _tool_call(arguments: Mapping[str, Any]) -> Look | str:
    start_s, end_s = (next((arguments[key] for key in keys if key in arguments), None) for keys in (_START_KEYS, _END_KEYS))
    window, fps = _window(start_s, end_s), arguments.get("fps")
    if fps is None:
        return NO_DENSITY
    density = read_density(fps) if isinstance(fps, str) else fps
    if not isinstance(density, Fraction) or "box" in arguments or "bbox" in arguments:
        return UNREADABLE  # boxes of others count pixels
    return Look(window, density)


def _window(start_s: object, end_s: object) -> Window:
    bounds_cs = [bound_s * 100 if isinstance(bound_s, Fraction) else Fraction(1, 2) for bound_s in (start_s, end_s)]
    if any(bound_cs.denominator != 1 for bound_cs in bounds_cs):
        raise ValueError("a time is no whole number of centiseconds")
    return Window(int(bounds_cs[0]), int(bounds_cs[1]))


def _number(text: str) -> Fraction:
    if len(text) > MAX_DIGITS or not re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", text):
        raise ValueError(f"{text[:MAX_DIGITS]!r} is no time")
    return Fraction(text)
