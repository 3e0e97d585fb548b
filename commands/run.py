"""The composition root: each command's work on a workspace with a recipe, put together from the layers below."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.run_account import NO_LIMITS, SpendingLimits, run_account
from dmforge.curation.contract.run_events import RunEvent, RunEvents, StageBegan, StageEnded
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import Driver, StageReport
from dmforge.curation.engine.executors.batch_results import Executor
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder, writing
from dmforge.curation.lake import granted_attempts, logical_digest, reopening
from dmforge.curation.lake.answer_check import check_answers
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.missing_stage import MissingStage
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lifecycle import merge as merging
from dmforge.curation.lifecycle import takedown
from dmforge.curation.output_paths import output_folder
from dmforge.curation.packing.current_selection import name_current
from dmforge.curation.shards import folders
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.curation.workspace_format import stamp_format
from dmforge.generators.teacher.batch_record import questions_out
from dmforge.recipe import RECIPES, read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id


@dataclass(frozen=True, slots=True)
class Listed:
    """A recipe that comes with dmforge, for a new workspace."""

    name: str
    description: str
    """Its first line."""


def recipes() -> list[Listed]:
    """The recipes that come with dmforge."""
    return [Listed(recipe_path.stem, _first_sentence(recipe_path)) for recipe_path in sorted(RECIPES.glob("*.toml"))]


def _first_sentence(recipe_path: Path) -> str:
    """The comment at the top of a recipe, up to the first empty line."""
    comment_lines = itertools.takewhile(
        lambda recipe_line: recipe_line.startswith("# "), recipe_path.read_text("utf-8").splitlines()
    )
    return " ".join(recipe_line.lstrip("# ") for recipe_line in comment_lines)


def init(folder: Path, recipe_name: str) -> WorkspaceFolder:
    """Make a workspace from a named recipe."""
    output_folder(folder, "dmforge init")
    source_path = RECIPES / f"{recipe_name}.toml"
    known_names = [listed_recipe.name for listed_recipe in recipes()]
    if recipe_name not in known_names:
        raise InputError(f"there is no recipe {recipe_name!r}", where="--recipe", hint=nearest(recipe_name, known_names))
    workspace = WorkspaceFolder(folder)
    if workspace.recipe.exists():
        raise InputError(
            "there is a workspace here already", where=str(workspace.recipe), hint="choose another folder, or edit that recipe"
        )
    with disk_errors(folder):
        make_folder(workspace.inputs)
    with writing(workspace.recipe) as recipe_file:
        recipe_file.write(source_path.read_bytes())
    stamp_format(workspace.root)
    return workspace


def run(
    workspace: WorkspaceFolder,
    console: Console,
    command: str,
    until: str | None = None,
    pilot: int | None = None,
    retry_quarantined: bool = False,
    limits: SpendingLimits = NO_LIMITS,
    executor: Executor | None = None,
    events: RunEvents | None = None,
    retry_rejected: str | None = None,
) -> Iterator[StageReport]:
    """Run the pending work, yielding a report as each stage ends. A budget is never exceeded by calls to teachers."""
    recipe = read_recipe(workspace.require().recipe)
    stages = recipe.upto(until)
    with workspace.held(command):
        lake = Lake(workspace)
        folders.sweep(workspace)
        takedown.finish_forgetting(lake)
        if retry_quarantined:
            reopening.reopen_quarantined(lake, stages)
        reopened_count = granted_attempts.reopen_granted(lake, stages)
        if retry_rejected is not None:
            reopened_count += granted_attempts.grant_round(lake, stages, retry_rejected)
        if reopened_count:
            console.print(f"{reopened_count} rejected inputs are pending again, with further attempts", highlight=False)
        elif retry_rejected is not None:
            console.print("nothing more is granted: inputs of an earlier grant are still pending", highlight=False)
        with run_account(workspace, recipe, stages, console, limits, events) as account:
            driver = Driver(lake, recipe.stages, executor or LocalExecutor(), console, account)
            with run_log.recorded(workspace, command, recipe.resolved(), account) as run_record:
                try:
                    yield from record_reports(driver.run(stages, pilot), run_record)
                finally:
                    run_record.last_video = driver.last_video
        name_packed(lake, stages, driver.last_video)


@contextmanager
def on_ray(address: str | None) -> Generator[Executor]:
    """An executor on a Ray cluster, connected while the block lasts."""
    from dmforge.curation.engine.executors.ray.cluster import connect
    from dmforge.curation.engine.executors.ray.ray_executor import RayExecutor

    with connect(address) as cluster:
        yield RayExecutor(cluster)


def record_reports(reports: Iterator[StageReport], record: run_log.Run) -> Iterator[StageReport]:
    """Pass on reports as they come, and write each into the run's record; the end of a stage that never began is no event."""
    began_s, begun_stages, run_events = machine.current.monotonic(), set[str](), record.account.events

    def note_begun(event: RunEvent) -> None:
        if isinstance(event, StageBegan):
            begun_stages.add(event.stage)

    with run_events.followed_by(note_begun):
        for report in reports:
            took_s, began_s = machine.current.monotonic() - began_s, machine.current.monotonic()
            report_details = {"deferred": report.deferred, "awaits": report.blocked_by, "seconds": round(took_s, 3)}
            record.stage(report.name, asdict(report.tally) | report_details)
            if report.name in begun_stages:
                run_events.emit(StageEnded(report.name, **asdict(report.tally), seconds=round(took_s, 3)))
            if report.tally.pending and not report.blocked_by:
                record.ending = "unfinished"
            yield report


def name_packed(lake: Lake, stages: Sequence[AnyStage], last_video: Id | None = None) -> None:
    """After a run that packs, let `shards/<corpus>/current` name what is packed now, be it new or packed before."""
    if any(stage.name == "pack" for stage in stages):
        name_current(LakeView(lake, stages, last_video=last_video), lake.workspace)


def digest(workspace: WorkspaceFolder) -> list[logical_digest.TableDigest]:
    """The logical digest of the lake under its recipe."""
    recipe = readable_recipe(workspace.require())
    for stage in recipe.stages:
        if isinstance(stage, MissingStage) and stage.unreadable_tables:
            missing_message = (
                f"the digest would lack {', '.join(sorted(stage.unreadable_tables))}, made by the missing {stage.name!r}"
            )
            raise InputError(missing_message, where=str(workspace.recipe), hint="install the package that has that stage")
    with workspace.reading():
        lake = Lake(workspace)
        logical_digest.check_every_part(lake)
        check_answers(lake)
        return logical_digest.table_digests(LakeView(lake, recipe.stages))


def forget(workspace: WorkspaceFolder, command: str, reason: str, find: Callable[[Lake], Sequence[Id]]) -> takedown.TakenDown:
    """Take videos down: the takedown is recorded first, then carried out."""
    with workspace.require().reading():
        find(Lake(workspace))  # what is mistyped leaves no trace
    with workspace.held(command):
        lake = Lake(workspace)
        lake.sweep()
        videos = find(lake)
        return _with_requests_out(takedown.take_down(lake, videos, reason), workspace, videos)


def forget_dry_run(workspace: WorkspaceFolder, find: Callable[[Lake], Sequence[Id]]) -> takedown.TakenDown:
    """What taking videos down would remove. Writes nothing."""
    with workspace.require().reading():
        lake = Lake(workspace)
        videos = find(lake)
        return _with_requests_out(takedown.rehearse(lake, videos), workspace, videos)


def _with_requests_out(taken_down: takedown.TakenDown, workspace: WorkspaceFolder, videos: Sequence[Id]) -> takedown.TakenDown:
    out = (question.video for questions in questions_out(workspace).values() for question in questions)
    return replace(taken_down, requests_out=sum(map(set(videos).__contains__, out)))


def merge(workspace: WorkspaceFolder, command: str, others: Sequence[Path]) -> merging.MergeCounts:
    """Merge other workspaces into this one; the next run does what needs all of them."""
    other_workspaces = [WorkspaceFolder(other_path).require() for other_path in others]
    with workspace.require().held(command):
        lake = Lake(workspace)
        lake.sweep()
        return sum((merging.merge(lake, other_workspace) for other_workspace in other_workspaces), merging.MergeCounts())
