"""Is a candidate's answer the gold one, and did it look where that shows? Options, numbers, overlaps, as everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, StageConfig
from dmforge.filters.judged import Fault, Judged, Measure, judged, verdict
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import print_span
from dmforge.schemas.records import Attempt, Verdict
from dmforge.schemas.scoring import answer_score, measure_cs, overlap_cs


class VerifyConfig(StageConfig):
    """Nothing to be told: thresholds are `select`'s."""


class Verify(Batch[Attempt, Verdict]):
    """Two verdicts a candidate. `answer`: what call 2 said, having seen the clip alone, is gold: 1 or 0, for grounding the IoU.
    `evidence`: the share of gold that it looked at; 1 where nobody said where the answer shows, over n = 0 windows."""

    name, version = "verify", 2
    measures = ("answer", "evidence")
    config: VerifyConfig

    def process(self, items: Iterator[Attempt]) -> Iterator[Result]:
        for item in items:
            shown = judged(item, Clips(), max_looks=1)
            found = {"answer": _answer(shown, item), "evidence": evidence(shown)}
            yield Made(tuple(verdict(item, name, measure) for name, measure in found.items()))


def evidence(judged: Judged) -> Measure:
    """How much of gold do the looks show: of the best window where any will do, of all together where all are needed?"""
    if not judged.windows:
        return Measure(1.0, 0)
    shown = tuple(look.window for look in judged.looks)
    wanted = [judged.windows] if judged.needs == "all" else [(window,) for window in judged.windows]
    share = max(Fraction(overlap_cs(shown, gold), measure_cs(gold)) for gold in wanted)
    if share == 1:
        return Measure(1.0, len(judged.windows))
    place = judged.place_of_look(0)
    told = f"{', '.join(map(print_span, shown)) or 'nothing'}; it shows at {', '.join(map(print_span, judged.windows))}"
    reason = "looks elsewhere" if share == 0 else "looks at a part"
    return Measure(float(share), len(judged.windows), reason, (Fault(told, place.start, place.end),))


def _answer(shown: Judged, item: Attempt) -> Measure:
    given, task = item.candidate.answer, item.task
    score = answer_score(given, task)
    if score == 1:
        return Measure(1.0)
    reason = "window differs" if task.task_kind == "grounding" else "wrong answer"
    place = shown.answers[0]
    return Measure(score, 1, reason, (Fault(f"{given!r}, not {task.answer!r}", place.start, place.end),))
