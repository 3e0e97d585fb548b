"""Export to LLaMA-Factory: ShareGPT messages with a file for each `<video>`, so the clip of a look becomes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import assistant_text, cut_clip, first_look, user_text
from dmforge.curation.io.atomic import write_bytes, write_json
from dmforge.curation.shards.corpus import Corpus


def to_llamafactory(corpus: Corpus, folder: Path) -> int:
    """Write `<corpus>.json`, `dataset_info.json` and the clips."""
    rows: list[dict[str, Any]] = []
    for video in corpus.videos():
        coarse = f"videos/{video.key}.coarse.mp4"
        write_bytes(folder / coarse, video.coarse)
        for sample in video.samples:
            look = first_look(sample)
            if look is None:
                continue  # a task without a trajectory: there is nothing to supervise
            clip = f"videos/{sample.id}.mp4"
            write_bytes(folder / clip, cut_clip(corpus, video, look))
            messages = [
                {"role": "user", "content": user_text(sample)},
                {"role": "assistant", "content": assistant_text(sample)},
            ]
            rows.append({"messages": messages, "videos": [coarse, clip]})
    name = corpus.manifest.corpus
    write_json(folder / f"{name}.json", rows, indent=2)
    write_json(folder / "dataset_info.json", {name: {"file_name": f"{name}.json", **SHAREGPT}}, indent=2)
    return len(rows)


SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "videos": "videos"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}
