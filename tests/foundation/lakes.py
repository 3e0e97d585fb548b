"""Small lakes to test on: the trial stages over a few numbers, and what is seen of them."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from chaos import undisturbed
from dmforge.commands import run as run_commands
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.logical_digest import digest_of_all
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe

TRIAL = """
name = "test"
[stages.count]
tasks = {tasks}
reject_every = 10
workers = 2
batch_items = {batch}
[stages.score]
salt = "{salt}"
batch_items = {batch}
[stages.keep]
threshold = {threshold}
"""


def write_recipe(root: Path, tasks: int = 200, batch: int = 20, salt: str = "", threshold: float = 0.5) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "recipe.toml").write_text(TRIAL.format(tasks=tasks, batch=batch, salt=salt, threshold=threshold))


def run(root: Path, until: str | None = None, videos: int | None = None) -> dict[str, StageReport]:
    console = Console(file=io.StringIO())
    return {report.name: report for report in run_commands.run(WorkspaceFolder(root), console, "test", until, videos)}


def fingerprint(root: Path) -> dict[str, str]:
    """Every file of the lake with its sha256."""
    return undisturbed.fingerprint(root / "lake")


def view(root: Path) -> LakeView:
    return LakeView(Lake(WorkspaceFolder(root)), read_recipe(root / "recipe.toml").stages)


def logical(root: Path) -> str:
    return digest_of_all(run_commands.digest(WorkspaceFolder(root)))


def count(root: Path, sql: str) -> int:
    return view(root).connection.execute(sql).fetchall()[0][0]
