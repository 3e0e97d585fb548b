"""What checkpoints did with samples, as rows of the lake: no stage of a recipe makes them, but a takedown finds them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from dmforge.curation.lake.commits import Draft, Lake
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.lake.parts import read_part
from dmforge.curation.ranks import retry_while_held
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import schema, to_arrow
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Evaluated

EVALUATE = "evaluate"
"""What these commits say made them."""
PATIENCE_S = 600
"""A run may hold the workspace: what took long to roll out isn't given up for that at once."""


def keep_evaluation(
    workspace: Workspace, command: str, variant: Id, config: Mapping[str, Any], rows: Sequence[Evaluated]
) -> None:
    """Put an evaluation into the lake, instead of one of the same variant. The very same one stays as it is."""
    retry_while_held(partial(_keep, workspace, command, variant, config, rows), PATIENCE_S)


def _keep(workspace: Workspace, command: str, variant: Id, config: Mapping[str, Any], rows: Sequence[Evaluated]) -> None:
    with workspace.held(command):
        lake, hidden = Lake(workspace), forgotten_videos(workspace)
        shown = sorted((row for row in rows if row.video not in hidden), key=lambda row: (row.video, row.id))
        told = {**config, "rows": digest("rows", [row.id for row in shown]).hex()}
        standing = lake.of(EVALUATE, variant)
        if any(one.config == told for one in standing):
            return
        replaced = tuple(one.id for one in standing)
        # named by what it replaces, too, as rosters are: what comes back must not take the name of what it superseded
        name = digest("evaluation", [variant, told["rows"], *replaced])
        table = pa.Table.from_batches([to_arrow(Evaluated, shown)], schema(Evaluated))
        draft = Draft("evaluation", EVALUATE, variant, name, told, supersedes=replaced)
        lake.publish(draft, {Evaluated.table: [table]})
        lake.sweep()


def evaluations(workspace: Workspace) -> pa.Table:
    """Every one that counts, for audits; `evaluation` says which rows were measured together."""
    lake = Lake(workspace)
    columns = schema(Evaluated).append(pa.field("evaluation", pa.string()))
    found = [
        table.append_column("evaluation", pa.array([commit.variant] * table.num_rows, pa.string()))
        for commit in lake.commits.values()
        if commit.stage == EVALUATE
        for part in commit.of(Evaluated.table)
        for table in read_part(workspace.lake, part)
    ]
    return pa.concat_tables([columns.empty_table(), *(table.select(columns.names).cast(columns) for table in found)])
