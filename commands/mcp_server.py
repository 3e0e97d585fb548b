"""Looks over the Model Context Protocol: an agent of any maker calls `crop_video` on the videos of the folders that are named.

    python -m dmforge.commands.mcp_server FOLDER... [--look-frames N] [--look-tokens N]

It speaks over stdin and stdout, with the package `mcp` (`pip install 'dmforge[mcp]'`). A reply is text and images: before each
frame stands its stamp. Frames are JPEGs, encoded as a teacher is sent them.
"""

from __future__ import annotations

import argparse
import os
import sys
from base64 import b64encode
from collections.abc import Mapping
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from dmforge import __version__
from dmforge.commands.served_videos import ServedFolders, ServedVideo
from dmforge.curation.video.frame_preview import CLIPS
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.footage import ShownClip
from dmforge.generators.look_tool.call_arguments import read_arguments
from dmforge.generators.look_tool.clip_forms import stamps
from dmforge.generators.look_tool.crop_video import crop_video, tool_schema
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import parse_config
from dmforge.schemas.dialects.tool_dialect import FUNCTION
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.frames import GRID_FPS

LIST = "list_videos"
MAX_NAMES = 1000
_TEXT = {"type": "string"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dmforge.commands.mcp_server", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="video files, shards, or a workspace")
    parser.add_argument("--look-frames", type=int, default=CLIPS.look_frames, help="most frames of a look at a file")
    parser.add_argument("--look-tokens", type=int, default=CLIPS.look_tokens, help="most visual tokens of so many frames")
    options = parser.parse_args()
    try:
        budgets = {"look_frames": options.look_frames, "look_tokens": options.look_tokens}
        serve(ServedFolders(options.folders, parse_config(Clips, {**CLIPS.semantic(), **budgets}, where="the command line")))
    except DmforgeError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def serve(videos: ServedFolders) -> None:
    """Answer one client until it closes the connection."""
    if next(videos.names(), None) is None:
        raise InputError(
            "there are no videos in these folders", where="FOLDER", hint="name folders of videos, shards or workspaces"
        )
    if find_spec("mcp") is None:
        raise InputError("the package mcp is not installed", where="mcp", hint="pip install 'dmforge[mcp]'")
    import anyio
    from anyio import CapacityLimiter, to_thread
    from mcp.server.lowlevel import Server  # pyright: ignore
    from mcp.server.stdio import stdio_server  # pyright: ignore
    from mcp_types import CallToolResult, ListToolsResult  # pyright: ignore

    async def list_tools(context: Any, params: Any) -> Any:
        del context, params
        return ListToolsResult.model_validate({"tools": served_tools()})

    async def call_tool(context: Any, params: Any) -> Any:
        del context
        reply = await to_thread.run_sync(call, videos, params.name, params.arguments or {}, limiter=limiter)
        return CallToolResult.model_validate(reply)

    async def run() -> None:
        server = Server("dmforge", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)
        async with stdio_server() as (requests, replies):
            await server.run(requests, replies, server.create_initialization_options())

    limiter = CapacityLimiter(len(os.sched_getaffinity(0)))  # each decodes: more at once would only take memory
    anyio.run(run)


def served_tools() -> list[dict[str, Any]]:
    """The two functions, as the protocol has them."""
    function = tool_schema()["function"]
    parameters: dict[str, Any] = function["parameters"]
    named = {"video": {**_TEXT, "description": f"The name of the video, as {LIST} gives it."}, **parameters["properties"]}
    schema = {**parameters, "properties": named, "required": ["video", *parameters["required"]]}
    listing = {"type": "object", "properties": {"containing": {**_TEXT, "description": "Only names that contain this text."}}}
    return [
        {"name": FUNCTION, "description": function["description"], "inputSchema": schema},
        {"name": LIST, "description": "The names of the videos that can be shown, one a line.", "inputSchema": listing},
    ]


def call(videos: ServedFolders, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The reply to a call as the protocol has it. What can't be answered is said in words, and no path of this machine."""
    try:
        if function == LIST:
            return {"content": [_text(_listed(videos, arguments.get("containing", "")))]}
        if function != FUNCTION:
            raise InputError("there is no such tool", where=function[:40], hint=f"call {FUNCTION} or {LIST}")
        look_arguments = dict(arguments)
        name = look_arguments.pop("video", None)
        if not isinstance(name, str):
            raise InputError("the name of a video is needed", where=f"{FUNCTION}: video", hint=f"call {LIST} first")
        video = videos.open(name)
        return {"content": _shown(video, crop_video(video.source, look_arguments), read_arguments(look_arguments).fps)}
    except DmforgeError as error:
        where = error.where if error.where.startswith((FUNCTION, LIST)) else ""  # else it may be a path
        return {"content": [_text(str(InputError(error.message, where=where, hint=error.hint)))], "isError": True}


def _listed(videos: ServedFolders, containing: object) -> str:
    if not isinstance(containing, str):
        raise InputError("a text is needed", where=f"{LIST}: containing", hint="leave it out to be given all names")
    names = [name for name in videos.names() if containing in name]
    further_count = len(names) - MAX_NAMES
    further = [f"and {further_count} more: name a text that they contain"] if further_count > 0 else []
    return "\n".join([*islice(names, MAX_NAMES), *further]) or "there are none"


def _shown(video: ServedVideo, clip: ShownClip, fps: Fraction) -> list[dict[str, Any]]:
    size = f"{clip.frames.shape[2]} x {clip.frames.shape[1]}"
    frame_count, shown_s = len(clip.times_s), clip.times_s[-1] - clip.times_s[0]
    description = f"{video.name}, {video.duration_s:.2f} s long: {frame_count} frames of {size}, each under its time."
    # where fewer are shown than were asked for, it is said, since nobody could see it from few of them
    if shown_s > (frame_count - 1) / fps + Fraction(1, GRID_FPS):
        shown_fps = float((frame_count - 1) / shown_s)
        description += f" These are {shown_fps:.3g} a second, not {float(fps):.6g}: more are not shown of this part."
    parts = [_text(description)]
    for frame_stamp, jpeg in zip(stamps(clip), to_jpeg(clip.frames), strict=True):
        parts += [_text(frame_stamp), {"type": "image", "data": b64encode(jpeg).decode(), "mimeType": "image/jpeg"}]
    return parts


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


if __name__ == "__main__":
    main()
