"""Export to verl: Parquet of messages for SFT, and of prompts with rewards for RL, whose rollouts may call the tool."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dmforge.curation.exports.conversation_turns import is_task, text_messages
from dmforge.curation.exports.parquet_rows import common_schema, write_parquet
from dmforge.curation.exports.row_format import ClippedSample, ExportedClip, ExportTables, Row, RowFormat, TableRow
from dmforge.curation.exports.tool_task import tool_task
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.tool_dialect import FUNCTION

SFT, RL = "sft", "rl"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    sample = clipped.sample
    messages = text_messages(sample, dialect, "tool", tells_of_tools=False)
    videos = [_video(clip) for clip in clipped.clips]
    extra_info: Row = {"id": sample.id, "clips": clipped.clips_json()}
    if not is_task(sample):
        tools = [json.loads(tool) for tool in dialect.tools]
        yield SFT, {"messages": messages, "tools": tools, "videos": videos, "extra_info": extra_info}
        return
    extra_info |= {"question": sample.question, "options": list(sample.options), "need_tools_kwargs": True}
    yield (
        RL,
        {
            "data_source": f"dmforge/{sample.corpus}",
            "agent_name": "tool_agent",
            "prompt": messages,
            "videos": videos,
            "ability": sample.kind,
            "reward_model": {"style": "rule", "ground_truth": sample.gold},
            "extra_info": extra_info | {"tools_kwargs": {FUNCTION: {"create_kwargs": tool_task(clipped)}}},
        },
    )


def _video(clip: ExportedClip) -> Row:
    """What verl hands on to qwen-vl-utils: all frames of the file, of which it takes even numbers, as large as they are. It
    would enlarge those of less than 128 tokens, and shrink those of more than 768."""
    even_count = len(clip.plan.times_s) // 2 * 2
    return {"video": clip.path, "nframes": even_count, "resized_height": clip.size.height, "resized_width": clip.size.width}


def _finish(tables: ExportTables) -> None:
    for table in (SFT, RL):
        if tables.counts[table]:
            schema = common_schema(_numbered(tables.rows(table)))
            write_parquet(tables.place, f"{table}.parquet", schema, _numbered(tables.rows(table)))


def _numbered(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows with their number in `extra_info`, where verl's dataset looks for it."""
    for row_number, row in enumerate(rows):
        extra_info: Row = {"index": row_number, **row["extra_info"]}
        yield {**row, "extra_info": extra_info}


VERL = RowFormat(
    _rows,
    _finish,
    dialects=("tool",),
    has_grid=True,
    has_grid_of_tasks_alone=True,
    caveats=(
        "verl takes paths from the folder in which it is started: start it in the folder of the export.",
        "verl 0.9.1's dataset for SFT hands frames on without their times: say "
        "data.apply_chat_template_kwargs.do_sample_frames=False, else four of each clip are taken. Stamps are then those of 24 "
        "frames a second. It computes positions of Qwen2-VL, and ends in an IndexError over clips of Qwen3-VL.",
        "Its ToolAgentLoop refuses a tool that returns a video: with dmforge's own loop looks are videos, with dmforge's other "
        "tool they are images (docs/look_tool.md).",
    ),
)
