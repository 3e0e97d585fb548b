"""What `export --to hf` writes: a row of Parquet a sample."""

from __future__ import annotations

from collections.abc import Iterator

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion, seconds


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    yield Question(
        record["video"], record["kind"], record["question"], record["gold"], tuple(record["options"]),
        tuple(map(seconds, record["windows"])), record["needs"], record["duration_s"],
    )  # fmt: skip


FORMAT = AnnotationFormat(
    "hf", "parquet", frozenset({"video", "kind", "question", "options", "gold", "windows", "needs"}), questions,
    "the Parquet of dmforge export --to hf",
)  # fmt: skip
