"""Two small lakes: a finished demo, and random rows with every kind of verdict, from which a corpus was selected."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from dmforge import cli
from dmforge.commands.demo.chain import DemoSize, demo
from dmforge.curation.lake.views import LakeView
from dmforge.filters.selection.select_cot import SelectCot, SelectCotConfig
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Provenance, Task, Verdict, Video
from dmforge.schemas.transcript import Piece, Transcript
from tests.judging.lakes import Rows, judged
from tests.support.made_once import made_once

KINDS = ("grounding", "mcq", "grounded_mcq", "open")


def ask(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="session")
def answer() -> Callable[..., list[dict[str, Any]]]:
    """Runs an audit and returns its rows as dictionaries."""

    def audit_rows(*words: object) -> list[dict[str, Any]]:
        payload = json.loads(ask("audit", *words, "--json").stdout)
        return [dict(zip(payload["columns"], row, strict=True)) for row in payload["rows"]]

    return audit_rows


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo; its folder has letters in its name that SQL or a shell might take for more."""

    def make(folder: Path) -> None:
        demo(folder, DemoSize(3), Console(quiet=True), "test")

    return made_once(tmp_path_factory, "it's [a] demo", make) / "workspace"


def random_rows(count: int = 120) -> Rows:
    """Videos, tasks of each kind, candidates and scores, drawn at random."""
    random = Random(5)
    rows: list[Any] = []
    for index in range(12):
        video = Video(f"{index:02x}" * 32, 6000 + 100 * index, 64, 64, Fraction(25), "h264", 0, 9, source="films")
        rows += [video, Provenance(video.id, "films", "CC0", "", "ns", str(index), (), "train")]
        clean = Verdict(video.id, video.id, "video", "clean", float(index > 1), 1, "" if index > 1 else "its id is listed")
        rows += [clean, Verdict(video.id, video.id, "video", "original", float(index != 5), 1)]
        for task_index in range(count // 12):
            rows += _task_rows(random, video, task_index)
    return rows


def _task_rows(random: Random, video: Video, index: int) -> list[Any]:
    kind: Any = KINDS[index % 4]
    options = ("red", "a dark blue one", "green", "blue")[: 3 + index % 2] if "mcq" in kind else ()
    window = _random_window(random)
    windows = () if kind == "mcq" else (window,) if random.random() < 0.7 else (window, Window(4000, 4500))
    gold = (
        random.choice(["A", "(b)", "B. a dark blue one", "green", "Answer"])
        if options
        else random.choice(["two", " Two", "three"])
    )
    task = Task(
        video.id,
        kind,
        f"What is it, {index}?",
        options,
        gold,
        windows,
        random.choice(["any", "all"]),
        source=random.choice("xy"),
    )
    rows: list[Any] = [task]
    for name, values in (("blind", (0.0, 0.25, 1.0)), ("replay", (0.0, 0.1, 0.25, 0.5, 0.99, 1.0)), ("unique", (0.3, 1.0))):
        rows.append(Verdict(video.id, task.id, "task", name, random.choice(values), 4, random.choice(["", "not clear"])))
    has_windows = bool(windows)
    rows += [
        Verdict(video.id, task.id, "task", name, random.choice([-0.25, 0.0, 0.5]) if has_windows else 1.0, 4 * has_windows)
        for name in ("necessity", "necessity_coarse")
    ]
    for attempt in range(2):
        look = Look(_random_window(random), Fraction(random.choice([1, 2, 4])))
        pieces = Transcript((Piece("policy", f"{attempt}"),))
        teacher = random.choice(["one", "two"])
        candidate = Candidate(video.id, task.id, attempt, teacher, pieces, (look,), "A", random.choice(["teacher", "gold"]), ())
        rows.append(candidate)
        for name in ("answer", "evidence"):
            rows.append(Verdict(video.id, candidate.id, "candidate", name, random.choice([0.0, 0.6, 1.0]), 1))
    return rows


def _random_window(random: Random) -> Window:
    start_cs = random.randrange(0, 2000, 50)
    return Window(start_cs, start_cs + random.randrange(100, 1500, 50))


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LakeView]:
    """The lake of random rows, with a selection of right answers, the best of each task."""
    folder = tmp_path_factory.mktemp("scored") / "ws"
    return folder, judged(folder, random_rows(), SelectCot(SelectCotConfig(min_score={"answer": 0.5}, order=("evidence",))))
