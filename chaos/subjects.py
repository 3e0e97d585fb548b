"""What is killed: a recipe on a few inputs of its own, the server that it asks, and how to see what that was asked."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

from chaos.score_server import asked, serving
from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import REPLY_FAULTS, SERVER_FAULTS, Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving as oracle_serving
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds
from dmforge.recipe import read_recipe
from tests.support import barcodes

CONCURRENCY = 8
BATCH_ITEMS = 4
DMFORGE = (sys.executable, "-m", "dmforge.cli")
TRIAL = """
name = "chaos"
[stages.count]
tasks = {tasks}
crash_every = {crash_every}
work_ms = 1
batch_items = 20
[stages.score]
batch_items = 50
[stages.inquire]
concurrency = {concurrency}
batch_items = 20
[stages.keep]
threshold = 0.5
"""


@runtime_checkable
class Subject(Protocol):
    """What is killed."""

    words = ""
    """The options of `chaos.kills` that choose it."""
    kills_a_stage = 2
    """The most kills of one stage in one workspace."""
    idle: Collection[str] = ()
    """Stages of its recipe that have nothing to do."""

    def serving(self) -> AbstractContextManager[str]:
        """A fresh server, and its address."""
        ...

    def prepare(self, workspace: Path, url: str) -> None:
        """Make a workspace, ready to run."""
        ...

    def environment(self, url: str) -> dict[str, str]:
        """What a run finds in its environment."""
        ...

    def asked(self, url: str) -> Counter[str]:
        """How often the server has answered each question."""
        ...

    def check(self, workspace: Path) -> None:
        """What else must hold in a finished workspace."""


class Rehearsal(Subject):
    """Numbers through three small stages: many commits, and little else."""

    def __init__(self, tasks: int) -> None:
        self.tasks, self.words = tasks, f"--tasks {tasks}"

    def serving(self) -> AbstractContextManager[str]:
        return serving(delay_s=0.02)

    def prepare(self, workspace: Path, url: str) -> None:
        (workspace / "inputs").mkdir(parents=True)
        recipe = TRIAL.format(tasks=self.tasks, crash_every=max(20, self.tasks // 2), concurrency=CONCURRENCY)
        (workspace / "recipe.toml").write_text(recipe.replace("[stages.inquire]", f'[stages.inquire]\nurl = "{url}"'))

    def environment(self, url: str) -> dict[str, str]:
        return {}

    def asked(self, url: str) -> Counter[str]:
        return asked(url)


class Intake(Subject):
    """Many short videos, one in ten of them bad, through `ingest`."""

    def __init__(self, videos: int, folder: Path) -> None:
        self.videos, self.words, self.kills_a_stage = folder / "videos", f"--intake {videos}", 10
        self.videos.mkdir()
        self.bad: Counter[str] = Counter()
        good = barcodes.Case("good", width=64, height=64, times_s=tuple(Fraction(n, barcodes.RATE) for n in range(25)))
        for number in range(videos):
            video = barcodes.write(replace(good, file_name=f"{number:04d}.mp4", first=number), self.videos)
            if number % 10 == 9:
                reason, spoil = BAD[number // 10 % len(BAD)]
                video.write_bytes(spoil(video.read_bytes()) + str(number).encode())
                self.bad[reason] += 1

    def serving(self) -> AbstractContextManager[str]:
        return nullcontext("")

    def prepare(self, workspace: Path, url: str) -> None:
        (workspace / "inputs").mkdir(parents=True)
        (workspace / "recipe.toml").write_text('name = "intake"\n[stages.ingest]\nbatch_items = 10\n')
        intake.add_videos(WorkspaceFolder(workspace), "chaos", [str(self.videos)], SourceInfo())

    def environment(self, url: str) -> dict[str, str]:
        return {"OMP_NUM_THREADS": "1"}

    def asked(self, url: str) -> Counter[str]:
        return Counter()

    def check(self, workspace: Path) -> None:
        """All good ones are in, all bad ones are quarantined for the right reason."""
        view = LakeView(Lake(WorkspaceFolder(workspace)), read_recipe(workspace / "recipe.toml").stages)
        outcomes = view.connection.execute("SELECT status, reason, count(*) FROM outcomes GROUP BY ALL").fetchall()
        reasons = Counter({reason: number for status, reason, number in outcomes if status == "quarantined"})
        made = sum(number for status, _, number in outcomes if status == "made")
        if reasons != self.bad or made != len(list(self.videos.iterdir())) - self.bad.total():
            sys.exit(f"expected {self.bad} to be quarantined, not {outcomes}")


BAD: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("not a video", lambda data: b""),
    ("not a video", lambda data: data[: len(data) // 2]),
    ("damaged", barcodes.scratched),
    ("not a video", lambda data: random.Random(1).randbytes(5000)),
)


class Worlds(Subject):
    """Worlds, and an oracle that errs and fails."""

    BEHAVIOUR = Behaviour(
        unknown=0.05,
        defects={"wrong_answer": 0.1, "malformed_tags_t1": 0.1},
        faults={"429_hint": 0.05, "500": 0.05, "cut": 0.05, "truncated": 0.05, "prose": 0.05, "refusal": 0.03, "empty": 0.02},
        delay_s=0.02,
    )

    def __init__(self, folder: Path, settings: WorldSettings) -> None:
        self.worlds = folder / "worlds"
        make_worlds(self.worlds, settings)

    def serving(self) -> AbstractContextManager[str]:
        return oracle_serving(self.worlds, self.BEHAVIOUR)

    def bring(self, place: WorkspaceFolder) -> None:
        """Their videos and tasks into a workspace."""
        intake.add_videos(place, "chaos", [str(self.worlds / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
        intake.add_annotations(place, "chaos", "jsonl", [self.worlds / "tasks.jsonl"])

    def environment(self, url: str) -> dict[str, str]:
        return {"OPENAI_BASE_URL": url, "OMP_NUM_THREADS": "1"}

    def asked(self, url: str) -> Counter[str]:
        with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as reply:
            return Counter(json.load(reply)["answered"])


class WholeChain(Worlds):
    """Ingest, import, annotate, rules, verify, select, pack."""

    idle = ("human",)

    def __init__(self, videos: int, folder: Path, looks: int = 1) -> None:
        """With several looks in worlds in which the object comes back, so that some questions need two."""
        super().__init__(folder, WorldSettings(videos=videos, knobs=LEVELS[4 if looks > 1 else 0]))
        self.looks = f"\n[looks]\nmax_looks = {looks}\n" if looks > 1 else ""
        self.words = f"--chain {videos} --looks {looks}" if looks > 1 else f"--chain {videos}"

    def prepare(self, workspace: Path, url: str) -> None:
        place = run.init(workspace, "demo")
        place.recipe.write_text(in_batches(place.recipe.read_text(), BATCH_ITEMS) + self.looks)
        self.bring(place)


def in_batches(recipe: str, items: int) -> str:
    """A recipe whose batches hold so many inputs: a kill finds more commits."""
    return re.sub(r"batch_items = \d+", f"batch_items = {items}", recipe)


class Answers(WholeChain):
    """The same with videos and tasks brought in beforehand: every kill falls among questions. One in three meets a fault."""

    BEHAVIOUR = Behaviour(
        unknown=0.05,
        defects=WholeChain.BEHAVIOUR.defects,
        faults=dict.fromkeys((*SERVER_FAULTS, *REPLY_FAULTS), 0.03),
    )
    TIMEOUT_S = 5
    """For those that hang."""

    def __init__(self, videos: int, kills: int, folder: Path) -> None:
        super().__init__(videos, folder)
        self.words, self.kills_a_stage = f"--answers {videos}", max(kills, 1)
        self.template = folder / "brought"
        super().prepare(self.template, "")
        place = WorkspaceFolder(self.template)
        recipe = place.recipe.read_text()
        place.recipe.write_text(recipe.replace("[stages.annotate]", f"[stages.annotate]\ntimeout_s = {self.TIMEOUT_S}"))
        if subprocess.run(
            [*DMFORGE, "run", "-w", str(self.template), "--until", "import"], stderr=subprocess.DEVNULL
        ).returncode:
            sys.exit("the videos could not be brought in")

    def prepare(self, workspace: Path, url: str) -> None:
        shutil.copytree(self.template, workspace)

    def check(self, workspace: Path) -> None:
        """Every task has one outcome, and no candidate is there twice."""
        view = LakeView(Lake(WorkspaceFolder(workspace)), read_recipe(workspace / "recipe.toml").stages)
        stage = next(stage for stage in view.stages if stage.name == "annotate")
        tally = view.tally(stage)
        tasks, candidates, different = view.connection.execute(
            "SELECT (SELECT count(*) FROM tasks), count(*), count(DISTINCT (task, attempt)) FROM candidates"
        ).fetchall()[0]
        if tally.pending or tally.settled != tasks or candidates != different:
            sys.exit(f"{tasks} tasks ended as {tally}, with {candidates} candidates, {different} of them different")
        print(f"{tasks} tasks: {tally.made} made, {tally.rejected} rejected, {tally.quarantined} quarantined", file=sys.stderr)
