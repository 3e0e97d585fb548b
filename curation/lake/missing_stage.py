"""A stage whose plug-in is not there, as the lake last knew it: what it settled can be read, and nothing can be made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from dmforge.curation.contract.stage import Stage, StageConfig
from dmforge.curation.lake.commits import Commit, Lake
from dmforge.schemas.ids import Id, read_base32
from dmforge.schemas.records import TABLES, Outcome, Record

NOT_OF_STAGES = frozenset({"roster", "evaluation"})
"""Kinds of commits that settle no input."""


class MissingStage(Stage[Any, Record]):
    """A stand-in. Its inputs are those that it has settled, since what it reads only its class says."""

    config: StageConfig

    def __init__(self, stage_name: str, variant: Id, made_tables: frozenset[str]) -> None:
        super().__init__(StageConfig())
        makes = tuple(TABLES[made_table] for made_table in sorted(made_tables & TABLES.keys()))
        # duplicates are looked for, since it may have allowed them
        vars(self).update(name=stage_name, makes=makes, allows_duplicate_rows=True)
        self._variant = variant
        self.unreadable_tables = made_tables - TABLES.keys()
        """Tables that it made and whose columns only its package knows."""

    @cached_property
    def variant(self) -> Id:
        return self._variant


def last_known(lake: Lake, stage_name: str, settings: Mapping[str, Any]) -> MissingStage | None:
    """The stage of this name as it last settled anything, with these settings of the recipe if it did; None if it never did."""
    stage_commits = [
        commit for commit in lake.commits.values() if commit.stage == stage_name and commit.kind not in NOT_OF_STAGES
    ]
    if not stage_commits:
        return None

    def recency(commit: Commit) -> tuple[bool, int]:
        return _agrees(commit, settings), commit.path(lake.workspace.commits).stat().st_mtime_ns

    latest_commit = max(stage_commits, key=recency)
    variant_parts = [part for commit in stage_commits if commit.variant == latest_commit.variant for part in commit.parts]
    return MissingStage(
        stage_name, read_base32(latest_commit.variant), frozenset(part.table for part in variant_parts) - {Outcome.table}
    )


def _agrees(commit: Commit, settings: Mapping[str, Any]) -> bool:
    """Whether a commit was made with these settings, as far as they decide what comes out."""
    return all(
        commit.config[setting_name] == setting_value
        for setting_name, setting_value in settings.items()
        if setting_name in commit.config
    )
