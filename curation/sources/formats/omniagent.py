"""OmniAgent: questions of several types, and its trajectories for SFT, a row for each step.

Its actions show so many frames, sounds and clips, and forget them at the next step: no look says that. So the question of a
trajectory is read from its last step, and all its actions are kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, windows_in_json
from dmforge.curation.sources.published_turns import UNREADABLE
from dmforge.curation.sources.row_rest import TURNS, with_extras, with_rest

EARLIER_STEP = "a step before the last one of its trajectory"
HELD = ("video", "question", "options", "answer", "duration_seconds", "prompt")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """A question; of the types, `TR` asks for time ranges, and some say behind a line which set they are from."""
    del companions
    question_type, gold = record["question_type"].partition("_")[0], record["answer"]
    windows_s = windows_in_json(gold if isinstance(gold, str) else json.dumps(gold)) if question_type == "TR" else ()
    duration = record.get("duration_seconds")
    question = answered(
        record["video"], record["question"], list(windows_s) or gold, options=record.get("options"),
        kind="grounding" if question_type == "TR" else None, duration_s=None if duration is None else float(duration),
    )  # fmt: skip
    yield with_rest(question, record, HELD)


def steps(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """The question of a trajectory's last step, with its actions; of an earlier one nothing but the video."""
    episode = record["extra_info"]
    if str(record["done"]) != "True":
        yield RefusedQuestion(episode["video"], EARLIER_STEP)
        return
    actions = [_text(message["content"]) for message in record["raw_input"] if message["role"] == "assistant"]
    for question in questions(episode, companions):
        if isinstance(question, Question):
            question = replace(question, flags=(*question.flags, UNREADABLE))
            question = with_extras(question, TURNS, [*actions, record["output"]])
        step_fields = {name: record[name] for name in ("question_id", "traj_id", "episode_reward") if name in record}
        yield with_rest(question, episode | step_fields, HELD)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


FORMATS = (
    AnnotationFormat(
        "omniagent", "json", frozenset({"video", "question_type", "question", "options", "answer"}), questions,
        "lines {video, question_type, question, options, answer, duration_seconds}",
    ),
    AnnotationFormat(
        "omniagent_steps", "json", frozenset({"traj_id", "step", "raw_input", "output", "done", "extra_info"}), steps,
        "lines {traj_id, step, raw_input, output, done, extra_info}: a step of a trajectory each",
    ),
)  # fmt: skip
