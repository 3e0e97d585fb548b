"""An auditor's eight questions, each answered by one command: how long does each take on 200,000 candidates?

The lake is that of `benchmarks.audit` with questions of many wordings in two splits, beside a second run with other candidates,
and a file in the shape of LVBench (103 videos, 1,545 questions). All rows are made up. Measured are whole processes, from the
start of Python to the end: by the clock, which says little where others use the machine, and CPU of all threads; and the most
memory that any of them held.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from benchmarks.audit import Build
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import show as print_id
from tests.support.tables import show

COMMAND = "python -m benchmarks.auditor"
ACTORS = (
    "man",
    "woman",
    "girl",
    "boy",
    "dog",
    "cat",
    "cyclist",
    "runner",
    "waiter",
    "chef",
    "driver",
    "teacher",
    "painter",
    "nurse",
)
DEEDS = ("open", "lift", "throw", "grab", "wash", "fix", "carry", "inspect", "paint", "hide", "push", "drop", "fold", "cut")
THINGS = (
    "door", "window", "bucket", "ladder", "suitcase", "umbrella", "guitar", "drum", "kettle", "bicycle", "lantern", "crate",
    "mirror", "helmet", "ball", "book", "rope", "carpet", "candle", "letter",
)  # fmt: skip
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "orange", "purple")
SCENES = (
    "phone rings",
    "bus leaves",
    "lights go out",
    "crowd cheers",
    "rain begins",
    "music stops",
    "train stops",
    "bell rings",
)
ORDER = ("before", "after")


class WordedBuild(Build):
    """A workspace whose questions have many wordings, a few of them nearly the same, in two splits."""

    def questions(self, count: int) -> list[str]:
        drawn = [self._some(_array(words), count).tolist() for words in (ACTORS, DEEDS, COLOURS, THINGS, ORDER, SCENES)]
        return [
            f"When does the {actor} {deed} the {colour} {object_name} {order} the {scene}?"
            for actor, deed, colour, object_name, order, scene in zip(*drawn, strict=True)
        ]

    def splits(self, count: int) -> list[str]:
        return self._some(_array(("train",) * 19 + ("test",)), count).tolist()


def _array(words: tuple[str, ...]) -> npt.NDArray[np.str_]:
    return np.array(words)


def write_benchmark(path: Path) -> Path:
    """A file in the shape of LVBench."""
    random = Random(1)
    with path.open("w") as file:
        for video in range(103):
            qa = list[dict[str, str]]()
            for number in range(15):
                start_s, length_s = random.randrange(3600), random.choice((0, 2, 5, 10, 60, 300))
                bounds = [f"{at // 60:02d}:{at % 60:02d}" for at in (start_s, start_s + length_s)]
                question = f"What is the object {number} that is seen there?\n(A) red\n(B) green\n(C) blue\n(D) grey"
                qa.append({"question": question, "answer": random.choice("ABCD"), "time_reference": "-".join(bounds)})
            file.write(json.dumps({"key": f"video{video:06d}", "type": "made up", "qa": qa}) + "\n")
    return path


def commands(workspace: Path, other: Path, benchmark: Path) -> dict[str, list[str]]:
    """Each question with the words of its command."""
    view = LakeView(Lake(WorkspaceFolder(workspace)), read_recipe(workspace / "recipe.toml").stages)
    sample_id = view.connection.execute("SELECT id FROM samples ORDER BY hash(id) LIMIT 1").fetchall()[0][0]
    return {
        "Which prompt makes bad windows?": ["audit", "prompts"],
        "Is a letter right too often?": ["audit", "balance"],
        "What is said twice across splits?": ["audit", "near_clusters"],
        "Does it look like LVBench?": ["audit", "likeness", "--with", str(benchmark)],
        "What goes at another threshold?": ["select", "cot", "--sweep", "answer"],
        "Why is this sample kept?": ["why", print_id("sample", sample_id)],
        "Where does the money go?": ["audit", "cost"],
        "What changed between two runs?": ["audit", "changes", "--with", str(other)],
    }


def asked(words: list[str], workspace: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.monotonic()
    command = [sys.executable, "-m", "dmforge.cli", *words, "-w", str(workspace), "--json"]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.monotonic() - began_s, cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=200_000)
    parser.add_argument("--lakes", type=Path, help="a folder with lakes that were made before, or where to leave them")
    arguments = parser.parse_args()
    candidates = arguments.candidates
    with tempfile.TemporaryDirectory(prefix="dmforge-auditor-") as scratch:
        lakes = arguments.lakes or Path(scratch)
        workspace, other = lakes / "ws", lakes / "other"
        for folder, seed in ((workspace, 7), (other, 8)):
            if not (folder / "recipe.toml").exists():
                # in a process of its own: what making it takes is not what asking takes
                subprocess.run([sys.executable, "-c", BUILD, str(folder), str(candidates), str(seed)], check=True)
        benchmark = write_benchmark(lakes / "lvbench.jsonl")
        rows: list[list[object]] = []
        for question, words in commands(workspace, other, benchmark).items():
            clock_s, cpu_s = asked(words, workspace)
            print(f"{question} {clock_s:.1f} s, {cpu_s:.1f} s of CPU", file=sys.stderr, flush=True)
            command_line = " ".join(["dmforge", *words]).replace(str(other), "OTHER").replace(str(benchmark), "lvbench.jsonl")
            rows.append([question, f"`{command_line}`", f"{clock_s:.1f}", f"{cpu_s:.1f}"])
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        rows.append(["the most memory of any of them, building included", "", f"{peak_mb:,} MB", ""])
    title = f"An auditor's questions to {candidates:,} candidates"
    show(title, f"{COMMAND} --candidates {candidates}", ["question", "command", "s", "CPU s"], rows)


BUILD = (
    "import sys, pathlib, benchmarks.auditor as a; a.WordedBuild(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
)

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
