"""Thresholds, an order, caps and balance keep what they say; what can't be decided is told apart; what if harms nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.demo import chain
from dmforge.commands.plan import ComingRows
from dmforge.curation.audit.sql_sandbox import SqlLimits
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.partition import ALL, IN_ONE
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rules.citations import CITATIONS, Citations
from dmforge.filters.rules.look_use import LOOK_USE
from dmforge.filters.rules.rules import Rules, RulesConfig, rules_of
from dmforge.filters.selection.select_cot import SelectCot, SelectCotConfig
from dmforge.filters.selection.select_rl import SelectRl, SelectRlConfig
from dmforge.filters.selection.selection import Selection, SelectionRules, counts
from dmforge.filters.selection.task_sampling import Draw, DrawConfig
from dmforge.filters.selection.what_if import compile_condition
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Provenance, Task, TaskKind, Verdict, Video
from dmforge.schemas.transcript import Transcript
from tests.judging.lakes import Given, GivenConfig, judged
from tests.support.made_once import made_once

SCORES = ({"answer": 1.0, "grammar": 1.0}, {"answer": 0.5, "grammar": 1.0}, {"answer": 1.0}, {"grammar": 0.0}, {})


def video(number: int, role: str = "train") -> tuple[Video, Provenance]:
    made = Video(hashlib.sha256(bytes([number])).hexdigest(), 1000 * (number + 1), 64, 64, Fraction(12), "h264", 0, 1)
    return made, Provenance(made.id, "made", "CC0-1.0", "", "n", str(number), (), role)


def task(of: Video, number: int, kind: TaskKind = "open") -> Task:
    return Task(of.id, kind, f"Question {number}?", (), "red", (), "any", source="a" if number % 2 else "b")


def candidate(of: Task, attempt: int = 0, fps: int = 2) -> Candidate:
    return Candidate(
        of.video, of.id, attempt, "t", Transcript(()), (Look(Window(0, 500), Fraction(fps)),), "red", "teacher", ()
    )


def verdicts(of: Candidate, scores: dict[str, float]) -> list[Verdict]:
    return [Verdict(of.video, of.id, "candidate", name, score, 1, "why", "at 3-4: x") for name, score in scores.items()]


def decided(folder: Path, rows: Any, wanted: SelectionRules, where: str | None = None) -> dict[str | None, int]:
    connection = judged(folder, rows).connection.cursor()
    (_,) = Selection(connection, wanted, IN_ONE, condition=None if where is None else compile_condition(where)).decide_ranges()
    whole = counts(connection)
    if where is None:  # how many videos are decided at a time changes nothing
        cut: Counter[str | None] = Counter()
        for _ in Selection(connection, wanted, list(ALL.ranges(5))).decide_ranges():
            cut += Counter(counts(connection))
        assert cut == whole
    return whole


def five(folder: Path, where: str | None = None, **wanted: Any) -> dict[str | None, int]:
    """Five tasks of one video, a candidate each, with the scores above."""
    one, said = video(1)
    tasks = [task(one, number) for number in range(5)]
    made = [candidate(each) for each in tasks]
    told = [row for each, scores in zip(made, SCORES, strict=True) for row in verdicts(each, scores)]
    return decided(
        folder,
        [one, said, *tasks, *made, *told],
        SelectionRules(**{"min_scores": {"answer": 0.9, "grammar": 1.0}, "only": {}} | wanted),
        where,
    )


def test_what_misses_a_threshold_is_rejected_and_what_nobody_measured_is_undetermined(tmp_path: Path) -> None:
    assert five(tmp_path) == {
        None: 1,
        "below threshold: answer": 1,
        "below threshold: grammar": 1,  # that its answer isn't known saves nothing
        "undetermined: grammar": 1,
        "undetermined: answer": 1,
    }


def test_scores_of_the_task_and_of_the_video_count_too(tmp_path: Path) -> None:
    one, said = video(1)
    first, second = task(one, 1), task(one, 2)
    made = [candidate(first), candidate(second)]
    told = [row for each in made for row in verdicts(each, {"silent": 1.0})]
    more = [Verdict(one.id, first.id, "task", "silent", 0.0, 1), Verdict(one.id, one.id, "video", "clean", 1.0, 1)]
    found = decided(
        tmp_path, [one, said, first, second, *made, *told, *more], SelectionRules({"silent": 1.0, "clean": 1.0}, {})
    )
    assert found == {None: 1, "below threshold: silent": 1}


def test_the_best_candidate_of_a_task_is_kept_by_the_declared_order(tmp_path: Path) -> None:
    one, said = video(1)
    asked = task(one, 1)
    made = [candidate(asked, attempt) for attempt in range(3)]
    told = [
        row
        for each, score in zip(made, (0.5, 0.9, 0.9), strict=True)
        for row in verdicts(each, {"evidence": score, "answer": 1.0})
    ]
    rows = [one, said, asked, *made, *told]
    for order, best in ((("evidence",), 1), (("answer", "evidence"), 1), ((), 0)):
        connection = judged(tmp_path / str(order), rows).connection.cursor()
        (_,) = Selection(connection, SelectionRules({"answer": 1.0}, {}, order), IN_ONE).decide_ranges()
        kept = connection.execute("SELECT id FROM verdict_of WHERE reason IS NULL").fetchall()
        assert kept == [(made[best].id,)]
        assert counts(connection)["another candidate of the task was kept"] == 2


def many(kinds: tuple[TaskKind, ...]) -> list[Any]:
    videos = [video(number) for number in range(4)]
    tasks = [task(videos[nth % 4][0], nth, kind) for nth, kind in enumerate(kinds)]
    made = [candidate(each, fps=1 + nth % 2) for nth, each in enumerate(tasks)]
    return [
        *(row for pair in videos for row in pair),
        *tasks,
        *made,
        *(v for each in made for v in verdicts(each, {"answer": 1.0})),
    ]


KINDS: tuple[TaskKind, ...] = (*("open",) * 24, *("mcq",) * 8)


@pytest.mark.parametrize(
    ("caps", "balance", "kept"),
    [
        ({"kind": 5}, {}, 10), ({"video": 3}, {}, 12), ({"density": 7}, {}, 14), ({"source": 4}, {}, 8),
        ({"duration": 2}, {}, 6),
        ({}, {"kind": 1.0}, 16), ({}, {"kind": 2.0}, 24), ({"kind": 6}, {"kind": 1.0}, 12), ({"kind": 100}, {}, 32),
    ],
)  # fmt: skip
def test_caps_and_balance_bound_what_is_kept(caps: Any, balance: Any, kept: int, tmp_path: Path) -> None:
    rows = many(KINDS)
    found = decided(tmp_path, rows, SelectionRules({"answer": 1.0}, {}, (), caps, balance))
    assert found[None] == kept
    assert sum(found.values()) == 32
    reasons = {reason for reason in found if reason is not None}
    assert reasons <= {*(f"over its cap: {name}" for name in caps), *(f"balanced away: {name}" for name in balance)}


def test_a_condition_is_asked_once_whatever_is_capped(tmp_path: Path) -> None:
    found = decided(tmp_path, many(KINDS), SelectionRules({"answer": 1.0}, {}, (), {"kind": 5}), "random() < 0.8")
    assert found[None] <= 10


def test_a_verdict_about_a_subject_of_another_video_counts_for_nothing(tmp_path: Path) -> None:
    rows = many(KINDS)
    elsewhere = [replace(row, video=rows[0].id, id=b"") for row in rows if isinstance(row, Verdict)]
    found = decided(
        tmp_path, [row for row in rows if not isinstance(row, Verdict)] + elsewhere, SelectionRules({"answer": 1.0}, {})
    )
    assert found == {None: 8, "undetermined: answer": 24}


def test_a_benchmarks_video_is_never_kept_and_only_what_is_wanted(tmp_path: Path) -> None:
    rows = many(KINDS)
    spoilt = [
        replace(row, role="benchmark", id=b"") if isinstance(row, Provenance) and row.source_id == "0" else row for row in rows
    ]
    found = decided(tmp_path, spoilt, SelectionRules({"answer": 1.0}, {"source": ["a"]}))
    assert found == {None: 16, "its video is a benchmark's": 8, "not wanted: source": 8}


def test_a_candidate_that_was_brought_goes_with_its_task_when_that_is_not_drawn(tmp_path: Path) -> None:
    one, said = video(1)
    tasks = [task(one, number) for number in range(4)]
    made = [candidate(each) for each in tasks]
    stages = Draw(DrawConfig(quotas={"*/*": 1})), Rules(RulesConfig()), SelectCot(SelectCotConfig())
    view = judged(tmp_path, [one, said, *tasks, *made], *stages)
    ask = view.connection.cursor()
    ((drawn,),) = ask.execute("SELECT task FROM drawn").fetchall()
    (own,) = (each.id for each in made if each.task == drawn)
    assert ask.execute("SELECT DISTINCT subject FROM verdicts").fetchall() == [(own,)]
    assert ask.execute("SELECT task, candidate FROM samples").fetchall() == [(drawn, own)]
    assert ask.execute("SELECT stage, input FROM outcomes WHERE stage IN ('rules', 'select_cot') ORDER BY 1").fetchall() == [
        ("rules", own), ("select_cot", own),
    ]  # fmt: skip


def test_readers_see_what_a_pilot_drew_and_selected_and_a_plan_what_the_gate_lets_through(tmp_path: Path) -> None:
    """All videos are there before the pilot: what it drew was drawn from a set that is no longer the whole one."""
    place, given = WorkspaceFolder(tmp_path / "ws"), Given(GivenConfig())
    pairs = [video(number) for number in range(8)]
    given.rows = [row for pair in pairs for row in (*pair, *(task(pair[0], number) for number in range(4)))]
    stages = given, Draw(DrawConfig(quotas={"*/*": 6})), SelectRl(SelectRlConfig())
    place.inputs.mkdir(parents=True)
    lake = Lake(place)
    driver = Driver(lake, stages, LocalExecutor(), Console(quiet=True))
    list(driver.run(stages[:1]))
    *_, selected = driver.run(stages, 3)
    assert (selected.tally.settled, driver.last_video) == (6, sorted(one.id for one, _ in pairs)[2])
    assert driver.last_video is not None
    for view, count in ((LakeView(lake, stages), 0), (ReadersView(lake, stages, [driver.last_video]), 6)):
        assert view.connection.execute("SELECT count(*) FROM drawn").fetchall() == [(count,)]
        assert view.connection.execute("SELECT count(*) FROM outcomes WHERE stage = 'select_rl'").fetchall() == [(count,)]
    coming = ComingRows(readers := ReadersView(lake, stages, [driver.last_video]))
    assert readers.tally(stages[1]).pending == 20
    coming.add_made_by(stages[1], 20)
    assert coming.inputs_of(stages[2]) == 10  # six of twelve were drawn


def test_a_task_that_was_brought_twice_is_drawn_and_selected_once(tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    one, said = video(1)

    class Twice(Given):
        """Each task again, made from another video's row: as where two files hold one question."""

        allows_duplicate_rows = True

        def process(self, items: Iterator[Video]) -> Iterator[Result]:
            return (Made((item, task(one, 1))) for item in items)

    given = Twice(GivenConfig())
    given.rows = [one, video(2)[0], said]
    stages = given, Draw(DrawConfig()), SelectRl(SelectRlConfig())
    place.inputs.mkdir(parents=True)
    lake = Lake(place)
    *_, report = Driver(lake, stages, LocalExecutor(), Console(quiet=True)).run(stages)
    assert report.tally.settled == 1


def test_the_stage_says_for_each_rejection_score_threshold_reason_and_place(tmp_path: Path) -> None:
    one, said = video(1)
    asked = task(one, 1)
    made = candidate(asked)
    stage = SelectCot(SelectCotConfig(min_score={"answer": 0.9}))
    view = judged(tmp_path, [one, said, asked, made, *verdicts(made, {"answer": 0.25})], stage)
    told = view.connection.execute("SELECT reason, detail FROM outcomes WHERE stage = 'select_cot'").fetchall()
    assert told == [("below threshold: answer", "0.250 < 0.9: why: at 3-4: x")]


def test_what_the_recipe_will_measure_is_undetermined_and_not_unknown(workspace: Path, tmp_path: Path) -> None:
    place = tmp_path / "ws"
    shutil.copytree(workspace, place, ignore=shutil.ignore_patterns("shards"))
    for commits in (place / "lake/commits").glob("*"):
        if commits.name in ("verify", "select_cot"):
            shutil.rmtree(commits)
    told = dmforge("select", "cot", "--dry-run", "-w", place, "--json")
    assert told["kept"] == 0
    assert told["undetermined"] > 0
    recipe = place / "recipe.toml"
    recipe.write_text(
        recipe.read_text().replace("[stages.select_cot.min_score]", "[stages.select_cot.min_score]\nanwser = 1.0")
    )
    for words in (("select", "cot", "--dry-run"), ("plan",), ("run",), ("status",)):
        told = dmforge(*words, "-w", place, code=2)
        assert "no filter measures 'anwser'" in told
        assert "did you mean 'answer'?" in told


def test_every_filter_says_what_it_measures(workspace: Path) -> None:
    stages = read_recipe(workspace / "recipe.toml").stages
    measured = (
        LakeView(Lake(WorkspaceFolder(workspace)), stages).connection.execute("SELECT DISTINCT filter FROM verdicts").fetchall()
    )
    assert {name for (name,) in measured} <= {name for stage in stages for name in stage.measures}
    assert Rules.measures == tuple(rule.name for rule in rules_of(RulesConfig()))
    assert Citations.measures == tuple(rule.name for rule in (*CITATIONS, *LOOK_USE))


@pytest.mark.parametrize(
    ("where", "kept", "undetermined"),
    [
        ("answer >= 0.5", 3, 2), ("answer > 0.5 AND kind = 'open'", 2, 2), ("grammar = 1", 2, 2),
        ("duration_s > 20 OR attempt > 0", 0, 0),
        ("density_fps = 2 -- so it is", 5, 0), ("question LIKE '%3?'", 1, 0), ("looked_s = 5 AND gold = answered", 5, 0),
    ],
)  # fmt: skip
def test_a_condition_is_asked_of_scores_and_what_they_are_about(
    where: str, kept: int, undetermined: int, tmp_path: Path
) -> None:
    found = five(tmp_path, where, min_scores={})
    assert found.get(None, 0) == kept
    assert found.get("undetermined: --where", 0) == undetermined


@pytest.mark.parametrize(
    "where",
    [
        "1 = 1) AS BOOLEAN) AS holds FROM judged; COPY (SELECT 1) TO '{0}'; --",
        "1 = 1) AS BOOLEAN) AS holds FROM judged; SELECT CAST((1 = 1",
        "(SELECT count(*) FROM read_text('/etc/hostname')) > 0",
        "(SELECT count(*) FROM '{0}') > 0",
        "(SELECT count(*) FROM read_parquet('https://example.org/x.parquet')) > 0",
        "(SELECT count(*) FROM candidates) > 0",
        "(SELECT count(*) FROM seen) > 0",
        "nothing_is_called_so = 1",
        "answer >",
        "answer = 'much'",
    ],
)
def test_a_condition_can_neither_write_nor_read_files_nor_reach_out(where: str, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(InputError, match="hint"):
        five(tmp_path / "ws", where.format(target))
    assert not target.exists()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("true) AS BOOLEAN) AS holds FROM judged UNION ALL SELECT id, CAST((true", "syntax error"),
        ("true) UNION ALL SELECT (true", "more than a condition"),
        ("true) FROM judged WHERE (true", "more than a condition"),
        ("true) LIMIT (1", "more than a condition"),
        ("true), (true", "more than a condition"),
        ("true); SELECT (true", "more than a condition"),
        ("unnest([true, true])", "not one answer for each candidate"),
        ("COLUMNS('attempt|duration_s')", "not one answer for each candidate"),
        ("", "the condition is empty"), (" \n", "the condition is empty"), ("-- answer > 0", "the condition is empty"),
    ],
)  # fmt: skip
def test_a_condition_is_one_expression_that_answers_once_for_each_candidate(where: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as caught:
        five(tmp_path, where)
    assert "--where" in str(caught.value)


def test_a_condition_that_would_count_twice_ends_with_2(workspace: Path) -> None:
    where = "true) AS BOOLEAN) AS holds FROM judged UNION ALL SELECT id, CAST((true"
    assert "give one condition" in " ".join(dmforge("select", "cot", "--where", where, "-w", workspace, code=2).split())


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("length(repeat('a', 4000000000)) > 0", "MB of memory"),
        ("levenshtein(repeat('ab', 200000), repeat('ba', 200000)) > 0", "stopped after 2 s"),  # deaf to interrupts
    ],
)
def test_a_condition_has_the_limits_of_typed_sql(where: str, told: str, tmp_path: Path) -> None:
    view = judged(tmp_path, many(("open",)))
    connection = view.connection.cursor()
    connection.execute("CREATE TEMP TABLE standing AS SELECT id, task, video FROM candidates")
    with pytest.raises(DmforgeError, match=told) as stopped:
        compile_condition(where, SqlLimits(128, 2.0 if "after" in told else 60.0))(connection)
    assert stopped.value.exit_code == 1
    assert stopped.value.where == "--where"


def test_of_a_condition_that_answers_too_often_no_more_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not one answer for each candidate"):
        five(tmp_path, "unnest(range(1000000)) > 0")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:

    def make(folder: Path) -> None:
        chain.demo(folder, chain.DemoSize(6), Console(quiet=True), "dmforge demo")

    return made_once(tmp_path_factory, "select", make) / "workspace"


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.output


def files(place: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != "lock"}


def test_what_if_writes_nothing_and_says_what_the_run_said(workspace: Path) -> None:
    before = files(workspace)
    told = dmforge("select", "cot", "--dry-run", "-w", workspace, "--json")
    funnel = dmforge("audit", "funnel", "-w", workspace, "--json")["rows"]
    outcome = {(status, reason): number for stage, status, reason, number, _ in funnel if stage == "select_cot"}
    assert told["kept"] == outcome["made", ""]
    assert told["rejected"] == {reason: number for (status, reason), number in outcome.items() if status == "rejected"}
    assert told["undetermined"] == 0
    narrower = dmforge("select", "cot", "--where", "kind = 'grounding'", "-w", workspace, "--json")
    assert 0 < narrower["kept"] < told["kept"]
    assert files(workspace) == before


def test_a_changed_threshold_is_selected_without_any_other_stage(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    recipe = workspace / "recipe.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace("own_span = 0.05", "own_span = 0.99"))
    commits = Counter(path.parent.name for path in (workspace / "lake/commits").glob("*/*.json"))
    dry = dmforge("select", "cot", "--dry-run", "-w", workspace, "--json")
    done = dmforge("select", "cot", "-w", workspace, "--json")
    assert done == dry
    assert done["rejected"]["below threshold: own_span"] > 0
    after = Counter(path.parent.name for path in (workspace / "lake/commits").glob("*/*.json"))
    assert after - commits == {"select_cot": 1}
    recipe.write_text(text)


def test_a_corpus_that_the_recipe_does_not_make_is_refused(workspace: Path) -> None:
    assert "makes no corpus" in dmforge("select", "cat", "-w", workspace, code=2)


def test_in_the_clean_corpus_nothing_is_found(workspace: Path) -> None:
    (folder,) = (workspace / "shards/cot").glob("*/")
    found = dmforge("lint", folder, "--json")
    assert found["records"] > 10
    assert found["defects"] == []
