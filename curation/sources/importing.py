"""Questions become tasks: held against the rules and the length of the video that they are about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.sources.annotations import Row, all_rows, edition, question
from dmforge.curation.sources.checking import Checked, check
from dmforge.curation.sources.contract import Question, Refused
from dmforge.curation.stage import Batch, Root, StageConfig
from dmforge.curation.workspace import Workspace
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Candidate, Joined, Task, Video
from dmforge.schemas.transcript import Piece, Transcript

VIDEO = "<video>"
"""Where a trajectory of a file shows the clip of its look."""


@dataclass(frozen=True, slots=True)
class About(Joined):
    """A row beside its video, which is not there if it was quarantined."""

    row: Row
    video: Video | None


class ImportConfig(StageConfig):
    """How annotations become tasks."""


class Import(Root, Batch[About, Task | Candidate]):
    """Questions to tasks; and to candidates, where a file has trajectories."""

    name, version = "import", 4
    repeats = True  # the same question may stand in two files
    config: ImportConfig

    def edition(self, workspace: Workspace) -> str:
        return edition(workspace)

    def scan(self, workspace: Workspace) -> Iterator[Row]:
        return all_rows(workspace)

    def process(self, items: Iterator[About]) -> Iterator[Result]:
        return (_read(item.row, item.video) for item in items)


def _read(row: Row, video: Video | None) -> Result:
    asked = question(row.said)
    checked = asked if isinstance(asked, Refused) else check(asked, video.duration_cs if video else None)
    if isinstance(asked, Refused) or isinstance(checked, Refused):
        reason = checked.reason if isinstance(checked, Refused) else ""
        return Rejected(reason, f"{row.origin}: {asked.video}")
    if video is None:
        # not rejected: whoever has its video tried again has its questions tried again
        return Quarantined("its video can't be used", f"{row.origin}: {asked.video}")
    if video.role == "benchmark":
        return Rejected("its video is a benchmark's", f"{row.origin}: {asked.video}")
    task = _task(row, asked, checked)
    reply = _candidate(task, asked.reply) if asked.reply else None
    return Made((task,) if reply is None else (task, reply))


def _task(row: Row, asked: Question, checked: Checked) -> Task:
    extras = dict(asked.extras) | ({} if asked.fps is None else {"fps": asked.fps})
    return Task(
        row.video, checked.kind, checked.question, checked.options, checked.answer, checked.windows, checked.needs,
        source=row.source, licence=row.licence, terms=row.terms, split=row.split, origin=row.origin,
        flags=", ".join(checked.flags), extras=json.dumps(extras) if extras else "",
    )  # fmt: skip


def _candidate(task: Task, reply: str) -> Candidate:
    """A trajectory as its file words it: what is wrong with it, the rules will say."""
    before, shown, after = reply.partition(VIDEO)
    found = parse(before + after)
    looks = found.looks if isinstance(found, Trajectory) else ()
    pieces = [*prompt(task), Piece("policy", before)]
    if shown and looks:
        pieces += [Piece("runtime", None, looks[0]), Piece("policy", after)]
    elif shown:
        pieces[-1] = Piece("policy", reply)
    answer = found.answer if isinstance(found, Trajectory) else ""
    return Candidate(task.video, task.id, 0, task.source, Transcript(tuple(pieces)), looks, answer, "gold", ())


def target_of(task: Task) -> Look | None:
    """The look that a file gives as a target."""
    fps = json.loads(task.extras).get("fps") if task.extras else None
    return Look(task.windows[0], Fraction(fps).limit_denominator(1000)) if fps and task.windows else None
