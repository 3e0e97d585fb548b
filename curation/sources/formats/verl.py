"""verl's rows for RL: a prompt, the videos, and what rewards are computed from. LongVT, ParaVT and EVA have them, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, known_kind, target_fps, windows_of
from dmforge.curation.sources.formats.message_rows import exported_name, read_messages, video_name
from dmforge.curation.sources.row_rest import with_rest

HELD = ("prompt", "videos", "reward_model", "extra_info")
HELD_INFO = ("question", "options", "answer", "video_segment", "clue_intervals", "clips", "video_path", "video_uid")
OWN_TOOL = "crop_video"


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    info: Raw = _object(record.get("extra_info"))
    row = read_messages(record["prompt"], record.get("videos"))
    names = list(row.videos) or [info[key] for key in ("video_path", "video_uid") if isinstance(info.get(key), str)][:1]
    if len(names) != 1:
        yield RefusedQuestion(names[0] if names else "", "several videos" if names else "not a video")
        return
    reward, target = _object(record["reward_model"]), _own_target(info)
    gold = reward.get("ground_truth") if reward.get("ground_truth") not in (None, "") else info.get("answer")
    kind = known_kind(record.get("ability")) if target else None
    windows_s = windows_of(info.get("video_segment") or info.get("clue_intervals") or target.get("windows"))
    question = answered(
        exported_name(names[0]) if target else video_name(names[0]), info.get("question") or row.question, gold,
        options=info.get("options") or (), windows=windows_s, kind=kind, duration_s=target.get("duration_s"),
    )  # fmt: skip
    question = replace(question, fps=target_fps(question, target))
    yield with_rest(question, _rest(record, info, reward, bool(target)), ())


def _rest(record: Raw, info: Raw, reward: Mapping[str, Any], is_own: bool) -> dict[str, Any]:
    """All that the row says besides; of our own, what is no copy of the question."""
    rest = {name: value for name, value in record.items() if name not in HELD}
    rest["extra_info"] = {name: value for name, value in info.items() if name not in HELD_INFO and value is not None}
    rest["reward_model"] = {name: value for name, value in reward.items() if name != "ground_truth" and value is not None}
    return rest | ({} if is_own or not info.get("question") else {"prompt": record["prompt"]})


def _own_target(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """What our own export tells the tool of a task; empty in rows of others."""
    tools: Any = info.get("tools_kwargs")
    own_call = tools.get(OWN_TOOL) if isinstance(tools, Mapping) else None
    arguments: Any = own_call.get("create_kwargs") if isinstance(own_call, Mapping) else None
    return arguments if isinstance(arguments, Mapping) and "target_windows" in arguments else {}


def _object(value: Any) -> dict[str, Any]:
    """An object, which some sets store as a JSON text."""
    content = json.loads(value) if isinstance(value, str) else value
    return dict(content) if content else {}


FORMAT = AnnotationFormat(
    "verl", "json", frozenset({"prompt", "reward_model"}), questions,
    "Parquet or lines {prompt, videos, reward_model, extra_info}: for RL; rows for SFT are llamafactory's",
)  # fmt: skip
