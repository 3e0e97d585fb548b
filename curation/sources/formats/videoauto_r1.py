"""VideoAuto-R1's own files: descriptions to be found, and questions of NExT-GQA; its others have the shapes of their sets."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.answers import answered, windows_of
from dmforge.curation.sources.row_rest import with_rest

HELD = ("video", "timestamps", "description", "question", "options", "answer")


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name, windows_s = record["video"], windows_of(record["timestamps"])
    if "description" in record:
        question = Question(video_name, "grounding", record["description"], windows=windows_s)
    else:
        question = answered(video_name, record["question"], record["answer"], options=record["options"], windows=windows_s)
    yield with_rest(question, record, HELD)


FORMAT = AnnotationFormat(
    "videoauto_r1", "json", frozenset({"video", "timestamps"}), questions,
    "[{video, description, timestamps}], or [{video, question, options, answer, timestamps}]",
)  # fmt: skip
