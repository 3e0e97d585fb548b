"""Is a candidate's answer the gold one, and did it look where the answer shows? Scored by the rules of `schemas/scoring`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore, rule_input_of, verdict
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import print_span
from dmforge.schemas.records import CandidateWithTask, Verdict
from dmforge.schemas.scoring import answer_score, measure_cs, overlap_cs


class VerifyConfig(StageConfig):
    """This stage has no settings: thresholds are those of a selection."""


class Verify(Batch[CandidateWithTask, Verdict]):
    """Two verdicts a candidate. `answer`: whether the answer is gold, written in call 2 from the clip alone: 1 or 0, for
    grounding the IoU. `evidence`: the share of gold that it looked at; 1 over n = 0 where gold has no window."""

    name, version = "verify", 2
    measures = ("answer", "evidence")
    config: VerifyConfig

    def process(self, items: Iterator[CandidateWithTask]) -> Iterator[Result]:
        for item in items:
            rule_input = rule_input_of(item, Clips(), max_looks=1)
            score_by_name = {"answer": _answer_measure(rule_input, item), "evidence": evidence(rule_input)}
            yield Made(tuple(verdict(item, verdict_name, rule_score) for verdict_name, rule_score in score_by_name.items()))


def evidence(rule_input: RuleInput) -> RuleScore:
    """How much of gold do the looks show: of the best window where any will do, of all windows where all are needed?"""
    if not rule_input.windows:
        return RuleScore(1.0, 0)
    looked_windows = tuple(look.window for look in rule_input.looks)
    sufficient_gold_sets = (
        [rule_input.windows] if rule_input.needs == "all" else [(gold_window,) for gold_window in rule_input.windows]
    )
    shown_share = max(Fraction(overlap_cs(looked_windows, gold_set), measure_cs(gold_set)) for gold_set in sufficient_gold_sets)
    if shown_share == 1:
        return RuleScore(1.0, len(rule_input.windows))
    look_span = rule_input.place_of_look(0)
    gold_text = ", ".join(map(print_span, rule_input.windows))
    evidence_message = f"{', '.join(map(print_span, looked_windows)) or 'nothing'}; it shows at {gold_text}"
    failure_reason = "looks elsewhere" if shown_share == 0 else "looks at a part"
    return RuleScore(
        float(shown_share),
        len(rule_input.windows),
        failure_reason,
        (Finding(evidence_message, look_span.start, look_span.end),),
    )


def _answer_measure(rule_input: RuleInput, item: CandidateWithTask) -> RuleScore:
    answer, task = item.candidate.answer, item.task
    score = answer_score(answer, task)
    if score == 1:
        return RuleScore(1.0)
    failure_reason = "window differs" if task.task_kind == "grounding" else "wrong answer"
    answer_span = rule_input.answers[0]
    return RuleScore(
        score, 1, failure_reason, (Finding(f"{answer!r}, not {task.answer!r}", answer_span.start, answer_span.end),)
    )
