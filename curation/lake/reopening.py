"""What was quarantined gets another chance, because a limit or a file was mended: its outcomes go, so it is pending again."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.rewriting import Removal
from dmforge.schemas.records import Outcome


def reopen_quarantined(lake: Lake, stages: Collection[str]) -> int:
    """Make the quarantined inputs of some stages pending; how many there were. Nothing else would: limits are operational."""
    removal = Removal("reopening", _status_column, pa.array(["quarantined"]))
    reopened = sum(removal.apply(lake, commit) for commit in list(lake.commits.values()) if commit.stage in stages)
    lake.sweep()
    return reopened


def _status_column(table: str) -> str | None:
    return "status" if table == Outcome.table else None
