"""What docs/extending.md shows is code: it is taken from the page, imported and used as the page says."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.filters.rules.rule import EXAMPLE
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of, roll
from dmforge.schemas.errors import InputError
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, Barcodes, look

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "docs/extending.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, ModuleType]:
    """The modules of the page, by their names."""
    found: dict[str, ModuleType] = {}
    for place, text in BLOCKS:
        assert (ROOT / place).parent.is_dir(), f"{place} has no place in this house"
        path = tmp_path / Path(place).name
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"shown_{path.stem}", path)
        assert spec
        assert spec.loader
        found[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[path.stem])
    return found


def test_the_format_reads_its_files_and_no_others(shown: dict[str, ModuleType], tmp_path: Path) -> None:
    form, file, other = shown["matches"].FORMAT, tmp_path / "matches.csv", tmp_path / "other.csv"
    file.write_text("game,minute,event\ncup_final,3,a corner from the left\ncup_final,,the whistle\n")
    other.write_text("video,start\na,1\n")
    asked, refused = (placed.question for placed in read_questions(form, [file]))
    assert isinstance(asked, Question)
    assert (asked.video, asked.question, asked.windows) == ("cup_final", "a corner from the left", ((120.0, 180.0),))
    assert refused == RefusedQuestion("cup_final", "no window")
    with pytest.raises(InputError):
        list(read_questions(form, [other]))


def test_the_rule_finds_its_example_and_says_where(shown: dict[str, ModuleType]) -> None:
    rule = shown["shouting"].CALM
    told = rule.check(replace(EXAMPLE, text=rule.fails))
    (fault,) = told.faults
    assert rule.fails[fault.start : fault.end] == "SURELY"
    assert told.score < 1
    assert rule.check(replace(EXAMPLE, text=rule.fails.replace("SURELY", "surely"))).score == 1
    assert rule.check(replace(EXAMPLE, text="")).score == 1
    assert rule.about.endswith("?")


def test_the_engine_is_asked_and_shown_what_it_looks_at(shown: dict[str, ModuleType]) -> None:
    looks = ("<think>It flashes.<span>1.00 - 3.00</span><fps>2</fps>", "Blue.</think><answer>blue</answer>")
    engine = shown["recital"].Recital([looks, ("<think>Blue.</think><answer>blue</answer>",), ("Blue.",)])
    footage = Barcodes()
    prompt = prompt_of((COARSE, QUESTION), footage)
    rolled = roll(engine, [RolloutRequest(prompt, footage)] * 3)
    assert [one.ending for one in rolled] == ["answered", "no_look", "malformed"]
    assert (rolled[0].looks, rolled[0].answer) == ((look(100, 300),), "blue")
    assert engine.latest.shown[0] - engine.latest.shown[1] == 4, "two seconds at two frames a second"
