"""Checks the journal: each line by its seal, and the answers that rows were made from by what the rows repeat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dmforge.curation.lake.answer_check import (
    TORN,
    JournalLine,
    UnheldAnswer,
    journal_files,
    scanned_lines,
    unheld_answers,
)
from dmforge.curation.lake.commits import Lake
from dmforge.curation.soundness.setting_aside import TORN_LINE, lost_requests
from dmforge.curation.soundness.workspace_defects import Repair, WorkspaceDefect
from dmforge.curation.workspace_folder import WorkspaceFolder

RESTORE = (
    "restore the journal from a backup; else what was made of it stands, and if it is ever made again the question is asked"
)
CUT = "the next run cuts it off; where no run was killed, restore the file from a backup"


def check_journal(lake: Lake, *, in_use: bool) -> Iterator[WorkspaceDefect]:
    """The defects of all lines, and the answers that rows repeat and no line holds. `in_use`: a run writes, and may be in the
    middle of a line."""
    workspace, defects = lake.workspace, list[WorkspaceDefect]()

    def lines() -> Iterator[JournalLine]:
        for journal_path in journal_files(workspace):
            for line in scanned_lines(journal_path):
                if line.fault and not (line.fault == TORN and in_use):
                    defects.append(_of_line(workspace, line))
                yield line

    unheld = unheld_answers(lake, lake.commits.values(), lines())
    yield from defects
    known_lost = lost_requests(workspace)
    yield from (_of_answer(workspace, answer) for answer in unheld if answer.request not in known_lost)


def _of_line(workspace: WorkspaceFolder, line: JournalLine) -> WorkspaceDefect:
    is_torn = line.fault == TORN
    repair = Repair(lines=((line.path, TORN_LINE if is_torn else line.number),))
    name, reason = str(line.path.relative_to(workspace.root)), f"line {line.number}: {line.fault}"
    return WorkspaceDefect(name, reason, CUT if is_torn else RESTORE, offset=line.offset, repair=repair)


def _of_answer(workspace: WorkspaceFolder, answer: UnheldAnswer) -> WorkspaceDefect:
    line, lines_to_remove = answer.line, list[tuple[Path, int]]()
    path, reason, offset = workspace.journal, answer.fault, 0
    if line is not None:
        path, reason, offset = line.path, f"line {line.number}: {answer.fault}", line.offset
        lines_to_remove = [(line.path, line.number)]
    since = f"{answer.part.relative_to(workspace.root)} was made from it"
    repair = Repair(lines=tuple(lines_to_remove), requests=(answer.request,))
    return WorkspaceDefect(str(path.relative_to(workspace.root)), reason, RESTORE, since, answer.request, offset, repair)
