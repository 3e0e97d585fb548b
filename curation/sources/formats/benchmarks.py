"""Benchmarks, for evaluation and decontamination only: Video-MME, MLVU, LVBench, CG-Bench, and plain lists of ids.

Their files are not part of this repository: the shapes follow their public documentation, and were tested on made-up rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds
from dmforge.curation.sources.task_checks import right_option
from dmforge.schemas.options import read_options, without_letters

MINUTES = re.compile(r"(\d+):(\d\d)-(\d+):(\d\d)")


def videomme(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    yield Question(record["videoID"], "mcq", record["question"], record["answer"], without_letters(record["options"]))


def mlvu(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    option_texts = record.get("candidates")
    if not option_texts:
        yield RefusedQuestion(record["video"], "no candidates: it is scored by points")
        return
    duration_s = float(record["duration"])
    yield Question(record["video"], "mcq", record["question"], record["answer"], tuple(option_texts), duration_s=duration_s)


def lvbench(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    video_name = record["key"]
    for question_record in record.get("qa") or [record]:
        question_and_options, time_match = (
            read_options(question_record["question"]),
            MINUTES.search(str(question_record.get("time_reference"))),
        )
        windows_s: tuple[tuple[float, float], ...] = ()
        if time_match:
            start_min, start_s, end_min, end_s = map(int, time_match.groups())
            start_total_s, end_total_s = start_min * 60 + start_s, end_min * 60 + end_s
            # some are reversed, many have no length
            windows_s = ((start_total_s, end_total_s),) if start_total_s < end_total_s else ()
        task_kind = "grounded_mcq" if windows_s else "mcq"
        yield Question(
            video_name,
            task_kind,
            question_and_options.question,
            question_record["answer"],
            question_and_options.options,
            windows_s,
        )


def cgbench(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    option_texts, windows_s = tuple(record["choices"]), tuple(map(seconds, record["clue_intervals"]))
    question_without_answer = Question(
        record["video_uid"], "grounded_mcq", record["question"], options=option_texts, windows=windows_s, needs="all",
        duration_s=float(record["duration"]),
    )  # fmt: skip
    yield right_option(question_without_answer, ord(record["right_answer"]) - ord("A"))


def ids(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    """A video without a question: what trains on it is contaminated, whatever it asks."""
    del companions
    yield RefusedQuestion(record["line"].strip(), LISTED)


LISTED = "an id without a question"


FORMATS = (
    AnnotationFormat(
        "videomme", "json", frozenset({"videoID", "question_id", "question", "options", "answer"}), videomme,
        "[{videoID, question_id, question, options, answer}]", namespace="youtube", role="benchmark",
    ),
    AnnotationFormat(
        "mlvu", "json", frozenset({"video", "duration", "question", "question_type"}), mlvu,
        "[{video, duration, question, candidates, answer, question_type}]", namespace="mlvu", role="benchmark",
    ),
    AnnotationFormat(
        "lvbench", "json", frozenset({"key"}), lvbench, "lines {key, qa: [{question, answer, time_reference}]}, or a list",
        namespace="youtube", role="benchmark",
    ),
    AnnotationFormat(
        "cgbench", "json", frozenset({"qid", "video_uid", "question", "choices", "right_answer", "clue_intervals"}), cgbench,
        "[{qid, video_uid, question, choices, right_answer, clue_intervals, duration}]", namespace="youtube", role="benchmark",
    ),
    AnnotationFormat("ids", "text", frozenset({"line"}), ids, "a video id a line", role="benchmark"),
)  # fmt: skip
