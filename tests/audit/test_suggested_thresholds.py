"""What the page suggests is enough: a corpus that got stop gets go by it, and its answers are right by the worlds' truth."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from dmforge.commands.demo.chain import HABITS, Chain
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.recipe import read_recipe
from tests.audit.conftest import ask
from tests.support.made_once import made_once
from tools.screenshots import follow_suggestions

WORLDS = 80
MAX_WRONG = 0.01
"""The share of wrong answers that a corpus may have and still be worth training on."""
KEPT = """
SELECT b.name, t.question, c.answer
FROM samples s JOIN candidates c ON c.id = s.candidate JOIN tasks t ON t.id = s.task JOIN brought b ON b.video = s.video
"""
THRESHOLDS = re.compile(r"^\[stages\.select_cot\.min_score\].*?(?=^\[)", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus that the demo's student imitates, and the worlds that it is about."""

    def make(folder: Path) -> None:
        Chain(Console(quiet=True), "test").teach(folder, "study", WorldSettings(videos=WORLDS, study=True), HABITS)

    return made_once(tmp_path_factory, "study of habits", make)


def wrong_answers(workspace: Path, worlds: Path) -> tuple[int, int]:
    """How many kept answers are not what the worlds themselves say, and of how many: by no filter and no gold of the lake."""
    truth: dict[tuple[str, str], str] = {}
    for line in (worlds / "truth.jsonl").read_text().splitlines()[1:]:
        world = json.loads(line)
        stem = Path(world["video"]).stem
        truth |= {(stem, question["question"]): question["answer"] for question in world["questions"]}
    kept = json.loads(ask("audit", "--sql", KEPT, "-w", workspace, "--json").stdout)["rows"]
    return sum(answer.strip().lower() != truth[name, question] for name, question, answer in kept), len(kept)


def first_screen(page: str) -> str:
    """The verdict with what decides it."""
    match = re.search(r'<div class="verdict .*?</div>', page, re.DOTALL)
    assert match is not None
    return match.group()


@pytest.mark.slow
@pytest.mark.parametrize("without_thresholds", [False, True], ids=["the demo's thresholds", "no threshold at all"])
def test_what_the_page_suggests_turns_stop_into_go_and_leaves_right_answers(
    demo_folder: Path, tmp_path: Path, without_thresholds: bool
) -> None:
    workspace, file = Path(shutil.copytree(demo_folder / "workspace", tmp_path / "ws")), tmp_path / "report.html"
    recipe = workspace / "recipe.toml"
    if without_thresholds:
        recipe.write_text(THRESHOLDS.sub("[stages.select_cot.min_score]\n", recipe.read_text()))
        ask("run", "-w", workspace)
    checks_before = read_recipe(recipe).checks
    ask("audit", "checks", "-w", workspace, code=1)
    ask("report", file, "-w", workspace)
    wrong_before, kept_before = wrong_answers(workspace, demo_folder / "worlds")
    screen = first_screen(file.read_text())
    assert '<p class="word">Stop</p>' in screen
    assert f"<strong>{wrong_before} of {kept_before} (" in screen  # it says why, and the worlds say the same

    follow_suggestions(recipe, file)
    ask("run", "-w", workspace)  # there is no teacher any more: nobody is asked anything

    ask("audit", "checks", "-w", workspace)
    ask("report", file, "-w", workspace)
    wrong_after, kept_after = wrong_answers(workspace, demo_folder / "worlds")
    print(f"wrong answers: {wrong_before} of {kept_before} before, {wrong_after} of {kept_after} after")  # noqa: T201 (the figure, for who reads along)
    assert '<p class="word">Go</p>' in first_screen(file.read_text())
    assert read_recipe(recipe).checks == checks_before
    assert wrong_before > 0.2 * kept_before
    assert kept_after > WORLDS / 4
    assert wrong_after <= MAX_WRONG * kept_after
