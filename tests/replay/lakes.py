"""Runs of a recipe with a policy in place of the student, and the rows that they left in the lake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from rich.console import Console

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine.driver import Driver, StageReport
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.rollout_stage import RolloutStage
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Record, Task, Video
from tests.replay.policies import Policy, Rate, known_tasks

RecordT = TypeVar("RecordT", bound=Record)


def stages_of(workspace: WorkspaceFolder, policy: Policy | None = None) -> tuple[AnyStage, ...]:
    """The recipe's stages, whose rollouts are written by a policy, if one is given."""
    stages = read_recipe(workspace.recipe).stages
    for stage in stages:
        if isinstance(stage, RolloutStage) and policy is not None:
            stage.engine = lambda: policy
    return stages


def view_of(workspace: WorkspaceFolder) -> LakeView:
    return LakeView(Lake(workspace), read_recipe(workspace.recipe).stages)


def rows(workspace: WorkspaceFolder, record: type[RecordT]) -> list[RecordT]:
    view = view_of(workspace)
    return from_arrow(record, view.table(f"SELECT * FROM ({view.rows(record).sql}) ORDER BY id"))


def sql(workspace: WorkspaceFolder, query: str) -> list[tuple[Any, ...]]:
    return view_of(workspace).connection.cursor().execute(query).fetchall()


def policy_for(workspace: WorkspaceFolder, rate: Rate, **settings: Any) -> Policy:
    """A policy that knows all tasks about the workspace's videos."""
    (clips,) = {stage.config.clips for stage in stages_of(workspace) if isinstance(stage, RolloutStage)}
    return Policy(known_tasks(workspace, clips, rows(workspace, Video), rows(workspace, Task)), rate, **settings)


def run(
    workspace: WorkspaceFolder, policy: Policy | None, until: str | None = None, *, only: bool = False
) -> list[StageReport]:
    """Run the stages up to `until` as `dmforge run` does; or the last of them alone."""
    stages = stages_of(workspace, policy)
    names = [stage.name for stage in stages]
    to_run: Sequence[AnyStage] = stages if until is None else stages[: names.index(until) + 1]
    to_run = to_run[-1:] if only else to_run
    with workspace.held("test"):
        return list(Driver(Lake(workspace), stages, LocalExecutor(), Console(quiet=True)).run(to_run))


def change(workspace: WorkspaceFolder, old: str, new: str) -> None:
    """Edit the recipe."""
    text = workspace.recipe.read_text()
    assert old in text, old
    workspace.recipe.write_text(text.replace(old, new))
