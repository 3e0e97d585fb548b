"""Two small lakes: a finished demo, and one of made-up rows with every kind of verdict, from which a corpus was selected."""

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
from dmforge.curation.lake.views import View
from dmforge.demo import Size, demo
from dmforge.filters.select import SelectCot, SelectCotConfig
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Provenance, Task, Verdict, Video
from dmforge.schemas.transcript import Piece, Transcript
from tests.judging.lakes import Rows, judged

KINDS = ("grounding", "mcq", "grounded_mcq", "open")


def ask(*words: object, code: int = 0) -> Result:
    told = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert told.exit_code == code, told.output
    return told


@pytest.fixture(scope="session")
def answer() -> Callable[..., list[dict[str, Any]]]:
    """What an audit says, as dictionaries."""

    def asked(*words: object) -> list[dict[str, Any]]:
        told = json.loads(ask("audit", *words, "--json").stdout)
        return [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]

    return asked


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo; its folder has letters in its name that SQL or a shell might take for more."""
    folder = tmp_path_factory.mktemp("it's [a] demo")
    demo(folder, Size(3), Console(quiet=True), "test")
    return folder / "workspace"


def made_up(count: int = 120) -> Rows:
    """Videos, tasks of each kind, candidates and scores, drawn at random."""
    draw = Random(5)
    rows: list[Any] = []
    for number in range(12):
        video = Video(f"{number:02x}" * 32, 6000 + 100 * number, 64, 64, Fraction(25), "h264", 0, 9, source="films")
        rows += [video, Provenance(video.id, "films", "CC0", "", "ns", str(number), (), "train")]
        clean = Verdict(video.id, video.id, "video", "clean", float(number > 1), 1, "" if number > 1 else "its id is listed")
        rows += [clean, Verdict(video.id, video.id, "video", "original", float(number != 5), 1)]
        for nth in range(count // 12):
            rows += _task(draw, video, nth)
    return rows


def _task(draw: Random, video: Video, nth: int) -> list[Any]:
    kind: Any = KINDS[nth % 4]
    options = ("red", "a dark blue one", "green", "blue")[: 3 + nth % 2] if "mcq" in kind else ()
    window = _window(draw)
    windows = () if kind == "mcq" else (window,) if draw.random() < 0.7 else (window, Window(4000, 4500))
    right = (
        draw.choice(["A", "(b)", "B. a dark blue one", "green", "Answer"]) if options else draw.choice(["two", " Two", "three"])
    )
    task = Task(
        video.id, kind, f"What is it, {nth}?", options, right, windows, draw.choice(["any", "all"]), source=draw.choice("xy")
    )
    rows: list[Any] = [task]
    for name, values in (("blind", (0.0, 0.25, 1.0)), ("replay", (0.0, 0.1, 0.25, 0.5, 0.99, 1.0)), ("unique", (0.3, 1.0))):
        rows.append(Verdict(video.id, task.id, "task", name, draw.choice(values), 4, draw.choice(["", "not clear"])))
    known = bool(windows)
    rows += [
        Verdict(video.id, task.id, "task", name, draw.choice([-0.25, 0.0, 0.5]) if known else 1.0, 4 * known)
        for name in ("necessity", "necessity_coarse")
    ]
    for attempt in range(2):
        look = Look(_window(draw), Fraction(draw.choice([1, 2, 4])))
        pieces = Transcript((Piece("policy", f"{attempt}"),))
        teacher = draw.choice(["one", "two"])
        candidate = Candidate(video.id, task.id, attempt, teacher, pieces, (look,), "A", draw.choice(["teacher", "gold"]), ())
        rows.append(candidate)
        for name in ("answer", "evidence"):
            rows.append(Verdict(video.id, candidate.id, "candidate", name, draw.choice([0.0, 0.6, 1.0]), 1))
    return rows


def _window(draw: Random) -> Window:
    start = draw.randrange(0, 2000, 50)
    return Window(start, start + draw.randrange(100, 1500, 50))


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, View]:
    """The lake of made-up rows, and what was selected: right ones, the best of each task."""
    folder = tmp_path_factory.mktemp("scored") / "ws"
    return folder, judged(folder, made_up(), SelectCot(SelectCotConfig(least={"answer": 0.5}, order=("evidence",))))
