"""Grants rejected inputs further attempts, and makes those pending again that haven't used all that they were granted.

A rejection says in its detail how many further rounds it used (`further_attempts.mark`): so a kill between a grant and the
reopening, a merge and a line that was written by hand are all noticed by the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dmforge.curation.contract.stage import AnyStage, Ask
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.reopening import reopen
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources import further_attempts
from dmforge.curation.sources.further_attempts import FurtherRound
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id
from dmforge.schemas.records import Outcome

REJECTED = "SELECT input, video, reason, detail FROM ({}) WHERE status = 'rejected'"
PENDING = "SELECT i.id FROM ({}) i ANTI JOIN ({}) o ON o.input = i.id"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A current outcome that further attempts may change."""

    stage: AnyStage
    input: Id
    video: Id
    reason: str
    detail: str


def has_unused(lake: Lake, stages: Sequence[AnyStage]) -> bool:
    """Whether a rejected input hasn't used all the rounds that it was granted."""
    return any(_unused(lake, stages))


def reopen_granted(lake: Lake, stages: Sequence[AnyStage]) -> int:
    """Make inputs pending whose rejection hasn't used all the rounds that they were granted; how many there were."""
    return _reopen(lake, stages, list(_unused(lake, stages)))


def grant_round(lake: Lake, stages: Sequence[AnyStage], reason: str) -> int:
    """Grant one more round to each input that is rejected for a reason, and make it pending; how many there were.

    The grant is written at once for all of them. While some input hasn't used an earlier grant for this reason, only inputs
    that never had one are granted one: so a command that was killed and is typed again goes on, and grants nothing twice,
    unless it was killed when all had been tried. `reopen_granted` comes before.
    """
    rejections = list(_rejections(lake, stages))
    granted_rounds = further_attempts.further_rounds(lake.workspace)
    is_unfinished = _is_unfinished(
        lake, stages, [further_round for further_round in granted_rounds if further_round.reason == reason]
    )
    granted_inputs = {(further_round.stage, further_round.input) for further_round in granted_rounds}
    chosen_rejections = [rejection for rejection in rejections if rejection.reason == reason]
    if not chosen_rejections and not is_unfinished:
        raise _nothing_to_grant(reason, Counter(rejection.reason for rejection in rejections))
    if is_unfinished:
        chosen_rejections = [
            rejection for rejection in chosen_rejections if (rejection.stage.name, rejection.input) not in granted_inputs
        ]
    new_rounds = [
        FurtherRound(rejection.stage.name, rejection.input, rejection.stage.reads.kind, rejection.video, reason)
        for rejection in chosen_rejections
    ]
    if new_rounds:
        further_attempts.grant(lake.workspace, new_rounds)
    return _reopen(lake, stages, chosen_rejections)


def _nothing_to_grant(reason: str, count_by_reason: Counter[str]) -> InputError:
    known_reasons_text = ", ".join(
        f"{known_reason!r} ({reason_count})" for known_reason, reason_count in count_by_reason.most_common()
    )
    hint = (
        f"reasons that further attempts may change: {known_reasons_text}"
        if known_reasons_text
        else "nothing is rejected for a reason that further attempts may change"
    )
    return InputError(f"no input is rejected for {reason!r} now", where="--retry-rejected", hint=hint)


def _is_unfinished(lake: Lake, stages: Sequence[AnyStage], rounds: Sequence[FurtherRound]) -> bool:
    """Whether some of these rounds are of inputs that are pending now."""
    view = LakeView(lake, stages)
    for stage in stages:
        granted_inputs = {further_round.input for further_round in rounds if further_round.stage == stage.name}
        if granted_inputs:
            pending_inputs = view.table(PENDING.format(view.inputs(stage).sql, view.outcomes(stage)))
            if not granted_inputs.isdisjoint(pending_inputs.column("id").to_pylist()):
                return True
    return False


def _unused(lake: Lake, stages: Sequence[AnyStage]) -> Iterator[Rejection]:
    """The rejections of inputs that were granted more rounds than they used."""
    granted_rounds = Counter(
        (further_round.stage, further_round.input) for further_round in further_attempts.further_rounds(lake.workspace)
    )
    if not granted_rounds:
        return
    granted_stages = {granted_stage for granted_stage, _ in granted_rounds}
    for rejection in _rejections(lake, stages, granted_stages):
        rounds_granted = granted_rounds[rejection.stage.name, rejection.input]
        if not rejection.detail.endswith(further_attempts.mark(rounds_granted)):
            yield rejection


def _rejections(lake: Lake, stages: Sequence[AnyStage], stage_names: set[str] | None = None) -> Iterator[Rejection]:
    """The current rejections that further attempts may change; of all stages, or of those with some names."""
    view = LakeView(lake, stages)
    for stage in stages:
        if isinstance(stage, Ask) and stage.retryable and (stage_names is None or stage.name in stage_names):
            for rejected_batch in view.table(REJECTED.format(view.outcomes(stage))).to_batches():
                for rejected_row in rejected_batch.to_pylist():
                    if rejected_row["reason"] in stage.retryable:
                        yield Rejection(stage, **rejected_row)


def _reopen(lake: Lake, stages: Sequence[AnyStage], rejections: Sequence[Rejection]) -> int:
    for stage in stages:
        reopened_inputs = sorted({rejection.input for rejection in rejections if rejection.stage is stage})
        if reopened_inputs:
            removal = Removal("reopening", _input_column, pa.array(reopened_inputs, pa.binary(ID_BYTES)))
            reopen(lake, [stage], removal)
    return len(rejections)


def _input_column(table: str) -> str | None:
    return "input" if table == Outcome.table else None
