"""Compaction joins small commits into few large ones: a lake of a million rows opens as fast as one of a thousand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa

from dmforge.curation.lake.commits import Commit, CommitDraft, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.schemas.ids import Id, digest

MANY = 64
"""How many small commits of one stage are left alone. 1000 parts take DuckDB 12 times as long as one."""
SMALL_BYTES = 16 << 20
WHOLE_BYTES = 128 << 20
"""Commits are joined up to about this size, and left alone from SMALL_BYTES on: a row is rewritten a few times at most."""


def compact(lake: Lake, stage: str, variant: Id) -> None:
    """Join a stage's small commits, in (video, id) order. Called when nothing is pending: a kill can't change the cut.

    One group at a time, and looking anew before each: a kill between two groups goes on as if it had not been.
    """
    while len(small_commits := _small_commits(lake, stage, variant)) > MANY:
        commit_group = _first_group(small_commits)
        commit_id, superseded_ids = (
            digest("compaction", [commit.id for commit in commit_group]),
            tuple(commit.id for commit in commit_group),
        )
        table_names = sorted({part.table for commit in commit_group for part in commit.parts})
        commit_draft = CommitDraft("compaction", stage, variant, commit_id, commit_group[0].config, supersedes=superseded_ids)
        lake.publish(commit_draft, {table_name: _rows(lake, table_name, commit_group) for table_name in table_names})
        lake.sweep()


def _small_commits(lake: Lake, stage: str, variant: Id) -> list[Commit]:
    small_commits = [commit for commit in lake.of(stage, variant) if _size_bytes(commit) < SMALL_BYTES]
    return sorted(small_commits, key=lambda commit: commit.first)


def _size_bytes(commit: Commit) -> int:
    return sum(part.size_bytes for part in commit.parts)


def _first_group(commits: Sequence[Commit]) -> list[Commit]:
    cumulative_bytes = list(itertools.accumulate(map(_size_bytes, commits)))
    group_length = next(
        (commit_count for commit_count, bytes_so_far in enumerate(cumulative_bytes, 1) if bytes_so_far >= WHOLE_BYTES),
        len(commits),
    )
    return list(commits[: max(2, group_length)])


def _rows(lake: Lake, table_name: str, commits: Sequence[Commit]) -> Iterator[pa.Table]:
    for commit in commits:
        for part in commit.of(table_name):
            yield from read_part(lake.workspace.lake, part)
