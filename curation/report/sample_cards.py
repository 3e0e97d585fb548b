"""The draw of the subjects that get a card: a few of every corpus and of every reason for rejection, drawn by id.

The draw is by a digest of the id, so it is a fair one, the same everywhere, and of a fixed size however large the lake is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from dmforge.curation.audit.corpus_checks import Check
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.report.cards import CardSubject
from dmforge.schemas.ids import read
from dmforge.schemas.records import Candidate, Sample, SubjectKind, Task

KEPT, LOST, REASONS, EXAMPLES = 12, 3, 18, 3
"""How many cards a corpus has, how many a reason, how many reasons, and how many examples of what can't be a card."""
_KEPT = """
SELECT corpus, coalesce(candidate, task) AS subject, candidate IS NOT NULL AS written FROM samples
QUALIFY row_number() OVER (PARTITION BY corpus ORDER BY md5(id), id) <= $most ORDER BY corpus, md5(id), id
"""
_SAMPLE = "SELECT corpus, coalesce(candidate, task), candidate IS NOT NULL FROM samples WHERE id = $id"
_REASONS = """
SELECT stage, status, reason, count(*) AS n FROM outcomes WHERE status <> 'made' AND list_contains($stages, stage)
GROUP BY ALL ORDER BY n DESC, stage, status, reason
"""
_LOST = """
SELECT input, detail FROM outcomes WHERE stage = $stage AND status = $status AND reason = $reason
ORDER BY md5(input), input LIMIT $most
"""
_UNDECIDED = "SELECT id FROM candidates ORDER BY md5(id), id LIMIT $most"


@dataclass(frozen=True, slots=True)
class LostInputs:
    """A reason why inputs that can't be cards went no further: how often it occurred, and examples of its details."""

    stage: str
    status: str
    reason: str
    inputs: int
    details: tuple[str, ...]


def draw_subjects(connection: duckdb.DuckDBPyConnection, stages: Sequence[AnyStage]) -> list[CardSubject]:
    """The subjects that get a card: kept ones first, then those of the commonest reasons."""
    card_subjects = [
        CardSubject(subject_id, "candidate" if is_candidate else "task", True, f"kept in {corpus}")
        for corpus, subject_id, is_candidate in connection.execute(_KEPT, {"most": KEPT}).fetchall()
    ]
    kind_by_stage: dict[str, SubjectKind] = {
        stage.name: "candidate" if stage.reads is Candidate else "task" for stage in stages if stage.reads in (Candidate, Task)
    }
    for stage, outcome_status, outcome_reason, _ in connection.execute(_REASONS, {"stages": list(kind_by_stage)}).fetchall()[
        :REASONS
    ]:
        lost_rows = connection.execute(
            _LOST, {"stage": stage, "status": outcome_status, "reason": outcome_reason, "most": LOST}
        ).fetchall()
        group = reason_group(stage, outcome_status, outcome_reason)
        card_subjects += [
            CardSubject(subject_id, kind_by_stage[stage], False, group, outcome_detail)
            for subject_id, outcome_detail in lost_rows
        ]
    if not card_subjects:
        undecided_rows = connection.execute(_UNDECIDED, {"most": KEPT}).fetchall()
        card_subjects = [CardSubject(subject_id, "candidate", False, "not decided yet") for (subject_id,) in undecided_rows]
    return card_subjects


def reason_group(stage: str, status: str, reason: str) -> str:
    """What cards are called that are there for one reason."""
    return f"{stage}: {reason}" if status == "rejected" else f"{stage}: {status}: {reason}"


def draw_failing(
    connection: duckdb.DuckDBPyConnection, checks: Sequence[Check], drawn: Sequence[CardSubject]
) -> list[CardSubject]:
    """The samples that checks name as examples, each once, under the check that names it first, without those drawn before."""
    drawn_ids = {card_subject.subject for card_subject in drawn}
    card_subjects: list[CardSubject] = []
    for check in checks:
        for sample_name in check.examples if check.state in ("look", "stop") else ():
            for corpus, subject_id, is_candidate in connection.execute(_SAMPLE, {"id": read(sample_name)[1]}).fetchall():
                if subject_id not in drawn_ids:
                    group = f"kept in {corpus}: {check.check.replace('_', ' ')}"
                    card_subjects.append(CardSubject(subject_id, "candidate" if is_candidate else "task", True, group))
                drawn_ids.add(subject_id)
    return card_subjects


def slips(connection: duckdb.DuckDBPyConnection, stages: Sequence[AnyStage]) -> list[LostInputs]:
    """The reasons for inputs that went no further and can't be cards."""
    stage_names = [stage.name for stage in stages if stage.reads not in (Candidate, Task, Sample)]
    lost_inputs: list[LostInputs] = []
    for stage, outcome_status, outcome_reason, input_count in connection.execute(_REASONS, {"stages": stage_names}).fetchall()[
        :REASONS
    ]:
        query_values = {"stage": stage, "status": outcome_status, "reason": outcome_reason, "most": EXAMPLES}
        outcome_details = tuple(
            outcome_detail for _, outcome_detail in connection.execute(_LOST, query_values).fetchall() if outcome_detail
        )
        lost_inputs.append(LostInputs(stage, outcome_status, outcome_reason, input_count, outcome_details))
    return lost_inputs
