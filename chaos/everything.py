"""Recipes that between them hold every stage there is, each on a few inputs of its own: what is killed if nothing else is said.

`uncovered` names a stage that none of them holds, so that a new one can't be forgotten.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from chaos.subjects import CONCURRENCY, DMFORGE, TRIAL, Rehearsal, Subject, Worlds, in_batches
from dmforge.commands import intake
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.reviews import Review, append
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.embed import PACKAGE
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import SOURCE, WorldSettings, file_name
from dmforge.recipe import RECIPES, STAGES, read_recipe
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Task
from tests.support.films import shots, write_film

NUMBERS = 200
FEW = 2
"""Inputs in a batch."""
HOSTS, SHOTS = 2, 7
HAS_SENTENCE_MODEL = find_spec(PACKAGE) is not None
"""Whether the extra `embed` is installed: elsewhere nothing can be killed in its stage."""
JUDGES = """
[stages.crosscheck]
model = "oracle"
batch_items = 4
[stages.safety]
model = "oracle"
batch_items = 4

[stages.human]"""
DRAWN = """
[stages.benchmarks]
[stages.contamination]
[stages.needs_audio]
[stages.duplicates]
[stages.draw]
[stages.draw.quotas]
"*/open" = 3
"""
SMALL = """
[clips]
coarse_fps = "1/2"
coarse_tokens = 24
look_frames = 24
look_tokens = 48
"""


class Films(Worlds):
    """Raw videos: a teacher describes them, writes questions, tries them, hides moments in other videos, and answers."""

    def __init__(self, folder: Path, videos: int = 4) -> None:
        super().__init__(folder, WorldSettings(videos=videos, knobs=LEVELS[2]))
        self.hosts = folder / "hosts"
        self.hosts.mkdir()
        for number in range(HOSTS):
            write_film(self.hosts / f"{number}.mp4", shots(number, SHOTS))

    def prepare(self, workspace: Path, url: str) -> None:
        (workspace / "inputs").mkdir(parents=True)
        recipe = of_films().replace('"../films/videos"', f'"{self.worlds}/videos", "{self.hosts}"')
        (workspace / "recipe.toml").write_text(recipe)


class Published(Worlds):
    """Videos with annotations: drawn, held against a benchmark, annotated, and judged by rule, by models and by a person."""

    def __init__(self, folder: Path, videos: int = 4) -> None:
        super().__init__(folder, WorldSettings(videos=videos))
        self.benchmark, self.reviews = folder / "benchmark.txt", list[Review]()
        self.benchmark.write_text(f"{Path(file_name(0)).stem}\n")
        self.reviews = self._reviewed(folder / "scouted")

    def prepare(self, workspace: Path, url: str) -> None:
        place = WorkspaceFolder(workspace)
        place.inputs.mkdir(parents=True)
        place.recipe.write_text(of_published())
        self.bring(place)
        intake.add_annotations(place, "chaos", "ids", [self.benchmark], claims=SourceInfo("a benchmark", namespace=SOURCE))
        for review in self.reviews:
            append(place, review)

    def _reviewed(self, scouted: Path) -> list[Review]:
        """A person has seen every third task."""
        self.prepare(scouted, "")
        if subprocess.run([*DMFORGE, "run", "-w", str(scouted), "--until", "import"], stderr=subprocess.DEVNULL).returncode:
            sys.exit("the tasks to be reviewed could not be brought in")
        place = WorkspaceFolder(scouted)
        view = LakeView(Lake(place), read_recipe(place.recipe).stages)
        tasks = sorted(from_arrow(Task, view.table(view.rows(Task, gated=False).sql)), key=lambda task: task.id)
        return [Review(task.video, task.id, "task", "anna", "keep", "", "") for task in tasks[::3]]


class Tried(Worlds):
    """The same, tried by a student that has never learnt anything: its rollouts are as good as any to be lost or doubled."""

    def __init__(self, folder: Path, videos: int = 3) -> None:
        from dmforge.generators.student.tiny import make_tiny  # brings torch, which no other subject needs

        super().__init__(folder, WorldSettings(videos=videos))
        self.student = folder / "student"
        texts = [json.loads(line)["question"] for line in (self.worlds / "tasks.jsonl").read_text().splitlines()]
        make_tiny("speck", texts).save(self.student)

    def prepare(self, workspace: Path, url: str) -> None:
        place = WorkspaceFolder(workspace)
        place.inputs.mkdir(parents=True)
        place.recipe.write_text(of_tried().replace("../student", str(self.student)))
        self.bring(place)


def of_films() -> str:
    """A recipe for raw videos."""
    text = re.sub(r"host_s = \d+", "host_s = 15", _own("from-raw-video"))
    text = re.sub(r"per_video = \d+", "per_video = 3", re.sub(r"concurrency = \d+", "", text))
    return text.replace('model = "oracle"', f'model = "oracle"\nconcurrency = {CONCURRENCY}')


def of_published() -> str:
    """A recipe for videos with annotations."""
    text = _own("demo").replace("[stages.needs_audio]", "")
    drawn = DRAWN + ("[stages.embed]\n" if HAS_SENTENCE_MODEL else "")
    return text.replace("[stages.duplicates]", drawn).replace("[stages.human]", JUDGES)


def of_tried() -> str:
    """A recipe with a student. Whatever it says of a window is right, so that there are targets; and nothing is kept from being
    packed for its sake."""
    text = re.sub(r"max_tokens = \d+|\[stages.replay.rounds\].*\n.*\n.*\n", "", _own("replayed"))
    text = text.replace("[stages.vouch]", "[stages.needed_looks]\n\n[stages.vouch]")
    for stage in ("blind", "replay", "necessity", "density", "needed_looks", "vouch"):
        text = text.replace(f"[stages.{stage}]", f"[stages.{stage}]\nmax_tokens = 12\nrounds = {{ sizes = [1, 2] }}")
    text = text.replace("[stages.density]", "[stages.density]\nright_iou = 0.0").replace('"auto"', '"cpu"')
    text = re.sub(r"^(blind|necessity|replay|vouch|vouch_window) = .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\[clips\].*?\n\n", f"{SMALL.lstrip()}\n", text, count=1, flags=re.DOTALL)


def _own(name: str) -> str:
    """A recipe of the project's own, in batches of few."""
    return in_batches((RECIPES / f"{name}.toml").read_text("utf-8"), FEW)


ALL: dict[str, Callable[[Path], Subject]] = {
    "rehearsal": lambda folder: Rehearsal(NUMBERS),
    "films": Films,
    "published": Published,
    "tried": Tried,
}
"""One subject for each kind of recipe."""


def subjects(folder: Path, names: Sequence[str] = tuple(ALL)) -> list[Subject]:
    """These, each with its inputs in a folder of its own."""
    chosen: list[Subject] = []
    for name in names:
        (folder / name).mkdir()
        chosen.append(ALL[name](folder / name))
        chosen[-1].words = f"--of {name}"
    return chosen


def stages_of(recipe: str) -> list[str]:
    """The stages of a recipe, in their order."""
    return list(tomllib.loads(recipe)["stages"])


def uncovered() -> list[str]:
    """Stages that a recipe may name and that none of these has, of those that can run here."""
    recipes = (TRIAL.format(tasks=1, crash_every=1, concurrency=1), of_films(), of_published(), of_tried())
    covered = {stage for recipe in recipes for stage in stages_of(recipe)}
    return [name for name in STAGES if name not in covered and (name != "embed" or HAS_SENTENCE_MODEL)]
