"""The current selection of each corpus: its folder, and the file `shards/<corpus>/current` that names it for others."""

from __future__ import annotations

from pathlib import Path

from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.folders import write_current
from dmforge.curation.workspace_folder import WorkspaceFolder


def packed_folders(view: LakeView, workspace: WorkspaceFolder) -> dict[str, Path]:
    """By corpus, the folder of the selection that is packed now."""
    if not any(stage.name == "pack" for stage in view.stages):
        return {}
    selections_sql = "SELECT DISTINCT corpus, selection FROM packed"
    corpora_and_selections = view.cursor(selections_sql).execute(selections_sql).fetchall()
    return {corpus: workspace.shards / corpus / selection for corpus, selection in sorted(corpora_and_selections)}


def name_current(view: LakeView, workspace: WorkspaceFolder) -> dict[str, Path]:
    """Let each corpus's file name its current selection, and return the folders."""
    folders_by_corpus = packed_folders(view, workspace)
    for selected_folder in folders_by_corpus.values():
        if selected_folder.is_dir():  # shards may be deleted: the selection stands in the lake
            write_current(selected_folder)
    return folders_by_corpus
