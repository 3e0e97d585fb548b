"""Export to LLaMA-Factory: ShareGPT messages with a file for each `<video>`, so the clip of each look becomes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import assistant_text, user_text, write_clips
from dmforge.curation.io.atomic import write_bytes, write_json
from dmforge.curation.shards.corpus import Corpus


def to_llamafactory(corpus: Corpus, folder: Path) -> int:
    """Write `<corpus>.json`, `dataset_info.json` and the clips."""
    conversation_rows: list[dict[str, Any]] = []
    for packed_video in corpus.videos():
        coarse_path = f"videos/{packed_video.key}.coarse.mp4"
        write_bytes(folder / coarse_path, packed_video.coarse)
        for sample in packed_video.samples:
            clip_paths = write_clips(corpus, packed_video, sample, folder)
            if not clip_paths:
                continue  # a task without a trajectory: there is nothing to supervise
            messages = [
                {"role": "user", "content": user_text(sample)},
                {"role": "assistant", "content": assistant_text(sample)},
            ]
            conversation_rows.append({"messages": messages, "videos": [coarse_path, *clip_paths]})
    corpus_name = corpus.manifest.corpus
    write_json(folder / f"{corpus_name}.json", conversation_rows, indent=2)
    write_json(folder / "dataset_info.json", {corpus_name: {"file_name": f"{corpus_name}.json", **SHAREGPT}}, indent=2)
    return len(conversation_rows)


SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "videos": "videos"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}
