"""The demo: the whole chain on synthetic worlds, from rendered videos to shards, with an oracle as the teacher."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from dmforge import intake, pipeline
from dmforge.curation.audit.query import Answer
from dmforge.curation.runner import StageReport
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.sources.claims import Claims
from dmforge.curation.workspace import Workspace
from dmforge.generators.oracle.behaviour import Behaviour
from dmforge.generators.oracle.serve import serving
from dmforge.generators.teacher.client import KEY, URL
from dmforge.generators.worlds.folder import LICENCE, SOURCE, Settings, make_worlds
from dmforge.schemas.errors import InputError

RECIPE = "demo"
CONTENTS = frozenset({"worlds", "workspace", "planted.jsonl"})
MISTAKES = Behaviour(
    unknown=0.05,
    defects={"wrong_answer": 0.06, "window_past_end": 0.06, "malformed_tags_t1": 0.06, "empty_thought_t2": 0.06},
    faults={"truncated": 0.02, "prose": 0.05, "refusal": 0.02},
)
"""The oracle errs a little, as teachers do: there should be something to find."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a demo ends with."""

    workspace: Workspace
    stages: list[StageReport]
    funnel: Answer
    corpora: dict[Path, Manifest]
    digest: str


def demo(folder: Path, videos: int, console: Console, command: str) -> Finished:
    """Run the chain in a folder. One that was cut short goes on; one that is finished changes nothing."""
    _refuse_others(folder)
    worlds, workspace = folder / "worlds", Workspace(folder / "workspace")
    make_worlds(worlds, Settings(videos=videos))
    if not workspace.recipe.exists():
        pipeline.init(workspace.root, RECIPE)
    intake.add_videos(workspace, command, [str(worlds / "videos")], Claims(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(workspace, command, "jsonl", [worlds / "tasks.jsonl"])
    with serving(worlds, MISTAKES, folder / "planted.jsonl") as url, _teacher_at(url):
        reports = list(pipeline.run(workspace, console, command))
    return Finished(
        workspace,
        reports,
        pipeline.audit(workspace, "funnel"),
        pipeline.corpora(workspace),
        pipeline.logical.whole(pipeline.digest(workspace)),
    )


@contextmanager
def _teacher_at(url: str) -> Generator[None]:
    """The oracle as this process's endpoint; whoever has a key for a real one keeps it to himself meanwhile."""
    before = {name: os.environ.get(name) for name in (URL, KEY)}
    os.environ[URL] = url
    os.environ.pop(KEY, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refuse_others(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and {path.name for path in folder.iterdir()} - CONTENTS):
        raise InputError("this holds something else than a demo", where=str(folder), mend="give another folder with --out")
