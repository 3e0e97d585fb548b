"""Another try for quarantined inputs, after a limit or a file was mended: their outcomes go, so they are pending again."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.rewriting import Removal
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.ids import base32
from dmforge.schemas.records import Outcome


def reopen_quarantined(lake: Lake, stages: Sequence[AnyStage]) -> int:
    """Make the quarantined inputs of stages, as they are configured now, pending; how many there were."""
    view = LakeView(lake, stages)
    current_variants = {(stage.name, base32(view.variant(stage))) for stage in stages}
    removal = Removal("reopening", _status_column, pa.array(["quarantined"]))
    current_commits = [commit for commit in lake.commits.values() if (commit.stage, commit.variant) in current_variants]
    reopened_count = sum(removal.apply(lake, commit) for commit in current_commits)
    lake.sweep()
    return reopened_count


def _status_column(table: str) -> str | None:
    return "status" if table == Outcome.table else None
