"""Is what a plan says that the rest of a run costs, what the rest then costs? Recipes that ask, by providers with habits.

Of sixty short videos a pilot takes twenty; then the rest is planned, and run. Providers are those of `tests/support`: one that
is plain, one that thinks a thousand tokens before it speaks, one of whose replies one in three can't be read.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dmforge.api import workspace as api
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from tests.support.planned_rest import rest_of
from tests.support.tables import show

HABITS = ("plain", "thinks-unseen", "broken-json")
EDITS: Mapping[str, Mapping[str, str]] = {
    "from-raw-video": {r'videos = \["\.\./films/videos"\].*': "videos = []"},
    "demo": {
        "max_output_tokens = 256 ": "max_output_tokens = 8192 ",
        r"# (\[stages\.safety\].*)\n# (model)": r"\1\n\2",
    },
    "dm-cot": {
        r'\[stages\.draw\.quotas\](.*\n)+?"\*/\*" = 0 .*': '[stages.draw.quotas]\n"*/*" = 100000',
        r"input_usd = 0\.0\noutput_usd = 0\.0": "input_usd = 0.2\noutput_usd = 0.6",
        r"base_url = .*": "",
        r"api_key_env = .*": "",
    },
}
"""By recipe, what is written otherwise than in the one that comes with dmforge: patterns, and what takes their place."""
FREE_UNTIL = {"from-raw-video": "ingest", "demo": "duplicates", "dm-cot": "duplicates"}
"""By recipe, the last stage before anything is asked: done once, for all habits."""


def prepared(recipe: str, worlds: Path, folder: Path) -> Path:
    """A workspace of a recipe in which all videos are known and nobody was asked anything yet."""
    if folder.exists():
        return folder
    workspace = api.init(folder, recipe)
    path = folder / "recipe.toml"
    text = path.read_text()
    for pattern, replacement in EDITS[recipe].items():
        text, count = re.subn(pattern, replacement, text)
        assert count, f"{recipe} has nothing like {pattern}"
    path.write_text(text)
    workspace.ingest(worlds / "videos", source="worlds", licence="CC0-1.0")
    if recipe != "from-raw-video":
        workspace.import_annotations("jsonl", worlds / "tasks.jsonl")
    workspace.run(until=FREE_UNTIL[recipe], progress=False)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--pilot", type=int, default=20)
    parser.add_argument("--recipe", choices=sorted(EDITS), help="one recipe instead of all")
    parser.add_argument("--place", type=Path, help="where worlds and templates are kept, for another time")
    parser.add_argument("--stages", action="store_true", help="a table of stages, too")
    arguments = parser.parse_args()
    rows, stage_rows = list[list[object]](), list[list[object]]()
    with tempfile.TemporaryDirectory(prefix="dmforge-plans-") as name:
        place = arguments.place or Path(name)
        make_worlds(place / "worlds", WorldSettings(videos=arguments.videos))
        for recipe in [arguments.recipe] if arguments.recipe else EDITS:
            template = prepared(recipe, place / "worlds", place / recipe)
            for habit in HABITS:
                folder = Path(shutil.copytree(template, place / f"{recipe}-{habit}"))
                rest = rest_of(folder, habit, arguments.pilot)
                dollars = [f"{usd:.4f}" for usd in (rest.pilot_usd, rest.planned_usd, rest.spent_usd)]
                rows.append([recipe, habit, *dollars, f"{rest.ratio:.2f}"])
                for stage, planned_usd in rest.planned_by_stage.items():
                    spent_usd = rest.spent_by_stage.get(stage, 0.0)
                    stage_rows.append([recipe, habit, stage, f"{planned_usd:.4f}", f"{spent_usd:.4f}"])
                shutil.rmtree(folder)
    command = f"python -m benchmarks.plans --videos {arguments.videos} --pilot {arguments.pilot}"
    columns = ["recipe", "habit", "pilot $", "planned $", "spent $", "planned / spent"]
    show("The rest of a run behind a pilot, planned and spent", command, columns, rows)
    if arguments.stages:
        show("By stage", command, ["recipe", "habit", "stage", "planned $", "spent $"], stage_rows)


if __name__ == "__main__":
    main()
