"""A run from start to end: what the recipe brings, then every pending stage, alone, on a cluster or as one of several ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dmforge.commands import declared_videos, run
from dmforge.commands.caller import Caller
from dmforge.commands.console import print_awaited, print_deferred, print_spent
from dmforge.commands.rank_run import run_share
from dmforge.commands.run_account import NO_LIMITS, SpendingLimits
from dmforge.curation.contract.request_totals import SpentByStage
from dmforge.curation.contract.run_events import RunEvents
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.engine.event_log import EventLog
from dmforge.curation.lake.partition import Share
from dmforge.curation.output_paths import output_file
from dmforge.curation.workspace_folder import WorkspaceFolder


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How far a run goes, what it may spend, and where it works."""

    until: str | None = None
    """The last stage."""
    videos: int | None = None
    """A pilot on so many videos."""
    limits: SpendingLimits = NO_LIMITS
    retry_quarantined: bool = False
    retry_rejected: str | None = None
    """The reason for which inputs were rejected that are granted further attempts."""
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    """The Ray cluster's."""
    share: Share | None = None
    """Of a rank beside others."""
    wait_timeout_s: float = 600.0
    """How long a rank waits where no other is at work."""
    log: Path | None = None
    """The file to which each event is appended, as it happens."""


@dataclass(frozen=True, slots=True)
class FullRun:
    """What became of a run."""

    reports: list[StageReport]
    spent: SpentByStage


def full_run(
    workspace: WorkspaceFolder, caller: Caller, settings: RunSettings, on_stage: Callable[[StageReport], None] | None = None
) -> FullRun:
    """Run all that is pending. As each stage ends, the reasons for pending inputs are printed and `on_stage` is called; what
    was spent is printed however the run ends."""
    stage_reports, spent_by_stage = list[StageReport](), SpentByStage()
    run_events = RunEvents(spent_by_stage.follow)
    with contextlib.ExitStack() as exit_stack:
        if settings.log is not None:
            rank = None if settings.share is None else settings.share.rank
            event_log = exit_stack.enter_context(EventLog(output_file(settings.log, "--log", workspace.require()), rank))
            exit_stack.enter_context(run_events.followed_by(event_log.follow))
        exit_stack.callback(print_spent, caller.console, spent_by_stage)
        for report in exit_stack.enter_context(contextlib.closing(_reports(workspace, caller, settings, run_events))):
            stage_reports.append(report)
            print_deferred(caller.console, report.name, report.deferred)
            print_awaited(caller.console, report.name, report.blocked_by)
            if on_stage is not None:
                on_stage(report)
    return FullRun(stage_reports, spent_by_stage)


def _reports(workspace: WorkspaceFolder, caller: Caller, settings: RunSettings, events: RunEvents) -> Generator[StageReport]:
    console, command = caller.console, caller.command
    if settings.share is not None:
        declared_videos.bring_in_turn(workspace, console, command, settings.wait_timeout_s)
        yield from run_share(
            workspace,
            console,
            command,
            settings.share,
            settings.wait_timeout_s,
            settings.until,
            settings.limits,
            events,
        )
        return
    with contextlib.ExitStack() as exit_stack:
        executor = exit_stack.enter_context(run.on_ray(settings.address)) if settings.executor == "ray" else None
        declared_videos.bring(workspace, console, command)
        yield from run.run(
            workspace,
            console,
            command,
            settings.until,
            settings.videos,
            settings.retry_quarantined,
            settings.limits,
            executor,
            events,
            settings.retry_rejected,
        )
