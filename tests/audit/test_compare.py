"""Two corpora side by side: distances against their definitions, intervals that hold, and two runs try by try."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from math import sqrt
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.audit import query
from dmforge.curation.audit.compared_corpora import CorpusTables, compare
from dmforge.curation.audit.distances import BlockCounts, category_distance, number_distance
from dmforge.curation.audit.quantities import AUDITS, LOOKS, QUANTITIES, QUESTIONS, SCORES, TRAJECTORIES
from dmforge.curation.lake.views import LakeView
from dmforge.filters.selection.select_cot import SelectCot, SelectCotConfig
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Provenance, Task, Verdict, Video
from dmforge.schemas.transcript import Piece, Transcript
from tests.audit.conftest import ask
from tests.audit.parts import rows
from tests.judging.lakes import judged

Answer = Callable[..., list[dict[str, Any]]]
NUMBERS = st.lists(st.integers(-50, 50), min_size=1, max_size=30)


def counted(values: list[Any], blocks: list[int] | None = None) -> BlockCounts:
    """Values, each about a video of its own unless blocks say otherwise."""
    array = np.array(values, np.float64 if isinstance(values[0], int | float) else object)
    return BlockCounts(np.array(blocks or range(len(values))), array, np.ones(len(values), np.int64))


def moved(here: list[int], there: list[int]) -> Fraction:
    """Wasserstein's distance by its definition: each value as often as makes both lists as long, sorted, pairwise."""
    pairs = zip(sorted(here * len(there)), sorted(there * len(here)), strict=True)
    return Fraction(sum(abs(a - b) for a, b in pairs), len(here) * len(there))


@given(NUMBERS, NUMBERS)
def test_numbers_are_as_far_apart_as_they_have_to_be_moved(here: list[int], there: list[int]) -> None:
    distance = number_distance(counted(here), counted(there))
    assert distance.value == pytest.approx(float(moved(here, there)), abs=1e-9)
    if distance.low is not None and distance.high is not None:
        assert 0 <= distance.low <= distance.high


@given(st.lists(st.sampled_from("abcd"), min_size=1), st.lists(st.sampled_from("abcd"), min_size=1))
def test_categories_differ_by_the_share_that_would_be_another(here: list[str], there: list[str]) -> None:
    shares = [Counter({name: Fraction(side.count(name), len(side)) for name in "abcd"}) for side in (here, there)]
    by_hand = sum(max(0, shares[0][name] - shares[1][name]) for name in "abcd")
    assert category_distance(counted(here), counted(there)).value == pytest.approx(float(by_hand), abs=1e-9)


def test_one_video_has_no_interval() -> None:
    distance = number_distance(counted([1, 2, 3], [0, 0, 0]), counted([4, 5]))
    assert (distance.low, distance.high, distance.chance, distance.is_apart) == (None, None, None, False)


def test_values_that_no_grid_holds_are_compared_as_they_are() -> None:
    draw = np.random.default_rng(1)
    here, there = draw.normal(0, 1, 3000), draw.normal(0.5, 1, 2000)
    distance = number_distance(counted(here.tolist()), counted(there.tolist()))
    assert (distance.low or 0) < distance.value < (distance.high or 0)
    assert 0.4 < distance.value < 0.6
    assert distance.is_apart


def _trial(draw: np.random.Generator, shift: float) -> tuple[BlockCounts, BlockCounts]:
    """Two corpora of 60 and 40 videos with five values each that have much of their video in them."""
    sides = list[BlockCounts]()
    for videos, mean in ((60, 0.0), (40, shift)):
        values = np.round(np.repeat(draw.normal(mean, 1, videos), 5) + draw.normal(0, 0.5, videos * 5), 2)
        sides.append(BlockCounts(np.repeat(np.arange(videos), 5), values, np.ones(videos * 5, np.int64)))
    return sides[0], sides[1]


def test_two_draws_of_one_corpus_are_rarely_told_apart_and_others_nearly_always() -> None:
    draw = np.random.default_rng(3)
    same = [number_distance(*_trial(draw, 0.0)) for _ in range(100)]
    assert sum(distance.is_apart for distance in same) <= 12  # 5 expected; more than 12 come once in a thousand times
    far = [number_distance(*_trial(draw, 1.5)) for _ in range(60)]
    assert all(distance.is_apart for distance in far)
    holds = sum((distance.low or 0) <= 1.5 <= (distance.high or 0) for distance in far)
    assert holds >= 50  # 57 expected; fewer than 50 come once in a thousand times


def test_a_workspace_is_like_itself_and_like_its_own_shards(workspace: Path, answer: Answer) -> None:
    itself = answer("likeness", "--with", workspace, "-w", workspace)
    assert {row["distribution"] for row in itself} > {"kind", "length of gold", "density", "scores of answer"}
    assert all(row["distance"] == 0 and row["low"] == 0 and not row["apart"] for row in itself if row["distance"] is not None)
    assert all(row["here"] == row["there"] for row in itself)
    (packed,) = (workspace / "shards/cot").glob("*/")
    of_both = [row for row in answer("likeness", "--with", packed, "-w", workspace) if row["here"] and row["there"]]
    assert {row["distribution"] for row in of_both} >= {"kind", "question length", "length of gold", "looks", "thought length"}
    assert {row["distance"] for row in of_both} == {0.0}


def lvbench(path: Path) -> Path:
    """Rows in the shape of LVBench: options in the question, a time that may say nothing."""
    times = ["00:10-00:20", "101:05-101:10", "None", "05:00-05:00"]
    videos = [
        {"key": f"abcdefgh{video:03d}", "type": "x", "qa": [
            {"question": f"What is thing {video} and {at}?\n(A) p\n(B) q\n(C) r\n(D) s", "answer": "ABBB"[at],
             "time_reference": time} for at, time in enumerate(times)]}
        for video in range(5)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(video) + "\n" for video in videos))
    return path


def test_a_benchmark_is_compared_by_one_command(workspace: Path, answer: Answer, tmp_path: Path) -> None:
    benchmark = lvbench(tmp_path / "lvbench.jsonl")
    found = {row["distribution"]: row for row in answer("likeness", "--with", benchmark, "-w", workspace)}
    kept = {row["task"] for row in rows(workspace, "samples")}
    gold = [
        (window["end_cs"] - window["start_cs"]) / 100
        for task in rows(workspace, "tasks") if task["id"] in kept for window in task["windows"]
    ]  # fmt: skip
    by_hand = moved([round(100 * length) for length in gold], [1000, 500] * 5) / 100
    row = found["length of gold"]
    assert (row["there"], row["mean_there"], row["unit"]) == (10, 7.5, "s")
    assert row["distance"] == pytest.approx(float(by_hand), abs=1e-4)
    assert row["low"] <= row["distance"] <= row["high"]
    assert (found["density"]["there"], found["density"]["distance"]) == (0, None)
    letters = [row for row in answer("balance", "--with", benchmark, "-w", workspace) if row["distribution"] == "right option"]
    assert {row["value"]: row["there"] for row in letters if row["there"]} == {"A": 5, "B": 15}
    assert found["right option"]["there"] == 20


@pytest.mark.parametrize("name", sorted(AUDITS))
def test_each_distribution_stands_class_by_class(name: str, workspace: Path, answer: Answer) -> None:
    found = answer(name, "--with", workspace, "-w", workspace)
    assert {row["distribution"] for row in found} <= {quantity.name for quantity in QUANTITIES if quantity.audit == name}
    for distribution in {row["distribution"] for row in found}:
        of_it = [row for row in found if row["distribution"] == distribution]
        assert sum(row["share_here"] for row in of_it) == pytest.approx(1, abs=1e-3)
        assert all(row["here"] == row["there"] for row in of_it)


def test_what_cannot_be_compared_is_refused(workspace: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("abc\ndef\n")
    for words, message in (
        (["likeness"], "compares with another corpus"),
        (["changes"], "compares with another corpus"),
        (["funnel", "--with", workspace], "compares nothing"),
        (["checks", "--with", workspace], "--with"),
        (["--sql", "SELECT 1", "--with", workspace], "--with"),
        (["scores", "--with", lvbench(tmp_path / "l.jsonl")], "no workspace"),
        (["likeness", "--with", names], "no annotations"),
        (["likeness", "--with", tmp_path / "nowhere"], "no such file"),
    ):
        assert message in ask("audit", *words, "-w", workspace, code=2).output


def test_categories_beyond_the_commonest_are_counted_together() -> None:
    names = [f"opening {number:02d}" for number in range(40)]
    questions = QUESTIONS.empty_table().to_pylist()
    for number, name in enumerate(names):
        questions += [dict.fromkeys(QUESTIONS.names) | {"video": b"%d" % number, "kind": name, "question": "", "windows": []}]
    tables = CorpusTables(
        "x", _table(questions, QUESTIONS), TRAJECTORIES.empty_table(), LOOKS.empty_table(), SCORES.empty_table()
    )
    (kinds,) = (item for item in compare(tables, tables) if item.quantity.name == "kind")
    assert [pair.label for pair in kinds.classes] == [*names[:10], "30 others"]
    assert kinds.classes[-1].here == 30


def _table(values: list[dict[str, Any]], schema: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(values, schema)


class _Runs:
    """Two runs over the same tasks: the second has other scores, fewer candidates, and another threshold."""

    def __init__(self, folder: Path) -> None:
        random = Random(8)
        self.scores: tuple[dict[tuple[bytes, int], float], ...] = ({}, {})
        self.video_of: dict[bytes, bytes] = {}
        self.views = tuple(self._view(folder / f"{index}", index, random) for index in range(2))

    def _view(self, folder: Path, index: int, random: Random) -> LakeView:
        made = list[Any]()
        for number in range(15):
            video = Video(f"{number:02x}" * 32, 6000, 64, 64, Fraction(25), "h264", 0, 9, source="films")
            made += [video, Provenance(video.id, "films", "CC0", "", "ns", str(number), (), "train")]
            for at in range(4):
                task = Task(video.id, "open", f"What is it, {at}?", (), "two", (Window(0, 500),), "any")
                made.append(task)
                self.video_of[task.id] = video.id
                for attempt in range(2 if random.random() < 0.8 or not index else 1):
                    score = random.choice([0.0, 0.5, 1.0])
                    pieces = Transcript((Piece("policy", f"{index} {attempt} {random.random()}"),))
                    looks = (Look(Window(0, 100), Fraction(2)),)
                    candidate = Candidate(video.id, task.id, attempt, "one", pieces, looks, "two", "teacher", ())
                    made += [candidate, Verdict(video.id, candidate.id, "candidate", "answer", score, 1)]
                    self.scores[index][task.id, attempt] = score
        return judged(folder, made, SelectCot(SelectCotConfig(corpus="cot", min_score={"answer": 0.5}, order=("answer",))))

    def asked(self, name: str) -> list[dict[str, Any]]:
        here, there = self.views
        others = {
            "other_decisions": partial(query.word_table, "decisions", there),
            "other_scores": partial(query.word_table, "try_scores", there),
            "brought": partial(_table, [], _table([{"video": b"", "name": ""}], None).schema),
        }
        return query.ask_table(here, name, others).to_pylist()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> _Runs:
    return _Runs(tmp_path_factory.mktemp("runs"))


def test_the_scores_of_two_runs_are_compared_try_by_try(runs: _Runs) -> None:
    (row,) = runs.asked("scores")
    here, there = runs.scores
    shared = sorted(here.keys() & there.keys())
    differences = {key: here[key] - there[key] for key in shared}
    assert row["pairs"] == len(shared) < len(here)
    assert row["difference"] == pytest.approx(fmean(differences.values()), abs=1e-4)
    assert row["rose"] == sum(value > 0 for value in differences.values())
    assert row["fell"] == sum(value < 0 for value in differences.values())
    mean, videos = fmean(differences.values()), set(map(runs.video_of.__getitem__, (task for task, _ in shared)))
    residuals = [
        sum(value - mean for (task, _), value in differences.items() if runs.video_of[task] == video) for video in videos
    ]
    error = sqrt(sum(value * value for value in residuals) * len(videos) / (len(videos) - 1)) / len(shared)
    assert (row["low"], row["high"]) == pytest.approx((mean - 1.959964 * error, mean + 1.959964 * error), abs=1e-4)


def test_what_changed_sides_is_counted_and_listed_with_its_scores(runs: _Runs) -> None:
    sides = list[dict[tuple[bytes, int], tuple[str, str]]]()
    for view in runs.views:
        sql = "SELECT c.task, c.attempt, o.status, o.reason FROM outcomes o JOIN candidates c ON c.id = o.input"
        decided = view.cursor("outcomes candidates").sql(sql).fetchall()
        sides.append({(task, attempt): ("kept" if status == "made" else status, why) for task, attempt, status, why in decided})
    here, there = sides
    by_hand = Counter[tuple[str, str]]()
    for key in here.keys() | there.keys():
        by_hand[there.get(key, ("not there", ""))[0], here.get(key, ("not here", ""))[0]] += 1
    counts = Counter[tuple[str, str]]()
    for row in runs.asked("changes"):
        counts[row["there"], row["here"]] += row["inputs"]
        assert row["there"] != row["here"] or row["why_here"] == row["why_there"] == ""
    assert counts == by_hand
    assert {("kept", "rejected"), ("rejected", "kept"), ("not there", "kept")} < set(counts)
    listed = runs.asked("changed")
    turned = {key for key in here.keys() & there.keys() if here[key][0] != there[key][0]}
    assert {(row["task"], row["attempt"]) for row in listed} == turned
    assert len(listed) == len(turned)
    for row in listed:
        key = row["task"], row["attempt"]
        assert (row["there"], row["why_there"]) == there[key]
        assert (row["here"], row["why_here"]) == here[key]
        scores = [side[key] for side in runs.scores]
        assert row["scores"] == (None if scores[0] == scores[1] else f"answer {scores[1]} to {scores[0]}")


def test_two_workspaces_are_compared_by_the_command_line(workspace: Path, answer: Answer, tmp_path: Path) -> None:
    stricter = Path(shutil.copytree(workspace, tmp_path / "stricter"))
    recipe = (stricter / "recipe.toml").read_text()
    (stricter / "recipe.toml").write_text(recipe.replace("[stages.select_cot]", "[stages.select_cot]\ncaps = { kind = 1 }"))
    ask("select", "cot", "-w", stricter)
    changed = answer("changed", "--with", workspace, "-w", stricter)
    assert changed
    assert {(row["there"], row["here"], row["why_here"]) for row in changed} == {("kept", "rejected", "over its cap: kind")}
    assert all(row["scores"] is None for row in changed)
    counts = [row for row in answer("changes", "--with", workspace, "-w", stricter) if row["there"] != row["here"]]
    assert sum(row["inputs"] for row in counts) == len(changed)
    assert all(row["difference"] == 0 for row in answer("scores", "--with", workspace, "-w", stricter))


def test_reasons_lead_to_what_they_are_about(workspace: Path, answer: Answer, tmp_path: Path) -> None:
    strict = Path(shutil.copytree(workspace, tmp_path / "strict"))
    recipe = (strict / "recipe.toml").read_text()
    (strict / "recipe.toml").write_text(recipe.replace("[stages.select_cot]", "[stages.select_cot]\ncaps = { kind = 1 }"))
    ask("select", "cot", "-w", strict)
    for name in ("funnel", "reasons"):
        command = ask("audit", name, "-w", strict).stdout.splitlines()[-1].removeprefix("each of them: dmforge audit ")
        assert command.startswith("lost --reason ")
    reasons = {
        (row["stage"], row["reason"]): row["inputs"] for row in answer("reasons", "-w", strict) if row["status"] != "gap"
    }
    lost = answer("lost", "-w", strict)
    assert Counter((row["stage"], row["reason"]) for row in lost) == reasons
    capped = answer("lost", "--reason", "over its cap", "-w", strict)
    assert capped == [row for row in lost if "over its cap" in row["reason"]]
    assert json.loads(ask("why", capped[0]["candidate"], "-w", strict, "--json").stdout)
    assert "nothing was lost" in ask("audit", "lost", "--reason", "no such", "-w", strict, code=2).output
    assert "takes no reason" in ask("audit", "funnel", "--reason", "x", "-w", strict, code=2).output
