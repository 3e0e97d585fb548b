"""Reads trajectories of tool calls and groundings as others publish them, a turn for each look or for several at once.

White space, the order of keys and the name of the function differ from set to set; what a look says is read exactly, or the
trajectory is left out. Times are seconds. A call without a density is no look of ours, for nothing says how densely it shows,
unless a format knows the density that the tool of its set is built with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dmforge.schemas.dialects import grounding_dialect, tool_dialect
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.grounding_dialect import FPS, GROUNDING, TOKENS_OF_STRATEGY
from dmforge.schemas.dialects.tool_dialect import TOOL
from dmforge.schemas.dialects.turn_form import TURN_END
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Look, Window, read_density

NO_DENSITY = "trajectory left out: a look says no density"
UNREADABLE = "trajectory left out: a look or a turn can't be read"
ZOOM_TAG = "video_zoom"
"""VideoZoomer's tag: `<video_zoom>{"segment": [4.0, 6.0], "fps": 2}</video_zoom>`; what it says is a call of `tool`."""
READERS = {TOOL.look_tag: TOOL, GROUNDING.look_tag: GROUNDING, ZOOM_TAG: TOOL}
MAX_DIGITS = 20
"""Characters of a number: longer ones are no times."""
_TAG = re.compile(r"(</?(?:think|answer|tool_call|grounding|video_zoom)>)")
_RESPONSE = re.compile("<tool_response>[^<]*</tool_response>")
_START_KEYS, _END_KEYS = ("start_time", "start"), ("end_time", "end")


@dataclass(frozen=True, slots=True)
class FixedDensity:
    """How densely the tool of a set shows a window, where its own code states that and its calls don't."""

    function: str
    fps: Fraction
    min_frames: int
    max_frames: int
    """Of windows with fewer or more frames the tool shows another density, so nothing is known of them here."""
    max_windows: int = 1
    """How many windows of one call it shows."""

    def density_of(self, window: Window) -> Fraction | None:
        """The density at which it shows a window; None where its limits change that."""
        frames = (window.end_s - window.start_s) * self.fps
        return self.fps if self.min_frames <= frames <= self.max_frames else None


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


def asks_in_span(reply: str) -> bool:
    """Whether a turn ends behind a look of `span`, as those of exports do."""
    return reply.rstrip().endswith("</fps>")


def span_text(turns: Sequence[str], clip_mark: str) -> tuple[str, str]:
    """The trajectory of turns in `span`, with a mark for each clip, and nothing; or nothing, and why it is left out."""
    trajectory = parse("".join(turns), len(turns))
    if isinstance(trajectory, Trajectory) and len(trajectory.looks) == len(turns) - 1:
        return clip_mark.join(turns), ""
    return "", UNREADABLE


def canonical_text(turns: Sequence[str], fixed_density: FixedDensity | None = None) -> tuple[str, str]:
    """The trajectory of published turns in its dialect, and nothing; or nothing, and why it is left out."""
    trajectory = _trajectory(turns, fixed_density)
    if isinstance(trajectory, str):
        return "", trajectory
    dialect = next(filter(None, map(dialect_of_turn, turns)), TOOL)
    try:
        return dialect.render(trajectory), ""
    except InputError:  # turns of two dialects
        return "", UNREADABLE


def _trajectory(turns: Sequence[str], fixed_density: FixedDensity | None) -> Trajectory | str:
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
        calls = [call for tag, content in elements if tag in READERS for call in _looks(tag, content.strip(), fixed_density)]
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


def _looks(tag: str, content: str, fixed_density: FixedDensity | None) -> Sequence[Look | str]:
    """The looks of an element, or why there is none."""
    form = tool_dialect.FORM if READERS[tag] is TOOL else grounding_dialect.FORM
    canonical_look = form.read_look(content)
    if isinstance(canonical_look, Look):
        return [canonical_look]
    try:
        call = json.loads(content, parse_float=_number, parse_int=_number, parse_constant=_number)
        if tag == GROUNDING.look_tag:
            return [_grounding(call)]
        if tag == ZOOM_TAG:
            start_s, end_s = call["segment"]
            return [_with_density(_window(start_s, end_s), call["fps"])]
        return _tool_call(call, fixed_density)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return [UNREADABLE]


def _grounding(call: Mapping[str, Any]) -> Look:
    start_s, end_s = call["temporal_segment"]
    return Look(_window(start_s, end_s), FPS, tokens=TOKENS_OF_STRATEGY[call["sampling_strategy"]])


def _tool_call(call: Mapping[str, Any], fixed_density: FixedDensity | None) -> Sequence[Look | str]:
    """The looks of a call: one, or one for each window where its arguments are a list of them."""
    arguments = call["arguments"]
    windows = arguments if isinstance(arguments, list) else [arguments]
    fixed = fixed_density if fixed_density is not None and call.get("name") == fixed_density.function else None
    if not windows or (len(windows) > 1 and (fixed is None or len(windows) > fixed.max_windows)):
        return [UNREADABLE]
    return [_windowed(window_arguments, fixed) for window_arguments in windows]


def _windowed(arguments: Mapping[str, Any], fixed_density: FixedDensity | None) -> Look | str:
    start_s, end_s = (next((arguments[key] for key in keys if key in arguments), None) for keys in (_START_KEYS, _END_KEYS))
    window, fps = _window(start_s, end_s), arguments.get("fps")
    if fps is None and fixed_density is not None:
        fps = fixed_density.density_of(window)
    if fps is None:
        return NO_DENSITY
    if "box" in arguments or "bbox" in arguments:
        return UNREADABLE  # boxes of others count pixels
    return _with_density(window, fps)


def _with_density(window: Window, fps: object) -> Look:
    density = read_density(fps) if isinstance(fps, str) else fps
    if not isinstance(density, Fraction):
        raise ValueError("a density is no number")
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
