"""ViTT: tags at milliseconds; each lasts until the next one. The last has no end. Ids are its own, not YouTube's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    annotated_tags = record["annotations"]
    for annotated_tag, next_tag in pairwise(annotated_tags):
        window_s = (annotated_tag["timestamp"] / 1000, next_tag["timestamp"] / 1000)
        yield Question(record["id"], "grounding", annotated_tag["tag"], windows=(window_s,))
    if annotated_tags:
        yield RefusedQuestion(record["id"], "no window")


FORMAT = AnnotationFormat(
    "vitt",
    "json",
    frozenset({"id", "annotations"}),
    questions,
    "[{id, annotations: [{timestamp (ms), tag}]}]",
    namespace="vitt",
)
