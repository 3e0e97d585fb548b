"""VideoTemp-o3: conversations that cut clips out of the video, and RL rows, each with the windows that show the answer.

Calls of `get_video_clip_frame` say windows, up to three of them, and no density: the tool shows two frames a second, four at
least and 64 at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import windows_of
from dmforge.curation.sources.formats.llamafactory import HELD
from dmforge.curation.sources.formats.message_rows import gold_question, is_answered, read_messages, row_questions
from dmforge.curation.sources.published_turns import FixedDensity

CLIP_TOOL = FixedDensity("get_video_clip_frame", Fraction(2), min_frames=4, max_frames=64, max_windows=3)
HELD_FIELDS = (*HELD, "timestamp", "solution")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    row, windows_s = read_messages(record["messages"], record["videos"] or ()), windows_of(record["timestamp"])
    if not is_answered(row.messages):
        kind = "grounding" if record.get("data_type") == "grounding" else None
        gold = record["timestamp"] if kind else record["solution"]
        yield gold_question(record, row, gold, HELD_FIELDS, kind=kind, windows=windows_s)
        return
    for question in row_questions(record, row, HELD_FIELDS, fixed_density=CLIP_TOOL):
        if isinstance(question, Question) and windows_s and not question.windows:
            yield replace(question, windows=windows_s, kind="grounded_mcq" if question.kind == "mcq" else question.kind)
        else:
            yield question


FORMAT = AnnotationFormat(
    "videotemp_o3", "json", frozenset({"messages", "videos", "timestamp"}), questions,
    "lines {messages, videos, timestamp, data_type, solution}: with tool calls, or for RL",
)  # fmt: skip
