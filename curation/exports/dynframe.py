"""DynFrame's own files: ShareGPT conversations of DM-CoT, Alpaca lines of DM-RL. One video a row: its runtime cuts looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dmforge.curation.exports.words import (
    VIDEO,
    assistant_text,
    first_look,
    number,
    user_text,
    write_bytes,
    write_json,
    write_lines,
)
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.looks import Look, print_span


def to_dynframe(corpus: Corpus, folder: Path) -> int:
    """`<corpus>.json` of trajectories, or `<corpus>.jsonl` of tasks; `dataset_info.json`, and the videos."""
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
        write_json(folder / f"{name}.json", conversations)
        info[name] = {"file_name": f"{name}.json", **SHAREGPT}
    if tasks:
        write_lines(folder / f"{name}.jsonl", tasks)
        info[f"{name}_rl" if conversations else name] = {"file_name": f"{name}.jsonl", **ALPACA}
    write_json(folder / "dataset_info.json", info)
    return len(conversations) + len(tasks)


def _conversation(sample: ShardSample, look: Look, index: int, path: str) -> dict[str, Any]:
    before = _before(sample)
    # what came from such a file brings the line end behind the clip with it
    said = "".join(VIDEO if p.text is None else p.text for p in sample.transcript.pieces if p.author != "prompt")
    turns = [
        {"from": "human", "value": before.get("prompt", user_text(sample))},
        {"from": "gpt", "value": said if before else assistant_text(sample)},
    ]
    fps = number(look.fps)
    return {
        "index": before.get("index", index), "video": before.get("video", [path]), "conversations": turns,
        "gemini_suggested_fps": before.get("gemini_suggested_fps", fps), "original_fps": before.get("original_fps", fps),
    }  # fmt: skip


def _task(sample: ShardSample, target: Look, path: str) -> dict[str, Any]:
    before = _before(sample)
    span = print_span(target.window)
    return {
        "prompt": before.get("prompt", user_text(sample)),
        "video": before.get("video", path),
        "answer": before.get("answer", span if sample.kind == "grounding" else sample.gold),
        "fps": number(target.fps),
        "gt_span_start": float(target.window.start_s),
        "gt_span_end": float(target.window.end_s),
    }


def _before(sample: ShardSample) -> dict[str, Any]:
    """What the row said that the sample was imported from."""
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
