"""The dialect `tool`: calls and their results as a checkpoint's own chat template renders them (that of Qwen3-VL).

    <think>T1</think>, <tool_call>{"name": "crop_video", "arguments": {"start_time": 12, "end_time": 20, "fps": 2}}</tool_call>

and then a user's turn with the clip in a `<tool_response>`. The white space is the template's; a thought stands as templates
of models that think write it. Several calls in one turn are answered together.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from dmforge.schemas.defects import Defect, Rule
from dmforge.schemas.dialects.call_numbers import (
    DENSITY,
    SECONDS,
    print_call_density,
    print_call_seconds,
    read_call_density,
    read_call_seconds,
)
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.turn_form import TurnForm
from dmforge.schemas.dialects.turn_reader import read_turns
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window

FUNCTION: Final = "crop_video"
"""The name by which published tools of this kind are called."""
_EXAMPLE: Final = f'{{"name": "{FUNCTION}", "arguments": {{"start_time": 12, "end_time": 20.5, "fps": 2}}}}'
_CALL: Final = re.compile(
    rf'\{{"name": "{FUNCTION}", "arguments": '
    rf'\{{"start_time": ({SECONDS}), "end_time": ({SECONDS}), "fps": ({DENSITY})\}}\}}'
)


def _print_look(look: Look) -> str:
    start, end = print_call_seconds(look.window.start_cs), print_call_seconds(look.window.end_cs)
    arguments = f'{{"start_time": {start}, "end_time": {end}, "fps": {print_call_density(look.fps)}}}'
    return f'{{"name": "{FUNCTION}", "arguments": {arguments}}}'


def _read_look(text: str) -> Look | tuple[Rule, str]:
    match = _CALL.fullmatch(text)
    if match is None:
        return "call_not_canonical", f"a call like {_EXAMPLE}"
    start_cs, end_cs, fps = read_call_seconds(match[1]), read_call_seconds(match[2]), read_call_density(match[3])
    return look_or_fault(start_cs, end_cs, fps)


def look_or_fault(start_cs: int, end_cs: int, fps: Fraction | None) -> Look | tuple[Rule, str]:
    """The look of canonical values, or the rule that one of them breaks with what was expected."""
    if start_cs >= end_cs:
        return ("span_reversed", "the earlier time first") if start_cs > end_cs else ("span_empty", "an end after the start")
    if fps is None:
        return "fps_not_canonical", 'a density in its shortest form, like 2, 0.5 or "1/3"'
    return Look(Window(start_cs, end_cs), fps) if fps > 0 else ("fps_not_positive", "a density above zero")


FORM: Final = TurnForm(
    name="tool",
    look_tag="tool_call",
    other_tags=("tool_response",),
    inside="\n",
    after_think="\n\n",
    between_calls="\n",
    response=(
        "\n<|im_start|>user\n<tool_response>\n",
        "\n</tool_response>\n<tool_response>\n",
        "\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    ),
    print_look=_print_look,
    read_look=_read_look,
)


def parse_tool_text(text: str, max_looks: int = 1) -> Trajectory | tuple[Defect, ...]:
    """The trajectory, or why it isn't one: at least one defect, in the order of their offsets."""
    return read_turns(FORM, text, max_looks)


TOOL: Final = Dialect("tool", FORM.look_tag, parse_tool_text, FORM.transcribe)
