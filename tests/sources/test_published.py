"""The recipes of the two corpora, planned against the files that people published, with stand-ins for their videos."""

from __future__ import annotations

import csv
import json
from collections import Counter
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.task_sampling import DrawConfig
from dmforge.recipe import RECIPES, read_recipe
from tests.support.barcodes import Case, write

VIDEO_R1 = "of its one row"
LENGTHS_S = {
    "AO8RW": 34, "Y6R7T": 31, "v_QOlSCBRmfWY": 83, "10001787725": 34, VIDEO_R1: 20,
}  # fmt: skip
"""Videos that are asked about, and how long their stand-ins are."""
FILES = {
    "charades_sta": ("charades_sta/charades_sta_train.txt",),
    "activitynet_captions": ("activitynet_captions/train.json",),
    "nextgqa": ("nextgqa/val.csv", "nextgqa/gsub_val.json"),
    "video_r1": ("video_r1/video_r1_260k_example_row.json",),
}
LISTS = {"charades_sta_test": "charades", "nextgqa_val": "vidor", "lvbench_youtube": "youtube"}
"""As if NExT-GQA's val split were kept for evaluation: then what was made of it must be found."""


def dmforge(*words: object) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


def planned(place: Path) -> tuple[dict[str, dict[str, Any]], float]:
    told = dmforge("plan", "-w", place, "--json")
    return {stage["name"]: stage for stage in told["stages"]}, told["cost"]


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


def images(duration_s: float, window_s: float) -> int:
    """By the paper's formulae: 2 frames a second of the video, at most 256 and even; then 3 a second of the window, paired."""
    coarse = min(256, max(4, int(duration_s * 2)))
    look = max(2, min(64, int(window_s * 3 + 1e-9)))
    return coarse - coarse % 2 + 2 * ceil(look / 2)


def questions_in(real_data: Path) -> int:
    """What stands in these files, counted without the importers; of all but a few there is no video here."""
    folder = real_data / "annotations"
    captions = json.loads((folder / FILES["activitynet_captions"][0]).read_text()).values()
    with (folder / FILES["nextgqa"][0]).open(newline="") as file:
        choices = sum(1 for _ in csv.DictReader(file))
    lines = (folder / FILES["charades_sta"][0]).read_text().splitlines()
    return len(lines) + sum(len(one["sentences"]) for one in captions) + choices + 1


@pytest.mark.slow
@pytest.mark.real_data
def test_both_corpora_are_planned_on_published_files(tmp_path: Path, real_data: Path) -> None:
    place, videos = tmp_path / "dm", tmp_path / "videos"
    videos.mkdir()
    dmforge("init", place, "--recipe", "dm-cot")
    named = json.loads((real_data / "annotations/video_r1/video_r1_260k_example_row.json").read_text())[0]["path"]
    for number, (name, length_s) in enumerate(LENGTHS_S.items()):
        stem = Path(named).stem if name == VIDEO_R1 else name
        times = tuple(Fraction(tick, 2) for tick in range(length_s * 2))
        write(Case(stem, width=64, height=64, times_s=times, first=1000 * number), videos)
    listed = 0
    for name, namespace in LISTS.items():
        file = real_data / f"benchmark_ids/{name}.txt"
        told = dmforge("import", "ids", file, "--namespace", namespace, "--source", name, "-w", place, "--json")
        assert told["tasks"] == len(set(file.read_text().split()))
        listed += told["tasks"]
    made: Counter[str] = Counter()
    for form, files in FILES.items():
        paths = [real_data / "annotations" / file for file in files]
        made[form] = dmforge("import", form, *paths, "--videos", videos, "-w", place, "--json")["tasks"]
    assert all(made.values()), made
    stages, cost = planned(place)
    assert stages["benchmarks"]["made"] == listed
    taken = stages["import"]
    assert (taken["made"], taken["made"] + taken["rejected"], taken["pending"]) == (made.total(), questions_in(real_data), 0)
    assert cost == 0, "nothing is drawn yet"

    dmforge("run", "--until", "draw", "-w", place)
    assert rows(place, "SELECT count(*) FROM tasks") == [(made.total(),)]
    unclean = (
        "SELECT p.source_id FROM verdicts v JOIN provenances p ON v.subject = p.video WHERE filter = 'clean' AND score = 0"
    )
    assert rows(place, unclean) == [("10001787725",)]
    drawn = rows(
        place,
        "SELECT t.source || '/' || t.task_kind, v.duration_cs / 100, (t.windows[1].end_cs - t.windows[1].start_cs) / 100"
        " FROM drawn d JOIN tasks t ON d.task = t.id JOIN videos v ON v.id = t.video WHERE d.split = 'train'",
    )
    stages, cost = planned(place)
    annotate = stages["annotate"]
    assert annotate["pending"] == len(drawn) > 0
    assert annotate["calls"] == 2 * len(drawn)
    assert annotate["output_tokens"] == 1000 * annotate["calls"]
    shown = sum(258 * images(duration, 4 if window is None else window) for _, duration, window in drawn)
    words = annotate["input_tokens"] - shown
    assert 100 < words / annotate["calls"] < 2500, "what is left of the tokens is instructions, stamps and questions"
    assert annotate["cost"] == pytest.approx((annotate["input_tokens"] * 1.25 + annotate["output_tokens"] * 10) / 1e6)
    assert cost == pytest.approx(sum(stage["cost"] for stage in stages.values()))

    # the second corpus, in the same workspace: what is drawn is among the first one's, and nothing is made anew
    dmforge("init", tmp_path / "rl", "--recipe", "dm-rl")
    (place / "recipe.toml").write_bytes((tmp_path / "rl/recipe.toml").read_bytes())
    again, _ = planned(place)
    for name in ("ingest", "import", "benchmarks", "contamination", "needs_audio", "duplicates"):
        assert (again[name]["pending"], again[name]["made"]) == (0, stages[name]["made"]), name
    dmforge("run", "--until", "draw", "-w", place)
    for_rl = rows(place, "SELECT task FROM drawn WHERE split = 'train'")
    again, cost = planned(place)
    assert again["annotate"]["calls"] == 2 * len(for_rl) > 0
    assert 0 < cost <= annotate["cost"] + 1e-9
    assert again["blind"]["awaits"]


def test_what_both_recipes_tell_the_same_is_done_once() -> None:
    recipes = (read_recipe(RECIPES / f"{name}.toml") for name in ("dm-cot", "dm-rl"))
    cot, rl = ({stage.name: stage for stage in recipe.stages} for recipe in recipes)
    same = ("ingest", "import", "benchmarks", "contamination", "needs_audio", "duplicates", "annotate")
    assert [cot[name].variant for name in same] == [rl[name].variant for name in same]
    drawn, again = cot["draw"].config, rl["draw"].config
    assert isinstance(drawn, DrawConfig)
    assert isinstance(again, DrawConfig)
    assert (drawn.seed, drawn.held_out) == (again.seed, again.held_out)
    assert all(number <= drawn.quotas[name] for name, number in again.quotas.items())
    assert (sum(drawn.quotas.values()), sum(again.quotas.values())) == (110_000, 90_000)
