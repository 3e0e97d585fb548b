"""Another try for settled inputs: their outcomes go, so they are pending again. Quarantined ones, after a limit or a file was
mended."""

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
    return reopen(lake, stages, Removal("reopening", _status_column, pa.array(["quarantined"])))


def reopen(lake: Lake, stages: Sequence[AnyStage], removal: Removal) -> int:
    """Remove outcomes of stages, as they are configured now, so that their inputs are pending; how many there were."""
    view = LakeView(lake, stages)
    current_variants = {(stage.name, base32(view.variant(stage))) for stage in stages}
    current_commits = [commit for commit in lake.commits.values() if (commit.stage, commit.variant) in current_variants]
    reopened_count = sum(removal.apply(lake, commit) for commit in current_commits)
    lake.sweep()
    return reopened_count


def _status_column(table: str) -> str | None:
    return "status" if table == Outcome.table else None
