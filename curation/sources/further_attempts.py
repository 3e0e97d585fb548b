"""Further attempts that people granted to rejected inputs: a line for each input and round, in `inputs/further_attempts.jsonl`.

A grant is one atomic write: it is there for all of its inputs, or for none. Only who holds the workspace writes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dmforge.curation.io.atomic import disk_errors, write_bytes
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


def mark(rounds: int) -> str:
    """The end of a rejection's detail, by which one that has used so many further rounds is known."""
    return f"; further rounds of attempts: {rounds}" if rounds else ""


def further_rounds(workspace: WorkspaceFolder) -> list[FurtherRound]:
    """All rounds that were granted, in order."""
    return [further_round for _, further_round in _lines(workspace)]


def rounds_by_input(workspace: WorkspaceFolder, stage: str) -> Counter[Id]:
    """How many further rounds each input of a stage was granted."""
    return Counter(further_round.input for further_round in further_rounds(workspace) if further_round.stage == stage)


def grant(workspace: WorkspaceFolder, rounds: Sequence[FurtherRound]) -> None:
    """Add rounds. Once this returns, they are on the disk."""
    lines = [line for line, _ in _lines(workspace)]
    _write(workspace, [*lines, *map(_to_line, rounds)])


def take_over_rounds(workspace: WorkspaceFolder, other: WorkspaceFolder) -> None:
    """Add the rounds of another workspace by which it has granted an input more than this one has."""
    counts, new_rounds = Counter(_key(own_round) for own_round in further_rounds(workspace)), list[FurtherRound]()
    other_counts = Counter[tuple[str, Id]]()
    for other_round in further_rounds(other):
        other_counts[_key(other_round)] += 1
        if other_counts[_key(other_round)] > counts[_key(other_round)]:
            new_rounds.append(other_round)
    if new_rounds:
        grant(workspace, new_rounds)


def forget_rounds(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the rounds of inputs about some videos; how many there were."""
    lines = _lines(workspace)
    kept_lines = [line for line, further_round in lines if further_round.video not in videos]
    if len(kept_lines) < len(lines):
        _write(workspace, kept_lines)
    return len(lines) - len(kept_lines)


def count_rounds(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many rounds are of inputs about some videos."""
    return sum(further_round.video in videos for further_round in further_rounds(workspace))


def _key(further_round: FurtherRound) -> tuple[str, Id]:
    return further_round.stage, further_round.input


def _write(workspace: WorkspaceFolder, lines: Sequence[bytes]) -> None:
    write_bytes(workspace.further_attempts, b"".join(line + b"\n" for line in lines))


def _lines(workspace: WorkspaceFolder) -> list[tuple[bytes, FurtherRound]]:
    """Each line beside what it says. They end at line feeds only, as those of takedowns."""
    path = workspace.further_attempts
    if not path.exists():
        return []
    with disk_errors(path):
        numbered_lines = enumerate(path.read_bytes().split(b"\n"), 1)
    return [(line, _parsed(line, f"{path}:{number}")) for number, line in numbered_lines if line.strip()]


def _to_line(further_round: FurtherRound) -> bytes:
    values = {
        "stage": further_round.stage, "input": show(further_round.input_kind, further_round.input),
        "video": show("video", further_round.video), "reason": further_round.reason,
    }  # fmt: skip
    return json.dumps(values).encode("ascii")


def _parsed(line: bytes, where: str) -> FurtherRound:
    try:
        values = json.loads(line)
        stage, reason = values["stage"], values["reason"]
        if not isinstance(stage, str) or not isinstance(reason, str):
            raise TypeError("stage and reason are texts")
        (input_kind, input_id), (video_kind, video) = read(values["input"]), read(values["video"])
        if video_kind != "video":
            raise ValueError(f"{values['video']!r} is the id of no video")
        return FurtherRound(stage, input_id, input_kind, video, reason)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(f"no further attempts: {error}", where=where, hint=f"write {EXAMPLE}, or delete the line") from None
