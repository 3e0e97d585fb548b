"""DynFrame's own files: ShareGPT conversations of DM-CoT, Alpaca lines of DM-RL. One video a row: its runtime cuts looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dmforge.curation.exports.words import (
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
                conversations.append({"index": len(conversations), "video": [path], **_conversation(sample, look)})
            elif sample.target is not None:
                tasks.append({"prompt": user_text(sample), "video": path, **_task(sample, sample.target)})
    name, info = corpus.manifest.corpus, dict[str, Any]()
    if conversations:
        write_json(folder / f"{name}.json", conversations)
        info[name] = {"file_name": f"{name}.json", **SHAREGPT}
    if tasks:
        write_lines(folder / f"{name}.jsonl", tasks)
        info[f"{name}_rl" if conversations else name] = {"file_name": f"{name}.jsonl", **ALPACA}
    write_json(folder / "dataset_info.json", info)
    return len(conversations) + len(tasks)


def _conversation(sample: ShardSample, look: Look) -> dict[str, Any]:
    turns = [{"from": "human", "value": user_text(sample)}, {"from": "gpt", "value": assistant_text(sample)}]
    return {"conversations": turns, "gemini_suggested_fps": number(look.fps), "original_fps": number(look.fps)}


def _task(sample: ShardSample, target: Look) -> dict[str, Any]:
    return {
        "answer": print_span(target.window) if sample.kind == "grounding" else sample.gold,
        "fps": number(target.fps),
        "gt_span_start": float(target.window.start_s),
        "gt_span_end": float(target.window.end_s),
    }


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
