"""The list of functions as a student is told it in a system turn: what the chat template of Qwen3-VL makes of `tools`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BEFORE: Final = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
BEHIND: Final = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def tool_list(tools: Sequence[str]) -> str:
    """The text of the system turn, for functions that are given as JSON."""
    return "".join([BEFORE, *(f"\n{tool}" for tool in tools), BEHIND])
