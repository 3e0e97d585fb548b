"""A lineage as text for people, and as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmforge.curation.audit.lineage import Judgement, Lineage, Step
from dmforge.curation.audit.output import plain
from dmforge.curation.audit.paid_answers import PaidAnswer
from dmforge.curation.audit.receipts import ReceiptCheck
from dmforge.curation.audit.shard_locations import PackedSample
from dmforge.curation.audit.stored_rows import StoredRow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.visible import escaped_in_line, shortened

MAX_LINES = 12
"""How many lines of a kind are printed, but for verdicts, of which none is left out; `--json` has all."""
MAX_TEXT_CHARS = 100
"""How many letters of a text are printed."""
SHOWN_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "videos": ("source", "licence", "source_id", "duration_cs", "role"),
    "tasks": ("task_kind", "question", "options", "answer", "windows", "source", "split", "origin", "flags"),
    "candidates": ("teacher", "attempt", "window_source", "looks", "answer"),
    "samples": ("corpus", "target", "further_targets", "target_source"),
    "files": ("source", "source_id", "licence"),
    "rows": ("origin", "source", "said"),
    "packed": ("corpus", "selection", "shard", "key"),
}
"""The columns of a row that are printed; of other tables all that are texts."""


def as_json(lineage: Lineage, checked: Sequence[ReceiptCheck] | None) -> dict[str, Any]:
    """The lineage as a JSON document, with all details."""
    workspace_root = lineage.media.workspace.root
    document: dict[str, Any] = {
        "id": lineage.subject.id,
        "table": lineage.subject.row.table,
        "current": lineage.subject.current,
        "source": asdict(lineage.source) if lineage.source else None,
        "receipt": asdict(lineage.receipt) if lineage.receipt else None,
        "steps": [_step_json(step, lineage, workspace_root) for step in lineage.steps],
        "outcomes": [_row_json(outcome_row, lineage) for outcome_row in lineage.outcomes],
        "verdicts": [
            _row_json(judgement.row, lineage) | {"current": judgement.current, "misses": list(judgement.misses)}
            for judgement in lineage.verdicts
        ],
        "rollouts": [_row_json(rollout_row, lineage) for rollout_row in lineage.rollouts],
        "answers": [
            asdict(paid_answer) | {"path": _relative_path(paid_answer.path, workspace_root)} for paid_answer in lineage.answers
        ],
        "shards": [
            asdict(packed_sample) | {"path": _relative_path(packed_sample.path, workspace_root)}
            for packed_sample in lineage.places
        ],
    }
    if checked is not None:
        document["checks"] = [
            asdict(receipt_check) | {"path": _relative_path(receipt_check.path, workspace_root), "holds": receipt_check.holds}
            for receipt_check in checked
        ]
    return document


def lines(lineage: Lineage, checked: Sequence[ReceiptCheck] | None) -> Iterator[str]:
    """The lineage as lines of text, with empty ones between its parts."""
    for unescaped_line in _unescaped_lines(lineage, checked):
        if unescaped_line.startswith("\n"):
            yield ""
        yield escaped_in_line(unescaped_line.removeprefix("\n"))


def _unescaped_lines(lineage: Lineage, checked: Sequence[ReceiptCheck] | None) -> Iterator[str]:
    workspace_root = lineage.media.workspace.root
    subject_row = lineage.subject
    yield subject_row.id + ("" if subject_row.current else ": stored, but the recipe as it is now does not make it so")
    failing = [_verdict_line(judgement, lineage) for judgement in lineage.verdicts if judgement.misses]
    yield from _headed("failing verdicts", failing, len(failing))
    if lineage.source is not None:
        yield f"\nbrought: {lineage.source.path}"
        yield f"  sha256 {lineage.source.sha256}"
    for step in lineage.steps[:MAX_LINES]:
        yield from _step_lines(step, lineage, workspace_root)
    if len(lineage.steps) > MAX_LINES:
        yield f"\nand {len(lineage.steps) - MAX_LINES} rows more: --json has all"
    yield from _headed("outcomes", [_outcome_line(outcome_row, lineage) for outcome_row in lineage.outcomes])
    others = [_verdict_line(judgement, lineage) for judgement in lineage.verdicts if not judgement.misses]
    yield from _headed("other verdicts" if failing else "verdicts", others, len(others))
    yield from _headed("rollouts", [_rollout_line(rollout_row) for rollout_row in lineage.rollouts])
    yield from _headed("answers of teachers", [_paid_line(paid_answer, workspace_root) for paid_answer in lineage.answers])
    yield from _headed(
        "in shards",
        [place_line for packed_sample in lineage.places for place_line in _place_lines(packed_sample, workspace_root)],
    )
    if checked is not None:
        yield from _headed("receipts", [_check_line(receipt_check, workspace_root) for receipt_check in checked], len(checked))


def _step_json(step: Step, lineage: Lineage, workspace_root: Path) -> dict[str, Any]:
    row, commit = step.row, step.row.commit
    return {
        "id": step.id,
        "table": row.table,
        "stage": step.stage,
        "variant": f"variant_{commit.variant}",
        "config": commit.config,
        "prompts": list(step.prompts),
        "current": step.current,
        "commit": f"lake/commits/{commit.stage}/{commit.id}.json",
        "part": _relative_path(row.part, workspace_root),
        "row": _values(row.values, lineage),
    }


def _row_json(row: StoredRow, lineage: Lineage) -> dict[str, Any]:
    return _values(row.values, lineage) | {"stage": row.commit.stage, "commit": row.commit.id}


def _values(values: Mapping[str, Any], lineage: Lineage) -> dict[str, Any]:
    """The values of a row, with ids in their printed form where it is known what they name."""
    return {column_name: plain(column_value, column_name, lineage.names) for column_name, column_value in values.items()}


def _step_lines(step: Step, lineage: Lineage, workspace_root: Path) -> Iterator[str]:
    yield f"\n{step.id}" + ("" if step.current else "  (not current)")
    is_roster = step.row.commit.kind == "roster"
    yield f"  {'listed for' if is_roster else 'made by'} {step.stage}, in {_relative_path(step.row.part, workspace_root)}"
    if step.row.commit.config and not is_roster:
        yield f"  configured as {_shortened(json.dumps(dict(step.row.commit.config), sort_keys=True))}"
    if step.prompts:
        yield f"  prompts {', '.join(prompt_sha256[:12] for prompt_sha256 in step.prompts)}"
    column_names = SHOWN_COLUMNS.get(step.row.table) or tuple(
        column_name for column_name, column_value in step.row.values.items() if isinstance(column_value, str)
    )
    for column_name in column_names:
        cell_text = _text(step.row.values.get(column_name), column_name, lineage.names)
        if cell_text:
            yield f"  {column_name}: {_shortened(cell_text)}"
    for thought_excerpt in _thoughts(step.row.values.get("transcript")):
        yield f"  > {_shortened(thought_excerpt)}"
    for gap_row in (step.row.values.get("gaps") or ())[:MAX_LINES]:
        gap_text = f"{_text(gap_row['window'], 'window', lineage.names)}: {gap_row['why']}"
        yield f"  not described: {_shortened(gap_text)}"


def _thoughts(transcript: Any) -> Iterator[str]:
    for transcript_piece in (transcript or {}).get("pieces") or ():
        if transcript_piece["author"] == "policy" and transcript_piece["text"]:
            yield " ".join(transcript_piece["text"].split())


def _text(value: Any, column: str, names: Mapping[Id, str]) -> str:
    """A value as it is printed: windows as spans, looks with their density."""
    if value is None or value == "" or value == []:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(inner_value, column, names) for inner_value in value)
    if isinstance(value, dict):
        if "start_cs" in value:
            return print_span(Window(value["start_cs"], value["end_cs"]))
        if "window" in value:
            return f"{_text(value['window'], column, names)} at {value['fps']['num'] / value['fps']['den']:g} fps"
    return str(plain(value, column, names))


def _outcome_line(outcome_row: StoredRow, lineage: Lineage) -> str:
    outcome_values = outcome_row.values
    input_id = plain(outcome_values["input"], "input", lineage.names)
    description = ": ".join(
        reason_part
        for reason_part in (outcome_values["status"], outcome_values["reason"], outcome_values["detail"])
        if reason_part
    )
    return _shortened(
        f"{outcome_values['stage']} of {input_id}: {description}"
        + (f", {outcome_values['rows']} rows" if outcome_values["status"] == "made" else "")
    )


def _verdict_line(judgement: Judgement, lineage: Lineage) -> str:
    verdict_values = judgement.row.values
    description = ": ".join(reason_part for reason_part in (verdict_values["reason"], verdict_values["detail"]) if reason_part)
    subject_id = plain(verdict_values["subject"], verdict_values["subject_kind"], lineage.names)
    return _shortened(
        f"{verdict_values['filter']} {verdict_values['score']:g}"
        + "".join(f", {missed_text}" for missed_text in judgement.misses)
        + f", of n = {verdict_values['n']}, on {subject_id}"
        + ("" if judgement.current else " (not current)")
        + (f": {description}" if description else "")
    )


def _rollout_line(rollout_row: StoredRow) -> str:
    rollout_values = rollout_row.values
    student_id = show("student", rollout_values["student"])
    return _shortened(
        f"{show('rollout', rollout_row.id)}: {student_id}, {rollout_values['mode']} {rollout_values['index']}, "
        f"{rollout_values['ending']}: {rollout_values['answer']}"
    )


def _paid_line(paid_answer: PaidAnswer, workspace_root: Path) -> str:
    location = f"{_relative_path(paid_answer.path, workspace_root)} at {paid_answer.offset}"
    token_counts = (paid_answer.input_tokens, paid_answer.output_tokens)
    tokens_text = " + ".join("?" if token_count is None else str(token_count) for token_count in token_counts) + " tokens"
    excerpt = _shortened(" ".join(paid_answer.text.split()))
    return f"{paid_answer.request} to {paid_answer.model}: {location}, {tokens_text}: {excerpt}"


def _place_lines(packed_sample: PackedSample, workspace_root: Path) -> Iterator[str]:
    location = f"{packed_sample.key} at {packed_sample.offset}, {packed_sample.size} bytes"
    yield f"{packed_sample.sample}: {_relative_path(packed_sample.path, workspace_root)}, {location}"
    for tar_member in packed_sample.members:
        yield f"  {tar_member.name} at {tar_member.offset}, {tar_member.size} bytes, sha256 {tar_member.sha256}"


def _check_line(receipt_check: ReceiptCheck, workspace_root: Path) -> str:
    check_result = (
        "holds" if receipt_check.holds else f"DOES NOT HOLD: {receipt_check.said} was said, {receipt_check.found} is found"
    )
    return f"{receipt_check.what}, {_relative_path(receipt_check.path, workspace_root)}: {check_result}"


def _headed(heading: str, entries: Sequence[str], max_lines: int = MAX_LINES) -> Iterator[str]:
    if entries:
        yield f"\n{heading}"
        yield from (f"  {entry_line}" for entry_line in entries[:max_lines])
        if len(entries) > max_lines:
            yield f"  and {len(entries) - max_lines} more: --json has all"


def _shortened(text: str) -> str:
    return shortened(text, MAX_TEXT_CHARS)


def _relative_path(path: Path, workspace_root: Path) -> str:
    return str(path.relative_to(workspace_root)) if path.is_relative_to(workspace_root) else str(path)
