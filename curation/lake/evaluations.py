"""Evaluations of checkpoints as rows of the lake: no stage of a recipe makes them, but a takedown finds them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.workspace_folder import WorkspaceFolder, retry_while_held
from dmforge.schemas.columns import schema, to_arrow
from dmforge.schemas.evaluated_sample import EvaluatedSample
from dmforge.schemas.ids import Id, digest

EVALUATION = "evaluation"
"""The extra column of evaluations: which rows were measured together."""
EVALUATE = "evaluate"
"""The stage that these commits name."""
PATIENCE_S = 600
"""How long to wait for a workspace that a run holds: rollouts that took long aren't given up at once."""


def keep_evaluation(
    workspace: WorkspaceFolder, command: str, variant: Id, config: Mapping[str, Any], rows: Sequence[EvaluatedSample]
) -> None:
    """Put an evaluation into the lake, in place of one of the same variant. An identical one stays as it is."""
    retry_while_held(partial(_publish, workspace, command, variant, config, rows), PATIENCE_S)


def _publish(
    workspace: WorkspaceFolder, command: str, variant: Id, config: Mapping[str, Any], rows: Sequence[EvaluatedSample]
) -> None:
    with workspace.held(command):
        lake, forgotten_ids = Lake(workspace), forgotten_videos(workspace)
        kept_rows = sorted(
            (evaluated_sample for evaluated_sample in rows if evaluated_sample.video not in forgotten_ids),
            key=lambda evaluated_sample: (evaluated_sample.video, evaluated_sample.id),
        )
        full_config = {**config, "rows": digest("rows", [evaluated_sample.id for evaluated_sample in kept_rows]).hex()}
        current_commits = lake.of(EVALUATE, variant)
        if any(commit.config == full_config for commit in current_commits):
            return
        superseded_ids = tuple(commit.id for commit in current_commits)
        # named by what it replaces, too, as rosters are: what comes back must not take the name of what it superseded
        commit_id = digest("evaluation", [variant, full_config["rows"], *superseded_ids])
        evaluation_table = pa.Table.from_batches([to_arrow(EvaluatedSample, kept_rows)], schema(EvaluatedSample))
        commit_draft = CommitDraft("evaluation", EVALUATE, variant, commit_id, full_config, supersedes=superseded_ids)
        lake.publish(commit_draft, {EvaluatedSample.table: [evaluation_table]})
        lake.sweep()


def evaluations(workspace: WorkspaceFolder) -> pa.Table:
    """The rows of all current evaluations, for audits."""
    lake = Lake(workspace)
    evaluation_schema = schema(EvaluatedSample).append(pa.field(EVALUATION, pa.string()))
    evaluation_tables = [
        part_table.append_column(EVALUATION, pa.array([commit.variant] * part_table.num_rows, pa.string()))
        for commit in lake.commits.values()
        if commit.stage == EVALUATE
        for part in commit.of(EvaluatedSample.table)
        for part_table in read_part(workspace.lake, part)
    ]
    return pa.concat_tables(
        [
            evaluation_schema.empty_table(),
            *(part_table.select(evaluation_schema.names).cast(evaluation_schema) for part_table in evaluation_tables),
        ]
    )
