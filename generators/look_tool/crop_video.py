"""The tool itself: from the arguments of a call to the frames that a student is shown, under the budgets of `[clips]`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from dmforge.generators.footage import ShownClip
from dmforge.generators.look_tool.call_arguments import read_arguments
from dmforge.schemas.dialects.tool_dialect import CROP_VIDEO, FUNCTION
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look


class LookSource(Protocol):
    """A video that looks are cut from: `FileFootage` for any file, `Renditions` or `GridRendition` for a rendered one."""

    def look(self, look: Look) -> ShownClip:
        """The frames of a look. Raises an `InputError` where there are none."""
        ...


def crop_video(source: LookSource, arguments: Mapping[str, object]) -> ShownClip:
    """The frames that a call asks for, with their times. Raises an `InputError` whose text can be the tool's reply."""
    look = read_arguments(arguments)
    try:
        return source.look(look)
    except InputError as error:
        if not error.where.startswith("[clips]"):
            raise
        # who calls has no settings: what doesn't fit them is an argument
        raise InputError(error.message, where=f"{FUNCTION}: max_tokens", hint=error.hint) from None


def tool_schema() -> dict[str, Any]:
    """The function as OpenAI's `tools` have it: what students of the dialect `tool` are told, key by key."""
    return json.loads(CROP_VIDEO)
