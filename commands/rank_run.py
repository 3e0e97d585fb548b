"""Runs one rank's share of the videos, beside other ranks on the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from rich.console import Console

from dmforge.commands.run import name_packed, record_reports
from dmforge.commands.run_account import NO_LIMITS, SpendingLimits, run_account
from dmforge.curation.contract.run_events import RunEvents
from dmforge.curation.contract.stage import AnyStage, Ask, Root
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import StageReport, split_at_blocked
from dmforge.curation.engine.executors.batch_results import Executor
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.engine.ranks.rank_driver import RankDriver
from dmforge.curation.engine.ranks.rank_locks import claim_share
from dmforge.curation.lake import granted_attempts
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.partition import Share
from dmforge.curation.lake.roster import is_current, publish_roster
from dmforge.curation.lifecycle import takedown
from dmforge.curation.shards import folders
from dmforge.curation.workspace_folder import WorkspaceFolder, WorkspaceHeld, retry_while_held
from dmforge.recipe import Recipe, read_recipe
from dmforge.schemas.errors import InputError


def run_share(
    workspace: WorkspaceFolder,
    console: Console,
    command: str,
    share: Share,
    wait_timeout_s: float,
    until: str | None = None,
    limits: SpendingLimits = NO_LIMITS,
    events: RunEvents | None = None,
    executor: Executor | None = None,
) -> Iterator[StageReport]:
    """Run the pending work on one rank's videos, beside other ranks on the same folder, with its part of the budget."""
    recipe = read_recipe(workspace.require().recipe)
    if share.of > 1:
        recipe = replace(recipe, stages=tuple(_with_shared_limits(stage, share.of) for stage in recipe.stages))
    workspace = replace(workspace, writer=f"rank-{share.rank}")
    retry_while_held(partial(_enrol, workspace, recipe, command), wait_timeout_s)
    with claim_share(workspace, share, command):
        if not _is_enrolled(workspace, recipe):
            raise _changed_list_error(workspace)
        stages = recipe.upto(until)
        with run_account(workspace, recipe, stages, console, limits, events, share) as account:
            executor = executor or LocalExecutor()
            driver = RankDriver(workspace, recipe.stages, executor, console, account, share, wait_timeout_s)
            with run_log.recorded(workspace, command, recipe.resolved(), account) as run_record:
                yield from record_reports(driver.run_share(stages), run_record)
        if share.rank == 0:
            name_packed(Lake(workspace), stages)


def _enrol(workspace: WorkspaceFolder, recipe: Recipe, command: str) -> None:
    """Prepare the workspace before ranks set to work, which needs it alone: the first rank does it."""
    if _is_enrolled(workspace, recipe):
        return
    try:
        with workspace.held(command):
            lake = Lake(workspace)
            folders.sweep(workspace)
            takedown.finish_forgetting(lake)
            granted_attempts.reopen_granted(lake, recipe.stages)
            for stage in split_at_blocked(recipe.stages)[0]:
                stage.begin(workspace)
            lake.sweep()
            for stage in recipe.stages:
                if isinstance(stage, Root):
                    publish_roster(lake, stage)
    except WorkspaceHeld as error:
        try:
            with workspace.held_with_others(command):
                pass
        except WorkspaceHeld:
            raise error from None  # it may be another rank, doing just this
        if not _is_enrolled(workspace, recipe):
            raise _changed_list_error(workspace) from None


def _is_enrolled(workspace: WorkspaceFolder, recipe: Recipe) -> bool:
    with workspace.reading():
        lake = Lake(workspace)
        roots_enrolled = all(is_current(lake, stage) for stage in recipe.stages if isinstance(stage, Root))
        is_unfinished = takedown.is_unfinished(lake) or granted_attempts.has_unused(lake, recipe.stages)
        return roots_enrolled and not is_unfinished


def _changed_list_error(workspace: WorkspaceFolder) -> InputError:
    hint = "let them end, or stop them; then start all ranks again"
    return InputError("other ranks are at work on what was listed before", where=str(workspace.inputs), hint=hint)


def _with_shared_limits(stage: AnyStage, askers: int) -> AnyStage:
    return type(stage)(stage.config.shared(askers)) if isinstance(stage, Ask) else stage
