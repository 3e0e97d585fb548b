"""What a tool needs to know to cut the looks of a rollout elsewhere: the video, its clips, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.exports.row_format import ClippedSample, Row
from dmforge.curation.video.frame_preview import PLACEHOLDER_SHA256
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Video

HINT = "export the corpus again with this version: a tool is told of the clips since dmforge has one"


def tool_task(clipped: ClippedSample) -> Row:
    """The arguments of the tool of a task, as JSON."""
    video, targets = clipped.video, clipped.sample.target_looks
    return {
        "video": clipped.grid_path,
        "duration_s": video.duration_cs / 100,
        "width": video.width,
        "height": video.height,
        "clips": clipped.settings.semantic(),
        "gold": clipped.sample.gold,
        "windows": [window.bounds_s for window in clipped.sample.windows],
        "target_windows": [look.window.bounds_s for look in targets],
        "target_fps": [float(look.fps) for look in targets],
    }


def read_tool_task(task: Mapping[str, Any], folder: Path) -> tuple[Video, Clips, Path]:
    """The video of a task, how its frames are cut, and its grid rendition; paths begin in the folder of the export."""
    try:
        settings, grid_path = {name: value for name, value in task["clips"].items() if value is not None}, str(task["video"])
        duration_cs, width, height = round(task["duration_s"] * 100), int(task["width"]), int(task["height"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"no task as an export has it: {type(error).__name__} {error}"
        raise InputError(message, where="tools_kwargs.crop_video.create_kwargs", hint=HINT) from None
    video = Video(PLACEHOLDER_SHA256, duration_cs, width, height, Fraction(0), "", 0, 0)
    return video, Clips.from_semantic(settings, where="tools_kwargs.crop_video.create_kwargs.clips"), folder / grid_path
