"""Tasks that need several places: what is selected as their target, what it says of candidates, and how files are judged."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.lake.views import LakeView
from dmforge.filters.rollouts.density_match import Thrift, ThriftConfig
from dmforge.filters.selection.select_rl import SelectRl, SelectRlConfig
from dmforge.recipe import read_recipe
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Needs, Provenance, Sample, Target, Task, Verdict, Video
from dmforge.schemas.transcript import Transcript
from tests.judging.lakes import Rows, judged
from tests.judging.test_lint import HUB, TRL, lint, written

VIDEO = Video(hashlib.sha256(b"v").hexdigest(), 2000, 64, 64, Fraction(12), "h264", 0, 1)
PROVENANCE = Provenance(VIDEO.id, "made", "CC0-1.0", "", "n", "v", (), "train")
FIRST, SECOND, THIRD = Window(100, 300), Window(500, 700), Window(900, 1000)


def task(number: int, *windows: Window, needs: Needs = "all", fps: int | None = None) -> Task:
    extras = "" if fps is None else json.dumps({"fps": float(fps)})
    return Task(VIDEO.id, "open", f"Which of {number} is first?", (), "red", windows, needs, extras=extras)


def candidate(of: Task, *looks: Look) -> Candidate:
    return Candidate(of.video, of.id, 0, "t", Transcript(()), looks, "red", "teacher", ())


def targets(folder: Path, rows: Rows, **settings: Any) -> dict[bytes, tuple[tuple[Look, ...], str | None]]:
    view = judged(folder, [VIDEO, PROVENANCE, *rows], SelectRl(SelectRlConfig(**settings)))
    return {sample.task: (sample.target_looks, sample.target_source) for sample in view.all_rows(Sample)}


# selection


IMPORTED = [
    task(0, FIRST, SECOND, fps=4), task(1, SECOND, FIRST, needs="any", fps=4), task(2, FIRST, fps=4),
    task(3, FIRST, SECOND, THIRD, fps=4),
]  # fmt: skip


def test_a_task_that_needs_two_windows_aims_at_both_where_so_many_looks_are_allowed(tmp_path: Path) -> None:
    found = targets(tmp_path, IMPORTED, max_looks=2)
    both, either, single, three = (found[row.id][0] for row in IMPORTED)
    assert both == (Look(FIRST, Fraction(4)), Look(SECOND, Fraction(4)))
    assert either == (Look(SECOND, Fraction(4)),)
    assert single == (Look(FIRST, Fraction(4)),)
    # more places than it may look at: one look over all of them, of which a third alone would answer nothing
    assert three == (Look(Window(FIRST.start_cs, THIRD.end_cs), Fraction(4)),)


def test_with_one_look_targets_are_what_they_were(tmp_path: Path) -> None:
    found = targets(tmp_path, IMPORTED)
    assert {id: looks for id, (looks, _) in found.items()} == {row.id: (Look(row.windows[0], Fraction(4)),) for row in IMPORTED}


def test_a_teachers_densities_go_to_the_windows_that_it_looked_at(tmp_path: Path) -> None:
    needing, unknown = task(0, FIRST, SECOND), task(1, needs="any")
    looks = (Look(Window(500, 650), Fraction(6)), Look(Window(100, 200), Fraction(1)))
    rows = [needing, unknown, candidate(needing, *looks), candidate(unknown, *looks)]
    found = targets(tmp_path / "several", rows, teachers_look=True, max_looks=2)
    assert found[needing.id] == ((Look(FIRST, Fraction(1)), Look(SECOND, Fraction(6))), "teacher")
    assert found[unknown.id] == ((looks[1], looks[0]), "teacher")
    once = targets(tmp_path / "once", rows, teachers_look=True)
    assert once[needing.id] == ((Look(Window(100, 700), Fraction(6)),), "teacher")
    assert once[unknown.id] == (looks[:1], "teacher")


def test_what_was_measured_goes_before_what_a_file_says(tmp_path: Path) -> None:
    measured = Target(VIDEO.id, IMPORTED[0].id, Look(FIRST, Fraction(1)), "replay", further_looks=(Look(SECOND, Fraction(2)),))
    found = targets(tmp_path, [*IMPORTED, measured], max_looks=2)
    assert found[IMPORTED[0].id] == (measured.looks, "replay")
    assert found[IMPORTED[2].id] == ((Look(FIRST, Fraction(4)),), "teacher")


def test_the_recipes_looks_reach_the_selection_and_one_is_no_part_of_its_key(tmp_path: Path) -> None:
    stages = {}
    for name, looks in (("none", ""), ("one", "[looks]\nmax_looks = 1\n"), ("two", "[looks]\nmax_looks = 2\n")):
        (tmp_path / f"{name}.toml").write_text(f'name = "x"\n{looks}[stages.ingest]\n[stages.import]\n[stages.select_rl]\n')
        stages[name] = read_recipe(tmp_path / f"{name}.toml").stages[-1]
    assert stages["two"].config.max_looks == 2  # pyright: ignore
    assert stages["none"].variant == stages["one"].variant != stages["two"].variant


# thrift


@pytest.mark.parametrize(
    ("looks", "score", "reason"),
    [
        (((FIRST, 2), (SECOND, 4)), 1.0, ""),
        (((SECOND, 4), (FIRST, 2)), 1.0, ""),
        (((FIRST, 4), (SECOND, 4)), 0.75, "too dense"),
        (((FIRST, 4), (SECOND, 2)), 0.5, "too dense and too sparse"),
        (((FIRST, 2),), 0.5, "too few looks"),
        (((FIRST, 2), (SECOND, 4), (THIRD, 4)), 2 / 3, "too many looks"),
    ],
)
def test_thrift_matches_the_looks_of_a_candidate_with_the_targets(
    looks: tuple[tuple[Window, int], ...], score: float, reason: str, tmp_path: Path
) -> None:
    of = task(0, FIRST, SECOND)
    target = Target(VIDEO.id, of.id, Look(FIRST, Fraction(2)), "replay", further_looks=(Look(SECOND, Fraction(4)),))
    made = candidate(of, *(Look(window, Fraction(fps)) for window, fps in looks))
    (verdict,) = thrift(judged(tmp_path, [VIDEO, PROVENANCE, of, target, made], Thrift(ThriftConfig())))
    assert (verdict.score, verdict.n, verdict.reason) == (score, 1, reason)


def thrift(view: LakeView) -> list[Verdict]:
    return [verdict for verdict in view.all_rows(Verdict) if verdict.filter == "thrift"]


@pytest.mark.parametrize("fps", [Fraction(1, 3), Fraction(2), Fraction(6)])
def test_of_one_look_and_one_thrift_says_what_it_said(fps: Fraction, tmp_path: Path) -> None:
    of = task(0, FIRST)
    target = Target(VIDEO.id, of.id, Look(FIRST, Fraction(2)), "replay")
    rows = [VIDEO, PROVENANCE, of, target, candidate(of, Look(THIRD, fps)), candidate(of)]
    found = {verdict.reason: verdict for verdict in thrift(judged(tmp_path, rows, Thrift(ThriftConfig())))}
    assert (found["no look"].score, found["no look"].n, found["no look"].detail) == (1.0, 0, "")
    expected = {Fraction(1, 3): ("too sparse", "1/3 fps, 2 is enough"), Fraction(6): ("too dense", "6 fps, 2 is enough")}
    reason, detail = expected.get(fps, ("", ""))
    assert (found[reason].score, found[reason].n, found[reason].detail) == (float(min(fps / 2, 2 / fps)), 1, detail)


# files


SETS = {"hub": {**HUB, "target_window": "0.00 - 4.00, 8.00 - 9.00", "target_fps": "2, 4"},
        "trl": {**TRL, "target_window": [[0.0, 4.0], [8.0, 9.0]], "target_fps": [2.0, 4.0]}}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "spoilt", "rule"),
    [
        ("hub", {}, None), ("trl", {}, None),
        ("hub", {"target_window": "0.00 - 4.00, 18.00 - 29.00"}, "window"), ("hub", {"target_fps": "2, 5"}, "density"),
        ("hub", {"target_window": "0.00 - 4.00, 9.00 - 8.00"}, "target"), ("hub", {"target_fps": "2"}, "record"),
        ("trl", {"target_fps": [2.0, 5.0]}, "density"), ("trl", {"target_window": [[0.0, 4.0], [9.0, 8.0]]}, "target"),
        ("trl", {"target_fps": [2.0]}, "record"), ("trl", {"target_fps": 2.0}, "record"),
        ("trl", {"target_window": [], "target_fps": []}, "target"),
    ],
)  # fmt: skip
def test_every_look_of_a_target_is_judged(form: str, spoilt: dict[str, Any], rule: str | None, tmp_path: Path) -> None:
    found = lint(written(tmp_path / "rows.jsonl", SETS[form], {**SETS[form], **spoilt}))
    assert (found["records"], [defect["rule"] for defect in found["defects"]]) == (2, [rule] if rule else [])


def test_an_answer_lies_in_one_of_the_windows_of_a_target(tmp_path: Path) -> None:
    span = {**TRL, "kind": "grounding", "solution": "8.25 - 8.75"}
    between = {**SETS["trl"], **span, "target_window": [[0.0, 4.0], [8.0, 9.0]]}
    rows = [between, {**between, "solution": "3.00 - 8.50"}]
    found = lint(written(tmp_path / "rows.jsonl", *({**row, "target_fps": [2.0, 4.0]} for row in rows)))
    assert [(d["record"], d["rule"]) for d in found["defects"]] == [("rows.jsonl:2", "answer_form")]
    assert "is not inside the target 0 to 4, 8 to 9" in found["defects"][0]["message"]
