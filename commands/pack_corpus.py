"""Packs and exports corpora: what is selected becomes shards, and shards become the files of other trainers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dmforge.commands.judged_part import judged_part
from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.standing import readers_view
from dmforge.curation.contract.collective import Collective
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.exports import Exported, require_export
from dmforge.curation.exports import export as write_export
from dmforge.curation.exports.export_parts import OnPartWritten
from dmforge.curation.io.locations import is_remote
from dmforge.curation.io.terminal import Terminal, duration_text
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lifecycle import takedown
from dmforge.curation.output_paths import output_folder
from dmforge.curation.packing.current_selection import name_current, packed_folders
from dmforge.curation.shards import folders
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import Manifest, read_manifest
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import Recipe, read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id

LINE_EVERY_S = 10.0
"""Between two lines about an export under way."""


def pack(workspace: WorkspaceFolder, console: Terminal, command: str, corpus: str, partial: bool) -> tuple[Path, Manifest]:
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
        last_video = None if partial else _finished_part(lake, recipe, stages, console)
        collective_stages = [stage for stage in stages if isinstance(stage, Collective)]
        driver = Driver(lake, recipe.stages, LocalExecutor(), console, last_video=last_video)
        with run_log.recorded(workspace, command, recipe.resolved()):
            list(driver.run(collective_stages, partial=partial))
        folders_by_corpus = name_current(LakeView(lake, recipe.stages, last_video=last_video), workspace)
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


def _finished_part(lake: Lake, recipe: Recipe, stages: Sequence[AnyStage], console: Terminal) -> Id | None:
    """The last video of the pilot that is packed, None where all videos are; an error where neither is worked through."""
    judged_so_far = judged_part(lake, recipe, [stage for stage in stages if not isinstance(stage, Collective)])
    if not judged_so_far.exists:
        pending_message = f"the selection is not finished: {judged_so_far.pending_text()} are pending"
        hint = "dmforge run first; or pack what there is with --partial, and the card says so"
        raise InputError(pending_message, where=str(lake.workspace.root), hint=hint)
    judged_so_far.announce(console, "pack")
    return judged_so_far.last_video


def export(
    workspace: WorkspaceFolder, console: Console, corpus: str, to: str, out: str | None, dialect: DialectName | None
) -> tuple[str, Exported]:
    """Export the packed selection of a corpus, or shards at a place, in another format; where to, and what was written."""
    if "/" in corpus:
        return export_shards(console, corpus, to, out, dialect)
    dialect = require_export(to, dialect)
    folders_by_corpus = {manifest.corpus: target_folder for target_folder, manifest in corpora(workspace).items()}
    if corpus not in folders_by_corpus:
        hint = (
            nearest(corpus, sorted(folders_by_corpus)) if folders_by_corpus else "pack it first: dmforge pack, or dmforge run"
        )
        raise InputError(f"no corpus {corpus!r} is packed", where="CORPUS", hint=hint)
    form_name = to if dialect == require_export(to) else f"{to}-{dialect}"
    selection_folder = folders_by_corpus[corpus]
    if out is None:
        out = str(workspace.root / "exports" / form_name / corpus / selection_folder.name)
    _require_place(out, workspace)
    return out, write_export(Corpus(str(selection_folder)), to, out, dialect, _reporting_on(console))


def export_shards(console: Console, place: str, to: str, out: str | None, dialect: DialectName | None) -> tuple[str, Exported]:
    """Export a folder of shards, here or at an address; there is no workspace for what is written."""
    dialect = require_export(to, dialect)
    if out is None:
        hint = "say --out FOLDER, or an address"
        raise InputError("a place for what is written is missing", where="--out", hint=hint)
    _require_place(out)
    return out, write_export(Corpus(place), to, out, dialect, _reporting_on(console))


def _require_place(out: str, workspace: WorkspaceFolder | None = None) -> None:
    """Check that an export may be written here."""
    if not out:
        raise InputError("no place is named", where="--out", hint="say --out FOLDER, or an address")
    if not is_remote(out):
        output_folder(Path(out), "--out", workspace)


def _reporting_on(console: Console) -> OnPartWritten:
    """Says now and then how far an export is that takes long."""
    began_s = last_line_s = time.monotonic()

    def report(written: int, parts: int) -> None:
        nonlocal last_line_s
        now_s = time.monotonic()
        if now_s - last_line_s < LINE_EVERY_S or written == parts:
            return
        last_line_s = now_s
        left_s = int((now_s - began_s) / written * (parts - written))
        console.print(f"export: {written:,} of {parts:,} parts, {duration_text(left_s)} left", soft_wrap=True)

    return report


def corpora(workspace: WorkspaceFolder) -> dict[Path, Manifest]:
    """The current packed selections: by folder, the manifest of each corpus."""
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        folders_by_corpus = packed_folders(readers_view(Lake(workspace), recipe), workspace)
    return {folder: read_manifest(folder) for folder in folders_by_corpus.values()}
