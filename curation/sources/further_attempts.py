"""Further attempts that people granted to rejected inputs: a line for each input and round, in `inputs/further_attempts.jsonl`.

A grant is one atomic write: it is there for all of its inputs, or for none. Only who holds the workspace writes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, read, show

EXAMPLE = '{"stage": "annotate", "input": "task_...", "video": "video_...", "reason": "no readable reply"}'


@dataclass(frozen=True, slots=True)
class FurtherRound:
    """One more round of a stage's `attempts`, for one input."""

    stage: str
    input: Id
    input_kind: str
    video: Id
    reason: str
    """What it was rejected for."""


def mark(round_count: int) -> str:
    """The end of a rejection's detail, by which one that has used so many further rounds is known."""
    return f"; further rounds of attempts: {round_count}" if round_count else ""


def further_rounds(workspace: WorkspaceFolder) -> list[FurtherRound]:
    """All rounds that were granted, in order."""
    return [further_round for _, further_round in _lines(workspace)]


def rounds_by_input(workspace: WorkspaceFolder, stage: str) -> Counter[Id]:
    """How many further rounds each input of a stage was granted."""
    return Counter(further_round.input for further_round in further_rounds(workspace) if further_round.stage == stage)


def grant(workspace: WorkspaceFolder, rounds: Sequence[FurtherRound]) -> None:
    """Add rounds. Once this returns, they are on the disk."""
    old_lines = [old_line for old_line, _ in _lines(workspace)]
    _write(workspace, [*old_lines, *map(_to_line, rounds)])


def take_over_rounds(workspace: WorkspaceFolder, source_workspace: WorkspaceFolder) -> None:
    """Add the rounds of another workspace by which it has granted an input more than this one has."""
    own_counts, new_rounds = Counter(_key(own_round) for own_round in further_rounds(workspace)), list[FurtherRound]()
    source_counts = Counter[tuple[str, Id]]()
    for source_round in further_rounds(source_workspace):
        source_counts[_key(source_round)] += 1
        if source_counts[_key(source_round)] > own_counts[_key(source_round)]:
            new_rounds.append(source_round)
    if new_rounds:
        grant(workspace, new_rounds)


def forget_rounds(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the rounds of inputs about some videos; how many there were."""
    lines_and_rounds = _lines(workspace)
    kept_lines = [round_line for round_line, further_round in lines_and_rounds if further_round.video not in videos]
    if len(kept_lines) < len(lines_and_rounds):
        _write(workspace, kept_lines)
    return len(lines_and_rounds) - len(kept_lines)


def count_rounds(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many rounds are of inputs about some videos."""
    return sum(further_round.video in videos for further_round in further_rounds(workspace))


def _key(further_round: FurtherRound) -> tuple[str, Id]:
    return further_round.stage, further_round.input


def _write(workspace: WorkspaceFolder, round_lines: Sequence[bytes]) -> None:
    write_bytes(workspace.further_attempts, b"".join(round_line + b"\n" for round_line in round_lines))


def _lines(workspace: WorkspaceFolder) -> list[tuple[bytes, FurtherRound]]:
    """Each line beside what it says. They end at line feeds only, as those of takedowns."""
    rounds_path = workspace.further_attempts
    if not rounds_path.exists():
        return []
    with disk_errors(rounds_path):
        numbered_lines = enumerate(rounds_path.read_bytes().split(b"\n"), 1)
    return [
        (round_line, _parsed(round_line, f"{rounds_path}:{line_number}"))
        for line_number, round_line in numbered_lines
        if round_line.strip()
    ]


def _to_line(further_round: FurtherRound) -> bytes:
    round_values = {
        "stage": further_round.stage, "input": show(further_round.input_kind, further_round.input),
        "video": show("video", further_round.video), "reason": further_round.reason,
    }  # fmt: skip
    return json.dumps(sealed(round_values)).encode("ascii")


def _parsed(round_line: bytes, where: str) -> FurtherRound:
    try:
        round_values = unsealed(json.loads(round_line))
        stage_name, grant_reason = round_values["stage"], round_values["reason"]
        if not isinstance(stage_name, str) or not isinstance(grant_reason, str):
            raise TypeError("stage and reason are texts")
        (input_kind, input_id), (video_kind, video_id) = read(round_values["input"]), read(round_values["video"])
        if video_kind != "video":
            raise ValueError(f"{round_values['video']!r} is the id of no video")
        return FurtherRound(stage_name, input_id, input_kind, video_id, grant_reason)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(f"no further attempts: {error}", where=where, hint=f"write {EXAMPLE}, or delete the line") from None
