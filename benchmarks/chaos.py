"""Killed anywhere, same bytes: a pipeline is SIGKILLed at random moments until it has had enough kills.

The subject is the rehearsal (three small stages), the whole chain from worlds to shards, its paid part alone, or an ingestion.
The baseline, in the same run, is one undisturbed run of the same recipe. What must hold: lake and shards end byte-identical; no
answer that was acknowledged (fsynced in the journal) is asked for again; a kill makes no more questions be asked twice than
were in flight; and no process of a killed run lives on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from benchmarks import barcodes
from benchmarks.memory import tree
from benchmarks.score_server import asked, serving
from benchmarks.tables import show
from dmforge import intake, pipeline
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import View
from dmforge.curation.sources.claims import Claims
from dmforge.curation.workspace import Workspace
from dmforge.generators.oracle.behaviour import REPLY_FAULTS, SERVER_FAULTS, Behaviour
from dmforge.generators.oracle.serve import serving as oracle_serving
from dmforge.generators.worlds.folder import LICENCE, SOURCE, Settings, make_worlds
from dmforge.recipe import read_recipe

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
[stages.inquire]
concurrency = {concurrency}
batch_items = 20
[stages.keep]
threshold = 0.5
"""


class Subject(Protocol):
    """What is killed."""

    stride = 4
    """A kill comes fewer than so many commits after the last one."""

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
        self.tasks = tasks

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
        self.videos = folder / "videos"
        self.videos.mkdir()
        self.bad: Counter[str] = Counter()
        good = barcodes.Case("good", width=64, height=64, times_s=tuple(Fraction(n, barcodes.RATE) for n in range(25)))
        for number in range(videos):
            whole = barcodes.write(replace(good, file_name=f"{number:04d}.mp4", first=number), self.videos)
            if number % 10 == 9:
                reason, spoil = BAD[number // 10 % len(BAD)]
                whole.write_bytes(spoil(whole.read_bytes()) + str(number).encode())
                self.bad[reason] += 1

    def serving(self) -> AbstractContextManager[str]:
        return nullcontext("")

    def prepare(self, workspace: Path, url: str) -> None:
        (workspace / "inputs").mkdir(parents=True)
        (workspace / "recipe.toml").write_text('name = "intake"\n[stages.ingest]\nbatch_items = 10\n')
        intake.add_videos(Workspace(workspace), "chaos", [str(self.videos)], Claims())

    def environment(self, url: str) -> dict[str, str]:
        return {"OMP_NUM_THREADS": "1"}

    def asked(self, url: str) -> Counter[str]:
        return Counter()

    def check(self, workspace: Path) -> None:
        """All good ones are in, all bad ones are quarantined for the right reason."""
        view = View(Lake(Workspace(workspace)), read_recipe(workspace / "recipe.toml").stages)
        found = view.connection.execute("SELECT status, reason, count(*) FROM outcomes GROUP BY ALL").fetchall()
        reasons = Counter({reason: number for status, reason, number in found if status == "quarantined"})
        made = sum(number for status, _, number in found if status == "made")
        if reasons != self.bad or made != len(list(self.videos.iterdir())) - self.bad.total():
            sys.exit(f"expected {self.bad} to be quarantined, not {found}")


BAD: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("not a video", lambda data: b""),
    ("not a video", lambda data: data[: len(data) // 2]),
    ("damaged", barcodes.scratched),
    ("not a video", lambda data: random.Random(1).randbytes(5000)),
)


class WholeChain(Subject):
    """Worlds, ingest, import, annotate, rules, verify, select, pack, with an oracle that errs and fails."""

    BEHAVIOUR = Behaviour(
        unknown=0.05,
        defects={"wrong_answer": 0.1, "malformed_tags_t1": 0.1},
        faults={"429_hint": 0.05, "500": 0.05, "cut": 0.05, "truncated": 0.05, "prose": 0.05, "refusal": 0.03, "empty": 0.02},
        delay_s=0.02,
    )

    def __init__(self, videos: int, folder: Path) -> None:
        self.worlds = folder / "worlds"
        make_worlds(self.worlds, Settings(videos=videos))

    def serving(self) -> AbstractContextManager[str]:
        return oracle_serving(self.worlds, self.BEHAVIOUR)

    def prepare(self, workspace: Path, url: str) -> None:
        place = pipeline.init(workspace, "demo")
        recipe = place.recipe.read_text()
        place.recipe.write_text(re.sub(r"batch_items = \d+", f"batch_items = {BATCH_ITEMS}", recipe))
        intake.add_videos(place, "chaos", [str(self.worlds / "videos")], Claims(SOURCE, LICENCE, namespace=SOURCE))
        intake.add_annotations(place, "chaos", "jsonl", [self.worlds / "tasks.jsonl"])

    def environment(self, url: str) -> dict[str, str]:
        return {"OPENAI_BASE_URL": url, "OMP_NUM_THREADS": "1"}

    def asked(self, url: str) -> Counter[str]:
        with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as reply:
            return Counter(json.load(reply)["answered"])


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
        self.brought = folder / "brought"
        super().prepare(self.brought, "")
        place = Workspace(self.brought)
        recipe = place.recipe.read_text()
        place.recipe.write_text(recipe.replace("[stages.annotate]", f"[stages.annotate]\ntimeout_s = {self.TIMEOUT_S}"))
        if subprocess.run(
            [*DMFORGE, "run", "-w", str(self.brought), "--until", "import"], stderr=subprocess.DEVNULL
        ).returncode:
            sys.exit("the videos could not be brought in")
        tasks = len((self.worlds / "tasks.jsonl").read_text().splitlines())
        self.stride = max(2, tasks // BATCH_ITEMS // max(kills, 1))

    def prepare(self, workspace: Path, url: str) -> None:
        shutil.copytree(self.brought, workspace)

    def check(self, workspace: Path) -> None:
        """Every task has one outcome, and no candidate is there twice."""
        view = View(Lake(Workspace(workspace)), read_recipe(workspace / "recipe.toml").stages)
        stage = next(stage for stage in view.stages if stage.name == "annotate")
        tally = view.tally(stage)
        tasks, candidates, different = view.connection.execute(
            "SELECT (SELECT count(*) FROM tasks), count(*), count(DISTINCT (task, attempt)) FROM candidates"
        ).fetchall()[0]
        if tally.pending or tally.settled != tasks or candidates != different:
            sys.exit(f"{tasks} tasks ended as {tally}, with {candidates} candidates, {different} of them different")
        print(f"{tasks} tasks: {tally.made} made, {tally.rejected} rejected, {tally.quarantined} quarantined", file=sys.stderr)


@dataclass
class Tally:
    """What the kills did."""

    kills: int = 0
    rounds: int = 0
    asked_twice: int = 0
    most_twice_a_kill: int = 0
    killed_in: Counter[str] = field(default_factory=Counter[str])


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file under a folder, with its sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def acknowledged(workspace: Path) -> set[str]:
    """Keys of the whole lines in the journal."""
    lines = [line for path in workspace.glob("journal/*/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return {json.loads(line)["key"] for line in lines}


def outcome(workspace: Path) -> dict[str, str]:
    """All that must be the same whatever happened on the way."""
    parts = ("lake", "media", "shards")
    return {f"{part}/{name}": sha256 for part in parts for name, sha256 in fingerprint(workspace / part).items()}


def run(workspace: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    told = {**os.environ, **environment}
    return subprocess.Popen(
        [*DMFORGE, "run", "-w", str(workspace)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=told
    )


def kill_until_done(workspace: Path, subject: Subject, url: str, tally: Tally, kills: int, rng: random.Random) -> None:
    """Run one workspace to its end, killing it on the way as long as kills are left. Checks after each kill."""
    while True:
        before, known = subject.asked(url), acknowledged(workspace)
        process = run(workspace, subject.environment(url))
        try:
            code = _wait_for_a_moment(process, workspace, subject.stride, rng) if tally.kills < kills else process.wait()
        except subprocess.TimeoutExpired:
            members = tree(process.pid)
            process.kill()
            process.wait()
            tally.kills += 1
            tally.killed_in[_stage_under_way(workspace)] += 1
            _gone(members)
        else:
            if code:
                assert process.stderr is not None
                sys.exit(f"a run failed with {code}: {process.stderr.read()}")
        _check_questions(before, subject.asked(url), known, tally)
        if process.returncode == 0:
            return


def chaos(subject: Subject, kills: int, seed: int) -> Tally:
    """Kill runs of one recipe, in fresh workspaces as each is finished, and compare each with an undisturbed one."""
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="dmforge-chaos-") as folder:
        calm = Path(folder) / "calm"
        with subject.serving() as url:
            subject.prepare(calm, url)
            if run(calm, subject.environment(url)).wait():
                sys.exit("the undisturbed run failed")
        subject.check(calm)
        expected = outcome(calm)
        while tally.kills < kills:
            tally.rounds += 1
            shaken = Path(folder) / f"shaken{tally.rounds}"
            with subject.serving() as url:
                subject.prepare(shaken, url)
                kill_until_done(shaken, subject, url, tally, kills, rng)
            found = outcome(shaken)
            if found != expected:
                differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
                sys.exit(f"seed {seed}: after {tally.kills} kills these differ: {differing[:5]}")
    return tally


def _check_questions(before: Counter[str], after: Counter[str], known: set[str], tally: Tally) -> None:
    again = {key for key in after if before[key] and after[key] > before[key]}
    if again & known:
        sys.exit(f"{len(again & known)} answers were in the journal and were asked for again: {sorted(again & known)[:3]}")
    if len(again) > CONCURRENCY:
        sys.exit(f"{len(again)} questions were asked again after one kill; {CONCURRENCY} were in flight at most")
    tally.asked_twice += len(again)
    tally.most_twice_a_kill = max(tally.most_twice_a_kill, len(again))


def _wait_for_a_moment(process: subprocess.Popen[str], workspace: Path, stride: int, rng: random.Random) -> int:
    """Some commits later and then a little, or, one time in six, while the run starts up."""
    if rng.random() < 1 / 6:
        return process.wait(rng.uniform(0, 1.0))
    enough = _commits(workspace) + rng.randrange(stride)
    while process.poll() is None and _commits(workspace) <= enough:
        time.sleep(0.01)
    return process.wait(rng.uniform(0, 0.05))


def _commits(workspace: Path) -> int:
    return len(list(workspace.glob("lake/commits/*/*.json")))


def _stage_under_way(workspace: Path) -> str:
    commits = [path for path in (workspace / "lake/commits").glob("*/*.json") if b'"roster"' not in path.read_bytes()]
    last = max(commits, key=lambda path: path.stat().st_mtime_ns, default=None)
    return f"after a commit of {last.parent.name}" if last else "before any commit"


def _gone(members: list[int]) -> None:
    """A SIGKILLed driver takes its workers along."""
    deadline = time.monotonic() + 5
    while alive := [pid for pid in members if runs_still(pid)]:
        if time.monotonic() > deadline:
            sys.exit(f"processes {alive} of a killed run are still there")
        time.sleep(0.02)


def runs_still(pid: int) -> bool:
    """Whether a process is there, and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=1500)
    parser.add_argument("--chain", type=int, metavar="VIDEOS", help="kill the whole chain on so many worlds instead")
    parser.add_argument(
        "--answers", type=int, metavar="VIDEOS", help="kill only the paid part of that chain, with faults of all kinds"
    )
    parser.add_argument("--intake", type=int, metavar="VIDEOS", help="kill the ingestion of so many files instead")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    told = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="dmforge-worlds-") as folder:
        subject: Subject = Rehearsal(told.tasks)
        if told.chain:
            subject = WholeChain(told.chain, Path(folder))
        elif told.answers:
            subject = Answers(told.answers, told.kills, Path(folder))
        elif told.intake:
            subject = Intake(told.intake, Path(folder))
        tally = chaos(subject, told.kills, told.seed)
    rows = [["kills", tally.kills], ["workspaces finished, all byte-identical to the undisturbed one", tally.rounds]]
    rows += [["questions answered twice, in all", tally.asked_twice], ["most of them for one kill", tally.most_twice_a_kill]]
    rows += [[f"killed {where}", number] for where, number in sorted(tally.killed_in.items())]
    chosen = [f" --{name} {number}" for name in ("chain", "answers", "intake") if (number := getattr(told, name))]
    show(
        "Killed anywhere, same bytes",
        f"python -m benchmarks.chaos{''.join(chosen)} --kills {told.kills} --seed {told.seed}",
        ["what", "number"],
        rows,
    )


if __name__ == "__main__":
    main()
