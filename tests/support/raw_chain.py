"""The recipe for raw videos, run on worlds without their scripts, and what it asked held against the scripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dmforge.commands import run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, file_name, make_worlds
from dmforge.recipe import read_recipe
from tests.support.truth import agrees

LOWEST = {
    "object": 0, "action": 0, "count": 0, "duration": 0, "state": 0, "order": 2, "comparison": 4, "cause": 6,
}  # fmt: skip
"""The lowest level of worlds that can show a type."""

SEED = 33
"""Its first twelve worlds do everything that a world can do: objects that change are one in nine."""

DMFORGE = (sys.executable, "-m", "dmforge.cli")

ASKED = """
SELECT a.type, t.question, t.answer, t.windows, v.sha256,
    EXISTS (SELECT 1 FROM candidates c WHERE c.task = t.id)
FROM authored a JOIN tasks t ON t.id = a.task JOIN videos v ON v.id = t.video
"""


@dataclass(frozen=True, slots=True)
class Reached:
    """One type at one level."""

    type: str
    level: int
    tasks: int
    right: int
    candidates: int


@contextmanager
def ran(folder: Path, settings: WorldSettings, types: list[str], per_video: int) -> Iterator[WorkspaceFolder]:
    """A workspace in which the recipe has run on worlds, with the types that are asked for."""
    worlds, place = folder / "films", folder / "ws"
    make_worlds(worlds, settings)
    workspace = run.init(place, "from-raw-video")
    recipe = workspace.recipe.read_text().replace("../films/videos", str(worlds / "videos"))
    recipe = re.sub(r"per_video = \d+", f"per_video = {per_video}", recipe)
    for name in LOWEST.keys() - set(types):
        recipe = re.sub(rf"^{name} = 1$", f"{name} = 0", recipe, flags=re.MULTILINE)
    workspace.recipe.write_text(recipe)
    with serving(worlds, Behaviour()) as url:
        done = subprocess.run(
            [*DMFORGE, "run", "-w", str(place)],
            env={**os.environ, "OPENAI_BASE_URL": url},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        yield workspace


def reached(workspace: WorkspaceFolder, settings: WorldSettings, level: int) -> list[Reached]:
    """What was asked in a workspace, held against the scripts."""
    view = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages)
    videos = workspace.root.parent / "films/videos"
    numbers = {sha256((videos / file_name(n)).read_bytes()).hexdigest(): n for n in range(settings.videos)}
    right, tasks, candidates = Counter[str](), Counter[str](), Counter[str]()
    for kind, question, answer, windows, digest, answered in view.connection.execute(ASKED).fetchall():
        spans = [(window["start_cs"] / 100, window["end_cs"] / 100) for window in windows]
        tasks[kind] += 1
        right[kind] += agrees(settings.script(numbers[digest]), question, answer, spans)
        candidates[kind] += answered
    return [Reached(kind, level, tasks[kind], right[kind], candidates[kind]) for kind in sorted(tasks)]


def at_lowest_levels(videos: int, per_video: int = 6) -> list[Reached]:
    """Every type, on worlds of the lowest level that can show it."""
    types = defaultdict[int, list[str]](list)
    for kind, level in LOWEST.items():
        types[level].append(kind)
    found: list[Reached] = []
    for level, wanted in sorted(types.items()):
        settings = WorldSettings(videos=videos, seed=SEED, knobs=LEVELS[level])
        folder = tempfile.TemporaryDirectory(prefix="dmforge-questions-")
        with folder as name, ran(Path(name), settings, wanted, per_video if len(wanted) > 1 else 2) as workspace:
            found += reached(workspace, settings, level)
    return found
