"""Export to DynFrame's own files: ShareGPT conversations (DM-CoT) and Alpaca lines (DM-RL), with one video a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import (
    VIDEO_MARK,
    assistant_text,
    density_json,
    first_look,
    user_text,
)
from dmforge.curation.io.atomic import write_bytes, write_json, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.looks import Look, print_span


def to_dynframe(corpus: Corpus, folder: Path) -> int:
    """Write `<corpus>.json` of trajectories or `<corpus>.jsonl` of tasks, `dataset_info.json`, and the videos."""
    conversations: list[dict[str, Any]] = []
    tasks: list[dict[str, Any]] = []
    for video in corpus.videos():
        path = f"videos/{video.key}.mp4"
        write_bytes(folder / path, video.grid)
        for sample in video.samples:
            look = first_look(sample)
            if look is not None:
                conversations.append(_conversation(sample, look, len(conversations), path))
            elif sample.target is not None:
                tasks.append(_task(sample, sample.target, path))
    name, info = corpus.manifest.corpus, dict[str, Any]()
    if conversations:
        write_json(folder / f"{name}.json", conversations, indent=2)
        info[name] = {"file_name": f"{name}.json", **SHAREGPT}
    if tasks:
        write_json_lines(folder / f"{name}.jsonl", tasks)
        info[f"{name}_rl" if conversations else name] = {"file_name": f"{name}.jsonl", **ALPACA}
    write_json(folder / "dataset_info.json", info, indent=2)
    return len(conversations) + len(tasks)


def _conversation(sample: ShardSample, look: Look, index: int, path: str) -> dict[str, Any]:
    imported = _imported_row(sample)
    # a transcript imported from such a file holds the line end after the clip already
    response = "".join(VIDEO_MARK if p.text is None else p.text for p in sample.transcript.pieces if p.author != "prompt")
    turns = [
        {"from": "human", "value": imported.get("prompt", user_text(sample))},
        {"from": "gpt", "value": response if imported else assistant_text(sample)},
    ]
    fps = density_json(look.fps)
    return {
        "index": imported.get("index", index), "video": imported.get("video", [path]), "conversations": turns,
        "gemini_suggested_fps": imported.get("gemini_suggested_fps", fps), "original_fps": imported.get("original_fps", fps),
    }  # fmt: skip


def _task(sample: ShardSample, target: Look, path: str) -> dict[str, Any]:
    imported = _imported_row(sample)
    span = print_span(target.window)
    return {
        "prompt": imported.get("prompt", user_text(sample)),
        "video": imported.get("video", path),
        "answer": imported.get("answer", span if sample.kind == "grounding" else sample.gold),
        "fps": density_json(target.fps),
        "gt_span_start": float(target.window.start_s),
        "gt_span_end": float(target.window.end_s),
    }


def _imported_row(sample: ShardSample) -> dict[str, Any]:
    """The fields of the row that the sample was imported from, if it was."""
    return json.loads(sample.extras).get("dynframe", {}) if sample.extras else {}


SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "video": "video"},
    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
}
ALPACA: dict[str, Any] = {
    "formatting": "alpaca",
    "columns": {"prompt": "prompt", "query": "prompt", "response": "", "history": "", "video": "video"},
    "extras": {"answer": "answer", "fps": "fps", "gt_span_start": "gt_span_start", "gt_span_end": "gt_span_end"},
}
