"""The seven rules of the lake, and what is said when a disk or a hand has broken it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from dmforge.commands import run as run_commands
from dmforge.curation.contract.collective import StageCounts
from dmforge.curation.contract.stage import AnyStage, EachConfig
from dmforge.curation.engine import rehearsal
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake import compaction
from dmforge.curation.lake.commits import Commit, CommitDraft, Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lifecycle import takedown
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError, InputError, LakeError
from tests.foundation.lakes import count, fingerprint, logical, run, view, write_recipe
from tests.foundation.stages import Film, Halve, HalveOnce


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake") / "ws"
    write_recipe(root)
    run(root)
    return root


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A finished workspace of one's own."""
    return Path(shutil.copytree(finished, tmp_path / "ws"))


def test_rule_1_ids_are_the_same_on_any_machine_and_in_any_folder(done: Path, tmp_path: Path) -> None:
    other = tmp_path / "it's [another] folder?"
    write_recipe(other)
    run(other)
    assert fingerprint(other) == fingerprint(done)
    assert logical(other) == logical(done)


def test_rule_2_work_is_inputs_minus_outcomes(done: Path) -> None:
    before = fingerprint(done)
    run(done)
    assert fingerprint(done) == before
    write_recipe(done, tasks=220)
    run(done)
    assert count(done, "SELECT count(*) FROM outcomes WHERE stage = 'count'") == 220
    kept = {name: sha256 for name, sha256 in before.items() if "seeds" not in name and "commits/count" not in name}
    assert kept.items() <= fingerprint(done).items()


def test_rule_3_every_input_has_one_outcome(done: Path) -> None:
    sql = "SELECT count(*) FROM (SELECT stage, input FROM outcomes GROUP BY ALL HAVING count(*) <> 1)"
    assert count(done, sql) == 0
    assert count(done, "SELECT count(*) FROM outcomes WHERE stage = 'count'") == 200
    made = count(done, "SELECT count(*) FROM outcomes WHERE stage = 'count' AND status = 'made'")
    assert (
        made == count(done, "SELECT count(*) FROM tasks") == count(done, "SELECT count(*) FROM outcomes WHERE stage = 'score'")
    )
    assert (
        count(done, "SELECT count(*) FROM outcomes WHERE stage = 'count' AND status = 'rejected' AND reason = 'unlucky'") == 20
    )


def test_rule_4_what_no_commit_names_does_not_exist(done: Path) -> None:
    before, tasks = fingerprint(done), count(done, "SELECT count(*) FROM tasks")
    lake = done / "lake"
    part = next((lake / "tasks").iterdir())
    (lake / "tasks/part-count-orphan.parquet").write_bytes(part.read_bytes())
    (lake / "tasks/part-count-half.parquet.writing").write_bytes(b"PAR1")
    (lake / "commits/count/half.json.writing").write_text("{")
    assert count(done, "SELECT count(*) FROM tasks") == tasks
    run(done)
    assert fingerprint(done) == before


def test_rule_4_a_batch_holds_one_videos_work_together(done: Path) -> None:
    for part in Lake(WorkspaceFolder(done)).of("count", view(done).stages[0].variant):
        path = next(p.path(done / "lake") for p in part.of("outcomes"))
        keys = [(row["video"], row["input"]) for row in pq.read_table(path).to_pylist()]
        assert keys == sorted(keys)


def test_rule_5_another_history_ends_with_the_same_digest(done: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_recipe(other, tasks=90, batch=7)
    run(other, videos=3)
    run(other, until="score")
    write_recipe(other, salt="x")
    run(other)
    write_recipe(other, batch=33)
    run(other)
    assert fingerprint(other) != fingerprint(done)
    assert logical(other) == logical(done)


def test_rule_7_a_threshold_calls_nothing_but_select(done: Path) -> None:
    commits = {stage: set((done / "lake/commits" / stage).iterdir()) for stage in ("count", "score")}
    write_recipe(done, threshold=0.9)
    reports = run(done)
    assert {stage: set((done / "lake/commits" / stage).iterdir()) for stage in commits} == commits
    assert 0 < reports["keep"].tally.made < 60


def test_only_what_is_current_is_seen_and_going_back_costs_nothing(done: Path) -> None:
    first, digest = fingerprint(done), logical(done)
    write_recipe(done, salt="other")
    run(done)
    assert count(done, "SELECT count(*) FROM verdicts") == 180
    assert count(done, "SELECT count(*) FROM outcomes WHERE stage = 'score'") == 180
    assert logical(done) != digest
    write_recipe(done)
    after = fingerprint(done)
    assert logical(done) == digest
    run(done)
    assert fingerprint(done) == after
    assert first.items() <= after.items()


def test_inputs_that_are_no_longer_listed_are_no_longer_current(done: Path, tmp_path: Path) -> None:
    write_recipe(done, tasks=100)
    run(done)
    fresh = tmp_path / "fresh"
    write_recipe(fresh, tasks=100)
    run(fresh)
    assert count(done, "SELECT count(*) FROM tasks") == 90
    assert logical(done) == logical(fresh)


def test_compaction_changes_no_row_and_is_itself_repeatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, compacted, again = tmp_path / "plain", tmp_path / "compacted", tmp_path / "again"
    write_recipe(plain)
    run(plain)
    monkeypatch.setattr(compaction, "MANY", 3)
    for root in (compacted, again):
        write_recipe(root)
        run(root)
    assert len(list((compacted / "lake/commits/score").iterdir())) == 1
    assert len(list((plain / "lake/commits/score").iterdir())) == 9
    assert fingerprint(compacted) == fingerprint(again)
    assert logical(compacted) == logical(plain)
    before = fingerprint(compacted)
    run(compacted)
    assert fingerprint(compacted) == before


def test_a_compaction_that_was_cut_short_is_finished_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    monkeypatch.setattr(compaction, "MANY", 3)
    write_recipe(calm)
    run(calm)
    write_recipe(cut)
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "sweep", lambda self: None)
        run(cut)
    assert logical(cut) == logical(calm)
    assert fingerprint(cut) != fingerprint(calm)
    run(cut)
    assert fingerprint(cut) == fingerprint(calm)


def test_what_is_superseded_stays_while_someone_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "ws"
    monkeypatch.setattr(compaction, "MANY", 3)
    write_recipe(root)
    run(root, until="count")
    with WorkspaceFolder(root).reading():
        run(root)
        assert len(list((root / "lake/commits/score").iterdir())) > 3
    run(root)
    assert len(list((root / "lake/commits/score").iterdir())) == 1


def test_a_truncated_part_is_named_with_its_mend(done: Path) -> None:
    part = next((done / "lake/tasks").iterdir())
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(LakeError, match="its commit says") as error:
        run(done)
    assert str(part) in str(error.value)
    assert "restore" in error.value.hint


def test_a_missing_part_is_named_and_its_batch_can_be_done_again(done: Path) -> None:
    before = fingerprint(done)
    part = next((done / "lake/verdicts").iterdir())
    part.unlink()
    with pytest.raises(LakeError, match="missing"):
        run(done)
    next((done / "lake/commits/score").glob(f"{part.stem.rpartition('-')[2]}.json")).unlink()
    run(done)
    assert fingerprint(done) == before


def test_a_changed_byte_is_found_by_digest(done: Path) -> None:
    part = next((done / "lake/verdicts").iterdir())
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(LakeError, match="sha256"):
        logical(done)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"made": ', '"made": 1'),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace("part-", "../part-"),
    ],
)
def test_a_commit_file_edited_by_hand_is_refused(done: Path, edit: object) -> None:
    path = next((done / "lake/commits/score").iterdir())
    path.write_text(edit(path.read_text()))  # type: ignore[operator]
    with pytest.raises(LakeError, match="changed after it was written") as error:
        run(done)
    assert str(path) in str(error.value)


def test_a_commit_cannot_lead_out_of_the_lake(done: Path) -> None:
    from dmforge.curation.lake.commits import _seal

    path = next((done / "lake/commits/score").iterdir())
    content = json.loads(path.read_text())
    del content["sha256"]
    content["parts"][0]["name"] = "../../../part-x.parquet"
    path.write_text(json.dumps(content | {"sha256": _seal(content)}))
    with pytest.raises(LakeError, match="no part's name"):
        run(done)


def test_two_runs_at_once_the_second_says_who_holds_the_workspace(done: Path) -> None:
    with (
        WorkspaceFolder(done).held("dmforge run"),
        pytest.raises(InputError, match=r"process \d+ of .* \(dmforge run\)") as error,
    ):
        run(done)
    assert error.value.exit_code == 2


def test_a_clock_that_jumps_changes_nothing(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    from dmforge.curation.io import machine

    class Jumping(machine.Machine):
        jumps = iter([2031, 1971, 2026, 1999, 2040, 1980])

        def utc_now(self) -> datetime:
            return datetime(next(self.jumps), 1, 1, tzinfo=UTC)

    monkeypatch.setattr(machine, "current", Jumping())
    monkeypatch.setattr(time, "time", lambda: -1e9)
    other = tmp_path / "other"
    write_recipe(other)
    run(other, until="count")
    run(other)
    assert fingerprint(other) == fingerprint(done)
    assert len(list((other / "runs").glob("*.json"))) == 2


def test_what_was_quarantined_is_tried_again_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    write_recipe(root, tasks=60, batch=10)
    recipe = root / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("reject_every = 10", "crash_every = 30"))
    assert run(root)["count"].tally.quarantined == 2
    before = fingerprint(root)
    run(root)
    assert fingerprint(root) == before
    again = {
        report.name: report for report in run_commands.run(WorkspaceFolder(root), Console(), "test", retry_quarantined=True)
    }
    assert again["count"].tally.quarantined == 2
    digest = logical(root)
    assert count(root, "SELECT count(*) FROM outcomes WHERE stage = 'count'") == 60
    assert count(root, "SELECT count(*) FROM tasks") == 60 - 2 - 4
    write_recipe(tmp_path / "calm", tasks=60, batch=10)
    (tmp_path / "calm/recipe.toml").write_text(recipe.read_text())
    run(tmp_path / "calm")
    assert logical(tmp_path / "calm") == digest


def drive(root: Path, *stages: AnyStage) -> dict[str, StageCounts]:
    with WorkspaceFolder(root).held("test"):
        driver = Driver(Lake(WorkspaceFolder(root)), stages, LocalExecutor(), Console())
        return {report.name: report.tally for report in driver.run(stages)}


def test_the_same_row_from_two_inputs_is_one_row(tmp_path: Path) -> None:
    stages = (
        HalveOnce(EachConfig(batch_items=7)),
        rehearsal.RehearsalScore(rehearsal.ScoreConfig()),
        rehearsal.RehearsalKeep(rehearsal.KeepConfig()),
    )
    for _ in range(2):
        tallies = drive(tmp_path, *stages)
        assert [tallies[name].made for name in ("halve", "score")] == [40, 20]
        assert tallies["keep"].made + tallies["keep"].rejected == 20
        assert not any(tally.pending for tally in tallies.values())
    seen = LakeView(Lake(WorkspaceFolder(tmp_path)), stages)
    assert seen.connection.execute("SELECT count(*), count(DISTINCT id) FROM tasks").fetchall() == [(20, 20)]


def test_a_source_is_taken_down_with_all_its_videos(tmp_path: Path) -> None:
    drive(tmp_path, Film(EachConfig()))
    with WorkspaceFolder(tmp_path).held("test"):
        lake = Lake(WorkspaceFolder(tmp_path))
        wanted = takedown.videos_of(lake, "theirs")
        removed = takedown.take_down(lake, wanted, "their licence ended")
    assert (removed.videos, removed.rows, removed.swept) == (5, 15, True)  # of each: roster, outcome, video
    for _ in range(2):
        seen = LakeView(Lake(WorkspaceFolder(tmp_path)), (Film(EachConfig()),))
        assert seen.connection.execute("SELECT DISTINCT source FROM videos").fetchall() == [("ours",)]
        assert drive(tmp_path, Film(EachConfig()))["film"].made == 5


def test_a_row_that_is_made_twice_by_mistake_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DmforgeError, match="from two inputs") as error:
        drive(tmp_path, Halve(EachConfig()))
    assert "allows_duplicate_rows = True" in error.value.hint


def test_a_list_that_goes_back_to_what_it_was_is_current_again_also_while_someone_reads(done: Path) -> None:
    digest = logical(done)
    with WorkspaceFolder(done).reading():
        for tasks in (100, 200):
            write_recipe(done, tasks=tasks)
            run(done)
        assert logical(done) == digest
    run(done)
    assert logical(done) == digest


@pytest.mark.parametrize("after", [0, 1])
def test_a_kill_around_a_compaction_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    monkeypatch.setattr(compaction, "MANY", 3)
    monkeypatch.setattr(compaction, "WHOLE_BYTES", 20_000)  # some commits a group: there are several groups
    write_recipe(calm, batch=10)
    run(calm)
    assert len(list((calm / "lake/commits/score").iterdir())) > 1
    write_recipe(cut, batch=10)
    publish, left = Lake.publish, [after]

    def killed(self: Lake, draft: CommitDraft, tables: Mapping[str, Iterable[pa.Table]]) -> Commit:
        left[0] -= draft.kind == "compaction"
        if left[0] < 0:
            raise KeyboardInterrupt
        return publish(self, draft, tables)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(cut)
    run(cut)
    assert fingerprint(cut) == fingerprint(calm)
