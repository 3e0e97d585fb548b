"""Our own format, a question a line:

    {"video": "a.mp4", "kind": "grounded_mcq", "question": "Which colour flashes?", "options": ["red", "blue"],
     "answer": "red", "windows": [[3.0, 5.5]], "needs": "any"}

`options` are for `mcq` and `grounded_mcq`, `windows` for all kinds but `mcq`, and `grounding` needs one; `needs` says whether
any window or only all of them together answer the question. `answer` may be left out for `grounding`.
"""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.contract import Beside, Format, Question, Raw, Refused, seconds

KINDS = ("grounding", "mcq", "grounded_mcq", "open")
FIELDS = frozenset({"video", "kind", "question", "options", "answer", "windows", "needs"})


def questions(record: Raw, beside: Beside) -> Iterator[Question | Refused]:
    del beside
    unknown = sorted(record.keys() - FIELDS)
    needs = record.get("needs", "any")
    if unknown or record["kind"] not in KINDS or needs not in ("any", "all"):
        fault = f"unknown field {unknown[0]!r}" if unknown else "kind or needs is none of the known ones"
        yield Refused(str(record["video"]), f"not a task: {fault}")
        return
    texts = (record["video"], record["question"], record.get("answer", ""), *record.get("options", ()))
    if not all(isinstance(text, str) for text in texts):
        yield Refused(str(record["video"]), "not a task: a text is missing, or is none")
        return
    yield Question(
        record["video"], record["kind"], record["question"], record.get("answer", ""), tuple(record.get("options", ())),
        tuple(map(seconds, record.get("windows", ()))), needs,
    )  # fmt: skip


FORMAT = Format(
    "jsonl", "json", frozenset({"video", "kind", "question"}), questions,
    "lines {video, kind, question, options, answer, windows, needs}: our own",
)  # fmt: skip
