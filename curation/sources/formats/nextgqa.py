"""NExT-GQA: NExT-QA with the text of the right option, and in a file beside it the windows that show it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmforge.curation.sources.annotation_files import read_json
from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds

WINDOWS = "gsub_*.json"


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    video_name, option_texts = record["video_id"], tuple(record[f"a{option_index}"] for option_index in range(5))
    video_grounding: dict[str, Any] | None = companions.get(video_name)
    if video_grounding is None:
        yield RefusedQuestion(video_name, f"its video is not in {WINDOWS}")
        return
    windows_s = video_grounding["location"].get(record["qid"])
    if not windows_s:
        yield RefusedQuestion(video_name, "no window")
        return
    yield Question(
        video_name, "grounded_mcq", record["question"], record["answer"], option_texts, tuple(map(seconds, windows_s)),
        duration_s=float(video_grounding["duration"]),
    )  # fmt: skip


def companion(path: Path) -> Companions | None:
    if path.suffix.lower() != ".json":
        return None
    json_document = read_json(path)
    # the map of ids that is published with them is of no use here
    return {
        video_name: grounding_record
        for video_name, grounding_record in json_document.items()
        if isinstance(grounding_record, dict) and "location" in grounding_record
    }


FORMAT = AnnotationFormat(
    "nextgqa", "csv", frozenset({"video_id", "question", "answer", "qid", "a0", "a1", "a2", "a3", "a4"}), questions,
    "CSV: video_id, question, answer (a text), a0 to a4, qid; with gsub_*.json", companion=companion, needs_companion=WINDOWS,
    namespace="vidor",
)  # fmt: skip
