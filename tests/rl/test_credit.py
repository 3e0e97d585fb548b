"""The study of credit: golds that the frames don't tell, trainings that are measured on their way, what rows say."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.synthetic.lessons.lesson_corpora import pack_tasks
from dmforge.generators.synthetic.worlds.script import COLOURS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.trainers.evaluation_rows import target_looks_of
from studies import credit_of_looks
from studies.crediting import report
from studies.crossed import agreeing, crossed
from studies.journeys import Point, Row, keep, read
from studies.practising import HeldOut, Practice, practised
from tests.support import flicker
from tests.support.flicker import Golds, World

MANY = 2000


def agreement(golds: Golds) -> tuple[float, float]:
    """How often gold is the colour that flickers; how often it is the best guess of who knows which colour flickers."""
    worlds = [World(number, 9, golds) for number in range(MANY)]
    table = np.zeros((len(COLOURS), len(COLOURS)))
    for world in worlds:
        table[[*COLOURS].index(world.told[3]), [*COLOURS].index(world.gold)] += 1
    return float(np.trace(table)) / MANY, float(table.max(axis=1).sum()) / MANY


def test_frames_tell_gold_as_far_as_the_variant_says() -> None:
    assert agreement("shown") == (1.0, 1.0)
    assert agreement("coin") == pytest.approx((0.75, 0.75), abs=0.03)
    agrees, guessed = agreement("chance")
    assert agrees == pytest.approx(1 / len(COLOURS), abs=0.03)
    assert guessed == pytest.approx(1 / len(COLOURS), abs=0.06)  # the best of six columns is above their mean by luck


@pytest.mark.parametrize("golds", ["coin", "chance"])
def test_golds_change_nothing_but_what_counts_as_right(golds: Golds, tmp_path: Path) -> None:
    plain, other = (flicker.rl(tmp_path / name, 12, 9, name) for name in ("shown", golds))
    before, after = (Corpus(str(place)).read(range(12)) for place in (plain, other))
    for one, two in zip(before, after, strict=True):
        assert (one.coarse, one.grid) == (two.coarse, two.grid)
        assert one.sample.target == two.sample.target
        assert one.sample.question == two.sample.question
    assert any(one.sample.gold != two.sample.gold for one, two in zip(before, after, strict=True))
    assert World(3, 9, golds).taught(flicker.EXACT) == World(3, 9).taught(flicker.EXACT)


def test_several_looks_are_measured_by_what_tasks_need(checkpoint: Path, tmp_path: Path) -> None:
    place = pack_tasks(tmp_path / "tasks", WorldSettings(videos=6, study=True, looks=2, seed=3), credit_of_looks.CLIPS)
    needed = [len(target_looks_of(example.sample)) for example in Corpus(str(place))]
    point = HeldOut(place, max_looks=2, max_tokens=24).of(checkpoint)
    assert sorted(needed) == [0] * 6 + [1] * 6 + [2] * 6
    for name in ("excess", "missed", "close", "far"):
        assert len(point.values(name)) == len(needed)
    made = [
        need + int(more) - int(less) for need, more, less in zip(needed, *map(point.values, ("excess", "missed")), strict=True)
    ]
    assert all(0 <= looks <= 2 for looks in made)
    assert [score is None for score in point.iou] == [need == 0 for need in needed]
    assert [
        (close is None) + (far is None) for close, far in zip(point.further["close"], point.further["far"], strict=True)
    ] == [1 if need == 2 else 2 for need in needed]
    keep(tmp_path / "rows.jsonl", [Row("two places", "plain", 0, 0, 1.0, (point,))])
    assert read(tmp_path / "rows.jsonl")[0].points == (point,)


@pytest.mark.slow
def test_a_training_is_measured_on_its_way_and_repeats(
    checkpoint: Path, practice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = HeldOut(flicker.rl(tmp_path / "held_out", 16, 3))
    start = held_out.of(checkpoint)
    assert start.updates == 0
    assert any(start.iou)
    assert any(error is not None for error in start.off_fps)

    def measured(holistic: float, *at: int) -> tuple[Point, ...]:
        told = {"holistic": holistic, "learning_rate": 1e-3, "warmup_steps": 0}
        return practised(Practice(checkpoint, practice, 2, 5, at, told, {}), tmp_path / "scratch", held_out)[0]

    first, unwatched, other = measured(0.0, 1, 2, 3), measured(0.0, 3), measured(1.0, 1, 2, 3)
    assert [point.updates for point in first] == [1, 2, 3]
    assert first[-1] == unwatched[0]  # nothing is learnt from being measured
    told_by = {"1": other, "0": first}
    rows = [Row("sft", "", 0, 0, 1.5, (start,)), *(Row("coin", arm, 0, 0, 1.5, points) for arm, points in told_by.items())]
    rows.append(Row("coin", "1", 2, 0, 1.5, other))  # not compared: the other arm has no such seed yet
    keep(tmp_path / "rows.jsonl", rows)
    assert read(tmp_path / "rows.jsonl") == rows
    report(read(tmp_path / "rows.jsonl"), tmp_path / "rows.svg", "again")
    printed = capsys.readouterr().out
    gained = np.mean(first[2].iou) - np.mean(other[2].iou)
    assert f"{gained:+.3f} (" in printed.partition("Less plain GRPO")[2]
    drawn = ElementTree.parse(tmp_path / "rows.svg").getroot()
    titles = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert titles.count("coin") == 1


def test_intervals_cover_trainings_as_well_as_videos() -> None:
    draw = np.random.default_rng(0)
    videos, trainings = draw.normal(0, 1, 40), draw.normal(0, 1, 12)
    alike = crossed(np.tile(videos, (12, 1)))
    apart = crossed(trainings[:, None] + np.tile(videos, (12, 1)))
    assert alike is not None
    assert apart is not None
    assert alike.value == pytest.approx(videos.mean())
    assert alike.high - alike.low == pytest.approx(4 * videos.std() / 40**0.5, rel=0.2)
    both = 4 * (videos.var() / 40 + trainings.var() / 12) ** 0.5
    assert apart.high - apart.low == pytest.approx(both, rel=0.25)
    assert crossed(np.full((2, 3), np.nan)) is None
    holes = crossed(np.array([[1.0, np.nan], [3.0, 2.0]]))
    assert holes is not None
    assert (holes.value, holes.samples) == (2.0, 3)


def test_signs_are_counted_by_training() -> None:
    assert agreeing(np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, 0.0], [0.5, np.nan]])) == (2, 1, 1)
