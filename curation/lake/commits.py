"""Commits: one file a batch, naming the parts it made, published after they are whole. What no commit names does not exist."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import TEMPORARY, disk_errors, remove_file, sync_folder, write_json
from dmforge.curation.lake.parts import Extent, Part, write_part
from dmforge.curation.lake.video_range import VideoRange
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import Id, base32
from dmforge.schemas.records import Outcome

Kind = Literal["batch", "roster", "collective", "compaction", "rewriting", "evaluation"]
WORD = re.compile(r"[a-z][a-z0-9_]*")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""A commit in the one form that its seal is of."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A published batch: these inputs of this stage have these outcomes, and these parts hold the rows made from them."""

    kind: Kind
    stage: str
    variant: str
    id: str
    config: Mapping[str, Any]
    """The semantic config that `variant` is the digest of: a commit says by itself what made it."""
    first: str
    """The smallest (video, id), in hex: compaction orders by it, so that a video's rows stay together."""
    made: int
    rejected: int
    quarantined: int
    parts: tuple[Part, ...]
    supersedes: tuple[str, ...] = ()
    """Commits that stop counting as this one appears. Emptied once they are removed."""

    @property
    def inputs(self) -> int:
        return self.made + self.rejected + self.quarantined

    def of(self, table: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.table == table)

    def path(self, commits_folder: Path) -> Path:
        return commits_folder / self.stage / f"{self.id}.json"


@dataclass(frozen=True, slots=True)
class CommitDraft:
    """A commit before its parts are written."""

    kind: Kind
    stage: str
    variant: Id
    id: Id
    config: Mapping[str, Any]
    supersedes: tuple[str, ...] = ()


class Lake:
    """The commits that count, read once; and the only way to publish another."""

    def __init__(self, workspace: WorkspaceFolder, without: Iterable[Path] = ()) -> None:
        """`without`: commit files that are passed over, since they, or what they name, are known to be damaged."""
        self.workspace = workspace
        passed_over = {f"{commit_path.parent.name}/{commit_path.name}" for commit_path in without}
        names = sorted(_files_below(workspace.commits, ".json").keys() - passed_over)
        commits = [commit for commit in map(_CommitReader(workspace.commits).read, names) if commit is not None]
        superseded_ids = {commit_id for commit in commits for commit_id in commit.supersedes}
        self._superseded = [commit for commit in commits if commit.id in superseded_ids]
        self.commits: dict[str, Commit] = {commit.id: commit for commit in commits if commit.id not in superseded_ids}
        stored_bytes = _files_below(workspace.lake, ".parquet")
        for commit in self.commits.values():
            for part in commit.parts:
                if stored_bytes.get(f"{part.table}/{part.name}") != part.size_bytes:
                    part.check_size(workspace.lake)

    def of(self, stage: str, variant: Id) -> list[Commit]:
        """The commits of a stage as it is configured now."""
        variant_name = base32(variant)
        return [commit for commit in self.commits.values() if commit.stage == stage and commit.variant == variant_name]

    def roster(self, stage: str) -> Commit | None:
        """The list of inputs that a root stage was last given."""
        return next((commit for commit in self.commits.values() if commit.stage == stage and commit.kind == "roster"), None)

    def publish(self, draft: CommitDraft, chunks_by_table: Mapping[str, Iterable[pa.Table]]) -> Commit:
        """Write a commit: parts first, whole and fsynced; then the one file that makes them exist."""
        lake_folder, commit_id = self.workspace.lake, base32(draft.id)
        part_name = f"part-{draft.stage}-{commit_id}.parquet"
        outcome_tally = _Tally()
        parts: list[Part] = []
        for table_name, table_chunks in chunks_by_table.items():
            part = write_part(
                lake_folder,
                table_name,
                part_name,
                outcome_tally.counted(table_chunks) if table_name == Outcome.table else table_chunks,
            )
            if part is not None:
                parts.append(part)
                sync_folder(lake_folder / table_name)
        commit = Commit(
            draft.kind, draft.stage, base32(draft.variant), commit_id, draft.config,
            outcome_tally.first, outcome_tally.made, outcome_tally.rejected, outcome_tally.quarantined,
            tuple(parts), draft.supersedes,
        )  # fmt: skip
        write_commit(self.workspace.commits, commit)
        for superseded_id in draft.supersedes:
            superseded = self.commits.pop(superseded_id, None)
            if superseded is not None:
                self._superseded.append(superseded)
        self.commits[commit.id] = commit
        return commit

    def withdraw(self, commit: Commit) -> None:
        """Delete a commit. Its parts become orphans, which the next sweep removes."""
        del self.commits[commit.id]
        commit_path = commit.path(self.workspace.commits)
        with disk_errors(commit_path):
            machine.current.unlink(commit_path)
        sync_folder(commit_path.parent)

    def sweep(self) -> bool:
        """Remove what a kill or a superseding commit left behind. False, with nothing removed, while someone reads."""
        with self.workspace.unread() as has_no_readers, disk_errors(self.workspace.lake):
            if has_no_readers:
                self._remove_superseded()
                self._remove_orphans()
            return has_no_readers

    def _remove_superseded(self) -> None:
        for superseded_path in self._superseded:
            if superseded_path.id not in self.commits:
                remove_file(superseded_path.path(self.workspace.commits))
        self._superseded.clear()
        for commit in [commit for commit in self.commits.values() if commit.supersedes]:
            # a batch that is done again later may get a removed one's id: it must not be born dead
            self.commits[commit.id] = replace(commit, supersedes=())
            write_commit(self.workspace.commits, self.commits[commit.id])

    def _remove_orphans(self) -> None:
        lake_folder = self.workspace.lake
        live_names = {f"{part.table}/{part.name}" for commit in self.commits.values() for part in commit.parts}
        for name in _files_below(lake_folder, (".parquet", TEMPORARY)).keys() - live_names:
            if name.partition("/")[2].startswith("part-"):
                remove_file(lake_folder / name)
        for folder, pattern in ((self.workspace.commits, "*/*"), (self.workspace.journal, "*/*"), (self.workspace.runs, "*")):
            for unfinished_path in folder.glob(pattern + TEMPORARY):
                remove_file(unfinished_path)


def _files_below(folder: Path, suffix: str | tuple[str, ...]) -> dict[str, int]:
    """The files in the folders of a folder, as `folder/file`, each with its length. There may be a hundred thousand: neither a
    path is made for each, nor is it asked for by itself."""
    size_by_name: dict[str, int] = {}
    with disk_errors(folder), suppress(FileNotFoundError):
        for subfolder in [entry for entry in os.scandir(folder) if entry.is_dir()]:
            with os.scandir(subfolder) as entries:
                for entry in entries:
                    if entry.name.endswith(suffix):
                        with suppress(FileNotFoundError):  # withdrawn meanwhile
                            size_by_name[f"{subfolder.name}/{entry.name}"] = entry.stat().st_size
    return size_by_name


class _Tally:
    """A count of outcomes by status as they stream past, with the first of their keys."""

    def __init__(self) -> None:
        self.made = self.rejected = self.quarantined = 0
        self.first = ""

    def counted(self, outcome_chunks: Iterable[pa.Table]) -> Iterable[pa.Table]:
        for outcome_chunk in outcome_chunks:
            if outcome_chunk.num_rows:
                first_ids = (
                    id_list(outcome_chunk.column(id_column_name).slice(0, 1))[0].hex() for id_column_name in ("video", "input")
                )
                self.first = self.first or "".join(first_ids)
            status_counts = Counter(outcome_chunk.column("status").to_pylist())
            self.made += status_counts["made"]
            self.rejected += status_counts["rejected"]
            self.quarantined += status_counts["quarantined"]
            yield outcome_chunk


def extent_of(parts: Iterable[Part]) -> Extent:
    """The extent of some parts together, from what their commits say: nothing is read."""
    count = low = high = 0
    for part in parts:  # not sums of `Extent`: there may be ten thousand
        count, low, high = count + part.rows, low + part.low, high + part.high
    return Extent(count, low, high) + Extent()


def write_commit(commits_folder: Path, commit: Commit) -> None:
    commit_values = asdict(commit)
    write_json(commit.path(commits_folder), commit_values | {"sha256": _seal(commit_values)})


def _seal(commit_values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_CANONICAL(commit_values).encode()).hexdigest()


def read_commit(commit_path: Path) -> Commit | None:
    """The commit in a file, checked; None where it was withdrawn meanwhile."""
    return _CommitReader(commit_path.parent.parent).read(f"{commit_path.parent.name}/{commit_path.name}")


class _CommitReader:
    """Reads commits, which may be tens of thousands: without a path, a context or an encoder for each."""

    def __init__(self, commits_folder: Path) -> None:
        self._folder, self._prefix = commits_folder, f"{commits_folder}/"

    def read(self, name: str) -> Commit | None:
        """The commit in the file `stage/id.json`, checked; None where it was withdrawn meanwhile."""
        try:
            with open(self._prefix + name, "rb", buffering=0) as commit_file:
                commit_bytes = commit_file.readall()
        except FileNotFoundError:
            return None
        except OSError:
            with disk_errors(self._folder / name):
                raise
        try:
            return _parsed(commit_bytes, name)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LakeError(
                f"the commit file was changed after it was written: {error}",
                where=str(self._folder / name),
                hint="restore it from a backup; or delete it, and its batch will be done again",
            ) from None


def _parsed(commit_bytes: bytes, name: str) -> Commit:
    """The commit in the bytes of a file."""
    commit_values = json.loads(commit_bytes)
    stored_sha256 = commit_values.pop("sha256")
    if stored_sha256 != _seal(commit_values):
        raise ValueError("its content doesn't match its seal")
    for part_values in commit_values["parts"]:
        part_values["videos"] = VideoRange(**part_values.get("videos", {}))
    commit_values["parts"] = tuple(Part(**part_values) for part_values in commit_values["parts"])
    commit_values["supersedes"] = tuple(commit_values["supersedes"])
    commit = Commit(**commit_values)
    if f"{commit.stage}/{commit.id}.json" != name or not WORD.fullmatch(commit.stage):
        raise ValueError("its name isn't the one it was written under")
    return commit
