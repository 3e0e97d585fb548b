"""What a review found and proved: each of these was wrong once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from rich.console import Console

from chaos.trial import runs_still
from dmforge.commands import plan as plan_commands
from dmforge.commands import run as run_commands
from dmforge.curation.contract.stage_results import Key, Made, Origin, settle
from dmforge.curation.engine import rehearsal
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.killable_pool import KillablePool
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.lake import commits
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.database import interruptible
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import digest, show
from dmforge.schemas.records import Verdict
from tests.foundation.lakes import count, fingerprint, logical, run, view, write_recipe
from tests.foundation.stages import Dies, MisbehaveConfig, batches, execute, misbehaving, statuses
from tests.support.memory import tree


def take_down(root: Path, reason: str = "asked", nth: int = 0) -> bytes:
    video: bytes = view(root).connection.execute(f"SELECT DISTINCT video FROM tasks ORDER BY 1 OFFSET {nth}").fetchall()[0][0]
    run_commands.forget(WorkspaceFolder(root), "test", reason, lambda _: [video])
    return video


@pytest.mark.parametrize("name", ["number=5", "status=made"])
def test_a_folder_that_looks_like_a_hive_partition_is_only_a_folder(tmp_path: Path, name: str) -> None:
    plain, odd = tmp_path / "plain", tmp_path / name / "ws"
    for root in (plain, odd):
        write_recipe(root, tasks=30)
        run(root)
    assert fingerprint(odd) == fingerprint(plain)
    assert logical(odd) == logical(plain)


def test_a_takedown_that_is_undone_brings_the_video_back_once(tmp_path: Path) -> None:
    root, calm = tmp_path / "ws", tmp_path / "calm"
    for each in (root, calm):
        write_recipe(each)
        run(each)
    take_down(root)
    run(root)
    assert count(root, "SELECT count(*) FROM outcomes WHERE stage = 'count'") < 200
    (root / "inputs/forgotten.jsonl").unlink()
    run(root)
    assert logical(root) == logical(calm)
    assert count(root, "SELECT count(*) FROM samples") == count(calm, "SELECT count(*) FROM samples")
    assert count(root, "SELECT count(*) FROM outcomes") == count(calm, "SELECT count(*) FROM outcomes")


@pytest.mark.parametrize("reason", ["line\u2028paragraph\u2029next\x85", 'quote " and \\', "\udcff", "two\nlines"])
def test_any_reason_for_a_takedown_can_be_read_back(tmp_path: Path, reason: str) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    take_down(tmp_path, reason)
    take_down(tmp_path, "another", nth=1)
    lines = (tmp_path / "inputs/forgotten.jsonl").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["reason"] for line in lines] == [reason, "another"]
    run(tmp_path)


def test_a_takedown_list_without_a_last_line_feed_is_completed(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/forgotten.jsonl").write_text(json.dumps({"video": show("video", digest("video", 1)), "reason": ""}))
    take_down(tmp_path)
    assert len((tmp_path / "inputs/forgotten.jsonl").read_text().splitlines()) == 2


def test_a_stage_whose_process_dies_at_once_quarantines_nothing(tmp_path: Path) -> None:
    with pytest.raises(DmforgeError, match="died before the first input"):
        execute(Dies(MisbehaveConfig(how="", workers=2)), tmp_path, 30, 10)


def test_inputs_are_not_charged_for_processes_that_were_killed_while_idle(tmp_path: Path) -> None:
    stage = misbehaving("", tmp_path, workers=1)
    with KillablePool(stage, WorkspaceFolder(tmp_path)) as pool:
        finished = []
        for batch in pool.execute(batches(8, 1), lambda _: None):
            finished.append(batch)
            for worker in pool._workers:
                if worker.span is None:
                    worker.process.kill()
                    worker.process.join()
    assert {status for status, _ in statuses(finished).values()} == {"made"}
    assert len(list(tmp_path.glob("*-*"))) == 8


def test_a_stage_that_kills_every_process_stops_instead_of_quarantining_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(DmforgeError, match="all failed alike: died: exit code 3"):
        execute(misbehaving("all_exit", tmp_path), tmp_path, 60, 60)


def test_a_hung_worker_dies_with_a_killed_driver(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("reject_every = 10", "hang_every = 5"))
    command = [sys.executable, "-m", "dmforge.cli", "run", "-w", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while len(tree(process.pid)) < 5:  # the driver, the fork server, its tracker, two workers
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        members = tree(process.pid)
        process.kill()
    deadline = time.monotonic() + 5
    while any(map(runs_still, members)):
        assert time.monotonic() < deadline, [pid for pid in members if runs_still(pid)]
        time.sleep(0.05)


@pytest.mark.parametrize(("field", "value"), [("n", 2**70), ("detail", "\ud800"), ("score", "high"), ("reason", 7)])
def test_a_value_that_cannot_be_stored_takes_down_its_own_input_only(field: str, value: object) -> None:
    keys = [Key(bytes([n]) * 16, b"v" * 16) for n in range(3)]
    rows = [Verdict(b"v" * 16, key.input, "task", "f", 0.5, 1) for key in keys]
    object.__setattr__(rows[1], field, value)
    settled = settle(Origin("s", b"0" * 16), keys, [Made((row,)) for row in rows], (Verdict,))
    assert settled.outcomes.column("status").to_pylist() == ["made", "quarantined", "made"]
    assert settled.outcomes.column("reason").to_pylist() == ["", "unstorable", ""]


def test_equal_scores_are_one_verdict() -> None:
    scores: tuple[float, float] = (1, 1.0)
    assert len({Verdict(b"v" * 16, b"s" * 16, "task", "f", score, 1).id for score in scores}) == 1


def test_a_question_that_is_on_its_way_is_not_asked_again(tmp_path: Path) -> None:
    asked = []

    async def ask() -> Answer:
        asked.append(1)
        await asyncio.sleep(0.01)
        return {"score": 1}

    async def at_once() -> list[Answer]:
        journal = Journal(WorkspaceFolder(tmp_path), "m")
        answers = await asyncio.gather(*(journal.answer(digest("ask", 1), digest("video", 1), ask) for _ in range(5)))
        journal.close()
        return answers

    assert asyncio.run(at_once()) == [{"score": 1}] * 5
    assert len(asked) == 1
    assert len((tmp_path / "journal/m/main.jsonl").read_text().splitlines()) == 1


def test_a_pilot_sees_nothing_but_its_videos_at_any_stage(tmp_path: Path) -> None:
    root, pilot = tmp_path / "ws", tmp_path / "pilot"
    write_recipe(root)
    write_recipe(pilot)
    run(root, until="count")
    mixed, clean = run(root, videos=3), run(pilot, videos=3)
    assert mixed["keep"].tally == clean["keep"].tally
    assert mixed["keep"].tally.settled == mixed["score"].tally.made <= 24
    assert {f.name: (f.tally.pending, f.expected) for f in plan_commands.plan(WorkspaceFolder(root))}["score"] == (
        180 - mixed["score"].tally.made,
        0,
    )
    run(root)
    run(pilot)
    assert logical(root) == logical(pilot)


class Empty(rehearsal.RehearsalCount):
    """A root with nothing to list."""

    name, version = "empty", 1
    config: rehearsal.CountConfig

    def scan(self, workspace: WorkspaceFolder) -> Iterator[rehearsal.RehearsalNumber]:
        yield from ()


def test_a_pilot_is_bounded_whichever_root_has_the_videos(tmp_path: Path) -> None:
    stages = Empty(rehearsal.CountConfig()), rehearsal.RehearsalCount(rehearsal.CountConfig(tasks=100))
    driver = Driver(Lake(WorkspaceFolder(tmp_path)), stages, LocalExecutor(), Console())
    assert [report.tally.settled for report in driver.run(stages, 2)] == [0, 16]


def test_ctrl_c_in_a_query_is_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="else"), interruptible():
        raise RuntimeError("something else")


def test_a_commit_that_goes_while_one_looks_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    gone = next((tmp_path / "lake/commits/score").iterdir())

    def vanishing(path: str, mode: str, buffering: int) -> BinaryIO:
        if path == str(gone):
            gone.unlink()
        return cast("BinaryIO", open(path, mode, buffering))

    monkeypatch.setattr(commits, "open", vanishing, raising=False)
    assert all(commit.id != gone.stem for commit in Lake(WorkspaceFolder(tmp_path)).commits.values())
    assert not gone.exists()


def test_a_reader_without_the_right_to_write_still_holds_what_it_reads(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    (tmp_path / "runs/readers").chmod(0o444)
    with WorkspaceFolder(tmp_path).reading(), WorkspaceFolder(tmp_path).unread() as alone:
        assert not alone


def test_a_workspace_may_be_named_like_a_url_or_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("~x", "file:x", "s3:"):
        write_recipe(Path(name), tasks=20)
        assert run(Path(name))["count"].tally.made == 18


def test_a_view_is_a_snapshot(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path, until="count")
    stages = read_recipe(tmp_path / "recipe.toml").stages
    lake = Lake(WorkspaceFolder(tmp_path))
    seen = LakeView(lake, stages)
    list(Driver(lake, stages, LocalExecutor(), Console()).run(stages))
    assert seen.tally(stages[1]).pending == 36
    assert LakeView(lake, stages).tally(stages[1]).pending == 0


def test_a_fork_server_that_is_killed_while_it_is_asked_for_a_process_is_replaced(tmp_path: Path) -> None:
    calm, root = tmp_path / "calm", tmp_path / "ws"
    for each in (calm, root):
        write_recipe(each, tasks=40)
    run(calm)
    server: int = forkserver._forkserver._forkserver_pid  # pyright: ignore (there is no public way to it)
    os.kill(server, signal.SIGSTOP)  # it takes the question, and never answers
    threading.Timer(0.5, os.kill, (server, signal.SIGKILL)).start()
    run(root)
    assert not runs_still(server)
    assert fingerprint(root) == fingerprint(calm)
