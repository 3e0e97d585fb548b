"""Our own format, a question a line:

    {"video": "a.mp4", "kind": "grounded_mcq", "question": "Which colour flashes?", "options": ["red", "blue"],
     "answer": "red", "windows": [[3.0, 5.5]], "needs": "any", "fps": 4}

`options` are for `mcq` and `grounded_mcq`, and may stand in the question instead; `windows` are for all kinds but `mcq`, and
`grounding` needs one; `needs` says whether any window or only all of them together answer the question. `answer` may be left
out for `grounding`. `fps`, which few know, says how densely one must look, and `needed_looks` how many looks are needed where
`windows` and `needs` don't say so: 0 where the overview answers the question.
"""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds
from dmforge.schemas.options import Choices, read_options
from dmforge.schemas.targets import MAX_NEEDED_LOOKS, NEEDED_LOOKS

KINDS = ("grounding", "mcq", "grounded_mcq", "open")
NEEDS = ("any", "all")
FIELDS = frozenset({"video", "kind", "question", "options", "answer", "windows", "needs", "fps", NEEDED_LOOKS})
MAX_FPS = 1_000


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    unknown_fields = sorted(record.keys() - FIELDS)
    needs_field = record.get("needs", "any")
    if unknown_fields or record["kind"] not in KINDS or needs_field not in NEEDS:
        kind_or_needs = f"needs is none of {', '.join(NEEDS)}"
        if record["kind"] not in KINDS:
            kind_or_needs = f"kind is none of {', '.join(KINDS)}"
        refusal_reason = f"unknown field {unknown_fields[0][:80]!r}" if unknown_fields else kind_or_needs
        yield RefusedQuestion(str(record["video"]), f"not a task: {refusal_reason}")
        return
    fps = record.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps <= MAX_FPS):
        yield RefusedQuestion(str(record["video"]), f"not a task: fps is no density up to {MAX_FPS}")
        return
    declared_looks = record.get(NEEDED_LOOKS)
    if declared_looks is not None and not (type(declared_looks) is int and 0 <= declared_looks <= MAX_NEEDED_LOOKS):
        refusal_reason = f"{NEEDED_LOOKS} is no whole number from 0 to {MAX_NEEDED_LOOKS}"
        yield RefusedQuestion(str(record["video"]), f"not a task: {refusal_reason}")
        return
    text_fields = (record["video"], record["question"], record.get("answer", ""), *record.get("options", ()))
    if not all(isinstance(text_field, str) for text_field in text_fields):
        yield RefusedQuestion(str(record["video"]), "not a task: a text is missing, or is none")
        return
    question_and_options = Choices(record["question"], tuple(record.get("options", ())))
    if record["kind"] in ("mcq", "grounded_mcq") and not question_and_options.options:
        question_and_options = read_options(record["question"])
    yield Question(
        record["video"], record["kind"], question_and_options.question, record.get("answer", ""), question_and_options.options,
        tuple(map(seconds, record.get("windows", ()))), needs_field, fps=None if fps is None else float(fps),
        extras={} if declared_looks is None else {NEEDED_LOOKS: declared_looks},
    )  # fmt: skip


FORMAT = AnnotationFormat(
    "jsonl", "json", frozenset({"video", "kind", "question"}), questions,
    "lines {video, kind, question, options, answer, windows, needs, fps, needed_looks}: our own",
)  # fmt: skip
