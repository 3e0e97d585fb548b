"""The studies of lessons and of credit in miniature: what they measure, and that they go on where they were stopped."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from dmforge.schemas.errors import InputError
from studies import credit_of_looks, levels, two_looks
from studies.journeys import keep, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SIZE = {"worlds": 4, "steps": 2, "lesson_steps": 1, "exam": 2}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_arms_have_the_same_lessons_and_are_examined_once(tmp_path: Path) -> None:
    told: dict[str, Any] = {"seeds": 1, "arms": ["two", "one"], **SIZE}
    two, one = two_looks.done(tmp_path, **told)
    assert list(two["cpu_s"]) == list(one["cpu_s"]) == ["captions", "reading", "looks"]
    assert list(two["by_needed_looks"]) == ["0", "1", "2"]
    assert [row[2] for row in (two_looks.row_of(two, "2"), two_looks.row_of(one, "2"))] == ["two", "one"]
    before = contents(tmp_path)
    assert list(two_looks.done(tmp_path, **told)) == [two, one]
    assert contents(tmp_path) == before
    (tmp_path / "two-0.json").unlink()  # the student is there: it is examined again, and what it cost is not forgotten
    assert next(two_looks.done(tmp_path, **told))["cpu_s"] == two["cpu_s"]
    with pytest.raises(InputError, match="another size"):
        list(two_looks.done(tmp_path, **told | {"steps": 3}))


def test_each_arm_of_a_level_adds_one_thing(tmp_path: Path) -> None:
    results = list(levels.done(tmp_path, levels=[3], arms=list(levels.ARMS), students=["mote"], seeds=1, **SIZE))
    lessons = {result["arm"]: list(result["cpu_s"]) for result in results}
    assert lessons == {
        "plain": ["looks"], "log": ["looks"], "captions": ["captions", "looks"], "lessons": ["captions", "reading", "looks"],
    }  # fmt: skip
    cards = {arm: (tmp_path / f"3-{arm}-0/looks/checkpoint-2/README.md").read_text() for arm in lessons}
    assert {arm: card.count("| corpus |") for arm, card in cards.items()} == {"plain": 1, "log": 1, "captions": 1, "lessons": 2}
    assert all(0 <= result["figures"]["right_object"] <= 1 for result in results)


def test_credit_of_looks_goes_on_with_the_arms_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"worlds": 4, "steps": 2, "lesson_steps": 1, "updates": 1, "prompts": 2, "held_out": 2}
    arguments, rows = Namespace(seeds=1, **names), tmp_path / "rows.jsonl"
    monkeypatch.setattr(credit_of_looks, "ARMS", {arm: credit_of_looks.ARMS[arm] for arm in ("plain", "marginal, 0.5")})
    for row in credit_of_looks.missing(tmp_path, arguments):
        keep(rows, [*read(rows), row])
    assert [(row.scenario, row.arm) for row in read(rows)] == [
        ("sft", ""), ("two places", "plain"), ("two places", "marginal, 0.5"),
    ]  # fmt: skip
    keep(rows, read(rows)[:2])
    assert [row.arm for row in credit_of_looks.missing(tmp_path, arguments)] == ["marginal, 0.5"]
    with pytest.raises(InputError, match="another size"):
        list(credit_of_looks.missing(tmp_path, Namespace(seeds=1, **names | {"steps": 3})))
