"""From raw video alone: how many questions of each type does the chain reach, and how many of them are what the script says?

Worlds of the lowest level that can show a type, without their scripts: only the files are brought. A faultless oracle
describes, writes, tries and answers. `truth.py` holds each task against its script. `--mixed N` instead takes N videos of mixed
length from their folder to a packed corpus with one command.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.recipe import read_recipe
from tests.support.raw_chain import LOWEST, at_lowest_levels, ran
from tests.support.tables import show


def mixed(videos: int) -> list[list[object]]:
    """One command on a folder of videos of mixed length."""
    settings = WorldSettings(videos=videos, knobs=LEVELS[2], longest_s=60)
    with tempfile.TemporaryDirectory(prefix="dmforge-questions-") as name:
        began = time.monotonic()
        with ran(Path(name), settings, list(LOWEST), 6) as workspace:
            took_s = time.monotonic() - began
            view = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages)
            rows: list[list[object]] = [["the command, and the worlds before it", f"{took_s:.0f} s"]]
            minutes = view.connection.execute("SELECT sum(duration_cs) / 6000 FROM videos").fetchall()[0][0]
            rows.append(["minutes of video", f"{minutes:.0f}"])
            for table in ("videos", "storylines", "drafts", "tasks", "candidates", "packed"):
                rows.append([table, view.connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--mixed", type=int, metavar="VIDEOS")
    arguments = parser.parse_args()
    if arguments.mixed:
        show(
            "A folder, one command",
            f"python -m benchmarks.questions --mixed {arguments.mixed}",
            ["what", "number"],
            mixed(arguments.mixed),
        )
        return
    show(
        "Questions written from raw video, held against the scripts",
        f"python -m benchmarks.questions --videos {arguments.videos}",
        ["type", "level", "tasks", "as the script says", "share", "candidates"],
        [
            [r.type, r.level, r.tasks, r.right, f"{r.right / r.tasks:.3f}", r.candidates]
            for r in at_lowest_levels(arguments.videos)
        ],
    )


if __name__ == "__main__":
    main()
