"""Killed anywhere, same bytes: a three-stage pipeline is SIGKILLed at random moments until it has had enough kills.

The baseline, in the same run, is one undisturbed run of the same recipe. What must hold:
the lake ends byte-identical; no answer that was acknowledged (fsynced in the journal) is asked for again; a kill makes no more
questions be asked twice than were in flight; and no process of a killed run lives on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.memory import tree
from benchmarks.score_server import asked, serving
from benchmarks.tables import show

CONCURRENCY = 8
RECIPE = """
name = "chaos"
[stages.count]
tasks = {tasks}
crash_every = {crash_every}
work_ms = 1
batch_items = 20
[stages.inquire]
url = "{url}"
concurrency = {concurrency}
batch_items = 20
[stages.keep]
threshold = 0.5
"""


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


def prepare(workspace: Path, url: str, tasks: int, crash_every: int) -> None:
    (workspace / "inputs").mkdir(parents=True)
    recipe = RECIPE.format(url=url, tasks=tasks, crash_every=crash_every, concurrency=CONCURRENCY)
    (workspace / "recipe.toml").write_text(recipe)


def run(workspace: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dmforge.cli", "run", "-w", str(workspace)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_until_done(workspace: Path, url: str, tally: Tally, kills: int, rng: random.Random) -> None:
    """Run one workspace to its end, killing it on the way as long as kills are left. Checks after each kill."""
    while True:
        before, known = asked(url), acknowledged(workspace)
        process = run(workspace)
        try:
            code = _wait_for_a_moment(process, workspace, rng) if tally.kills < kills else process.wait()
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
        _check_questions(before, asked(url), known, tally)
        if process.returncode == 0:
            return


def chaos(kills: int, tasks: int, seed: int) -> Tally:
    """Kill runs of one recipe, in fresh workspaces as each is finished, and compare each with an undisturbed one."""
    rng, tally = random.Random(seed), Tally()
    crash_every = max(20, tasks // 2)
    with tempfile.TemporaryDirectory(prefix="dmforge-chaos-") as folder:
        calm = Path(folder) / "calm"
        with serving(delay_s=0.02) as url:
            prepare(calm, url, tasks, crash_every)
            if run(calm).wait():
                sys.exit("the undisturbed run failed")
        expected = fingerprint(calm / "lake")
        while tally.kills < kills:
            tally.rounds += 1
            shaken = Path(folder) / f"shaken{tally.rounds}"
            with serving(delay_s=0.02) as url:
                prepare(shaken, url, tasks, crash_every)
                kill_until_done(shaken, url, tally, kills, rng)
            found = fingerprint(shaken / "lake")
            if found != expected:
                differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
                sys.exit(f"seed {seed}: after {tally.kills} kills the lake differs in {differing[:5]}")
    return tally


def _check_questions(before: Counter[str], after: Counter[str], known: set[str], tally: Tally) -> None:
    again = {key for key in after if before[key] and after[key] > before[key]}
    if again & known:
        sys.exit(f"{len(again & known)} answers were in the journal and were asked for again: {sorted(again & known)[:3]}")
    if len(again) > CONCURRENCY:
        sys.exit(f"{len(again)} questions were asked again after one kill; {CONCURRENCY} were in flight at most")
    tally.asked_twice += len(again)
    tally.most_twice_a_kill = max(tally.most_twice_a_kill, len(again))


def _wait_for_a_moment(process: subprocess.Popen[str], workspace: Path, rng: random.Random) -> int:
    """Some commits later and then a little, or, one time in six, while the run starts up."""
    if rng.random() < 1 / 6:
        return process.wait(rng.uniform(0, 1.0))
    enough = _commits(workspace) + rng.randrange(4)
    while process.poll() is None and _commits(workspace) <= enough:
        time.sleep(0.01)
    return process.wait(rng.uniform(0, 0.05))


def _commits(workspace: Path) -> int:
    return len(list(workspace.glob("lake/commits/*/*.json")))


def _stage_under_way(workspace: Path) -> str:
    done = [stage for stage in ("keep", "inquire", "count") if any((workspace / "lake/commits" / stage).glob("*.json"))]
    return f"after first commit of {done[0]}" if done else "before any commit"


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
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    told = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    tally = chaos(told.kills, told.tasks, told.seed)
    rows = [["kills", tally.kills], ["workspaces finished, all byte-identical to the undisturbed one", tally.rounds]]
    rows += [["questions asked twice, in all", tally.asked_twice], ["most of them for one kill", tally.most_twice_a_kill]]
    rows += [[f"killed {where}", number] for where, number in sorted(tally.killed_in.items())]
    show(
        "Killed anywhere, same bytes",
        f"python -m benchmarks.chaos --kills {told.kills} --seed {told.seed}",
        ["what", "number"],
        rows,
    )


if __name__ == "__main__":
    main()
