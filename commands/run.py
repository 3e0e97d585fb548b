"""The composition root: each command's work on a workspace with a recipe, put together from the layers below."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.curation.audit.id_lookup import MAX_LISTED, TypedId, read_id, require_kind
from dmforge.curation.audit.printed_ids import KINDS
from dmforge.curation.contract.budget import Budget, ExpectedCost, Usage
from dmforge.curation.contract.collective import Collective, StageCounts
from dmforge.curation.contract.stage import AnyStage, Ask, Root
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import Driver, StageReport
from dmforge.curation.engine.executors.batch_results import Executor
from dmforge.curation.engine.executors.concurrent_asks import AnyAsk
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.exports import Exported, find_export
from dmforge.curation.exports import export as write_export
from dmforge.curation.io.atomic import disk_errors, make_folder, writing
from dmforge.curation.lake import logical_digest, reopening
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.missing_stage import MissingStage
from dmforge.curation.lake.roster import unpublished_roster
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.lifecycle import merge as merging
from dmforge.curation.lifecycle import takedown
from dmforge.curation.output_paths import output_folder
from dmforge.curation.shards import folders
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import Manifest, read_manifest
from dmforge.curation.video.media import refuse_other_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.curation.workspace_format import stamp_format
from dmforge.recipe import RECIPES, Recipe, read_recipe
from dmforge.schemas import formats
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast of a run at one stage: its work and its cost."""

    name: str
    tally: StageCounts
    expected: int
    """Inputs that the pending work of earlier stages should add, going by what it gave so far."""
    superseded: int
    cost: ExpectedCost
    blocked_by: str
    """What has to be made by other means first, if anything: a run ends before this stage."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A recipe that comes with dmforge, for a new workspace."""

    name: str
    description: str
    """Its first line."""


def recipes() -> list[Listed]:
    """The recipes that come with dmforge."""
    return [Listed(path.stem, _first_sentence(path)) for path in sorted(RECIPES.glob("*.toml"))]


def _first_sentence(path: Path) -> str:
    """The comment at the top of a recipe, up to the first empty line."""
    comments = itertools.takewhile(lambda comment: comment.startswith("# "), path.read_text("utf-8").splitlines())
    return " ".join(comment.lstrip("# ") for comment in comments)


def init(folder: Path, name: str) -> WorkspaceFolder:
    """Make a workspace from a named recipe."""
    output_folder(folder, "dmforge init")
    source_path = RECIPES / f"{name}.toml"
    known_names = [recipe.name for recipe in recipes()]
    if name not in known_names:
        raise InputError(f"there is no recipe {name!r}", where="--recipe", hint=nearest(name, known_names))
    workspace = WorkspaceFolder(folder)
    if workspace.recipe.exists():
        raise InputError(
            "there is a workspace here already", where=str(workspace.recipe), hint="choose another folder, or edit that recipe"
        )
    with disk_errors(folder):
        make_folder(workspace.inputs)
    with writing(workspace.recipe) as file:
        file.write(source_path.read_bytes())
    stamp_format(workspace.root, formats.WORKSPACE)
    return workspace


def plan(workspace: WorkspaceFolder) -> list[Forecast]:
    """Forecast a run, stage by stage. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        forecasts: list[Forecast] = []
        for stage in recipe.stages:
            clips = getattr(stage.config, "clips", None)
            if isinstance(clips, Clips):  # what a run would be refused for
                refuse_other_clips(workspace, clips)
            counts, expected = view.tally(stage), _expected(view, stage, forecasts)
            if isinstance(stage, Collective) and not counts.pending and _has_growing_tables(stage, recipe.stages, forecasts):
                counts = StageCounts(counts.settled, 0, 0, 0)  # it is done again, whole, once its tables have grown
            cost = _cost(view, stage, expected) if isinstance(stage, Ask) else ExpectedCost(Usage(), 0.0)
            forecasts.append(Forecast(stage.name, counts, expected, view.superseded(stage), cost, stage.blocked_by()))
        return forecasts


def run(
    workspace: WorkspaceFolder,
    console: Console,
    command: str,
    until: str | None = None,
    pilot: int | None = None,
    retry_quarantined: bool = False,
    budget_usd: float | None = None,
    executor: Executor | None = None,
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
        driver = Driver(lake, recipe.stages, executor or LocalExecutor(), console, Budget(budget_usd))
        with run_log.recorded(workspace, command, recipe.resolved()) as record:
            try:
                yield from record_reports(driver.run(stages, pilot), record)
            finally:
                record.spent(driver.account)


@contextmanager
def on_ray(address: str | None) -> Generator[Executor]:
    """An executor on a Ray cluster, connected while the block lasts."""
    from dmforge.curation.engine.executors.ray.cluster import connect
    from dmforge.curation.engine.executors.ray.ray_executor import RayExecutor

    with connect(address) as cluster:
        yield RayExecutor(cluster)


def record_reports(reports: Iterator[StageReport], record: run_log.Run) -> Iterator[StageReport]:
    """Pass on reports as they come, and write each into the run's record."""
    began_s = time.monotonic()
    for report in reports:
        took_s, began_s = time.monotonic() - began_s, time.monotonic()
        details = {"deferred": report.deferred, "awaits": report.blocked_by, "seconds": round(took_s, 3)}
        record.stage(report.name, asdict(report.tally) | details)
        if report.tally.pending and not report.blocked_by:
            record.ending = "unfinished"
        yield report


def pack(workspace: WorkspaceFolder, console: Console, command: str, corpus: str, partial: bool) -> tuple[Path, Manifest]:
    """Pack the current selection, without requests to teachers; `partial` allows pending work in earlier stages."""
    recipe = read_recipe(workspace.require().recipe)
    if partial:
        recipe = replace(
            recipe, stages=tuple(_packing_partially(stage) if stage.name == "pack" else stage for stage in recipe.stages)
        )
    stages = recipe.upto("pack")
    with workspace.held(command):
        lake = Lake(workspace)
        folders.sweep(workspace)
        takedown.finish_forgetting(lake)
        view = view_of_now(lake, recipe)
        pending_inputs = {stage.name: view.tally(stage).pending for stage in stages if not isinstance(stage, Collective)}
        if any(pending_inputs.values()) and not partial:
            pending_list = ", ".join(f"{count} of {name}" for name, count in pending_inputs.items() if count)
            hint = "dmforge run first; or pack what there is with --partial, and the card says so"
            raise InputError(f"the selection is not finished: {pending_list} are pending", where=str(workspace.root), hint=hint)
        collectives = [stage for stage in stages if isinstance(stage, Collective)]
        with run_log.recorded(workspace, command, recipe.resolved()):
            list(Driver(lake, recipe.stages, LocalExecutor(), console).run(collectives, partial=partial))
        folders_by_corpus = _packed_folders(LakeView(lake, recipe.stages), workspace)
    if corpus not in folders_by_corpus:
        hint = (
            nearest(corpus, sorted(folders_by_corpus))
            if folders_by_corpus
            else "select something first: dmforge audit funnel says what became of it"
        )
        raise InputError(f"there is no corpus {corpus!r}", where="CORPUS", hint=hint)
    return folders_by_corpus[corpus], read_manifest(folders_by_corpus[corpus])


def _packing_partially(stage: AnyStage) -> AnyStage:
    return type(stage)(stage.config.model_copy(update={"partial": True}))


def view_of_now(lake: Lake, recipe: Recipe) -> LakeView:
    """A view of the lake for the inputs as they are listed now, also where no run has seen that list yet."""
    rosters = {stage.name: unpublished_roster(lake, stage) for stage in recipe.stages if isinstance(stage, Root)}
    return LakeView(lake, recipe.stages, scanned={name: roster for name, roster in rosters.items() if roster is not None})


def _packed_folders(view: LakeView, workspace: WorkspaceFolder) -> dict[str, Path]:
    sql = "SELECT DISTINCT corpus, selection FROM packed"
    rows = view.cursor(sql).execute(sql).fetchall()
    return {corpus: workspace.shards / corpus / selection for corpus, selection in sorted(rows)}


def export(workspace: WorkspaceFolder, corpus: str, to: str, folder: Path | None) -> tuple[Path, Exported]:
    """Export the packed selection of a corpus in another format."""
    find_export(to)
    folders_by_corpus = {manifest.corpus: target_folder for target_folder, manifest in corpora(workspace).items()}
    if corpus not in folders_by_corpus:
        hint = (
            nearest(corpus, sorted(folders_by_corpus)) if folders_by_corpus else "pack it first: dmforge pack, or dmforge run"
        )
        raise InputError(f"no corpus {corpus!r} is packed", where="CORPUS", hint=hint)
    target_folder = folder or workspace.root / "exports" / to / corpus / folders_by_corpus[corpus].name
    output_folder(target_folder, "--out", workspace)
    return target_folder, write_export(Corpus(str(folders_by_corpus[corpus])), to, target_folder)


def corpora(workspace: WorkspaceFolder) -> dict[Path, Manifest]:
    """The current packed selections: by folder, the manifest of each corpus."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        folders_by_corpus = _packed_folders(LakeView(Lake(workspace), recipe.stages), workspace)
    return {folder: read_manifest(folder) for folder in folders_by_corpus.values()}


def status(workspace: WorkspaceFolder) -> dict[str, StageCounts]:
    """The counts of each stage. Writes nothing."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        return {stage.name: view.tally(stage) for stage in recipe.stages}


def digest(workspace: WorkspaceFolder) -> list[logical_digest.TableDigest]:
    """The logical digest of the lake under its recipe."""
    recipe = readable_recipe(workspace.require())
    for stage in recipe.stages:
        if isinstance(stage, MissingStage) and stage.unreadable_tables:
            message = f"the digest would lack {', '.join(sorted(stage.unreadable_tables))}, made by the missing {stage.name!r}"
            raise InputError(message, where=str(workspace.recipe), hint="install the package that has that stage")
    with workspace.reading():
        lake = Lake(workspace)
        logical_digest.check_every_part(lake)
        return logical_digest.table_digests(LakeView(lake, recipe.stages))


def forget(workspace: WorkspaceFolder, command: str, reason: str, find: Callable[[Lake], Sequence[Id]]) -> takedown.TakenDown:
    """Take videos down: the takedown is recorded first, then carried out."""
    with workspace.require().held(command):
        lake = Lake(workspace)
        lake.sweep()
        return takedown.take_down(lake, find(lake), reason)


def forget_dry_run(workspace: WorkspaceFolder, find: Callable[[Lake], Sequence[Id]]) -> takedown.TakenDown:
    """What taking videos down would remove. Writes nothing."""
    with workspace.require().reading():
        lake = Lake(workspace)
        return takedown.rehearse(lake, find(lake))


def merge(workspace: WorkspaceFolder, command: str, others: Sequence[Path]) -> merging.MergeCounts:
    """Merge other workspaces into this one; the next run does what needs all of them."""
    other_workspaces = [WorkspaceFolder(other).require() for other in others]
    with workspace.require().held(command):
        lake = Lake(workspace)
        lake.sweep()
        return sum((merging.merge(lake, other) for other in other_workspaces), merging.MergeCounts())


def _cost(view: LakeView, stage: AnyAsk, more_inputs: int) -> ExpectedCost:
    """The expected cost of a stage's pending inputs, and of `more_inputs` to come at the same average cost."""
    item_count, usage, usd = 0, Usage(), 0.0
    for batch in pending_batches(view, stage):
        for item in from_arrow(stage.item, batch.items):
            cost = stage.expected(item)
            if cost is not None:
                item_count, usage, usd = item_count + 1, usage + cost.usage, usd + cost.usd
    factor = 1 + more_inputs / item_count if item_count else 1.0
    scaled = (round(number * factor) for number in (usage.calls, usage.input_tokens, usage.output_tokens))
    return ExpectedCost(Usage(*scaled), usd * factor)


def _has_growing_tables(stage: Collective[Any, Any], stages: Sequence[AnyStage], forecasts: Sequence[Forecast]) -> bool:
    """Whether earlier stages will add rows to a table that a Collective reads."""
    tables_read = {stage.reads, *stage.also_reads}
    pairs = zip(stages, forecasts, strict=False)
    return any(
        tables_read & set(earlier_stage.makes) and forecast.tally.pending + forecast.expected
        for earlier_stage, forecast in pairs
    )


def _expected(view: LakeView, stage: AnyStage, forecasts: Sequence[Forecast]) -> int:
    if isinstance(stage, Root):
        return 0
    total = 0.0
    for earlier_stage, forecast in zip(view.stages, forecasts, strict=False):
        coming_inputs = forecast.tally.pending + forecast.expected
        if stage.reads in earlier_stage.makes and coming_inputs:
            total += coming_inputs * view.yield_of(earlier_stage, stage.reads)
    return math.ceil(total)


def video_finder(texts: Sequence[str]) -> Callable[[Lake], Sequence[Id]]:
    """A function that finds videos by their ids, in any form that `why` takes; malformed ids are refused at once."""
    typed_ids = [_typed_video(text) for text in texts]
    return lambda lake: [*dict.fromkeys(_resolve_video(lake, typed_id) for typed_id in typed_ids)]


def _typed_video(text: str) -> TypedId:
    typed_id = read_id(text, "VIDEO")
    require_kind(typed_id, KINDS)
    if typed_id.kind not in ("", Video.kind):
        message = f"{typed_id.text} is the id of a {typed_id.kind}"
        raise InputError(message, where=typed_id.where, hint="give the id of a video, video_...")
    return typed_id


def _resolve_video(lake: Lake, typed_id: TypedId) -> Id:
    """The video of an id or its beginning. A whole id needs no video in the lake: a takedown may come before the video."""
    if typed_id.kind and typed_id.whole_id is not None:
        return typed_id.whole_id
    matches = [video for ids in typed_id.ranges for video in takedown.videos_between(lake, ids.low, ids.high)]
    if len(matches) != 1:
        problem = "is the beginning of several videos' ids" if matches else "is the id of no video here"
        hint = f"give more letters: {', '.join(show(Video.kind, video) for video in matches[:MAX_LISTED])}"
        hint = hint if matches else "give the whole id, video_..."
        raise InputError(f"{typed_id.text!r} {problem}", where=typed_id.where, hint=hint)
    return matches[0]
