"""Killed anywhere, a run goes on where it was: nothing that was committed is rolled out again, and the lake ends the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lake.worklist import pending_batches
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.blind import Blind
from dmforge.generators.inference.named_student import StudentConfig
from dmforge.generators.student.checkpoint_files import file_digests
from dmforge.generators.student.load_student import load
from dmforge.schemas.ids import digest
from dmforge.schemas.records import Rollout, Task, Video
from tests.replay.lakes import change, policy_for, rows, run, stages_of, view_of
from tests.replay.policies import BrokenDown


def dmforge(*words: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def files(workspace: Path) -> dict[str, str]:
    found = sorted(path for part in ("lake", "shards") for path in (workspace / part).rglob("*") if path.is_file())
    return {str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def named(view: LakeView, name: str) -> AnyStage:
    return next(stage for stage in view.stages if stage.name == name)


def commits(workspace: Path) -> int:
    return len(list(workspace.glob("lake/commits/*/*.json")))


@pytest.fixture(scope="module")
def child() -> Iterator[subprocess.Popen[str]]:
    """What starts runs."""
    command = [sys.executable, "-m", "tests.replay.child"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    yield process
    process.communicate()


def said(child: subprocess.Popen[str]) -> int:
    assert child.stdout
    return int(child.stdout.readline())


def started(child: subprocess.Popen[str], workspace: Path) -> int:
    """A run; its process."""
    assert child.stdin
    child.stdin.write(f"{workspace} necessity\n")
    child.stdin.flush()
    return said(child)


@pytest.mark.slow
def test_killed_at_random_the_lake_ends_byte_identical(
    workspace: WorkspaceFolder, student: Path, tmp_path: Path, child: subprocess.Popen[str]
) -> None:
    shaken, draw = tmp_path / "shaken" / "ws", random.Random(5)
    shutil.copytree(workspace.root, shaken)
    shutil.copytree(student, shaken.parent / "student")
    before = commits(shaken)
    started(child, workspace.root)
    assert said(child) == 0
    kills = 0
    while kills < 3:
        enough = commits(shaken) + draw.randrange(5)
        pid = started(child, shaken)
        while commits(shaken) < enough:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        assert said(child) == signal.SIGKILL
        kills += 1
    assert before < commits(shaken) < commits(workspace.root)
    started(child, shaken)
    assert said(child) == 0
    assert files(shaken) == files(workspace.root)
    assert {row.filter for row in rows(workspace, Rollout)} == {"blind", "replay", "necessity"}


def test_what_was_committed_is_never_rolled_out_again(workspace: WorkspaceFolder) -> None:
    policy, draw, breakdowns = policy_for(workspace, lambda task, seen, look: 0.5), random.Random(2), 0
    (blind,) = (stage for stage in stages_of(workspace, policy) if isinstance(stage, Blind))
    everything: list[int] = []
    videos = {video.id: video for video in rows(workspace, Video)}
    while True:
        committed = {
            int.from_bytes(digest("seed", [row.task, blind.student_id, blind.settings_id(videos[row.video]), row.index])[:8])
            for row in rows(workspace, Rollout)
        }
        policy.rollouts.clear()
        policy.max_rollouts = draw.randrange(8, 14)
        try:
            run(workspace, policy, until="blind", only=True)
        except BrokenDown:
            breakdowns += 1
        finally:
            assert not committed & {seed for seed, _ in policy.rollouts}
            everything += [seed for seed, _ in policy.rollouts]
        if len(policy.rollouts) <= policy.max_rollouts:
            break
    assert breakdowns > 1
    assert len(everything) > len(set(everything)) == len(rows(workspace, Rollout))


def test_a_batch_is_whole_videos(workspace: WorkspaceFolder) -> None:
    view = view_of(workspace)
    found = [batch.videos for batch in pending_batches(view, named(view, "blind"))]
    assert [len(set(videos)) for videos in found] == [1] * 4
    assert sum(map(len, found)) == len(rows(workspace, Task))
    change(workspace, "[stages.blind]", "[stages.blind]\nbatch_items = 5")
    view = view_of(workspace)
    found = [batch.videos for batch in pending_batches(view, named(view, "blind"))]
    assert len(found) < 4
    assert all(len(videos) >= 5 for videos in found[:-1])
    assert len({video for videos in found for video in set(videos)}) == sum(len(set(videos)) for videos in found) == 4


# what makes new work, and what doesn't


def test_more_rounds_roll_out_only_what_is_missing(workspace: WorkspaceFolder) -> None:
    policy = policy_for(workspace, lambda task, seen, look: 0.0)
    run(workspace, policy, until="replay")
    tasks, first = len(rows(workspace, Task)), {row.key: row for row in rows(workspace, Rollout) if row.filter == "replay"}
    assert len(first) == 3 * tasks
    policy.rollouts.clear()
    change(workspace, "sizes = [2, 3]", "sizes = [2, 3, 5]")
    run(workspace, policy, until="replay")
    assert len(policy.rollouts) == 2 * tasks
    second = {row.key: row for row in rows(workspace, Rollout) if row.filter == "replay"}
    assert len(second) == 5 * tasks
    assert {key: second[key] for key in first} == first


def test_another_student_is_other_work_and_another_place_is_not(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    def pending() -> int:
        stages = json.loads(dmforge("plan", "-w", workspace.root, "--json")[0])["stages"]
        return next(one["pending"] for one in stages if one["name"] == "replay")

    run(workspace, policy_for(workspace, lambda task, seen, look: 0.5), until="replay")
    assert pending() == 0
    (tmp_path / "student").rename(tmp_path / "elsewhere")
    change(workspace, '"../student"', '"../elsewhere"')
    change(workspace, 'device = "auto"', 'device = "cpu"')
    change(workspace, "[stages.replay]", "[stages.replay]\nmax_rows = 3\nbatch_items = 7")
    assert pending() == 0
    (tmp_path / "elsewhere/README.md").write_text("another card")
    (tmp_path / "elsewhere/optimizer.pt").write_bytes(b"what only its training reads")
    assert pending() == 0
    weights = tmp_path / "elsewhere/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert pending() == len(rows(workspace, Task))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_every_file_that_loading_reads_is_part_of_what_a_student_is(name: str, student: Path, tmp_path: Path) -> None:
    shutil.copytree(student, tmp_path / "student")
    config = StudentConfig(checkpoint=str(tmp_path / "student"))
    before = config.id()
    path = tmp_path / "student" / name
    path.write_text(path.read_text() + "\n")
    assert config.id() != before


def test_loading_reads_no_other_file(student: Path) -> None:
    opened: set[str] = set()
    watching = True

    def watch(event: str, told: tuple[object, ...]) -> None:
        if watching and event == "open" and str(told[0]).startswith(str(student)):
            opened.add(Path(str(told[0])).name)

    sys.addaudithook(watch)
    load(str(student))
    watching = False
    assert "config.json" in opened
    assert opened <= {name for name, _ in file_digests(student)}


# a student that isn't there


def test_without_its_student_a_run_ends_in_good_order_and_says_what_to_do(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    (tmp_path / "student").rename(tmp_path / "later")
    told, said = dmforge("run", "-w", workspace.root, "--json")
    assert "ends before blind" in said
    assert "dmforge train sft CONFIG" in said
    stages = json.loads(told)["stages"]
    assert [one["name"] for one in stages][-2:] == ["annotate", "blind"]
    assert [bool(one["awaits"]) for one in stages] == [False] * (len(stages) - 1) + [True]
    assert "dmforge train sft CONFIG" in dmforge("plan", "-w", workspace.root)[1]
    dmforge("status", "-w", workspace.root)
    record = json.loads(max((workspace.root / "runs").glob("*.json")).read_text())
    assert record["state"] == "done"
    change(workspace, 'checkpoint = "../student"', "")
    assert "names no student" in dmforge("run", "-w", workspace.root)[1]


def test_a_folder_that_holds_no_student_is_refused(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    (tmp_path / "student").rename(tmp_path / "checkpoint-7")
    (tmp_path / "student").mkdir()
    (tmp_path / "checkpoint-7").rename(tmp_path / "student/checkpoint-7")
    assert "checkpoint-7" in " ".join(dmforge("run", "-w", workspace.root, code=2)[1].split())
    change(workspace, '"../student"', '"../student/checkpoint-7"')
    (tmp_path / "student/checkpoint-7/adapter_config.json").write_text("{}")
    assert "adapters" in dmforge("run", "-w", workspace.root, code=2)[1]
