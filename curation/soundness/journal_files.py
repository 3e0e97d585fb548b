"""Checks the journal: each line by its seal, and the answers that rows were made from by what the rows repeat."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from dmforge.curation.lake.answer_check import (
    TORN,
    JournalLine,
    UnheldAnswer,
    journal_files,
    scanned_lines,
    unheld_answers,
)
from dmforge.curation.lake.answer_columns import SUFFIX as COLUMNS
from dmforge.curation.lake.answer_columns import ColumnsUnfit, read_columns
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import places_in
from dmforge.curation.lake.journal_index import JournalIndex
from dmforge.curation.lake.journal_index_file import SUFFIX, IndexUnfit, read_index
from dmforge.curation.lake.journal_table import ANSWERS, ReadLines
from dmforge.curation.soundness.setting_aside import TORN_LINE, lost_requests
from dmforge.curation.soundness.workspace_defects import Repair, WorkspaceDefect
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError

RESTORE = (
    "restore the journal from a backup; else what was made of it stands, and if it is ever made again the question is asked"
)
REMADE = "a run that meets it reads the journal instead, and makes it anew"
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


def check_indexes(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """The indexes beside files of the journal that don't say what these say. Nothing is lost with one."""
    for path in sorted(workspace.journal.glob(f"*/*{SUFFIX}")):
        try:
            _check_index(path.with_name(path.name.removesuffix(SUFFIX)))
        except (IndexUnfit, FileNotFoundError) as error:
            name = str(path.relative_to(workspace.root))
            yield WorkspaceDefect(name, f"it doesn't fit its journal: {error}", REMADE, repair=Repair((path,)))
        except LakeError:
            continue  # a line of the journal is damaged, as its own check says


def check_columns(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """The columns beside files of the journal that don't say what these say. Nothing is lost with them."""
    for path in sorted(workspace.journal.glob(f"*/*{COLUMNS}")):
        try:
            _check_columns(path.with_name(path.name.removesuffix(COLUMNS)))
        except (ColumnsUnfit, FileNotFoundError) as error:
            name = str(path.relative_to(workspace.root))
            yield WorkspaceDefect(name, f"they don't fit their journal: {error}", REMADE, repair=Repair((path,)))


def _check_columns(journal_path: Path) -> None:
    """Hold columns against the lines that they cover; ColumnsUnfit says what is wrong with them."""
    kept = read_columns(journal_path, ANSWERS)
    # as many rows at a time as are read of the lines
    pairs = itertools.zip_longest(kept.tables(), ReadLines(journal_path).tables(kept.covered_bytes))
    if any(table is None or read_anew is None or not table.equals(read_anew) for table, read_anew in pairs):
        raise ColumnsUnfit("they say something else than the lines")


def _check_index(journal_path: Path) -> None:
    """Hold an index against the lines that it covers; IndexUnfit says what is wrong with it."""
    with (
        closing(read_index(journal_path)) as index,
        closing(JournalIndex(places_in(journal_path, 0, index.covered_bytes))) as lines,
    ):
        pairs = itertools.zip_longest(index.places(), lines.places())
        if any(kept_place != place for kept_place, place in pairs):
            raise IndexUnfit("it says something else than the lines")


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
