"""The MCP server as agents meet it: started over stdio and asked by the client of the official package."""

from __future__ import annotations

import asyncio
import os
import sys
from base64 import b64decode
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.video.frame_preview import look_shot
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.schemas.looks import Look, Window
from tests.support.barcodes import CASES, write

CASE = next(case for case in CASES if case.name == "a very long GOP")
ASKED: dict[str, Any] = {"video": "films/one.mp4", "start_time": 3, "end_time": 5.5, "fps": 2}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    write(CASE, tmp_path / "films").rename(tmp_path / "films" / "one.mp4")
    (tmp_path / "secret.mp4").write_bytes((tmp_path / "films" / "one.mp4").read_bytes())
    return tmp_path / "films"


def test_a_client_is_shown_looks_over_stdio_and_nothing_from_outside(films: Path) -> None:
    from mcp import ClientSession, StdioServerParameters, stdio_client  # pyright: ignore

    command = ["-m", "dmforge.commands.mcp_server", str(films)]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))

    async def talk() -> None:
        async with stdio_client(parameters) as (replies, requests), ClientSession(replies, requests) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert [tool.name for tool in tools] == ["crop_video", "list_videos"]
            assert (await session.call_tool("list_videos", {})).content[0].text == "films/one.mp4"
            looks = [session.call_tool("crop_video", {**ASKED, "end_time": end_time}) for end_time in (5.5, 4, 4.5)]
            reply, *others = await asyncio.gather(*looks)
            assert [len(other.content) for other in others] == [1 + 2 * 2, 1 + 2 * 3]
            look = Look(Window(300, 550), Fraction(2))
            shown = look_shot(films / "one.mp4", "pyav", look)
            assert not reply.is_error
            assert [b64decode(part.data) for part in reply.content if part.type == "image"] == to_jpeg(shown.frames)
            stamps = [part.text for part in reply.content[1:] if part.type == "text"]
            assert stamps == ["<3.0 seconds>", "<3.5 seconds>", "<4.0 seconds>", "<4.5 seconds>", "<5.0 seconds>"]
            for name in ("films/../secret.mp4", "../secret.mp4", str(films.parent / "secret.mp4"), "/etc/passwd"):
                refusal = await session.call_tool("crop_video", {**ASKED, "video": name})
                assert refusal.is_error
                assert refusal.content[0].text.startswith("there is no video of this name")
            refusal = await session.call_tool("crop_video", {**ASKED, "fps": "often"})
            assert "frames per second above 0 are needed" in refusal.content[0].text
            assert not (await session.call_tool("crop_video", ASKED)).is_error  # and it goes on

    asyncio.run(talk())
