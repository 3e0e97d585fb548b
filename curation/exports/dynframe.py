"""Export to DynFrame's own files: ShareGPT conversations (DM-CoT) and Alpaca lines (DM-RL), with one video a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import (
    VIDEO_MARK,
    assistant_text,
    density_json,
    looks_of,
    refuse_limits,
    refuse_target_sets,
    user_text,
)
from dmforge.curation.io.atomic import write_bytes, write_json, write_json_lines
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.looks import Look, print_span


def to_dynframe(corpus: Corpus, folder: Path) -> int:
    """Write `<corpus>.json` of trajectories or `<corpus>.jsonl` of tasks, `dataset_info.json`, and the videos."""
    conversations: list[dict[str, Any]] = []
    task_rows: list[dict[str, Any]] = []
    for packed_video in corpus.videos():
        relative_path = f"videos/{packed_video.key}.mp4"
        write_bytes(folder / relative_path, packed_video.grid)
        for sample in packed_video.samples:
            refuse_limits(sample, "dynframe")
            looks = looks_of(sample)
            if len(looks) > 1:
                continue  # the format has one density a row, and its trainer cuts one clip
            if looks:
                conversations.append(_conversation(sample, looks[0], len(conversations), relative_path))
            elif sample.target is not None:
                refuse_target_sets(sample, "dynframe")
                task_rows.append(_task(sample, sample.target, relative_path))
    corpus_name, dataset_info = corpus.manifest.corpus, dict[str, Any]()
    if conversations:
        write_json(folder / f"{corpus_name}.json", conversations, indent=2)
        dataset_info[corpus_name] = {"file_name": f"{corpus_name}.json", **SHAREGPT}
    if task_rows:
        write_json_lines(folder / f"{corpus_name}.jsonl", task_rows)
        dataset_info[f"{corpus_name}_rl" if conversations else corpus_name] = {"file_name": f"{corpus_name}.jsonl", **ALPACA}
    write_json(folder / "dataset_info.json", dataset_info, indent=2)
    return len(conversations) + len(task_rows)


def _conversation(sample: ShardSample, look: Look, conversation_index: int, relative_path: str) -> dict[str, Any]:
    imported_row = _imported_row(sample)
    # a transcript imported from such a file holds the line end after the clip already
    response_text = "".join(
        VIDEO_MARK if piece.text is None else piece.text for piece in sample.transcript.pieces if piece.author != "prompt"
    )
    conversation_turns = [
        {"from": "human", "value": imported_row.get("prompt", user_text(sample))},
        {"from": "gpt", "value": response_text if imported_row else assistant_text(sample)},
    ]
    fps = density_json(look.fps)
    return {
        "index": imported_row.get("index", conversation_index), "video": imported_row.get("video", [relative_path]),
        "conversations": conversation_turns,
        "gemini_suggested_fps": imported_row.get("gemini_suggested_fps", fps),
        "original_fps": imported_row.get("original_fps", fps),
    }  # fmt: skip


def _task(sample: ShardSample, target_look: Look, relative_path: str) -> dict[str, Any]:
    imported_row = _imported_row(sample)
    span_text = print_span(target_look.window)
    return {
        "prompt": imported_row.get("prompt", user_text(sample)),
        "video": imported_row.get("video", relative_path),
        "answer": imported_row.get("answer", span_text if sample.kind == "grounding" else sample.gold),
        "fps": density_json(target_look.fps),
        "gt_span_start": float(target_look.window.start_s),
        "gt_span_end": float(target_look.window.end_s),
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
