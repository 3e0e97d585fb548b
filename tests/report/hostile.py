"""A workspace full of what strangers may write: markup, quotes, letters that turn text around, words without an end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds

RECIPE = """name = "<script>window.planted='recipe'</script> & friends"
[stages.ingest]
[stages.import]
[stages.rules]
[stages.citations]
[stages.human]
[stages.select_cot]
[stages.select_cot.min_score]
grammar = 1.0
window = 1.0
[stages.select_cot.min_score_if_present]
human = 1.0
[stages.select_rl]
"""
PLANTS = (
    "<script>window.planted=1</script>",
    '"><img src=x onerror=window.planted=2>',
    "' onmouseover=window.planted=3 autofocus onfocus=window.planted=3 x='",
    "</script><script>window.planted=4</script>",
    "</style><style>body{display:none}</style>",
    "<svg onload=window.planted=5><iframe srcdoc='<script>parent.planted=5</script>'>",
    "</textarea></title></select><a href=javascript:window.planted=6>x</a>",
    "{{ 7*7 }} {% for x in y %} ${7*7} <!-- ]]> &lt;b&gt;",
    "right \u202etfel\u202c \u2066to\u2069 \u200fleft\u061c",
    "bell \u0007 escape \u001b[31m null \u0000 line \u2028 bom \ufeff tag \U000e0041",
    "zalgo " + "e\u0301\u0302\u0303\u0304" * 60,
    "W" * 3000,
)
NAMES = ("<img src=x onerror=window.planted='file'>", "a'b\"c&d;e")
"""Of video files, without their suffix."""
SOURCE = "<b onclick=window.planted='source'>source</b>\u202e"


def answer(plant: str, start: int, end: int) -> str:
    thought = f"It must be early in the video, says {plant} and so I look there."
    return (
        f"<think>{thought}<span>{start}.00 - {end}.00</span><fps>2</fps><video>Now {plant} is plain to see here.</think>"
        "<answer>1.00 - 4.00</answer>"
    )


def build(folder: Path) -> WorkspaceFolder:
    """Of every plant a candidate that is kept, one whose window lies outside, and a question with it as an option."""
    worlds, videos = folder / "worlds", folder / "videos"
    make_worlds(worlds, WorldSettings(videos=len(NAMES)))
    videos.mkdir()
    for name, world in zip(NAMES, sorted((worlds / "videos").iterdir()), strict=True):
        shutil.copy(world, videos / f"{name}.mp4")
    written, asked = folder / "<i>written<i>.json", folder / "asked.jsonl"
    rows = [
        {
            "index": number, "video": [f"{NAMES[number % 2]}.mp4"], "gemini_suggested_fps": "2", "original_fps": 12.0,
            "conversations": [
                {"from": "human", "value": f"<video>\nFind it. textual query: {place} {plant}"},
                {"from": "gpt", "value": answer(plant, start, start + 3)},
            ],
        }
        for number, plant in enumerate(PLANTS) for place, start in (("early", 1), ("outside", 40))
    ]  # fmt: skip
    written.write_text(json.dumps(rows))
    tasks = [
        {"video": f"{NAMES[0]}.mp4", "kind": "mcq", "question": f"Which? {plant}", "options": [plant, "blue"], "answer": "blue"}
        for plant in PLANTS
    ]
    asked.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    workspace = WorkspaceFolder(folder / "ws")
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text(RECIPE)
    claims = SourceInfo(source=SOURCE, licence="<u>CC0</u>")
    intake.add_videos(workspace, "test", [str(videos)], claims)
    intake.add_annotations(workspace, "test", "dynframe", [written], claims=claims)
    intake.add_annotations(workspace, "test", "jsonl", [asked], claims=claims)
    finish(workspace)
    return workspace


def finish(workspace: WorkspaceFolder) -> None:
    for report in run.run(workspace, Console(quiet=True), "test"):
        assert not report.tally.pending, report
