"""The dialect `tool`: calls and their results as a checkpoint's own chat template renders them (that of Qwen3-VL).

    <think>T1</think>, <tool_call>{"name": "crop_video", "arguments": {"start_time": 12, "end_time": 20, "fps": 2}}</tool_call>

and then a user's turn with the clip in a `<tool_response>`. The white space is the template's; a thought stands as templates
of models that think write it. Several calls in one turn are answered together.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

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
_PARAMETERS: Final[dict[str, Any]] = {
    "start_time": {"type": "number", "description": "Where the part begins, in seconds with at most two decimals."},
    "end_time": {"type": "number", "description": "Where the part ends, in seconds with at most two decimals."},
    "fps": {
        "type": ["number", "string"],
        "description": "Frames per second: a number like 2 or 0.5, or a fraction as a string like 1/3.",
    },
    "box": {
        "type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4,
        "description": "The part of the picture to show, in thousandths of its width and height: left, top, right, bottom. "
        "The whole picture by default.",
    },
    "max_tokens": {"type": "integer", "description": "The most visual tokens that the clip may have."},
}  # fmt: skip
PARAMETER_NAMES: Final = tuple(_PARAMETERS)
CROP_VIDEO: Final = json.dumps(
    {
        "type": "function",
        "function": {
            "name": FUNCTION,
            "description": "Show a part of the video again, with more frames or closer up.",
            "parameters": {
                "type": "object", "properties": _PARAMETERS, "required": ["start_time", "end_time", "fps"],
            },
        },
    }
)  # fmt: skip
"""What a student is told of the function, in JSON schema: all that `_CALL` reads, its arguments in this order."""
_EXAMPLE: Final = f'{{"name": "{FUNCTION}", "arguments": {{"start_time": 12, "end_time": 20.5, "fps": 2}}}}'
_SIDE: Final = "(0|[1-9][0-9]{0,3})"
_CALL: Final = re.compile(
    rf'\{{"name": "{FUNCTION}", "arguments": '
    rf'\{{"start_time": ({SECONDS}), "end_time": ({SECONDS}), "fps": ({DENSITY})'
    rf'(?:, "box": \[{_SIDE}, {_SIDE}, {_SIDE}, {_SIDE}\])?(?:, "max_tokens": ({COUNT}))?\}}\}}'
)


def print_arguments(look: Look) -> str:
    """The arguments of a call, as JSON."""
    start, end = print_call_seconds(look.window.start_cs), print_call_seconds(look.window.end_cs)
    arguments = f'"start_time": {start}, "end_time": {end}, "fps": {print_call_density(look.fps)}'
    if look.box is not None:
        arguments += f', "box": [{look.box.x1}, {look.box.y1}, {look.box.x2}, {look.box.y2}]'
    if look.tokens is not None:
        arguments += f', "max_tokens": {look.tokens}'
    return f"{{{arguments}}}"


def _print_look(look: Look) -> str:
    return f'{{"name": "{FUNCTION}", "arguments": {print_arguments(look)}}}'


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
    response_role="tool",
    print_look=_print_look,
    read_look=_read_look,
    tools=(CROP_VIDEO,),
)
TOOL: Final = turn_dialect(FORM)
