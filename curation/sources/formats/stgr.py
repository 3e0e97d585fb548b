"""Open-o3-Video's STGR: questions with key frames and boxes; where the answer is a time, it stands in `<t>` tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, windows_and_words
from dmforge.curation.sources.row_rest import with_rest

CORRECT_OPTION = re.compile(r"Correct Option:\s*(.*)", re.DOTALL)
HELD = ("question", "answer", "video_path", "image_path")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """A question; the reasoning, the key frames and their boxes, which are pixels, stay with the rest of the row."""
    del companions
    if record["task"] == "visual QA":
        yield RefusedQuestion(record.get("image_path") or "", "not a video")
        return
    windows_s, words = windows_and_words(record["answer"]) if record["task"].startswith("temporal QA") else ((), "")
    option_match = CORRECT_OPTION.match(words)
    if windows_s and option_match is None:
        question = Question(record["video_path"], "grounding", record["question"], windows=windows_s)
    else:
        gold = option_match[1] if option_match else record["answer"]
        question = answered(record["video_path"], record["question"], gold, windows=windows_s)
    yield with_rest(question, record, HELD)


FORMAT = AnnotationFormat(
    "stgr", "json", frozenset({"task", "question", "answer"}), questions,
    "[{task, question, answer, video_path, reasoning_process, key_frames, key_items, source}]",
)  # fmt: skip
