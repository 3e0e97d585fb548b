"""Checks packed selections by their manifests, and exports and checkpoints by the checksums that lie in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dmforge.curation.io.atomic import TEMPORARY
from dmforge.curation.io.checksums import CHECKSUMS, changed_files
from dmforge.curation.lake.commits import Commit, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.curation.shards import integrity
from dmforge.curation.shards.folders import MANIFEST
from dmforge.curation.shards.packed import Packed
from dmforge.curation.shards.stores import CURRENT
from dmforge.curation.soundness.workspace_defects import RUN, Repair, WorkspaceDefect, written_with
from dmforge.curation.workspace_folder import WorkspaceFolder

AGAIN = {
    "exports": "`dmforge export` writes it again",
    "checkpoint": "with this folder moved away, the training goes on from the checkpoint before it",
}
OWN = ("lake", "journal", "inputs", "media", "runs", "shards", "set-aside")
"""Folders that are walked by other checks."""


def selection_folders(workspace: WorkspaceFolder) -> list[Path]:
    """Every packed selection, be it one of an older recipe."""
    folders = (path for path in workspace.shards.glob("*/*") if path.is_dir())
    return sorted(path for path in folders if not path.name.endswith(TEMPORARY))


def packing_commits(lake: Lake) -> dict[str, list[Commit]]:
    """By selection, the commits that say it was packed."""
    commits_by_selection: dict[str, list[Commit]] = {}
    for commit in lake.commits.values():
        for part in commit.of(Packed.table):
            for table in read_part(lake.workspace.lake, part):
                for selection in table.column("selection").unique().to_pylist():
                    commits_by_selection.setdefault(str(selection), []).append(commit)
    return commits_by_selection


def check_selection(
    workspace: WorkspaceFolder, folder: Path, commits_by_selection: Mapping[str, list[Commit]]
) -> Iterator[WorkspaceDefect]:
    """The defects in the bytes of a packed selection."""
    commits = commits_by_selection.get(folder.name, [])
    report = integrity.verify(str(folder)) if folder.is_dir() else None
    remedy = RUN if commits else "it is of an older recipe: packed again where the recipe of then is"
    paths = (folder, *(commit.path(workspace.commits) for commit in commits))
    repair = Repair(tuple(filter(Path.exists, dict.fromkeys(paths))), stages=tuple(commit.stage for commit in commits))
    name, since = str(folder.relative_to(workspace.root)), written_with(folder / MANIFEST, workspace.root)
    if report is None:
        yield WorkspaceDefect(name, "the shards are gone", remedy, repair=repair)
        return
    for defect in report.defects:
        manifest_or_since = "" if defect.shard == MANIFEST else since
        yield WorkspaceDefect(
            f"{name}/{defect.shard}", defect.reason, remedy, manifest_or_since, defect.key, defect.offset, repair
        )


def check_current(workspace: WorkspaceFolder) -> Iterator[WorkspaceDefect]:
    """The defects of the files that name the current selections."""
    for current_path in sorted(workspace.shards.glob(f"*/{CURRENT}")):
        selection = current_path.read_bytes().decode("utf-8", "replace")
        if not selection.endswith("\n") or not (current_path.parent / selection[:-1]).is_dir() or len(selection) < 2:
            reason, repair = f"it names no selection: {selection[:40]!r}", Repair((current_path,), stages=("pack",))
            yield WorkspaceDefect(
                str(current_path.relative_to(workspace.root)), reason, "`dmforge run` names it again", repair=repair
            )


def folders_with_checksums(workspace: WorkspaceFolder) -> list[Path]:
    """Exports, checkpoints, and whatever else in the workspace has checksums."""
    tops = (path for path in sorted(workspace.root.iterdir()) if path.is_dir() and path.name not in OWN)
    return [checksums_path.parent for top in tops for checksums_path in sorted(top.rglob(CHECKSUMS))]


def check_checksums(workspace: WorkspaceFolder, folder: Path) -> Iterator[WorkspaceDefect]:
    """The files of a folder that are not as its checksums say."""
    kind = next((kind for kind in AGAIN if kind in str(folder.relative_to(workspace.root))), "")
    since = written_with(folder / CHECKSUMS, workspace.root)
    for path, reason in changed_files(folder):
        remedy = AGAIN.get(kind, "what wrote it writes it again")
        yield WorkspaceDefect(str(path.relative_to(workspace.root)), reason, remedy, since, repair=Repair((folder,)))
