"""Checks what people put in, the records of runs, and settings of clips: each by its seals, all by being read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dmforge.curation.contract.stage import AnyStage, Root
from dmforge.curation.engine.run_log import input_lines, read_record, records
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.parts import Part, read_part
from dmforge.curation.lake.roster import unpublished_roster
from dmforge.curation.soundness.workspace_defects import Repair, WorkspaceDefect, written_with
from dmforge.curation.sources.annotations import all_rows
from dmforge.curation.sources.further_attempts import further_rounds
from dmforge.curation.sources.reviews import FOLDER, reviews_of
from dmforge.curation.sources.takedowns import takedowns
from dmforge.curation.sources.videos import listed
from dmforge.curation.video.media import kept_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id

SPENT = "it is moved away: what it says is no longer counted in costs and plans"
MEANT = "if it was meant so, `dmforge run` takes it over; else restore the file from a backup, or bring it again"


def check_inputs(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """The defects of the files under `inputs/`. They can't be made again: a person restores them, or brings them again."""
    annotation_folders = sorted(path.name for path in workspace.inputs.glob("*") if path.is_dir() and path.name != FOLDER)
    readers: list[Callable[[], object]] = [
        lambda: listed(workspace),
        lambda: deque(takedowns(workspace), 0),
        lambda: further_rounds(workspace),
        *((lambda name=name: deque(all_rows(workspace, name), 0)) for name in annotation_folders),
        *((lambda path=path: reviews_of(path)) for path in sorted((workspace.inputs / FOLDER).glob("*.jsonl"))),
    ]
    for reader in readers:
        try:
            reader()
        except DmforgeError as error:
            yield _unreadable(workspace, error)


def check_lines(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """Lines that the last run saw and that are gone, in files that only ever grow but for takedowns."""
    try:
        *_, (record_path, record) = records(workspace)
        lines_then: dict[str, int] = dict(record.get("input_lines", {}))
    except (DmforgeError, ValueError, TypeError):
        return  # there was no run, or what is wrong with its record is a defect
    lines_now, since = input_lines(workspace), written_with(record_path, workspace.root)
    takedowns_file = workspace.forgotten.name
    has_forgotten_since = lines_now.get(takedowns_file, 0) > lines_then.get(takedowns_file, 0)
    for name, count in lines_then.items():
        if lines_now.get(name, 0) < count and not has_forgotten_since:
            yield WorkspaceDefect(f"inputs/{name}", f"{lines_now.get(name, 0)} lines are left of {count}", MEANT, since)


def check_listed(lake: Lake, stages: Sequence[AnyStage]) -> Iterator[WorkspaceDefect]:
    """Inputs that the last run saw and that nobody lists any more: a person's change, or a file that was cut short."""
    for stage in stages:
        roster = lake.roster(stage.name) if isinstance(stage, Root) else None
        if roster is None:
            continue
        try:
            table = unpublished_roster(lake, stage)
        except DmforgeError:
            continue  # what can't be read is named by its own check
        if table is None:
            continue
        now = set(id_list(table.column("id")))
        gone = sum(input_id not in now for input_id in _listed_then(lake, roster.of(stage.reads.table)))
        if gone:
            since = written_with(roster.path(lake.workspace.commits), lake.workspace.root)
            yield WorkspaceDefect("inputs", f"{gone} inputs of {stage.name} are no longer listed", MEANT, since)


def _listed_then(lake: Lake, parts: Sequence[Part]) -> Iterator[Id]:
    for part in parts:
        for table in read_part(lake.workspace.lake, part):
            yield from id_list(table.column("id"))


def check_records(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """The defects of the records of runs, and of the settings that renditions were made with."""
    for record_path in sorted(workspace.runs.glob("*.json")):
        try:
            read_record(record_path)
        except DmforgeError as error:
            name = str(record_path.relative_to(workspace.root))
            yield WorkspaceDefect(name, error.message, SPENT, repair=Repair((record_path,)))
    clips_path = workspace.media / "clips.json"
    try:
        kept_clips(workspace)
    except DmforgeError as error:
        remedy = "`dmforge run` writes down the recipe's own again"
        yield WorkspaceDefect(str(clips_path.relative_to(workspace.root)), error.message, remedy, repair=Repair((clips_path,)))


def _unreadable(workspace: WorkspaceFolder, error: DmforgeError) -> WorkspaceDefect:
    """A defect of which the error says the place."""
    place, _, line = error.where.rpartition(":")
    path = Path(place if line.isdigit() else error.where)
    file = str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)
    reason = f"line {line}: {error.message}" if line.isdigit() else error.message
    return WorkspaceDefect(file, reason, f"restore it from a backup; or {error.hint or 'bring it again'}")
