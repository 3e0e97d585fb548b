"""Fixed work whose cost is counted instead of timed: calls, bytes and system calls are the same on a busy machine.

    python -m tests.scale.counted reading     # what it costs now, as a line of JSON
    python -m tests.scale.counted --write     # writes down what all of it costs: from then on that is what a test expects

Each piece of work is done once before it is counted, so that no import is among what is counted.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import dmforge as dm
from dmforge.commands import intake
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.foundation import lakes
from tests.support import corpora

VIDEOS, TASKS, LINES = 100, 2000, 500
COUNTS = Path(__file__).with_name("counts.json")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Python's: another one makes other calls of the same code."""
Work = Callable[[], object]


def reading(folder: Path) -> Work:
    """All samples of a corpus, in random order."""
    corpus = Corpus(str(corpora.corpus(folder, VIDEOS, sizes=(10_000, 30_000))))
    order = random.Random(1).sample(range(2 * VIDEOS), 2 * VIDEOS)
    return lambda: [corpus[number] for number in order]


def running(folder: Path) -> Work:
    """Two stages that do nothing much, in this process: others' progress is polled, as often as time passes."""
    lakes.write_recipe(folder, tasks=TASKS, batch=TASKS // 4)
    lakes.run(folder, until="count")
    return lambda: lakes.run(folder)


def auditing(folder: Path) -> Work:
    """What became of every input, and why."""
    lakes.write_recipe(folder, tasks=TASKS, batch=TASKS // 4)
    lakes.run(folder)
    workspace = dm.Workspace(folder)
    return lambda: (workspace.funnel(), workspace.audit("reasons"))


def importing(folder: Path) -> Work:
    """Questions about videos that aren't there."""
    folder.mkdir(parents=True)
    lines = (
        {"video": f"v{number % 50}.mp4", "kind": "open", "question": f"What is number {number}?", "answer": "it"}
        for number in range(LINES)
    )
    annotations = folder / "tasks.jsonl"
    annotations.write_text("".join(json.dumps(line) + "\n" for line in lines))
    workspace = WorkspaceFolder(folder / "ws")
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text('name = "importing"\n[stages.ingest]\n[stages.import]\n')
    return lambda: intake.add_annotations(workspace, "dmforge import", "jsonl", [annotations])


WORKS: dict[str, Callable[[Path], Work]] = {work.__name__: work for work in (reading, running, importing, auditing)}


def counts(name: str, folder: Path) -> dict[str, int]:
    """What the second time costs, by kind: of this process and of those that it has ended."""
    WORKS[name](folder / "first")()
    work = WORKS[name](folder / "second")
    profile, before = cProfile.Profile(), _io()
    profile.runcall(work)
    after = _io()
    calls = sum(row[1] for row in pstats.Stats(profile).stats.values())  # pyright: ignore[reportAttributeAccessIssue]
    again = WORKS[name](folder / "third")
    tracemalloc.start()
    again()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    return {"calls": calls, **{key: after[key] - before[key] for key in before}, "peak_bytes": peak_bytes}


def _io() -> dict[str, int]:
    names = {"rchar": "read_bytes", "wchar": "written_bytes", "syscr": "reads", "syscw": "writes"}
    lines = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {names[key]: int(value) for key, value in lines if key in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=WORKS)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        COUNTS.write_text(json.dumps({"python": VERSION} | {name: in_a_process(name) for name in WORKS}, indent=2) + "\n")
    elif arguments.name:
        with tempfile.TemporaryDirectory(prefix="dmforge-") as folder:
            sys.stdout.write(json.dumps(counts(arguments.name, Path(folder))) + "\n")
    else:
        parser.error("say which work, or --write")


def in_a_process(name: str) -> dict[str, int]:
    """What it costs in a process of its own, whose sets are in the same order each time."""
    command, environment = [sys.executable, "-m", "tests.scale.counted", name], {**os.environ, "PYTHONHASHSEED": "0"}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
