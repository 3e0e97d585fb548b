"""The composition root: commands become what is done with a recipe's stages."""

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

from dmforge.curation import merging, runs
from dmforge.curation.accounts import Account, Expected, Usage
from dmforge.curation.atomic import disk_errors, make_folder, writing
from dmforge.curation.audit.finding import MOST_TOLD, Asked, read_id
from dmforge.curation.executors.asking import AnyAsk
from dmforge.curation.executors.finished import Executor
from dmforge.curation.executors.local import LocalExecutor
from dmforge.curation.exports import Exported, require_format
from dmforge.curation.exports import export as write_export
from dmforge.curation.lake import forgetting, logical, reopening
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.roster import unpublished
from dmforge.curation.lake.views import AnyStage, Tally, View
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.outputs import output_folder
from dmforge.curation.runner import Driver, StageReport
from dmforge.curation.shards import folders
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import Manifest, read_manifest
from dmforge.curation.stage import Ask, Collective, Root
from dmforge.curation.workspace import Workspace
from dmforge.curation.workspace_format import stamp_format
from dmforge.recipe import RECIPES, Recipe, read_recipe
from dmforge.schemas import formats
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, show
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do at one stage."""

    name: str
    tally: Tally
    expected: int
    """Inputs that the pending work of earlier stages should add, going by what it gave so far."""
    superseded: int
    cost: Expected
    awaits: str
    """What has to be made by other means first: a run ends before this stage."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A recipe that a workspace can begin with."""

    name: str
    description: str
    """Its first line."""


def recipes() -> list[Listed]:
    """All that come with dmforge."""
    return [Listed(path.stem, _first_sentence(path)) for path in sorted(RECIPES.glob("*.toml"))]


def _first_sentence(recipe: Path) -> str:
    """What a recipe says first: its comment up to the first empty line."""
    lines = itertools.takewhile(lambda line: line.startswith("# "), recipe.read_text("utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def init(folder: Path, name: str) -> Workspace:
    """A new workspace from a named recipe."""
    output_folder(folder, "dmforge init")
    source = RECIPES / f"{name}.toml"
    known = [recipe.name for recipe in recipes()]
    if name not in known:
        raise InputError(f"there is no recipe {name!r}", where="--recipe", mend=nearest(name, known))
    workspace = Workspace(folder)
    if workspace.recipe.exists():
        raise InputError(
            "there is a workspace here already", where=str(workspace.recipe), mend="choose another folder, or edit that recipe"
        )
    with disk_errors(folder):
        make_folder(workspace.inputs)
    with writing(workspace.recipe) as file:
        file.write(source.read_bytes())
    stamp_format(workspace.root, formats.WORKSPACE)
    return workspace


def plan(workspace: Workspace) -> list[Forecast]:
    """What a run would do, stage by stage. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        forecasts: list[Forecast] = []
        for stage in recipe.stages:
            tally, expected = view.tally(stage), _expected(view, stage, forecasts)
            if isinstance(stage, Collective) and not tally.pending and _grows(stage, recipe.stages, forecasts):
                tally = Tally(tally.settled, 0, 0, 0)  # it is done again, whole, once its tables have grown
            cost = _cost(view, stage, expected) if isinstance(stage, Ask) else Expected(Usage(), 0.0)
            forecasts.append(Forecast(stage.name, tally, expected, view.superseded(stage), cost, stage.awaits()))
        return forecasts


def run(
    workspace: Workspace,
    console: Console,
    command: str,
    until: str | None = None,
    pilot: int | None = None,
    retry_quarantined: bool = False,
    budget_usd: float | None = None,
    executor: Executor | None = None,
) -> Iterator[StageReport]:
    """Do what is pending; a report as each stage ends. With a budget, not a cent more is spent on teachers."""
    recipe = read_recipe(workspace.require().recipe)
    stages = recipe.upto(until)
    with workspace.held(command):
        lake = Lake(workspace)
        folders.sweep(workspace)
        forgetting.finish_forgetting(lake)
        if retry_quarantined:
            reopening.reopen_quarantined(lake, stages)
        driver = Driver(lake, recipe.stages, executor or LocalExecutor(), console, Account(budget_usd))
        with runs.recorded(workspace, command, recipe.resolved()) as record:
            try:
                yield from noted(driver.run(stages, pilot), record)
            finally:
                record.spent(driver.account)


@contextmanager
def on_ray(address: str | None) -> Generator[Executor]:
    """The machines of a Ray cluster."""
    from dmforge.curation.executors.ray.cluster import connect
    from dmforge.curation.executors.ray.executor import RayExecutor

    with connect(address) as cluster:
        yield RayExecutor(cluster)


def noted(reports: Iterator[StageReport], record: runs.Run) -> Iterator[StageReport]:
    """Reports as they come, each written into the run's record."""
    began_s = time.monotonic()
    for report in reports:
        took_s, began_s = time.monotonic() - began_s, time.monotonic()
        told = {"deferred": report.deferred, "awaits": report.awaits, "seconds": round(took_s, 3)}
        record.stage(report.name, asdict(report.tally) | told)
        if report.tally.pending and not report.awaits:
            record.ending = "unfinished"
        yield report


def pack(workspace: Workspace, console: Console, command: str, corpus: str, partial: bool) -> tuple[Path, Manifest]:
    """Pack what is selected now, asking nobody anything. Where earlier stages have work left, only on demand."""
    recipe = read_recipe(workspace.require().recipe)
    if partial:
        recipe = replace(recipe, stages=tuple(_partial(stage) if stage.name == "pack" else stage for stage in recipe.stages))
    stages = recipe.upto("pack")
    with workspace.held(command):
        lake = Lake(workspace)
        folders.sweep(workspace)
        forgetting.finish_forgetting(lake)
        view = view_of_now(lake, recipe)
        waiting = {s.name: view.tally(s).pending for s in stages if not isinstance(s, Collective)}
        if any(waiting.values()) and not partial:
            told = ", ".join(f"{number} of {name}" for name, number in waiting.items() if number)
            mend = "dmforge run first; or pack what there is with --partial, and the card says so"
            raise InputError(f"the selection is not finished: {told} are pending", where=str(workspace.root), mend=mend)
        gathering = [stage for stage in stages if isinstance(stage, Collective)]
        with runs.recorded(workspace, command, recipe.resolved()):
            list(Driver(lake, recipe.stages, LocalExecutor(), console).run(gathering, partial=partial))
        found = _packed(View(lake, recipe.stages), workspace)
    if corpus not in found:
        mend = (
            nearest(corpus, sorted(found)) if found else "select something first: dmforge audit funnel says what became of it"
        )
        raise InputError(f"there is no corpus {corpus!r}", where="CORPUS", mend=mend)
    return found[corpus], read_manifest(found[corpus])


def _partial(stage: AnyStage) -> AnyStage:
    return type(stage)(stage.config.model_copy(update={"partial": True}))


def view_of_now(lake: Lake, recipe: Recipe) -> View:
    """What the recipe's stages have made of the inputs as they are listed now, whether a run has seen that list or not."""
    scans = {stage.name: unpublished(lake, stage) for stage in recipe.stages if isinstance(stage, Root)}
    return View(lake, recipe.stages, scanned={name: scan for name, scan in scans.items() if scan is not None})


def _packed(view: View, workspace: Workspace) -> dict[str, Path]:
    selections = "SELECT DISTINCT corpus, selection FROM packed"
    current = view.cursor(selections).execute(selections).fetchall()
    return {corpus: workspace.shards / corpus / selection for corpus, selection in sorted(current)}


def export(workspace: Workspace, corpus: str, to: str, folder: Path | None) -> tuple[Path, Exported]:
    """The packed selection of a corpus in another format."""
    require_format(to)
    found = {manifest.corpus: place for place, manifest in corpora(workspace).items()}
    if corpus not in found:
        mend = nearest(corpus, sorted(found)) if found else "pack it first: dmforge pack, or dmforge run"
        raise InputError(f"no corpus {corpus!r} is packed", where="CORPUS", mend=mend)
    place = folder or workspace.root / "exports" / to / corpus / found[corpus].name
    output_folder(place, "--out", workspace)
    return place, write_export(Corpus(str(found[corpus])), to, place)


def corpora(workspace: Workspace) -> dict[Path, Manifest]:
    """What is packed now: the selection of each corpus that the recipe's last run made."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        found = _packed(View(Lake(workspace), recipe.stages), workspace)
    return {folder: read_manifest(folder) for folder in found.values()}


def status(workspace: Workspace) -> dict[str, Tally]:
    """Where each stage stands. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        view = view_of_now(Lake(workspace), recipe)
        return {stage.name: view.tally(stage) for stage in recipe.stages}


def digest(workspace: Workspace) -> list[logical.TableDigest]:
    """The logical digest of the lake under its recipe."""
    recipe = read_recipe(workspace.require().recipe)
    with workspace.reading():
        lake = Lake(workspace)
        logical.check_every_part(lake)
        return logical.table_digests(View(lake, recipe.stages))


def forget(workspace: Workspace, command: str, reason: str, find: Callable[[Lake], Sequence[Id]]) -> forgetting.Removed:
    """Take videos down: written down first, then done."""
    with workspace.require().held(command):
        lake = Lake(workspace)
        lake.sweep()
        return forgetting.take_down(lake, find(lake), reason)


def merge(workspace: Workspace, command: str, others: Sequence[Path]) -> merging.Added:
    """Join other workspaces into this one; a run finishes what needs them all."""
    theirs = [Workspace(other).require() for other in others]
    with workspace.require().held(command):
        lake = Lake(workspace)
        lake.sweep()
        return sum((merging.merge(lake, other) for other in theirs), merging.Added())


def _cost(view: View, stage: AnyAsk, more: int) -> Expected:
    """What the pending inputs of a stage should cost, and those that are to come as much as these on average."""
    items, used, usd = 0, Usage(), 0.0
    for batch in pending_batches(view, stage):
        for item in from_arrow(stage.item, batch.items):
            found = stage.expected(item)
            if found is not None:
                items, used, usd = items + 1, used + found.usage, usd + found.usd
    times = 1 + more / items if items else 1.0
    scaled = (round(number * times) for number in (used.calls, used.input_tokens, used.output_tokens))
    return Expected(Usage(*scaled), usd * times)


def _grows(stage: Collective[Any, Any], stages: Sequence[AnyStage], earlier: Sequence[Forecast]) -> bool:
    """Whether anything is coming in a table that a Collective looks at."""
    looked_at = {stage.reads, *stage.also_reads}
    pairs = zip(stages, earlier, strict=False)
    return any(looked_at & set(before.makes) and forecast.tally.pending + forecast.expected for before, forecast in pairs)


def _expected(view: View, stage: AnyStage, earlier: Sequence[Forecast]) -> int:
    if isinstance(stage, Root):
        return 0
    total = 0.0
    for before, forecast in zip(view.stages, earlier, strict=False):
        coming = forecast.tally.pending + forecast.expected
        if stage.reads in before.makes and coming:
            total += coming * view.yield_of(before, stage.reads)
    return math.ceil(total)


def video_finder(texts: Sequence[str]) -> Callable[[Lake], Sequence[Id]]:
    """Videos by their ids, in any form that `why` takes: what is none is refused at once, before the lake is asked."""
    asked = [_of_video(text) for text in texts]
    return lambda lake: [*dict.fromkeys(_video_named(lake, each) for each in asked)]


def _of_video(text: str) -> Asked:
    asked = read_id(text)
    if asked.kind not in ("", Video.kind):
        raise InputError(f"{asked.text} is the id of a {asked.kind}", where="forget", mend="give the id of a video, video_...")
    return asked


def _video_named(lake: Lake, asked: Asked) -> Id:
    """One that the lake doesn't know is taken by its whole printed id only: a takedown may come before the video does."""
    if asked.kind and asked.low == asked.high:
        return asked.low
    matches = forgetting.videos_between(lake, asked.low, asked.high)
    if len(matches) != 1:
        told = "is the beginning of several videos' ids" if matches else "is the id of no video here"
        mend = f"give more letters: {', '.join(show(Video.kind, video) for video in matches[:MOST_TOLD])}"
        raise InputError(f"{asked.text!r} {told}", where="forget", mend=mend if matches else "give the whole id, video_...")
    return matches[0]
