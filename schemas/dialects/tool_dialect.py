"""The dialect `tool`: calls and their results as a checkpoint's own chat template renders them (that of Qwen3-VL).

    <think>T1</think>, <tool_call>{"name": "crop_video", "arguments": {"start_time": 12, "end_time": 20, "fps": 2}}</tool_call>

and then a user's turn with the clip in a `<tool_response>`. The white space is the template's; a thought stands as templates
of models that think write it. Several calls in one turn are answered together.
"""

from __future__ import annotations

import re
from typing import Final

from dmforge.schemas.defects import Rule, window_fault
from dmforge.schemas.dialects.call_numbers import (
    COUNT,
    DENSITY,
    SECONDS,
    print_call_density,
    print_call_seconds,
    read_call_density,
    read_call_seconds,
)
from dmforge.schemas.dialects.turn_form import TurnForm
from dmforge.schemas.dialects.turn_reader import turn_dialect
from dmforge.schemas.looks import Box, Look, Window

FUNCTION: Final = "crop_video"
"""The name by which published tools of this kind are called."""
_EXAMPLE: Final = f'{{"name": "{FUNCTION}", "arguments": {{"start_time": 12, "end_time": 20.5, "fps": 2}}}}'
_SIDE: Final = "(0|[1-9][0-9]{0,3})"
_CALL: Final = re.compile(
    rf'\{{"name": "{FUNCTION}", "arguments": '
    rf'\{{"start_time": ({SECONDS}), "end_time": ({SECONDS}), "fps": ({DENSITY})'
    rf'(?:, "box": \[{_SIDE}, {_SIDE}, {_SIDE}, {_SIDE}\])?(?:, "max_tokens": ({COUNT}))?\}}\}}'
)


def _print_look(look: Look) -> str:
    start, end = print_call_seconds(look.window.start_cs), print_call_seconds(look.window.end_cs)
    arguments = f'"start_time": {start}, "end_time": {end}, "fps": {print_call_density(look.fps)}'
    if look.box is not None:
        arguments += f', "box": [{look.box.x1}, {look.box.y1}, {look.box.x2}, {look.box.y2}]'
    if look.tokens is not None:
        arguments += f', "max_tokens": {look.tokens}'
    return f'{{"name": "{FUNCTION}", "arguments": {{{arguments}}}}}'


def _read_look(text: str) -> Look | tuple[Rule, str]:
    match = _CALL.fullmatch(text)
    if match is None:
        return "call_not_canonical", f"a call like {_EXAMPLE}"
    start_cs, end_cs, fps = read_call_seconds(match[1]), read_call_seconds(match[2]), read_call_density(match[3])
    if (bounds_fault := window_fault(start_cs, end_cs)) is not None:
        return bounds_fault
    if fps is None or fps <= 0:
        expected = 'a density above zero in its shortest form, like 2, 0.5 or "1/3"'
        return "fps_not_canonical" if fps is None else "fps_not_positive", expected
    try:
        box = None if match[4] is None else Box(*(int(match[group]) for group in range(4, 8)))
        return Look(Window(start_cs, end_cs), fps, box, None if match[8] is None else int(match[8]))
    except ValueError as error:
        return "call_not_canonical", f"another value: {error}"


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
TOOL: Final = turn_dialect(FORM)
