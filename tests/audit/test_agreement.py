"""Cohen's kappa of two reviewers and its interval, recomputed by hand; where chance alone would agree there is neither."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.audit.query import ask
from dmforge.schemas.records import Task, Verdict, Video
from tests.audit.intervals import wilson
from tests.judging.lakes import judged


def decided(*decisions: tuple[int, int]) -> list[Any]:
    """A task for each pair of decisions by anna and bert."""
    video = Video("ab" * 32, 6000, 64, 64, Fraction(25), "h264", 0, 9, source="films")
    rows: list[Any] = [video]
    for number, scores in enumerate(decisions):
        task = Task(video.id, "open", f"What is it, {number}?", (), "red", (), "any", source="x")
        rows.append(task)
        for name, score in zip(("anna", "bert"), scores, strict=True):
            rows.append(Verdict(video.id, task.id, "task", "human", float(score), 1, "", f"{name}: seen"))
    return rows


@pytest.mark.parametrize(("both_keep", "one_keeps", "other_keeps", "none_keeps"), [(20, 3, 2, 15), (1, 5, 6, 2), (4, 0, 0, 4)])
def test_kappa_has_the_interval_of_the_agreement(
    tmp_path: Path, both_keep: int, one_keeps: int, other_keeps: int, none_keeps: int
) -> None:
    rows = decided(*both_keep * [(1, 1)], *one_keeps * [(1, 0)], *other_keeps * [(0, 1)], *none_keeps * [(0, 0)])
    answer = ask(judged(tmp_path / "ws", rows), "agreement", {})
    (pair,) = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
    shared, agreements = both_keep + one_keeps + other_keeps + none_keeps, both_keep + none_keeps
    first, second = (both_keep + one_keeps) / shared, (both_keep + other_keeps) / shared
    chance = first * second + (1 - first) * (1 - second)
    kappas = [(share - chance) / (1 - chance) for share in (agreements / shared, *wilson(agreements, shared))]
    assert [pair["kappa"], pair["kappa_low"], pair["kappa_high"]] == pytest.approx(kappas, abs=1e-3)
    assert (pair["one"], pair["other"], pair["shared"]) == ("anna", "bert", shared)
    assert -1 <= pair["kappa_low"] < pair["kappa_high"] <= 1


def test_two_who_keep_everything_agree_by_chance_alone(tmp_path: Path) -> None:
    answer = ask(judged(tmp_path / "ws", decided(*5 * [(1, 1)])), "agreement", {})
    (pair,) = (dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
    assert (pair["agreed"], pair["kappa"], pair["kappa_low"], pair["kappa_high"]) == (1.0, None, None, None)
