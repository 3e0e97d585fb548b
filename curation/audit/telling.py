"""A lineage in words for people, and as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmforge.curation.audit.lineage import Lineage, Step
from dmforge.curation.audit.paid import Paid
from dmforge.curation.audit.placed import Placed
from dmforge.curation.audit.receipts import Check
from dmforge.curation.audit.results import plain
from dmforge.curation.audit.stored import StoredRow
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.visible import in_line

MOST = 12
"""Lines of a kind that people are told; `--json` tells all."""
LONGEST = 100
"""Letters of a text that people are told."""
SAID: Mapping[str, tuple[str, ...]] = {
    "videos": ("source", "licence", "source_id", "duration_cs", "role"),
    "tasks": ("task_kind", "question", "options", "answer", "windows", "source", "split", "origin", "flags"),
    "candidates": ("teacher", "attempt", "window_source", "looks", "answer"),
    "samples": ("corpus", "target", "target_source"),
    "files": ("source", "source_id", "licence"),
    "rows": ("origin", "source", "said"),
    "packed": ("corpus", "selection", "shard", "key"),
}
"""What people are told of a row; of other tables all that is short."""


def as_json(lineage: Lineage, checked: Sequence[Check] | None) -> dict[str, Any]:
    """All of it."""
    root = lineage.media.workspace.root
    told: dict[str, Any] = {
        "id": lineage.subject.id,
        "table": lineage.subject.row.table,
        "current": lineage.subject.current,
        "source": asdict(lineage.source) if lineage.source else None,
        "receipt": asdict(lineage.receipt) if lineage.receipt else None,
        "steps": [_step(step, lineage, root) for step in lineage.steps],
        "outcomes": [_named(row, lineage) for row in lineage.outcomes],
        "verdicts": [_named(row, lineage) for row in lineage.verdicts],
        "rollouts": [_named(row, lineage) for row in lineage.rollouts],
        "answers": [asdict(paid) | {"path": _below(paid.path, root)} for paid in lineage.answers],
        "shards": [asdict(place) | {"path": _below(place.path, root)} for place in lineage.places],
    }
    if checked is not None:
        told["checks"] = [asdict(one) | {"path": _below(one.path, root), "holds": one.holds} for one in checked]
    return told


def lines(lineage: Lineage, checked: Sequence[Check] | None) -> Iterator[str]:
    """What people want to know of it: a line each, some with an empty one before them."""
    for text in _told(lineage, checked):
        yield "\n" * text.startswith("\n") + in_line(text.removeprefix("\n"))


def _told(lineage: Lineage, checked: Sequence[Check] | None) -> Iterator[str]:
    root = lineage.media.workspace.root
    subject = lineage.subject
    yield subject.id + ("" if subject.current else ": stored, but the recipe as it is now does not make it so")
    if lineage.source is not None:
        yield f"\nbrought: {lineage.source.path}"
        yield f"  sha256 {lineage.source.sha256}"
    for step in _few(lineage.steps):
        yield from _step_lines(step, lineage, root)
    yield from _headed("outcomes", [_outcome(row, lineage) for row in lineage.outcomes])
    yield from _headed("verdicts", [_verdict(row, lineage) for row in lineage.verdicts])
    yield from _headed("rollouts", [_rollout(row) for row in lineage.rollouts])
    yield from _headed("answers of teachers", [_paid(paid, root) for paid in lineage.answers])
    yield from _headed("in shards", [line for place in lineage.places for line in _place(place, root)])
    if checked is not None:
        yield from _headed("receipts", [_check(one, root) for one in checked], len(checked))


def _step(step: Step, lineage: Lineage, root: Path) -> dict[str, Any]:
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
        "part": _below(row.part, root),
        "row": _values(row.values, lineage),
    }


def _named(row: StoredRow, lineage: Lineage) -> dict[str, Any]:
    return _values(row.values, lineage) | {"stage": row.commit.stage, "commit": row.commit.id}


def _values(values: Mapping[str, Any], lineage: Lineage) -> dict[str, Any]:
    """Ids as people read them, where it is known what they name."""
    return {name: plain(value, name, lineage.names) for name, value in values.items()}


def _step_lines(step: Step, lineage: Lineage, root: Path) -> Iterator[str]:
    yield f"\n{step.id}" + ("" if step.current else "  (not current)")
    roster = step.row.commit.kind == "roster"
    yield f"  {'listed for' if roster else 'made by'} {step.stage}, in {_below(step.row.part, root)}"
    if step.row.commit.config and not roster:
        yield f"  configured as {_short(json.dumps(dict(step.row.commit.config), sort_keys=True))}"
    if step.prompts:
        yield f"  prompts {', '.join(sha256[:12] for sha256 in step.prompts)}"
    said = SAID.get(step.row.table) or tuple(name for name, value in step.row.values.items() if isinstance(value, str))
    for name in said:
        told = _text(step.row.values.get(name), name, lineage.names)
        if told:
            yield f"  {name}: {_short(told)}"
    for text in _thoughts(step.row.values.get("transcript")):
        yield f"  > {_short(text)}"


def _thoughts(transcript: Any) -> Iterator[str]:
    for piece in (transcript or {}).get("pieces") or ():
        if piece["author"] == "policy" and piece["text"]:
            yield " ".join(piece["text"].split())


def _text(value: Any, column: str, names: Mapping[Id, str]) -> str:
    """A value in the words of the house."""
    if value is None or value == "" or value == []:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(inner, column, names) for inner in value)
    if isinstance(value, dict):
        if "start_cs" in value:
            return print_span(Window(value["start_cs"], value["end_cs"]))
        if "window" in value:
            return f"{_text(value['window'], column, names)} at {value['fps']['num'] / value['fps']['den']:g} fps"
    return str(plain(value, column, names))


def _outcome(row: StoredRow, lineage: Lineage) -> str:
    said = row.values
    about = plain(said["input"], "input", lineage.names)
    told = ": ".join(text for text in (said["status"], said["reason"], said["detail"]) if text)
    return _short(f"{said['stage']} of {about}: {told}" + (f", {said['rows']} rows" if said["status"] == "made" else ""))


def _verdict(row: StoredRow, lineage: Lineage) -> str:
    said = row.values
    told = ": ".join(text for text in (said["reason"], said["detail"]) if text)
    about = plain(said["subject"], said["subject_kind"], lineage.names)
    return _short(f"{said['filter']} {said['score']:g} of n = {said['n']}, on {about}" + (f": {told}" if told else ""))


def _rollout(row: StoredRow) -> str:
    said = row.values
    student = show("student", said["student"])
    return _short(f"{show('rollout', row.id)}: {student}, {said['mode']} {said['index']}, {said['ending']}: {said['answer']}")


def _paid(paid: Paid, root: Path) -> str:
    place = f"{_below(paid.path, root)} at {paid.offset}"
    counts = (paid.input_tokens, paid.output_tokens)
    cost = " + ".join("?" if count is None else str(count) for count in counts) + " tokens"
    return f"{paid.request} to {paid.model}: {place}, {cost}: {_short(' '.join(paid.text.split()))}"


def _place(place: Placed, root: Path) -> Iterator[str]:
    yield f"{place.sample}: {_below(place.path, root)}, {place.key} at {place.offset}, {place.size} bytes"
    for member in place.members:
        yield f"  {member.name} at {member.offset}, {member.size} bytes, sha256 {member.sha256}"


def _check(check: Check, root: Path) -> str:
    told = "holds" if check.holds else f"DOES NOT HOLD: {check.said} was said, {check.found} is found"
    return f"{check.what}, {_below(check.path, root)}: {told}"


def _headed(head: str, told: Sequence[str], most: int = MOST) -> Iterator[str]:
    if told:
        yield f"\n{head}"
        yield from (f"  {line}" for line in told[:most])
        if len(told) > most:
            yield f"  and {len(told) - most} more"


def _few(steps: Sequence[Step]) -> Iterable[Step]:
    return steps if len(steps) <= MOST else steps[:MOST]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
