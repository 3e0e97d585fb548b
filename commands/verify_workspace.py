"""Checks all that a workspace holds, and has made again what can be, asking nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dmforge.commands.caller import Caller
from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.run import run
from dmforge.commands.run_account import SpendingLimits
from dmforge.commands.standing import readers_view
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.engine.progress import StageProgress
from dmforge.curation.lake.commits import Lake
from dmforge.curation.packing.current_selection import packed_folders
from dmforge.curation.soundness.repair import repair
from dmforge.curation.soundness.walk import walk
from dmforge.curation.soundness.workspace_defects import WorkspaceDefect, WorkspaceReport
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.batch_record import questions_out
from dmforge.recipe import Recipe
from dmforge.schemas.errors import DmforgeError


def verify_workspace(workspace: WorkspaceFolder, caller: Caller, *, is_repair: bool = False) -> WorkspaceReport:
    """Check every byte of a workspace. A repair sets aside what is damaged, has made again what can be without an endpoint, and
    checks once more; what a run would do besides stays pending."""
    report = _checked(workspace, caller)
    if not is_repair or report.ok:
        return report
    with workspace.held(caller.command):
        repaired = repair(workspace, report.defects)
    notes = _run_again(workspace, caller, {stage for defect in repaired if defect.repair for stage in defect.repair.stages})
    after = _checked(workspace, caller)
    still_there = set(after.defects)
    return replace(
        after, repaired=tuple(defect for defect in repaired if defect not in still_there), notes=(*after.notes, *notes)
    )


def _checked(workspace: WorkspaceFolder, caller: Caller) -> WorkspaceReport:
    defects = list[WorkspaceDefect]()
    recipe = _recipe(workspace.require(), defects)
    try:
        questions_out(workspace)
    except DmforgeError as error:
        defects.append(_of_error(workspace, error))
    with ExitStack() as exit_stack:

        def begin(pieces: int) -> Callable[[int], None]:
            return exit_stack.enter_context(StageProgress(caller.console, "verify", pieces)).advance

        with workspace.reading():
            report = walk(
                workspace,
                () if recipe is None else recipe.stages,
                lambda lake: [] if recipe is None else _current_folders(workspace, lake, recipe),
                begin,
                in_use=workspace.is_held,
            )
    notes = () if recipe is None else _recipe_notes(workspace, recipe)
    return replace(report, defects=(*defects, *report.defects), notes=(*report.notes, *notes))


def _recipe_notes(workspace: WorkspaceFolder, recipe: Recipe) -> Iterator[str]:
    """How the recipe, which is its owner's to change, differs from that of the last run."""
    try:
        *_, (record_path, record) = run_log.records(workspace)
        last_recipe, resolved = record["recipe"], json.loads(json.dumps(recipe.resolved()))
    except (DmforgeError, ValueError, KeyError):
        return  # there was no run, or what is wrong with its record is a defect
    changed = sorted(_differences("", last_recipe, resolved))
    if changed:
        yield f"recipe.toml is not that of the last run, {record_path.stem}: {', '.join(changed)}"


def _differences(name: str, before: object, after: object) -> Iterator[str]:
    """The settings that have other values, and the tables that only one side has; settings of another version are none."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*map(str, before), *map(str, after)}):  # pyright: ignore[reportUnknownArgumentType]
            yield from _differences(f"{name}.{key}" if name else key, before.get(key), after.get(key))  # pyright: ignore
    elif before != after and (None not in (before, after) or isinstance(before, dict) or isinstance(after, dict)):
        yield name


def _recipe(workspace: WorkspaceFolder, defects: list[WorkspaceDefect]) -> Recipe | None:
    try:
        return readable_recipe(workspace)
    except DmforgeError as error:
        defects.append(_of_error(workspace, error))
        return None


def _of_error(workspace: WorkspaceFolder, error: DmforgeError) -> WorkspaceDefect:
    file = error.where.removeprefix(f"{workspace.root}/") or "recipe.toml"
    return WorkspaceDefect(file, error.message, error.hint or "restore it from a backup")


def _current_folders(workspace: WorkspaceFolder, lake: Lake, recipe: Recipe) -> Sequence[Path]:
    """The selections that are packed now, as far as the recipe and what is sound of the lake say."""
    try:
        return list(packed_folders(readers_view(lake, recipe), workspace).values())
    except DmforgeError:
        return []


def _run_again(workspace: WorkspaceFolder, caller: Caller, stage_names: Iterable[str]) -> tuple[str, ...]:
    """Run the recipe up to the last of these stages, asking nobody; what is left to be said."""
    try:
        stages: Sequence[AnyStage] = readable_recipe(workspace).stages
    except DmforgeError as error:
        return (f"nothing was run: {error.message}",)
    affected = [stage.name for stage in stages if stage.name in set(stage_names)]
    if not affected:
        return ()
    try:
        limits = SpendingLimits(asks_nobody=True)
        reports = list(run(workspace, caller.console, caller.command, until=affected[-1], limits=limits))
    except DmforgeError as error:
        place = f"{error.where}: " if error.where else ""
        return (f"the run of this repair ended early: {place}{error.message}; dmforge run goes on",)
    pending = {report.name: report.tally.pending for report in reports if report.tally.pending}
    return tuple(f"{name}: {count} inputs are pending, dmforge run goes on with them" for name, count in pending.items())
