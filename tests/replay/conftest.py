"""A workspace of worlds, run as far as no student is needed, and a student of random weights."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import URL

COMMAND = "dmforge run"


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of worlds, with a running teacher for them that the whole session uses."""
    worlds = tmp_path_factory.mktemp("worlds")
    make_worlds(worlds / "w", WorldSettings(videos=4))
    previous_url = os.environ.get(URL)
    with serving(worlds / "w", Behaviour(), worlds / "planted.jsonl") as url:
        os.environ[URL] = url
        yield worlds / "w"
    os.environ.pop(URL, None)  # a test that sets it while this fixture is made has put it back to nothing by now
    if previous_url is not None:
        os.environ[URL] = previous_url


@pytest.fixture(scope="session")
def prepared(oracle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the recipe, run as far as it goes without its student, which should lie beside it."""
    workspace = WorkspaceFolder(tmp_path_factory.mktemp("prepared") / "ws")
    run.init(workspace.root, "replayed")
    shrink(workspace.recipe)
    intake.add_videos(workspace, COMMAND, [str(oracle / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(workspace, COMMAND, "jsonl", [oracle / "tasks.jsonl"])
    list(run.run(workspace, Console(quiet=True), COMMAND))
    return workspace.root


def shrink(recipe: Path) -> None:
    """Edit a recipe to small clips and few, short rollouts: a student of random weights writes to its limit."""
    text = re.sub(r"max_tokens = \d+", "", recipe.read_text()).replace("sizes = [4, 8, 16]", "sizes = [2, 3]")
    small = '[clips]\ncoarse_fps = "1/2"\ncoarse_tokens = 24\nlook_frames = 24\nlook_tokens = 48\n\n'
    text = re.sub(r"\[clips\].*?\n\n", small, text, flags=re.DOTALL)
    for stage in ("blind", "replay", "necessity", "density", "vouch"):
        rounds = "" if stage == "replay" else f"[stages.{stage}.rounds]\nsizes = [1, 2]\n\n"
        assert f"[stages.{stage}]" in text
        text = text.replace(f"[stages.{stage}]", f"{rounds}[stages.{stage}]\nmax_tokens = 12")
    recipe.write_text(text)


@pytest.fixture(scope="session")
def student(oracle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights."""
    texts = [json.loads(line)["question"] for line in (oracle / "tasks.jsonl").read_text().splitlines()]
    folder = tmp_path_factory.mktemp("random") / "student"
    make_tiny("speck", texts).save(folder)
    return folder


@pytest.fixture
def workspace(prepared: Path, student: Path, tmp_path: Path) -> WorkspaceFolder:
    """A copy of the prepared workspace, with the student beside it."""
    shutil.copytree(prepared, tmp_path / "ws")
    shutil.copytree(student, tmp_path / "student")
    return WorkspaceFolder(tmp_path / "ws")
