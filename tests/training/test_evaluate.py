"""Evaluation: figures follow from the rows, intervals from whole videos, and baselines stand beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.evaluations import evaluations
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.student.load_student import load
from dmforge.schemas.columns import from_arrow, to_arrow
from dmforge.schemas.evaluated_sample import EvaluatedSample
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.ids import show
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.scoring import iou, measure_cs, overlap_cs, window_score
from dmforge.schemas.transcript import COARSE, Piece, Transcript
from dmforge.trainers.baselines import baselines, best_sets, best_span, constant_iou_set, iou_of
from dmforge.trainers.evaluated_samples import evaluated
from dmforge.trainers.evaluation_rows import EvaluationRow, row_of, with_several_looks
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.held_rollouts import roll_held
from dmforge.trainers.metrics import MEASURES, figure, figures, figures_by_need, held_figures
from tests.student.students import QUESTION, Barcodes
from tests.student.test_rollout import ENGINE, dictated
from tests.support.corpora import sample
from tests.support.rank_processes import begin_ranks


def write_evaluation(path: Path, checkpoint: Path | str, corpora: list[str], more: str = "") -> Path:
    path.write_text(f'checkpoint = "{checkpoint}"\ncorpora = {json.dumps(corpora)}\ndevice = "cpu"\n{more}')
    return path


def invoked(path: Path, *words: str, code: int = 0) -> str:
    told = CliRunner().invoke(cli.app, ["evaluate", str(path), *words])
    assert told.exit_code == code, told.output
    return told.stdout if code == 0 else told.stderr


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def recomputed(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures from the lines alone, with nothing of ours but the grammar."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def overlap(one: list[int], other: list[int]) -> int:
        return max(0, min(one[1], other[1]) - max(one[0], other[0]))

    ious, iops = [], []
    for row in rows:
        (target,), window = row["target_cs"], row["window_cs"]
        shared = overlap(window, target) if window else 0
        ious.append(shared / (max(window[1], target[1]) - min(window[0], target[0])) if shared else 0.0)
        iops.append(shared / (window[1] - window[0]) if window else 0.0)
    words = [(row, iou) for row, iou in zip(rows, ious, strict=True) if row["kind"] != "grounding"]
    right = [float(row["answer_score"] == 1 and iou >= 0.5) for row, iou in words]
    formed = [isinstance(found := parse(row["text"]), Trajectory) and len(found.looks) == 1 for row in rows]
    return {
        "format": mean([float(one) for one in formed]),
        **{f"r_at_{least}": mean([float(iou >= least) for iou in ious]) for least in (0.3, 0.5, 0.7)},
        "miou": mean(ious),
        "iop": mean(iops),
        "accuracy": mean([row["answer_score"] for row, _ in words]),
        "acc_gqa": mean(right),
        "visual_tokens": mean([row["visual_tokens"] for row in rows]),
    }


# the whole of it, on a checkpoint


@pytest.mark.slow
def test_figures_are_those_of_the_rows_and_stand_in_their_intervals(
    random_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    path = write_evaluation(tmp_path / "e.toml", random_checkpoint, [str(corpus)], 'out = "here"\n[roll]\nmax_tokens = 60\n')
    told = json.loads(invoked(path, "--json"))
    rows, metrics = rows_in(tmp_path / "here"), told["metrics"]
    assert metrics == json.loads((tmp_path / "here/metrics.json").read_text())
    assert [row["sample"] for row in rows] == [one.sample.id for one in Corpus(str(corpus)).read(range(metrics["samples"]))]
    for name, value in recomputed(rows).items():
        assert metrics[name] == pytest.approx(value), name
    for name, (low, high) in metrics["intervals"].items():
        assert low <= metrics[name] <= high
    assert metrics["visual_tokens"] > 0
    assert metrics["baselines"]["constant_span"]["miou"] > metrics["miou"] == 0.0
    assert 0 < metrics["baselines"]["longest_option"]["accuracy"] < 1
    before = (tmp_path / "here/rows.jsonl").read_bytes(), (tmp_path / "here/metrics.json").read_bytes()
    assert json.loads(invoked(path, "--json")) == told
    assert ((tmp_path / "here/rows.jsonl").read_bytes(), (tmp_path / "here/metrics.json").read_bytes()) == before


@pytest.mark.slow
def test_rows_in_the_lake_are_those_of_the_file_and_a_takedown_finds_them(
    random_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    shutil.copytree(corpus.parents[2], root)
    inside = root / corpus.relative_to(corpus.parents[2])
    more = 'workspace = "ws"\nout = "here"\n[roll]\nmax_tokens = 60\n'
    path = write_evaluation(tmp_path / "e.toml", random_checkpoint, [str(inside)], more)
    invoked(path)
    lines = rows_in(tmp_path / "here")

    def kept() -> dict[str, tuple[float | None, str]]:
        found = evaluations(WorkspaceFolder(root)).to_pylist()
        assert len({row["evaluation"] for row in found}) == 1
        return {show("sample", row["sample"]): (row["iou"], row["ending"]) for row in found}

    assert kept() == {row["sample"]: (row["iou"], row["ending"]) for row in lines}
    before = sorted((root / "lake/evaluations").iterdir())
    invoked(path)
    assert sorted((root / "lake/evaluations").iterdir()) == before
    gone = lines[0]["video"]
    told = CliRunner().invoke(cli.app, ["forget", gone, "--reason", "asked to", "-w", str(root)])
    assert told.exit_code == 0, told.output
    left = {row["sample"] for row in lines if row["video"] != gone}
    assert 0 < len(left) < len(lines)
    assert kept().keys() == left


def test_rows_lie_beside_the_checkpoint_and_the_table_says_what_they_say(random_checkpoint: Path, corpus: Path) -> None:
    path = random_checkpoint.parent / "e.toml"
    write_evaluation(path, "./checkpoint-0", [str(corpus)], "max_samples = 3\n[roll]\nmax_tokens = 20\n")
    printed = invoked(path)
    folder = random_checkpoint.parent / "checkpoint-0.evaluation"
    assert len(rows_in(folder)) == 3
    metrics = json.loads((folder / "metrics.json").read_text())
    assert str(folder) in printed.replace("\n", "")
    for name, value in metrics["baselines"].items():
        assert name.replace("_", " ") in printed
        assert f"{value.get('miou', value.get('accuracy')):.3f}" in printed
    for name in metrics["intervals"]:
        assert f"{metrics[name]:.3f}" in next(line for line in printed.splitlines() if line.startswith(name))


# what a row says


WINDOWS = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda told: Window(100 * told[0], 100 * sum(told)))


@pytest.mark.slow
def test_several_processes_share_the_samples_and_come_to_the_same_rows(
    random_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    outputs: list[list[str]] = []
    for ranks in (1, 3):
        path = write_evaluation(
            tmp_path / "evaluate.toml",
            random_checkpoint,
            [str(corpus)],
            f'max_samples = 5\nout = "by-{ranks}"\n[roll]\nmax_tokens = 24',
        )
        outputs.append(by_processes(["evaluate", str(path), "--json"], ranks))
    assert [bool(output) for output in outputs[1]] == [True, False, False]  # one of them speaks
    assert (tmp_path / "by-1/rows.jsonl").read_bytes() == (tmp_path / "by-3/rows.jsonl").read_bytes()
    first, second = (json.loads(output[0])["metrics"] for output in outputs)
    assert first == second
    assert first["samples"] == 5


def by_processes(words: list[str], ranks: int) -> list[str]:
    """What each of several processes prints."""
    processes = begin_ranks("dmforge.cli", words, ranks)
    ends = [(process.communicate(timeout=200), process.returncode) for process in processes]
    assert all(code == 0 for _, code in ends), ends[0][0][1].decode()[-3000:]
    return [stdout.decode() for (stdout, _), _ in ends]


def test_vllm_takes_several_gpus_by_itself(
    random_checkpoint: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_evaluation(tmp_path / "evaluate.toml", random_checkpoint, [str(corpus)], '[engine]\nkind = "vllm"')
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "processes = 2" in invoked(path, code=2)


def rolled(look: Look | None, answer: str = "A") -> RolloutResult:
    shown = (look,) if look else ()
    trajectory = Trajectory(("a", "b")[: 1 + len(shown)], shown, answer)
    pieces = (Piece("policy", f"<think>a</think><answer>{answer}</answer>"),)
    return RolloutResult(Transcript(pieces), "answered" if look else "no_look", trajectory, shown, (), 7, (5,) * len(shown))


def test_a_row_measures_against_the_look_that_the_sample_teaches() -> None:
    told = sample(0, 0)  # gold is 1.00 - 3.50 or 4.00 - 5.00, and the target 1.00 - 3.50 at 2
    row = row_of(told, "video", rolled(Look(Window(200, 450), Fraction(3))), rolled(None, "C"))
    assert (row.iou, row.iop, row.density_error) == (150 / 350, 150 / 250, 1.0)
    assert (row.answer_score, row.uniform_frames, row.longest_option) == (1.0, 0.0, 0.0)
    taught = replace(
        told, target=None, transcript=Transcript((*told.transcript.pieces[:3], Piece("runtime", None, look(0, 250))))
    )
    assert row_of(taught, "video", rolled(look(0, 250)), rolled(None)).iou == 1.0
    none = row_of(told, "video", rolled(None), rolled(None))
    assert (none.iou, none.iop, none.density_error, none.window_cs, none.well_formed) == (0.0, 0.0, None, None, False)
    task = replace(sample(0, 0, sparse=True), target=None)
    assert row_of(task, "video", rolled(look(0, 250)), rolled(None)).iou is None


def look(start_cs: int, end_cs: int) -> Look:
    return Look(Window(start_cs, end_cs), Fraction(2))


def rolled_by(*looks: Look) -> RolloutResult:
    return replace(rolled(look(0, 100)), looks=looks)


SET = replace(sample(0, 0), target=look(100, 300), further_targets=(Look(Window(600, 700), Fraction(4)),))


@given(WINDOWS, WINDOWS, st.sampled_from([1, 2, 9]), st.sampled_from(["any", "all"]))
def test_a_row_of_one_look_and_one_target_says_what_it_said(window: Window, target: Window, fps: int, needs: Any) -> None:
    aimed = replace(sample(0, 0), target=Look(target, Fraction(2)), needs=needs)
    one = row_of(aimed, "video", rolled(Look(window, Fraction(fps))), rolled(None))
    assert one.iou == iou_of(window, one) == float(iou((window,), (target,)))
    assert one.iop == overlap_cs((window,), (target,)) / measure_cs((window,))
    assert one.density_error == float(abs(fps - Fraction(2)))
    assert one.gold_iou == float(window_score((window,), aimed.windows, needs))
    assert {"further_looks", "further_targets"}.isdisjoint(one.line())


def test_a_row_matches_looks_with_a_target_that_is_a_set() -> None:
    first, second = SET.target_looks
    exact = row_of(SET, "video", rolled_by(second, first), rolled(None))
    assert (exact.iou, exact.iop, exact.density_error) == (1.0, 1.0, 0.0)
    assert exact.target_cs == ((100, 300), (600, 700))
    line = json.loads(json.dumps(exact.line()))
    assert line["further_looks"] == [{"window_cs": [100, 300], "fps": "2", "box": None, "tokens": None}]
    assert line["further_targets"] == [{"window_cs": [600, 700], "fps": "4", "box": None, "tokens": None}]
    once = row_of(SET, "video", rolled_by(first), rolled(None))
    assert (once.iou, once.iop, once.density_error) == (0.5, 1.0, 0.0)
    assert iou_of(Window(600, 700), exact) == 0.5
    needless = row_of(SET, "video", rolled_by(first, second, look(800, 900)), rolled(None))
    assert (needless.iou, needless.iop) == (2 / 3, 0.75)
    dense = row_of(SET, "video", rolled_by(Look(Window(600, 700), Fraction(5)), look(100, 300)), rolled(None))
    assert (dense.iou, dense.density_error) == (1.0, 0.5)
    none = row_of(SET, "video", rolled(None), rolled(None))
    assert (none.iou, none.iop, none.density_error) == (0.0, 0.0, None)


def test_the_lakes_row_of_an_evaluation_has_every_look() -> None:
    narrow = replace(look(800, 900), box=Box(1, 2, 3, 4), tokens=96)
    row = row_of(SET, show("video", b"v" * 16), rolled_by(*SET.target_looks, narrow), rolled(None))
    stored = evaluated(row, b"s" * 16, "checkpoint-1")
    assert (stored.look, *stored.further_looks) == (*SET.target_looks, narrow)
    assert (stored.target, *stored.further_targets) == SET.target_looks
    (read_back,) = from_arrow(EvaluatedSample, to_arrow(EvaluatedSample, [stored]))
    assert read_back == stored


def test_a_trajectory_of_several_looks_teaches_all_of_them() -> None:
    pieces = (Piece("runtime", None, look(100, 300)), Piece("policy", "b"), Piece("runtime", None, look(600, 700)))
    taught = replace(sample(0, 0), target=None, transcript=Transcript((*sample(0, 0).transcript.pieces[:3], *pieces)))
    assert row_of(taught, "video", rolled_by(look(600, 700), look(100, 300)), rolled(None)).iou == 1.0
    assert row_of(taught, "video", rolled_by(look(100, 300)), rolled(None)).iou == 0.5


# looks made, and looks needed


def several(told: ShardSample, *looks: Look, held: Mapping[int, RolloutResult] | None = None) -> EvaluationRow:
    result = rolled_by(*looks) if looks else rolled(None)
    return with_several_looks(row_of(told, told.id, result, rolled(None)), told, 1000, result, held or {})


def value(row: EvaluationRow, name: str) -> float | None:
    return MEASURES[name](row)


GOLD = replace(sample(0, 0), target=None, transcript=Transcript(sample(0, 0).transcript.pieces[:2]))
"""A task whose gold is 1.00 - 3.50 or 4.00 - 5.00, and which has no target."""


@settings(deadline=None)
@given(WINDOWS, WINDOWS, st.sampled_from(["any", "all"]))
def test_of_one_look_and_one_right_window_both_scores_are_one(window: Window, target: Window, needs: Any) -> None:
    for aimed in (
        replace(sample(0, 0), target=Look(target, Fraction(2)), needs=needs),
        replace(GOLD, windows=(target,), needs=needs),
    ):
        row = several(aimed, Look(window, Fraction(2)))
        assert row.iou_set == row.iou == float(iou((window,), (target,)))
        assert (row.made_looks, row.needed_looks, value(row, "excess_looks"), value(row, "missed_looks")) == (1, 1, 0.0, 0.0)
        assert row.uniform_iou_set == iou_of(Window(0, 1000), row)
        before = row_of(aimed, aimed.id, rolled_by(Look(window, Fraction(2))), rolled(None))
        assert row.line() == before.line() | {
            "made_looks": 1, "needed_looks": 1, "iou_set": row.iou_set, "uniform_iou_set": row.uniform_iou_set
        }  # fmt: skip
        told = figures([row], 20, 0)
        assert figures([before], 20, 0) == {name: told[name] for name in told.keys() - AFTER}
        assert told["miou_set"] == told["miou"]


AFTER = {"miou_set", "looks", "excess_looks", "missed_looks"}


def test_the_union_of_looks_is_scored_and_not_how_often_anybody_looked() -> None:
    exact = several(SET, *SET.target_looks)  # 1.00 - 3.00 and 6.00 - 7.00
    assert (exact.iou_set, exact.made_looks, exact.needed_looks) == (1.0, 2, 2)
    over_both = several(SET, look(100, 700))
    assert (over_both.iou_set, over_both.iou, value(over_both, "missed_looks")) == (300 / 600, (200 / 600) / 2, 1.0)
    in_halves = several(SET, look(100, 200), look(200, 300), look(600, 700))
    assert (in_halves.iou_set, value(in_halves, "excess_looks"), value(in_halves, "missed_looks")) == (1.0, 1.0, 0.0)
    assert in_halves.iou == (0.5 + 1.0) / 3
    none = several(SET)
    assert (none.iou_set, none.made_looks, value(none, "looks"), value(none, "missed_looks")) == (0.0, 0, 0.0, 2.0)
    assert none.uniform_iou_set == 300 / 1000


def test_how_many_looks_a_task_needs() -> None:
    assert several(GOLD, look(400, 500)).needed_looks == 1
    assert several(GOLD, look(400, 500)).iou_set == 1.0
    both = replace(GOLD, needs="all")
    assert (several(both).needed_looks, several(both, look(400, 500)).iou_set) == (2, 100 / 350)
    twice = replace(both, windows=(*both.windows, both.windows[0]))
    assert several(twice).needed_looks == 2
    for needs in ("any", "all"):
        unknown = several(replace(GOLD, windows=(), needs=needs), look(100, 200))
        assert (unknown.needed_looks, unknown.iou_set, unknown.made_looks) == (None, None, 1)
        assert (value(unknown, "looks"), value(unknown, "excess_looks"), value(unknown, "missed_looks")) == (1.0, None, None)
    assert several(sample(0, 0)).needed_looks == 1  # its target's, whatever gold is
    three = several(replace(GOLD, extras='{"fps": 2, "needed_looks": 3}'), look(400, 500))
    assert (three.needed_looks, value(three, "missed_looks")) == (3, 2.0)


def test_a_task_that_the_overview_answers_needs_no_look_and_no_window_is_right() -> None:
    for told in (GOLD, SET):
        row = several(replace(told, extras='{"needed_looks": 0}'), look(100, 200))
        assert (row.needed_looks, row.iou_set, row.uniform_iou_set, value(row, "excess_looks")) == (0, None, None, 1.0)
    assert value(several(replace(GOLD, extras='{"needed_looks": 0}')), "excess_looks") == 0.0


@pytest.mark.parametrize(
    "extras", ["[0]", "0", "{", "[" * 100_000, '{"needed_looks": true}', '{"needed_looks": -1}', '{"a": 0}']
)
def test_what_a_stranger_writes_beside_a_sample_says_nothing(extras: str) -> None:
    assert several(replace(GOLD, extras=extras)).needed_looks == 1


def test_figures_are_told_apart_by_how_many_looks_tasks_need() -> None:
    none = replace(GOLD, extras='{"needed_looks": 0}')
    unknown = replace(GOLD, windows=())
    rows = [
        several(SET, *SET.target_looks), replace(several(SET, look(100, 300)), answer_score=0.0), several(GOLD, look(100, 350)),
        several(none, look(100, 350)), several(none), several(unknown, look(100, 350)),
    ]  # fmt: skip
    told = {need: {name: one.value for name, one in group.items()} for need, group in figures_by_need(rows, 20, 0).items()}
    assert told == {
        0: {"accuracy": 1.0, "looks": 0.5, "excess_looks": 0.5, "missed_looks": 0.0},
        1: {"accuracy": 1.0, "miou_set": 1.0, "looks": 1.0, "excess_looks": 0.0, "missed_looks": 0.0},
        2: {"accuracy": 0.5, "miou_set": (1 + 2 / 3) / 2, "looks": 1.5, "excess_looks": 0.0, "missed_looks": 0.5},
    }
    all_of_them = figures(rows, 20, 0)
    assert all_of_them["looks"].value == (2 + 1 + 1 + 1 + 0 + 1) / 6
    assert (all_of_them["excess_looks"].samples, all_of_them["excess_looks"].value) == (5, 1 / 5)
    assert all_of_them["miou_set"].samples == 3


def test_constant_windows_are_as_many_as_needed() -> None:
    pair, later_pair = (Window(600, 700), Window(100, 300)), (Window(150, 250), Window(600, 700))
    sets = best_sets([pair, pair, later_pair, (Window(400, 500),)])
    assert sets == {1: (Window(400, 500),), 2: (Window(100, 300), Window(600, 700))}
    three = replace(SET, extras='{"needed_looks": 3}')
    none = replace(SET, extras='{"needed_looks": 0}')
    rows = [several(told) for told in (SET, sample(0, 0), three, none, replace(GOLD, windows=()))]
    scores = [constant_iou_set(sets, row) for row in rows]
    assert scores == [1.0, 0.0, 1.0, None, None]  # where no set is as large, the largest below it
    told = baselines(rows, np.array([(100, 300)]), 20, 0, [pair, pair, later_pair, (Window(400, 500),)])
    assert told.constant_sets == sets
    assert told.constant_miou_set
    assert told.constant_miou_set.value == pytest.approx(2 / 3)
    assert told.uniform_miou_set
    assert told.uniform_miou_set.value == pytest.approx((0.3 + 0.25 + 0.3) / 3)
    alone = baselines([row_of(SET, "v", rolled(None), rolled(None))], np.array([(100, 300)]), 20, 0)
    assert (alone.constant_sets, alone.constant_miou_set, alone.uniform_miou_set) == ({}, None, None)


# held to fewer looks


TWICE = (
    "<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red. More?<span>6.00 - 8.00</span><fps>1</fps>Blue.</think><answer>blue"
)


def dictated_results(text: str, *held_to: int, max_looks: int = 2) -> tuple[RolloutResult, Mapping[int, RolloutResult]]:
    """The free result of a policy that writes this, and those where it is held and writes what stands behind `|`."""
    free_text, *held_texts = text.split("|")
    footage = Barcodes()
    request = RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, Sampling(temperature=0, max_tokens=120))
    with dictated(free_text + "</answer><|im_end|>"):
        (free,) = roll(ENGINE, [request], RolloutLimits(max_looks))
    with dictated("".join(f"{held_text}</answer><|im_end|>" for held_text in held_texts)):
        (held,) = roll_held(ENGINE, [request], [free], held_to, 1 << 20)
    return free, held


def test_a_policy_is_held_to_fewer_looks_than_it_made() -> None:
    free, held = dictated_results(TWICE + "|red|<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red.<span>green", 2, 0, 1)
    assert [(result.answer, len(result.looks), result.ending) for result in held.values()] == [
        ("red", 0, "no_look"), ("green", 1, "answered"), ("blue", 2, "answered")
    ]  # fmt: skip
    assert list(held) == [0, 1, 2]
    assert held[0].transcript.trajectory_text == "<think></think><answer>red</answer>"
    assert held[2] is free  # it would do the very same
    assert held[0].visual_tokens < held[1].visual_tokens < held[2].visual_tokens


def test_a_policy_that_wanted_more_looks_than_it_may_make_is_held_to_those() -> None:
    more = TWICE.replace("Blue.</think><answer>blue", "Blue?<span>8.50 - 9.00</span>")
    free, held = dictated_results(more + "|" + more.partition("8.50")[0] + "blue", 2)
    assert (free.ending, held[2].ending, held[2].answer, held[2].looks) == ("malformed", "answered", "blue", free.looks)
    whole = TWICE.partition("Red.")[0] + "</think><answer>red"
    free, held = dictated_results(whole, 1, 2)
    assert held[1] is held[2] is free


def test_a_policy_that_makes_no_look_is_only_held_to_answer_without_a_thought() -> None:
    free, held = dictated_results("<think>It flashes blue.</think><answer>blue|red", 0, 1, 2)
    assert (free.ending, free.answer, held[0].answer) == ("no_look", "blue", "red")
    assert held[0].transcript.trajectory_text == "<think></think><answer>red</answer>"
    assert held[1] is held[2] is free


def test_what_is_not_rolled_out_again_would_be_the_same() -> None:
    footage = Barcodes()
    request = RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, Sampling(temperature=0, max_tokens=30))
    (free,) = roll(ENGINE, [request], RolloutLimits(2))
    assert roll(ENGINE, [request], RolloutLimits(1, must_answer=True)) == [free]
    (held,) = roll_held(ENGINE, [request], [free], (1, 2), 1 << 20)
    assert held == {1: free, 2: free}


def test_a_row_says_what_the_policy_did_where_it_was_held() -> None:
    held = {0: rolled(None, "C"), 1: replace(rolled_by(look(100, 300)), visual_tokens=4)}
    row = several(SET, *SET.target_looks, held=held)
    line = json.loads(json.dumps(row.line()))["held_rollouts"]
    assert line[0] == {
        "held_to": 0, "ending": "no_look", "looks": [], "iou_set": 0.0, "answer": "C", "answer_score": 0.0, "visual_tokens": 7
    }  # fmt: skip
    assert (line[1]["iou_set"], line[1]["looks"][0]["window_cs"]) == (200 / 300, [100, 300])
    told = {held_to: {name: one.value for name, one in group.items()} for held_to, group in held_figures([row], 9, 0).items()}
    assert told == {
        0: {"accuracy": 0.0, "miou_set": 0.0, "visual_tokens": 7.0},
        1: {"accuracy": 1.0, "miou_set": 200 / 300, "visual_tokens": 4.0},
    }
    videos = replace(row, video=show("video", b"v" * 16))
    stored = evaluated(videos, b"s" * 16, "checkpoint-1")
    assert [(one.held_to, one.looks, one.score) for one in stored.held_rollouts] == [(0, (), 0.0), (1, (look(100, 300),), 1.0)]
    assert (stored.needed_looks, stored.iou_set) == (2, 1.0)
    (read_back,) = from_arrow(EvaluatedSample, to_arrow(EvaluatedSample, [stored]))
    assert read_back == stored


@pytest.mark.slow
def test_an_evaluation_of_several_looks_says_in_files_table_and_lake_what_its_rows_say(
    random_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    shutil.copytree(corpus.parents[2], root)
    inside = root / corpus.relative_to(corpus.parents[2])
    more = 'workspace = "ws"\nout = "here"\nmax_samples = 6\n[roll]\nmax_tokens = 30\nmax_looks = 2\nheld_to = [1, 0]\n'
    path = write_evaluation(tmp_path / "e.toml", random_checkpoint, [str(inside)], more)
    metrics = json.loads(invoked(path, "--json"))["metrics"]
    printed, rows = invoked(path), rows_in(tmp_path / "here")
    assert len(rows) == 6
    assert {row["needed_looks"] for row in rows} == {1}
    assert [[held["held_to"] for held in row["held_rollouts"]] for row in rows] == [[0, 1]] * 6
    group, held = metrics["by_needed_looks"]["1"], metrics["held_to"]
    assert metrics["looks"] == group["looks"] == np.mean([row["made_looks"] for row in rows])
    assert metrics["missed_looks"] == group["missed_looks"] == np.mean([max(0, 1 - row["made_looks"]) for row in rows])
    assert metrics["miou_set"] == pytest.approx(metrics["miou"])
    for index, held_to in enumerate(("0", "1")):
        of_rows = [row["held_rollouts"][index] for row in rows]
        assert held[held_to]["visual_tokens"] == pytest.approx(np.mean([one["visual_tokens"] for one in of_rows]))
        words = [one["answer_score"] for one, row in zip(of_rows, rows, strict=True) if row["kind"] != "grounding"]
        assert held[held_to]["accuracy"] == pytest.approx(np.mean(words))
        assert held[held_to]["counted"]["accuracy"] == len(words)
        assert f"held to {held_to}: visual_tokens" in printed
    constant, uniform = metrics["baselines"]["constant_windows"], metrics["baselines"]["uniform_frames"]
    assert constant["windows_s"]["1"] == [metrics["baselines"]["constant_span"]["window_s"]]
    assert constant["miou_set"] == pytest.approx(metrics["baselines"]["constant_span"]["miou"])
    assert uniform["miou_set"] == pytest.approx(np.mean([row["uniform_iou_set"] for row in rows]))
    for name in ("needs 1: missed_looks", "constant windows: miou_set", "uniform frames: miou_set", "excess_looks"):
        assert name in printed

    def asked(name: str) -> list[dict[str, Any]]:
        told = CliRunner().invoke(cli.app, ["audit", name, "--json", "-w", str(root)])
        assert told.exit_code == 0, told.output
        found = json.loads(told.stdout)
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]

    (needs_one,) = asked("looks")
    assert (needs_one["needed_looks"], needs_one["samples"]) == (1, 6)
    for column in ("looks", "missed_looks", "excess_looks", "miou_set"):
        assert needs_one[column] == pytest.approx(group[column], abs=1e-4)
    assert [(row["held_to"], row["visual_tokens"]) for row in asked("held")] == [
        (int(held_to), pytest.approx(group["visual_tokens"], abs=0.1)) for held_to, group in held.items()
    ]


def test_an_evaluation_of_one_look_says_nothing_more_than_it_did(random_checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    path = write_evaluation(
        tmp_path / "e.toml", random_checkpoint, [str(corpus)], 'out = "here"\nmax_samples = 2\n[roll]\nmax_tokens = 8\n'
    )
    metrics, (line, *_) = json.loads(invoked(path, "--json"))["metrics"], rows_in(tmp_path / "here")
    assert metrics.keys() - metrics["intervals"].keys() == {"samples", "intervals", "counted", "baselines"}
    assert AFTER.isdisjoint(metrics)
    assert metrics["baselines"]["uniform_frames"].keys() == {"accuracy"}
    assert {"made_looks", "needed_looks", "iou_set", "uniform_iou_set", "held_rollouts"}.isdisjoint(line)
    stored = evaluated(row_of(SET, show("video", b"v" * 16), rolled(None), rolled(None)), b"s" * 16, "checkpoint-1")
    assert (stored.needed_looks, stored.iou_set, stored.held_rollouts) == (None, None, ())
    assert read_evaluation(path).roll.semantic().keys() == {"most_looks", "most_tokens", "most_visual_tokens"}


# intervals and baselines


def row(video: str, window: Window, target: Window, score: float) -> EvaluationRow:
    told = replace(sample(0, 0), target=Look(target, Fraction(2)))
    return replace(row_of(told, video, rolled(Look(window, Fraction(2))), rolled(None)), answer_score=score)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), WINDOWS, WINDOWS, st.sampled_from([0.0, 1.0])), min_size=1), st.integers(0, 9)
)
def test_intervals_hold_the_mean_and_are_the_same_again(told: list[tuple[str, Window, Window, float]], seed: int) -> None:
    rows = [row(*one) for one in told]
    found = figures(rows, 200, seed)
    assert found == figures(rows, 200, seed)
    for one in found.values():
        assert one.low <= one.value <= one.high
    assert found["accuracy"].value == pytest.approx(np.mean([one[3] for one in told]))
    assert found["r_at_0.3"].value >= found["r_at_0.5"].value >= found["r_at_0.7"].value
    assert found["acc_gqa"].value <= min(found["accuracy"].value, found["r_at_0.5"].value)


@pytest.mark.slow
def test_an_interval_is_as_wide_as_the_videos_differ() -> None:
    window = Window(0, 100)
    scores = np.random.default_rng(1).integers(0, 2, 400)
    alone = [row(f"{at}", window, window, float(score)) for at, score in enumerate(scores)]
    together = [row(f"{at // 2}", window, window, float(score)) for at, score in enumerate(scores.repeat(2))]
    wide = [one.high - one.low for one in (figures(alone, 4000, 0)["accuracy"], figures(together, 4000, 0)["accuracy"])]
    assert wide[0] == pytest.approx(2 * 1.96 * scores.std() / 20, rel=0.1)
    assert wide[1] == pytest.approx(wide[0], rel=0.1)  # twice as many samples of the same videos say no more
    assert figures(alone, 4000, 0) != figures(alone, 4000, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=20))
def test_no_other_span_from_a_beginning_to_an_end_is_better_than_the_constant_one(targets: list[Window]) -> None:
    rows = [row(f"{at}", target, target, 1.0) for at, target in enumerate(targets)]
    spans = np.array([(target.start_cs, target.end_cs) for target in targets])
    constant = best_span(spans)

    def mean(window: Window) -> float:
        return sum(iou_of(window, one) or 0.0 for one in rows) / len(rows)

    others = [Window(a.start_cs, b.end_cs) for a in targets for b in targets if a.start_cs < b.end_cs]
    assert mean(constant) == pytest.approx(max(map(mean, others)))
    told = baselines(rows, spans, 50, 0)
    assert told.constant_miou
    assert told.constant_miou.value == pytest.approx(mean(constant))


def test_a_figure_without_meaning_is_left_out() -> None:
    one = replace(row("a", Window(0, 100), Window(0, 100), 1.0), kind="grounding")
    assert "accuracy" not in figures([one], 10, 0)
    assert figure([one], lambda _: None, 10, 0) is None
    assert baselines([one], np.empty((0, 2), np.int64), 10, 0).constant_span is None


# what is refused


def test_errors_name_the_field_and_the_mend(random_checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    def refused(checkpoint: Path | str, corpora: list[str], more: str = "") -> str:
        return invoked(write_evaluation(tmp_path / "e.toml", checkpoint, corpora, more), code=2).replace("\n", " ")

    assert "corpora is empty" in refused(random_checkpoint, [])
    assert f"{tmp_path / 'none'}" in refused(random_checkpoint, ["none"])
    assert "no such folder" in refused(tmp_path / "none", [str(corpus)])
    assert "no folder beside it" in refused("Qwen/Qwen3-VL-4B-Instruct", [str(corpus)])
    assert "e.toml: workspace" in refused(random_checkpoint, [str(corpus)], 'workspace = "nowhere"')
    assert "corporas" in refused(random_checkpoint, [str(corpus)], 'corporas = ["x"]')
    assert "no such file" in invoked(tmp_path / "none.toml", code=2)
    too_many = refused(random_checkpoint, [str(corpus)], "[roll]\nmax_looks = 2\nheld_to = [0, 3]")
    assert "e.toml: [roll] held_to" in too_many
    assert "at most 2 looks can't be held to 3" in too_many
    assert "hint: raise max_looks" in too_many
    assert "has a number twice" in refused(random_checkpoint, [str(corpus)], "[roll]\nheld_to = [0, 0]")
    assert "held_to" in refused(random_checkpoint, [str(corpus)], "[roll]\nheld_to = [-1]")


def test_a_checkpoint_without_the_tags_is_refused_before_anything_is_rolled_out(
    random_checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    load(str(random_checkpoint)).save(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "plain" / name
        path.write_text(path.read_text().replace("<span>", "<else>"))
    told = write_evaluation(tmp_path / "e.toml", "./plain", [str(corpus)])
    assert "<span>" in invoked(told, code=2)
    assert not (tmp_path / "plain.evaluation").exists()


def test_settings_are_meant_from_where_the_file_lies(tmp_path: Path) -> None:
    told = read_evaluation(write_evaluation(tmp_path / "e.toml", "./runs/checkpoint-5", ["shards"], 'baseline_corpora = ["b"]'))
    assert told.corpora == (str(tmp_path / "shards"),)
    assert told.baseline_corpora == (str(tmp_path / "b"),)
    assert told.out == str(tmp_path / "runs/checkpoint-5.evaluation")


def test_a_checkpoint_is_evaluated_in_bfloat16(random_checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    more = 'weights = "bfloat16"\nout = "here"\nmax_samples = 2\n[roll]\nmax_tokens = 8\n'
    told = json.loads(invoked(write_evaluation(tmp_path / "e.toml", random_checkpoint, [str(corpus)], more), "--json"))
    assert told["metrics"]["samples"] == len(rows_in(tmp_path / "here")) == 2
