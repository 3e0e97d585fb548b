"""Many small commits become few: a lake of a million rows opens as fast as one of a thousand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from dmforge.curation.lake.commits import Commit, Draft, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.schemas.ids import Id, digest

MANY = 64
"""Small commits of one stage that are left alone. 1000 parts take DuckDB 12 times as long as one."""
SMALL_BYTES = 16 << 20
WHOLE_BYTES = 128 << 20
"""Commits are joined up to about this size, and left alone from SMALL_BYTES on: a row is rewritten a few times at most."""


def compact(lake: Lake, stage: str, variant: Id) -> None:
    """Join a stage's small commits, in (video, id) order. Called when nothing is pending: a kill can't change the cut."""
    small = sorted(
        (commit for commit in lake.of(stage, variant) if _size(commit) < SMALL_BYTES), key=lambda commit: commit.first
    )
    if len(small) <= MANY:
        return
    for group in _groups(small):
        draft = Draft(
            "compaction", stage, variant, digest("compaction", [commit.id for commit in group]), group[0].config,
            supersedes=tuple(commit.id for commit in group),
        )  # fmt: skip
        tables = sorted({part.table for commit in group for part in commit.parts})
        lake.publish(draft, {table: _rows(lake, table, group) for table in tables})
        lake.sweep()


def _size(commit: Commit) -> int:
    return sum(part.size_bytes for part in commit.parts)


def _groups(commits: Sequence[Commit]) -> Iterator[list[Commit]]:
    group: list[Commit] = []
    for commit in commits:
        group.append(commit)
        if sum(map(_size, group)) >= WHOLE_BYTES:
            yield group
            group = []
    if len(group) > 1:
        yield group


def _rows(lake: Lake, table: str, commits: Sequence[Commit]) -> Iterator[pa.Table]:
    for commit in commits:
        for part in commit.of(table):
            yield from read_part(lake.workspace.lake, part)
