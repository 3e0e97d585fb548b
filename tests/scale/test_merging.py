"""Workspaces that were built apart become one."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from chaos import score_server
from chaos.ranks import ended
from chaos.score_server import serving
from chaos.subjects import WholeChain
from chaos.undisturbed import fingerprint
from dmforge.cli import app
from dmforge.commands import audit, intake, standing
from dmforge.commands import plan as plan_commands
from dmforge.commands import run as run_commands
from dmforge.commands.rank_run import run_share
from dmforge.curation.lake.partition import Share
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE
from dmforge.schemas.errors import InputError
from tests.foundation.lakes import count, logical, run, view, write_recipe

INQUIRE = '[stages.inquire]\nurl = "{}"\nbatch_items = 20\n'


def quiet() -> Console:
    return Console(file=io.StringIO())


def merge(root: Path, *others: Path) -> dict[str, int]:
    done = CliRunner().invoke(app, ["merge", *map(str, others), "-w", str(root), "--json"])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["added"]


def share(root: Path, rank: int, world_size: int) -> None:
    list(run_share(WorkspaceFolder(root), quiet(), "test", Share(rank, world_size), 0.0))


def asking(root: Path, url: str) -> None:
    write_recipe(root, tasks=100)
    recipe = (root / "recipe.toml").read_text()
    before, _, after = recipe.partition("[stages.score]")
    (root / "recipe.toml").write_text(before + INQUIRE.format(url) + after[after.index("[stages.keep]") :])


@pytest.mark.slow
def test_halves_that_were_built_apart_are_joined_and_nothing_is_asked_again(tmp_path: Path) -> None:
    alone, one, other = (tmp_path / name for name in ("alone", "one", "other"))
    with serving() as url:
        asking(alone, url)
        run(alone)
    with serving() as url:
        for rank, root in enumerate((one, other)):
            asking(root, url)
            share(root, rank, 2)
        added = merge(one, other)
        assert added["answers"] > 0
        assert added["outcomes"] == count(other, "SELECT count(*) FROM outcomes")
        run(one)
        assert logical(one) == logical(alone)
        assert set(score_server.asked(url).values()) == {1}
    assert not any(merge(one, other).values())


def test_after_a_merge_all_commands_agree_on_what_is_settled(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        write_recipe(root, tasks=50)
    run(other)
    merge(one, other)
    agree(one)
    assert standing.status(WorkspaceFolder(one))["count"].settled == 50


def test_commands_agree_where_inputs_were_changed_since_the_last_run(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=50)
    run(tmp_path)
    write_recipe(tmp_path, tasks=60)
    agree(tmp_path)
    assert standing.status(WorkspaceFolder(tmp_path))["count"].pending == 10


def agree(root: Path) -> None:
    """Status, plan and funnel say the same."""
    workspace = WorkspaceFolder(root)
    tallies = {forecast.name: forecast.tally for forecast in plan_commands.plan(workspace)}
    counts = standing.status(workspace)
    assert {name: (tally.settled, tally.pending) for name, tally in tallies.items() if name != "keep"} == {
        name: (tally.settled, tally.pending) for name, tally in counts.items() if name != "keep"
    }
    lines = audit.audit(workspace, "funnel").rows
    settled: Counter[str] = Counter()
    for stage, status, _, inputs, _ in lines:
        settled[stage] += inputs if status in ("made", "rejected", "quarantined") else 0
    assert {name: settled[name] for name in counts} == {name: tally.settled for name, tally in counts.items()}


@pytest.mark.slow
def test_what_both_have_settled_stands_once(tmp_path: Path) -> None:
    alone, one, other = (tmp_path / name for name in ("alone", "one", "other"))
    for root in (alone, one, other):
        write_recipe(root, tasks=100, batch=30)
    run(alone)
    share(one, 0, 2)
    share(other, 1, 3)  # the two overlap, and batches of one are settled in part by the other
    merge(one, other)
    run(one)
    assert logical(one) == logical(alone)


def test_a_video_that_was_taken_down_in_either_does_not_come_in(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        write_recipe(root, tasks=40)
    run(other)
    gone = sorted(row[0] for row in videos_of(other))
    for root, video in ((one, gone[0]), (other, gone[1])):
        run_commands.forget(WorkspaceFolder(root), "test", "asked to", lambda _, video=video: [video])
    merge(one, other)
    run(one)
    assert {row[0] for row in videos_of(one)} == set(gone[2:])


def videos_of(root: Path) -> list[tuple[bytes]]:
    return view(root).connection.execute("SELECT DISTINCT video FROM tasks").fetchall()


def test_a_workspace_is_not_merged_with_itself(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    with pytest.raises(InputError, match="with itself"):
        run_commands.merge(WorkspaceFolder(tmp_path), "test", [tmp_path])


@pytest.mark.slow
def test_two_machines_make_the_shards_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both take in all annotations, and half of the videos each."""
    subject = WholeChain(2, tmp_path)
    films = sorted((subject.worlds / "videos").iterdir())
    roots = [tmp_path / name for name in ("alone", "one", "other")]
    for root, brought in zip(roots, (films, films[:1], films[1:]), strict=True):
        folder = tmp_path / f"films-{root.name}"
        folder.mkdir()
        for film in brought:
            shutil.copy(film, folder)
        with subject.serving() as url:
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            place = run_commands.init(root, "demo")
            intake.add_videos(place, "test", [str(folder)], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
            intake.add_annotations(place, "test", "jsonl", [subject.worlds / "tasks.jsonl"])
            list(run_commands.run(place, quiet(), "test"))
    alone, one, other = roots
    added = merge(one, other)
    assert (added["videos"], added["media"], added["annotations"]) == (1, 3, 0)
    with subject.serving() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        list(run_commands.run(WorkspaceFolder(one), quiet(), "test"))
        assert not subject.asked(url)
    found, expected = ended(one), ended(alone)
    # what each had packed of its half lies there still
    shards = {f"shards/{path}" for path in fingerprint(alone / "shards")}
    assert {name: found[name] for name in shards} == {name: expected[name] for name in shards}
    assert found["digest"] == expected["digest"]
