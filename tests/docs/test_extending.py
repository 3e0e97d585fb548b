"""What docs/extending.md shows is code: its files are taken from the page, installed beside dmforge, and used as it says."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.exports import Exported, export
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.sources.annotation_format import Question, RefusedQuestion
from dmforge.curation.sources.annotation_reader import read_questions
from dmforge.curation.sources.formats import find_format
from dmforge.filters.rules.rule import EXAMPLE
from dmforge.filters.rules.rules import extra_rules
from dmforge.generators.inference.rollout import RolloutRequest, prompt_of, roll
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, Barcodes, look
from tests.support.barcodes import RATE, Case, write
from tests.support.corpora import corpus

ROOT = Path(__file__).parents[2]
FILES = dict(re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", (ROOT / "docs/extending.md").read_text("utf-8"), re.DOTALL))
ENGINE = "generators/inference/engines/recital.py"
PIP = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
TYPED = """
import json, sys
from typer.testing import CliRunner
from dmforge import cli
typed = [CliRunner().invoke(cli.app, words) for words in json.loads(sys.argv[1])]
print(json.dumps([[done.exit_code, done.stdout, done.stderr] for done in typed]))
"""
"""Types commands one after the other, in a process that has the package or hasn't."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the package of the page."""
    project, target = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    for place, text in FILES.items():
        if place != ENGINE:
            (project / place).parent.mkdir(exist_ok=True)
            (project / place).write_text(text)
    done = subprocess.run([sys.executable, *PIP, "--target", str(target), str(project)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package beside dmforge, in this process."""
    monkeypatch.syspath_prepend(site)
    yield
    for name in [name for name in sys.modules if name.startswith("dmforge_matches")]:
        del sys.modules[name]


def dmforge(folder: Path, path: str, *commands: Sequence[str]) -> list[tuple[int, str, str]]:
    """The exit code, stdout and stderr of commands, with these folders of packages."""
    env = {**os.environ, "PYTHONPATH": path}
    call = [sys.executable, "-c", TYPED, json.dumps(commands)]
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout.splitlines()[-1])]


def trajectory(thought: str) -> str:
    looks = "<think>Something happens early on, let me look there. <span>1.00 - 7.00</span><fps>2</fps>"
    return f"{looks}{thought}</think><answer>2.00 - 7.00</answer>"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace with the recipe of the page, a game, what happens in it, and a file that someone else wrote."""
    (tmp_path / "games").mkdir()
    write(
        Case("a game", file_name="cup_final.mp4", times_s=tuple(Fraction(n, RATE) for n in range(8 * RATE))), tmp_path / "games"
    )
    (tmp_path / "recipe.toml").write_text(FILES["recipe.toml"])
    events = [
        ("2", "a corner from the left", "The corner is taken here, from the left."),
        ("2", "a free kick", "It is SURELY a free kick that I see."),
        ("3", "a long throw that is taken back by the referee", "It is a long throw that I see here."),
        ("", "the whistle", ""),
    ]
    with (tmp_path / "games.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["game", "second", "event", "trajectory"])
        rows.writerows(["cup_final", second, event, trajectory(thought)] for second, event, thought in events)
    asked = {"from": "human", "value": "<video>\nWhich colour comes second?\nA. blue\nB. red"}
    told = {"from": "gpt", "value": trajectory("It is SURELY red here.").replace("2.00 - 7.00", "B")}
    (tmp_path / "old.json").write_text(json.dumps([{"conversations": [asked, told]}]))
    return tmp_path


def stages(out: str) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in json.loads(out)["stages"]}


def made_since(folder: Path, time: str) -> list[Path]:
    """What was written into the lake since the end of a run."""
    since_s = datetime.fromisoformat(time).timestamp()
    return [path for path in (folder / "lake").rglob("*.*") if path.stat().st_mtime > since_s]


@pytest.mark.slow
def test_the_package_does_what_the_page_says_and_is_missed_by_name(site: Path, place: Path) -> None:
    run, digest = ["run", "--until", "select_cot", "--json"], ["digest", "--json"]
    bring = ["import", "matches", "games.csv", "--videos", "games", "--json"]
    lint = ["lint", "old.json", "--json"]
    counts = (
        "SELECT filter, count(*), count_if(score < 1) FROM verdicts WHERE filter IN ('brief', 'calm') GROUP BY ALL ORDER BY ALL"
    )
    commands = (bring, run, run, digest, lint, [*lint, "--rule", "calm"], ["audit", "--sql", counts, "--json"])
    imported, ran, again, whole, plain, linted, judged = dmforge(place, str(site), *commands)
    assert json.loads(imported[1])["tasks"] == 3
    assert json.loads(imported[1])["rejected"] == {"no window": 1}
    told = stages(ran[1])
    assert (ran[0], told["brief"]["made"], told["rules"]["made"], told["select_cot"]["made"]) == (0, 3, 3, 1)
    assert json.loads(plain[1])["defects"] == []
    (defect,) = json.loads(linted[1])["defects"]
    assert (defect["rule"], defect["message"]) == ("calm", "shouts 'SURELY'")
    assert json.loads(judged[1])["rows"] == [["brief", 3, 1], ["calm", 3, 1]], "of three, one is long and one shouts"
    assert stages(again[1]) == told
    ends = [json.loads(record.read_bytes())["ended"] for record in sorted((place / "runs").glob("*.json"))]
    assert made_since(place, ends[-2]) == [], "the second run makes nothing anew"

    plan, refused, status, without = dmforge(place, "", ["plan"], run, ["status", "--json"], digest)
    for code, _, err in (plan, refused):
        assert code == 2
        assert "recipe.toml: [stages.brief]: there is no stage 'brief', neither in dmforge nor in an installed package" in err
        assert "(group dmforge.stages)" in err
        assert "hint: install dmforge-matches 0.1, from which earlier runs had it" in err
    assert (status[0], {name: stages(status[1])[name]["made"] for name in told}) == (0, {n: told[n]["made"] for n in told})
    assert without[:2] == whole[:2]
    assert "[stages.rules] extra_rules: there is no rule 'calm'" in without[2]


@pytest.mark.usefixtures("installed")
def test_the_format_reads_its_files_and_no_others(tmp_path: Path) -> None:
    form, file, other = find_format("matches", "import"), tmp_path / "matches.csv", tmp_path / "other.csv"
    file.write_text("game,second,event\ncup_final,3,a corner from the left\ncup_final,,the whistle\n")
    other.write_text("video,start\na,1\n")
    asked, refused = (placed.question for placed in read_questions(form, [file]))
    assert isinstance(asked, Question)
    assert (asked.video, asked.question, asked.windows) == ("cup_final", "a corner from the left", ((3.0, 8.0),))
    assert refused == RefusedQuestion("cup_final", "no window")
    with pytest.raises(InputError):
        list(read_questions(form, [other]))


@pytest.mark.usefixtures("installed")
def test_the_rule_finds_its_example_and_says_where() -> None:
    (rule,) = extra_rules(["calm"], "--rule")
    told = rule.check(replace(EXAMPLE, text=rule.fails))
    assert told is not None
    (fault,) = told.faults
    assert rule.fails[fault.start : fault.end] == "SURELY"
    assert told.score < 1
    for text in (rule.fails.replace("SURELY", "surely"), ""):
        sound = rule.check(replace(EXAMPLE, text=text))
        assert sound is not None
        assert sound.score == 1
    assert rule.about.endswith("?")


@pytest.mark.usefixtures("installed")
def test_the_export_writes_a_line_for_each_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = Corpus(str(corpus(tmp_path / "packed", videos=3, samples=2)))
    assert export(packed, "titles", tmp_path / "titles") == Exported(6, 0)
    head, *rows = csv.reader((tmp_path / "titles/titles.csv").open(newline=""))
    assert head == ["id", "question", "answer"]
    assert {question for _, question, _ in rows} == {f"What happens in {number}?" for number in range(3)}
    monkeypatch.setattr(sys.modules["dmforge_matches.titles"], "to_titles", lambda corpus, folder: None)
    with pytest.raises(DmforgeError, match="returned None, and the number of samples that it wrote is needed"):
        export(packed, "titles", tmp_path / "others")
    assert not (tmp_path / "others").exists()


def test_the_engine_is_asked_and_shown_what_it_looks_at(tmp_path: Path) -> None:
    (tmp_path / "recital.py").write_text(FILES[ENGINE])
    spec = importlib.util.spec_from_file_location("shown_recital", tmp_path / "recital.py")
    assert spec
    assert spec.loader
    recital = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recital)
    looks = ("<think>It flashes.<span>1.00 - 3.00</span><fps>2</fps>", "Blue.</think><answer>blue</answer>")
    engine = recital.Recital([looks, ("<think>Blue.</think><answer>blue</answer>",), ("Blue.",)])
    footage = Barcodes()
    prompt = prompt_of((COARSE, QUESTION), footage)
    rolled = roll(engine, [RolloutRequest(prompt, footage)] * 3)
    assert [one.ending for one in rolled] == ["answered", "no_look", "malformed"]
    assert (rolled[0].looks, rolled[0].answer) == ((look(100, 300),), "blue")
    assert engine.latest.shown[0] - engine.latest.shown[1] == 4, "two seconds at two frames a second"
