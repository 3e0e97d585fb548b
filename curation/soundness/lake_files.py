"""Checks commits and parts: each commit by its seal, each part by the sha256 that its commit says."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.lake.commits import Commit, read_commit
from dmforge.curation.lake.parts import Part
from dmforge.curation.soundness.workspace_defects import RUN, Repair, WorkspaceDefect, remade_by, without_commit, written_with
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError


@dataclass(frozen=True, slots=True)
class LakeFiles:
    """The commits of a workspace as far as they can be read, and the defects of those that can't."""

    workspace: WorkspaceFolder
    commits: tuple[Commit, ...]
    defects: tuple[WorkspaceDefect, ...]

    def parts(self, damaged: Collection[Path]) -> Iterator[tuple[Commit, Part]]:
        """Every part that counts, with its commit: without damaged commits, what they have superseded counts again."""
        commits = [commit for commit in self.commits if commit.path(self.workspace.commits) not in damaged]
        superseded_ids = {commit_id for commit in commits for commit_id in commit.supersedes}
        for commit in commits:
            if commit.id not in superseded_ids:
                yield from ((commit, part) for part in commit.parts)

    def defects_of_part(self, commit_and_part: tuple[Commit, Part]) -> list[WorkspaceDefect]:
        """What is wrong with a part, by what its commit says of it."""
        commit, part = commit_and_part
        lake_folder, part_path = self.workspace.lake, part.path(self.workspace.lake)
        try:
            part.check_size(lake_folder)
            part.check_bytes(lake_folder)
        except LakeError as error:
            commit_path = commit.path(self.workspace.commits)
            return [WorkspaceDefect(
                str(part_path.relative_to(self.workspace.root)), error.message, remade_by(commit),
                written_with(commit_path, self.workspace.root),
                repair=without_commit(commit, self.workspace.commits, part_path),
            )]  # fmt: skip
        return []


def lake_files(workspace: WorkspaceFolder) -> LakeFiles:
    """Read every commit file."""
    commits, defects = list[Commit](), list[WorkspaceDefect]()
    for commit_path in sorted(workspace.commits.glob("*/*.json")):
        try:
            commit = read_commit(commit_path)
        except LakeError as error:
            defects.append(_of_commit(commit_path, workspace.root, error))
        else:
            commits += [] if commit is None else [commit]
    return LakeFiles(workspace, tuple(commits), tuple(defects))


def _of_commit(commit_path: Path, root: Path, error: LakeError) -> WorkspaceDefect:
    repair = Repair((commit_path,), stages=(commit_path.parent.name,))
    return WorkspaceDefect(str(commit_path.relative_to(root)), error.message, RUN, repair=repair)
