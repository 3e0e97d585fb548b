"""COIN: the steps of a recipe, each a segment with a label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dmforge.curation.sources.annotation_format import (
    AnnotationFormat,
    Companions,
    Question,
    Raw,
    RefusedQuestion,
    by_key,
    seconds,
)


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    for annotated_step in record["annotation"]:
        windows_s = (seconds(annotated_step["segment"]),)
        yield Question(
            record["video"], "grounding", annotated_step["label"], windows=windows_s, duration_s=float(record["duration"])
        )


def records(document: Any) -> Iterable[Raw]:
    return by_key(document["database"])


FORMAT = AnnotationFormat(
    "coin", "json", frozenset({"duration", "annotation", "recipe_type"}), questions,
    "{database: {VID: {duration, annotation: [{segment, label}]}}}", records=records, namespace="youtube",
)  # fmt: skip
