"""Several ranks on one folder. `python -m chaos.ranks --chain 8` does it with the whole chain, shards and all."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from chaos.ranks import measure
from chaos.subjects import Rehearsal
from dmforge.cli import app
from dmforge.commands.rank_run import run_share
from dmforge.curation.contract.budget import Price
from dmforge.curation.contract.stage import AskConfig
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.engine.ranks.rank_locks import claim_share
from dmforge.curation.lake.partition import ALL, LAST, Share
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.errors import InputError
from tests.foundation.lakes import count, fingerprint, logical, run, write_recipe

DMFORGE = (sys.executable, "-m", "dmforge.cli")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest that one run ends with."""
    root = tmp_path_factory.mktemp("alone")
    write_recipe(root)
    run(root)
    return logical(root)


def share(root: Path, rank: int, world_size: int) -> dict[str, StageReport]:
    """A rank that waits for none that isn't at work."""
    console = Console(file=io.StringIO())
    return {one.name: one for one in run_share(WorkspaceFolder(root), console, "test", Share(rank, world_size), 0.0)}


def by_rank(root: Path, rank: int, world_size: int, *more: str) -> subprocess.CompletedProcess[str]:
    told = ("--rank", str(rank), "--world-size", str(world_size), "--wait-timeout", "0", *more)
    return subprocess.run([*DMFORGE, "run", "-w", str(root), *told], capture_output=True, text=True)


@pytest.mark.slow
def test_ranks_that_are_killed_end_with_the_digest_of_one_run() -> None:
    seen = measure(Rehearsal(tasks=100), world_size=3, kills=2, seed=int.from_bytes(os.urandom(3), "big"))
    assert seen.kills == 2
    assert seen.writers == 3


@pytest.mark.slow
def test_ranks_may_come_one_after_another(tmp_path: Path, alone: str) -> None:
    write_recipe(tmp_path)
    early = share(tmp_path, 0, 2)
    # what needs the other share is said to be pending, and is not begun
    assert early["keep"].tally.pending == sum(early["keep"].deferred.values()) > 0
    assert count(tmp_path, "SELECT count(*) FROM outcomes WHERE stage = 'keep'") == 0
    assert list(share(tmp_path, 1, 2)) == ["count", "score"]
    assert not share(tmp_path, 0, 2)["keep"].tally.pending
    assert logical(tmp_path) == alone
    before = fingerprint(tmp_path)
    for rank in range(3):
        share(tmp_path, rank, 3)
    run(tmp_path)
    assert fingerprint(tmp_path) == before


@pytest.mark.slow
def test_a_plain_run_goes_on_where_ranks_stopped(tmp_path: Path, alone: str) -> None:
    write_recipe(tmp_path)
    share(tmp_path, 1, 2)
    assert count(tmp_path, "SELECT count(*) FROM outcomes")
    run(tmp_path)
    assert logical(tmp_path) == alone


@pytest.mark.slow
def test_ranks_keep_plain_runs_out_and_each_other_out_of_their_shares(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    run(tmp_path)
    with claim_share(WorkspaceFolder(tmp_path), Share(1, 2), "dmforge run --rank 1"):
        with pytest.raises(InputError, match=r"holds this workspace: process \d+ of .* \(dmforge run --rank 1\)"):
            run(tmp_path)
        for rank, world_size in ((1, 2), (2, 3)):
            done = by_rank(tmp_path, rank, world_size)
            assert done.returncode == 2
            assert "another rank is at work" in done.stderr
        assert by_rank(tmp_path, 0, 2).returncode == 0
    with WorkspaceFolder(tmp_path).held("dmforge forget"):
        assert "dmforge forget" in by_rank(tmp_path, 0, 2).stderr


@pytest.mark.slow
def test_a_new_list_is_not_let_in_while_ranks_are_at_work(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=100)
    run(tmp_path)
    with claim_share(WorkspaceFolder(tmp_path), Share(1, 2), "dmforge run --rank 1"):
        write_recipe(tmp_path, tasks=200)
        done = by_rank(tmp_path, 0, 2)
        assert done.returncode == 2
        assert "listed before" in done.stderr
    assert count(tmp_path, "SELECT count(*) FROM tasks") == 90


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (("--rank", "2", "--world-size", "2"), "--rank"),
        (("--rank", "0"), "--rank"),
        (("--rank", "0", "--world-size", "2", "--videos", "3"), "--videos"),
        (("--wait-timeout", "3"), "--wait-timeout"),
    ],
)
def test_what_makes_no_rank_is_refused(tmp_path: Path, told: tuple[str, ...], why: str) -> None:
    write_recipe(tmp_path)
    done = CliRunner().invoke(app, ["run", "-w", str(tmp_path), *told])
    assert done.exit_code == 2
    assert why in done.stderr


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("pieces", [1, 5, 1000])
def test_shares_are_all_ids_and_none_twice(world_size: int, pieces: int) -> None:
    ranges = [bounds for rank in range(world_size) for bounds in Share(rank, world_size).ranges(pieces)]
    assert ranges[0]["low"] == b"\0\0\0\0"
    assert ranges[-1]["high"] == LAST
    assert all(before["high"] == after["low"] for before, after in itertools.pairwise(ranges))
    assert len(ranges) >= len(list(ALL.ranges(pieces)))


def test_ranks_together_ask_no_more_than_one_would() -> None:
    prices = {"m": Price(input_usd=1.0)}
    one = TeacherConfig(model="m", concurrency=9, requests_per_minute=60, prices=prices)
    shared = one.shared(4)
    assert (shared.concurrency, shared.requests_per_minute, shared.tokens_per_minute) == (2, 15, None)
    assert shared.semantic() == one.semantic()
    assert AskConfig(concurrency=2).shared(5).concurrency == 1
