"""The same tasks asked of the same oracle, which errs and fails as servers do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.watch import SCRIPTS, Ran, kill, lines, run
from dmforge.commands import intake
from dmforge.commands import run as run_commands
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds

BEHAVIOUR = Behaviour(
    faults={"429_hint": 0.05, "429": 0.02, "500": 0.03, "cut": 0.02, "truncated": 0.03, "prose": 0.02}, delay_s=0.1
)
PROMPTS = Path(run_commands.__file__).parent / "generators" / "prompts"
ROUNDS = 2
COLUMNS = ("who asks", "answers/s", "CPU s", "peak MB", "lines", "answered", "tasks with a trajectory",
           "killed: answered twice", "lost", "doubled")  # fmt: skip


def contest(folder: Path, python: Path, worlds: int) -> list[list[object]]:
    place = folder / "worlds"
    make_worlds(place, WorldSettings(videos=worlds))
    tasks = len((place / "tasks.jsonl").read_text().splitlines())
    prepared = _prepared(folder / "brought", place)
    out, workspace = folder / "plain.jsonl", folder / "ws"

    def fresh() -> None:
        out.unlink(missing_ok=True)
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(prepared, workspace)

    def command(name: str, url: str) -> list[object]:
        plain = [python, SCRIPTS / "teach_plain.py", place, PROMPTS, out, url]
        return plain if name == "plain" else [sys.executable, "-m", "dmforge.cli", "run", "-w", workspace]

    count_trajectories: dict[str, Callable[[], Counter[str]]] = {
        "dmforge": lambda: _of_lake(workspace),
        "plain": lambda: _of_lines(out),
    }
    best: dict[str, tuple[Ran, int, int]] = {}
    for turn in range(ROUNDS):
        for name in ("dmforge", "plain") if turn % 2 else ("plain", "dmforge"):
            fresh()
            with serving(place, BEHAVIOUR) as url:
                ran, answered = run(command(name, url), {"OPENAI_BASE_URL": url}), answered_count(url)
            if name not in best or ran.s < best[name][0].s:
                best[name] = ran, answered, len(count_trajectories[name]())
    rows: list[list[object]] = []
    for name, (ran, answered, taught) in best.items():
        fresh()
        with serving(place, BEHAVIOUR) as url:
            environment = {"OPENAI_BASE_URL": url}
            kill(command(name, url), lambda url=url, half=answered // 2: answered_count(url) >= half, environment)
            run(command(name, url), environment)
            twice = answered_count(url) - answered
        trajectories = count_trajectories[name]()
        script = SCRIPTS / ("teach_plain.py" if name == "plain" else "teach_dmforge.toml")
        rows.append([name, f"{answered / ran.s:.1f}", f"{ran.cpu_s:.1f}", f"{ran.peak_mb:.0f}", lines(script), answered,
                     f"{taught} of {tasks}", twice, max(0, taught - len(trajectories)),
                     trajectories.total() - len(trajectories)])  # fmt: skip
    return sorted(rows, key=str)


def answered_count(url: str) -> int:
    """How many questions were answered so far, whoever asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as reply:
        return json.load(reply)["usage"]["answered"]


def _prepared(root: Path, worlds: Path) -> Path:
    """A workspace with its videos and tasks: that is done once, and not what is measured."""
    place = run_commands.init(root, "demo")
    shutil.copy(SCRIPTS / "teach_dmforge.toml", place.recipe)
    intake.add_videos(place, "peers", [str(worlds / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(place, "peers", "jsonl", [worlds / "tasks.jsonl"])
    words = [sys.executable, "-m", "dmforge.cli", "run", "-w", str(root), "--until", "import"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return root


def _of_lake(root: Path) -> Counter[str]:
    view = LakeView(Lake(WorkspaceFolder(root)), run_commands.read_recipe(root / "recipe.toml").stages)
    return Counter(str(task.hex()) for (task,) in view.connection.execute("SELECT task FROM candidates").fetchall())


def _of_lines(out: Path) -> Counter[str]:
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text().splitlines()]
    return Counter(str(row["task"]) for row in rows if "error" not in row)
