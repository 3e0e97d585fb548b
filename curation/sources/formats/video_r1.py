"""Video-R1: problems with options and a tagged solution, about videos and about pictures."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion
from dmforge.curation.sources.formats.conversations import tagged_answer, with_options
from dmforge.schemas.options import Choices, read_options, without_letters


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    if record["data_type"] != "video":
        yield RefusedQuestion(record["path"], "not a video")
        return
    tagged_text = tagged_answer(record["solution"])
    untagged_answer = record["solution"] if tagged_text is None else tagged_text
    if record["problem_type"] == "multiple choice":
        listed_options, choices_in_question = without_letters(record["options"] or ()), read_options(record["problem"])
        question_and_options = (
            choices_in_question
            if listed_options in ((), choices_in_question.options)
            else Choices(record["problem"], listed_options)
        )
        yield Question(record["path"], "mcq", question_and_options.question, untagged_answer, question_and_options.options)
    else:
        yield with_options(Question(record["path"], "open", record["problem"], untagged_answer))


FORMAT = AnnotationFormat(
    "video_r1", "json", frozenset({"problem", "data_type", "problem_type", "options", "solution", "path"}), questions,
    "[{problem, data_type, problem_type, options, solution, path}]",
)  # fmt: skip
