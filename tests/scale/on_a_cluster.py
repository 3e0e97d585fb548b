"""What is tested on a Ray cluster of three raylets, in a network of its own: test_ray.py starts this there."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chaos.clusters import HEAD, STORE_BYTES, Numbers
from chaos.undisturbed import outcome
from dmforge.commands import run
from dmforge.curation.contract.stage import BatchConfig, Stage
from dmforge.curation.engine.executors.batch_results import FinishedBatch
from dmforge.curation.engine.executors.ray.cluster import connect
from dmforge.curation.engine.executors.ray.ray_executor import RayExecutor
from dmforge.curation.engine.rehearsal import RehearsalNumber
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Verdict
from tests.foundation.stages import Ahead, Dies, Misbehave, MisbehaveConfig, batches, execute, statuses
from tests.scale.stages import Seeing


@dataclass
class Machines:
    """Three raylets, one of which does no work."""

    cluster: Any
    workers: list[Any]
    executor: RayExecutor


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args=HEAD)
    one = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    other = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=STORE_BYTES)
    with connect(cluster.address) as found:
        yield Machines(cluster, [one, other], RayExecutor(found))
    cluster.shutdown()


@pytest.fixture
def executor(machines: Machines) -> RayExecutor:
    return machines.executor


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceFolder:
    (tmp_path / "recipe.toml").touch()
    return WorkspaceFolder(tmp_path)


def spread(
    executor: RayExecutor, stage: Stage[RehearsalNumber, Verdict], workspace: WorkspaceFolder, count: int, size: int
) -> list[FinishedBatch]:
    return list(executor.execute(stage, workspace, batches(count, size), lambda _: None))


def test_hostile_inputs_end_as_they_do_on_one_machine(executor: RayExecutor, workspace: WorkspaceFolder) -> None:
    stage = Misbehave(MisbehaveConfig(how="segfault"))
    found = statuses(spread(executor, stage, workspace, 20, 10))
    assert found == statuses(execute(stage, workspace.root, 20, 10))
    assert ("quarantined", "died") in found.values()


def test_a_stage_that_cannot_be_run_stops_with_its_own_words(executor: RayExecutor, workspace: WorkspaceFolder) -> None:
    with pytest.raises(DmforgeError, match="its process died before the first input"):
        spread(executor, Dies(MisbehaveConfig(how="none")), workspace, 5, 5)


def test_engines_that_read_ahead_are_fed_until_they_end(executor: RayExecutor, workspace: WorkspaceFolder) -> None:
    stage = Ahead(BatchConfig(workers=1))
    assert statuses(spread(executor, stage, workspace, 30, 4)) == statuses(execute(stage, workspace.root, 30, 4))


def test_two_engines_share_a_gpu(executor: RayExecutor, workspace: WorkspaceFolder) -> None:
    found = spread(executor, Seeing(BatchConfig(gpus=0.5)), workspace, 8, 2)
    rows = [row for one in found if one.settled for row in one.settled.rows["verdicts"].to_pylist()]
    assert {row["reason"] for row in rows} == {"0"}


def test_a_worker_that_sees_no_workspace_is_refused(executor: RayExecutor, workspace: WorkspaceFolder) -> None:
    elsewhere = WorkspaceFolder(workspace.root / "nowhere")
    with pytest.raises(DmforgeError, match="sees no workspace there"):
        spread(executor, Misbehave(MisbehaveConfig(how="none")), elsewhere, 2, 2)


def test_machines_come_and_go_and_the_bytes_stay(machines: Machines, tmp_path: Path) -> None:
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    for root in (alone, spread):
        Numbers(tasks=80).prepare(root, "")
    ran(alone, None)
    running = threading.Thread(target=ran, args=(spread, machines.executor))
    running.start()
    change(machines, spread)
    assert running.is_alive()  # what is left is work for the machine that came later
    running.join()
    ran(spread, None)  # sweeps what the lost machine has left, and finds nothing to do
    assert outcome(spread) == outcome(alone)


def change(machines: Machines, workspace: Path) -> None:
    """Take both machines away, one after the other, and add one."""
    for worker, commits in zip(machines.workers, (1, 2), strict=True):
        while len(list(workspace.glob("lake/commits/*/*.json"))) <= commits:
            time.sleep(0.02)
        machines.cluster.remove_node(worker, allow_graceful=False)
        if commits == 1:
            machines.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


def ran(root: Path, executor: RayExecutor | None) -> None:
    reports = list(run.run(WorkspaceFolder(root), Console(file=io.StringIO()), "test", executor=executor))
    assert not any(report.tally.pending for report in reports)
