"""Export to LLaMA-Factory: ShareGPT messages with a file for each `<video>`, so the clip of each look becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dmforge.curation.exports.conversation_rows import VIDEO_MARK, assistant_text, looks_of, user_text, write_clips
from dmforge.curation.exports.conversation_turns import AssistantTurn, assistant_turns
from dmforge.curation.io.atomic import write_bytes, write_json
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.dialects.dialect import Dialect, DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.dialects.tool_list import tool_list
from dmforge.schemas.looks import Look

Messages = list[dict[str, str]]
ROLES = {"tool": "observation", "user": "user"}
"""What LLaMA-Factory calls who answers a look; ms-swift knows the names, too."""


def to_llamafactory(corpus: Corpus, folder: Path, dialect: DialectName = "span") -> int:
    """Write `<corpus>.json`, `dataset_info.json` and the clips."""
    conversation_rows: list[dict[str, Any]] = []
    for packed_video in corpus.videos():
        coarse_path = f"videos/{packed_video.key}.coarse.mp4"
        write_bytes(folder / coarse_path, packed_video.coarse)
        for sample in packed_video.samples:
            messages, looks = _conversation(sample, DIALECTS[dialect])
            clip_paths = write_clips(corpus, packed_video, sample, looks, folder)
            if not clip_paths:
                continue  # a task without a trajectory: there is nothing to supervise
            conversation_rows.append({"messages": messages, "videos": [coarse_path, *clip_paths]})
    corpus_name = corpus.manifest.corpus
    write_json(folder / f"{corpus_name}.json", conversation_rows, indent=2)
    dataset_info = {"file_name": f"{corpus_name}.json", **SHAREGPT, "tags": TAGS if dialect == "span" else TAGS | TURN_TAGS}
    write_json(folder / "dataset_info.json", {corpus_name: dataset_info}, indent=2)
    return len(conversation_rows)


def _conversation(sample: ShardSample, dialect: Dialect) -> tuple[Messages, list[Look]]:
    """The messages of a sample, and the looks whose clips stand in them."""
    if dialect.turn_end:
        turns = assistant_turns(sample, dialect)
        return _in_turns(sample, turns, dialect), [look for turn in turns for look in turn.looks]
    user_message = {"role": "user", "content": user_text(sample)}
    return [user_message, {"role": "assistant", "content": assistant_text(sample)}], looks_of(sample)


def _in_turns(sample: ShardSample, turns: Sequence[AssistantTurn], dialect: Dialect) -> Messages:
    """The conversation, which LLaMA-Factory's templates of Qwen render to the very text that our SFT shows.

    The functions stand in the system's message: from a column `tools` that reader makes the same text behind an empty line.
    """
    prompt_pieces = [piece for piece in sample.transcript.pieces if piece.author == "prompt"]
    messages = [{"role": "system", "content": tool_list(dialect.tools)}] if dialect.tools else []
    prompt_text = "".join(VIDEO_MARK if piece.text is None else piece.text for piece in prompt_pieces)
    messages.append({"role": "user", "content": prompt_text})
    for turn in turns:
        messages.append({"role": "assistant", "content": turn.text})
        if turn.looks:
            # its template writes what stands around the clips of a turn; what stands between them it takes from here
            pieces_inside = dialect.answered(turn.looks)[1:-1]
            clips_text = "".join(VIDEO_MARK if piece.text is None else piece.text for piece in pieces_inside)
            messages.append({"role": ROLES[dialect.response_role], "content": clips_text})
    return messages


SHAREGPT: dict[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "videos": "videos"},
}
TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
TURN_TAGS = {"observation_tag": "observation", "system_tag": "system"}
"""Tags that a row of several turns has besides: a tag that isn't named, that reader doesn't know."""
