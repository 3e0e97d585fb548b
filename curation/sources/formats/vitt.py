"""ViTT: tags at milliseconds; each lasts until the next one. The last has no end. Ids are its own, not YouTube's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from dmforge.curation.sources.annotation_format import AnnotationFormat, Companions, Question, Raw, RefusedQuestion


def questions(record: Raw, companions: Companions) -> Iterator[Question | RefusedQuestion]:
    del companions
    tags = record["annotations"]
    for tag, following in pairwise(tags):
        window = (tag["timestamp"] / 1000, following["timestamp"] / 1000)
        yield Question(record["id"], "grounding", tag["tag"], windows=(window,))
    if tags:
        yield RefusedQuestion(record["id"], "no window")


FORMAT = AnnotationFormat(
    "vitt",
    "json",
    frozenset({"id", "annotations"}),
    questions,
    "[{id, annotations: [{timestamp (ms), tag}]}]",
    namespace="vitt",
)
