"""The demo: the whole chain on synthetic worlds, from rendered videos to a student that has learnt to look.

An oracle is the teacher. A student imitates what the same run packed, habits and mistakes included; it tries other tasks, and
practises those that it neither always nor never solves. It is measured in worlds that it has never seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from dmforge import auditing, intake, pipeline, reporting
from dmforge.curation.atomic import writing
from dmforge.curation.audit.query import Answer
from dmforge.curation.lake import logical
from dmforge.curation.outputs import output_folder
from dmforge.curation.runner import StageReport
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.sources.claims import Claims
from dmforge.curation.workspace import Workspace
from dmforge.generators.oracle.behaviour import Behaviour
from dmforge.generators.oracle.habits import Habits
from dmforge.generators.oracle.serve import serving
from dmforge.generators.teacher.client import KEY, URL
from dmforge.generators.worlds.folder import LICENCE, SOURCE, Settings, make_worlds
from dmforge.schemas.errors import InputError

if TYPE_CHECKING:
    from dmforge.schooling import Schooled

REPORT = "report.html"
SIZE = "size.json"
"""What a folder was made with: a student that has half learnt from other worlds would go on with these."""
CONTENTS = frozenset({"worlds", "workspace", "planted.jsonl", "practice", "exam", "student", REPORT, SIZE})
MISTAKES = Behaviour(
    unknown=0.05,
    defects={"wrong_answer": 0.06, "window_past_end": 0.06, "malformed_tags_t1": 0.06, "empty_thought_t2": 0.06},
    faults={"truncated": 0.02, "prose": 0.05, "refusal": 0.02},
)
"""The oracle errs a little, as teachers do: there should be something to find."""
HABITS = MISTAKES.model_copy(update={"unknown": 0.0, "habits": Habits(wide_s=2, sparse=0.65)})
"""Where a student learns from it, it also looks too widely and too sparsely: there should be something to mend."""

SizeName = Literal["chain", "small", "full"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    videos: int
    """Worlds that become the corpus."""
    practice: int = 0
    """Worlds whose tasks the student tries, to practise some."""
    exam: int = 0
    """Worlds that it is measured in."""
    imitations: int = 0
    """Steps of SFT; 0 trains nothing, and shows harder worlds in larger frames."""
    updates: int = 0
    """Of SD-GRPO."""


SIZES: dict[SizeName, Size] = {
    "chain": Size(24),
    "small": Size(480, 120, 96, 600, 20),
    "full": Size(1_600, 240, 128, 1_000, 50),
}
PRACTICE_SEED, EXAM_SEED = 1, 2


@dataclass(frozen=True, slots=True)
class Finished:
    """What a demo ends with."""

    workspace: Workspace
    stages: list[StageReport]
    funnel: Answer
    corpora: dict[Path, Manifest]
    digest: str
    schooled: Schooled | None
    """None where nothing was trained."""
    report: Path | None
    """The lake as one page; None where what pages are made with is not installed."""


def demo(folder: Path, size: Size, console: Console, command: str) -> Finished:
    """Run it in a folder. One that was cut short goes on; one that is finished changes nothing."""
    output_folder(folder, "--out")
    _refuse_others(folder, size)
    learns = size.imitations > 0
    worlds, teacher = Settings(videos=size.videos, study=learns), HABITS if learns else MISTAKES
    workspace, reports = taught(folder, "study" if learns else "demo", worlds, teacher, console, command)
    is_whole = not any(report.tally.pending for report in reports)
    schooled = _school(folder, workspace, size, console, command) if learns and is_whole else None
    return Finished(
        workspace,
        reports,
        auditing.audit(workspace, "funnel"),
        pipeline.corpora(workspace),
        logical.digest_of_all(pipeline.digest(workspace)),
        schooled,
        _report(folder, workspace, [folder / "student" / way for way in ("sft", "sdgrpo")] if schooled else []),
    )


def taught(
    folder: Path, recipe: str, worlds: Settings, teacher: Behaviour, console: Console, command: str
) -> tuple[Workspace, list[StageReport]]:
    """What a teacher makes of worlds, judged and packed."""
    make_worlds(folder / "worlds", worlds)
    with serving(folder / "worlds", teacher, folder / "planted.jsonl") as url, _teacher_at(url):
        return _run(folder, recipe, console, command)


def examination(folder: Path, worlds: Settings, console: Console, command: str) -> Path:
    """Tasks that nobody was taught, packed."""
    make_worlds(folder / "worlds", worlds)
    return only(_run(folder, "exam", console, command)[0])


def _report(folder: Path, workspace: Workspace, trainings: Sequence[Path]) -> Path | None:
    return reporting.write_report(workspace, folder / REPORT, trainings) if find_spec("jinja2") else None


def _school(folder: Path, workspace: Workspace, size: Size, console: Console, command: str) -> Schooled:
    from dmforge.schooling import Places, school

    def practice(checkpoint: Path) -> Path:
        make_worlds(folder / "practice/worlds", Settings(videos=size.practice, seed=PRACTICE_SEED, study=True))
        return only(_run(folder / "practice", "practice", console, command, checkpoint)[0])

    exam = examination(folder / "exam", Settings(videos=size.exam, seed=EXAM_SEED, study=True), console, command)
    places = Places(only(workspace), practice, exam)
    return school(folder / "student", places, size.imitations, size.updates, console)


def _run(
    folder: Path, recipe: str, console: Console, command: str, student: Path | None = None
) -> tuple[Workspace, list[StageReport]]:
    """From rendered worlds to shards."""
    worlds, workspace = folder / "worlds", Workspace(folder / "workspace")
    if not workspace.recipe.exists():
        pipeline.init(workspace.root, recipe)
    if student is not None:
        _name(student, workspace)
    intake.add_videos(workspace, command, [str(worlds / "videos")], Claims(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(workspace, command, "jsonl", [worlds / "tasks.jsonl"])
    return workspace, list(pipeline.run(workspace, console, command))


def _name(student: Path, workspace: Workspace) -> None:
    """Put a checkpoint into a recipe."""
    told = workspace.recipe.read_text().splitlines(keepends=True)
    place = os.path.relpath(student, workspace.root)
    named = (f'checkpoint = "{place}"\n' if line.startswith("checkpoint = ") else line for line in told)
    with writing(workspace.recipe) as file:
        file.write("".join(named).encode())


def only(workspace: Workspace) -> Path:
    """The one packed corpus."""
    found = list(pipeline.corpora(workspace))
    if len(found) != 1:
        mend = "dmforge audit funnel -w says why; with more worlds some are: --videos"
        raise InputError("nothing was kept of so few worlds", where=str(workspace.root), mend=mend)
    return found[0]


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


def _refuse_others(folder: Path, size: Size) -> None:
    """Nothing but a demo of this size is gone on with. Where nothing is trained, more worlds may be added."""
    mend = "give another folder with --out"
    if folder.is_file() or (folder.is_dir() and {path.name for path in folder.iterdir()} - CONTENTS):
        raise InputError("this holds something else than a demo", where=str(folder), mend=mend)
    told, kept = asdict(size if size.imitations else replace(size, videos=0)), folder / SIZE
    known = kept.read_text("utf-8", "replace") if kept.exists() else ""
    if known != json.dumps(told) and (known or (folder / "workspace").exists()):
        raise InputError("this holds a demo of another size", where=str(folder), mend=mend)
    with writing(kept) as file:
        file.write(json.dumps(told).encode())
