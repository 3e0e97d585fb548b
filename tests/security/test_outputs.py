"""Nothing but a run writes into a workspace: no output of a command may lie where only runs write, by whichever way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.undisturbed import fingerprint
from dmforge import cli
from dmforge.commands import run
from dmforge.curation.output_paths import output_file, output_folder
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.oracle_server import OracleLedger
from dmforge.schemas.errors import InputError
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.training_settings import read_sft

PAID = "journal/oracle/main.jsonl"
SETTINGS = """
out = "ws/runs/sft"
model.from_config = "tiny"
data.corpora = [{place = "x"}]
training.steps = 1
"""


@pytest.fixture
def workspace(tmp_path: Path) -> WorkspaceFolder:
    workspace = run.init(tmp_path / "ws", "demo")
    paid = workspace.root / PAID
    paid.parent.mkdir(parents=True)
    paid.write_text("paid\n")
    return workspace


OPTIONS: dict[str, Callable[[Path, Path], list[str]]] = {
    "audit --out": lambda root, place: ["audit", "cost", "--format", "json", "--out", str(place), "-w", str(root)],
    "run --log": lambda root, place: ["run", "--log", str(place), "-w", str(root)],
    "report": lambda root, place: ["report", str(place), "-w", str(root)],
    "demo --out": lambda _, place: ["demo", "--size", "chain", "--videos", "1", "--out", str(place)],
    "oracle --truth": lambda root, place: ["oracle", str(root / "worlds"), "--truth", str(place)],
    "worlds": lambda _, place: ["worlds", str(place), "--videos", "1"],
    "init": lambda _, place: ["init", str(place), "--recipe", "demo"],
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("inside", [PAID, "runs/new", "lake", "recipe.toml", "format.json", "shards/cot/x"])
def test_no_output_goes_where_only_runs_write(workspace: WorkspaceFolder, option: str, inside: str, tmp_path: Path) -> None:
    if option == "oracle --truth":
        assert CliRunner().invoke(cli.app, ["worlds", str(workspace.root / "worlds"), "--videos", "1"]).exit_code == 0
    before = fingerprint(tmp_path)
    done = CliRunner().invoke(cli.app, OPTIONS[option](workspace.root, workspace.root / inside))
    assert done.exit_code == 2, done.output
    assert "belongs to a workspace" in done.output.replace("\n", " ")
    assert fingerprint(tmp_path) == before


SET = '{"video": "a.mp4", "kind": "open", "question": "What falls?", "answer": "a cup"}\n'
OVERWRITING: dict[str, list[str]] = {
    "inspect --html": ["inspect", "in.jsonl", "--html", "OUT"],
    "inspect --missing": ["inspect", "in.jsonl", "--missing", "OUT"],
    "inspect a folder": ["inspect", ".", "--missing", "OUT"],
    "inspect --benchmark": ["inspect", "other.jsonl", "--benchmark", "in.jsonl", "--missing", "OUT"],
    "import": ["import", "jsonl", "in.jsonl", "--dry-run", "--missing", "OUT"],
    "audit": ["audit", "corpora", "--with", "in.jsonl", "--out", "OUT", "--format", "csv", "-w", "ws"],
    "report": ["report", "OUT", "--with", "in.jsonl", "-w", "ws"],
}


@pytest.mark.parametrize("command", OVERWRITING)
def test_no_output_replaces_an_input(
    workspace: WorkspaceFolder, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in.jsonl", "other.jsonl"):
        (tmp_path / name).write_text(SET)
    monkeypatch.chdir(workspace.root.parent)
    before = fingerprint(tmp_path)
    done = CliRunner().invoke(cli.app, [word.replace("OUT", "in.jsonl") for word in OVERWRITING[command]])
    assert done.exit_code == 2, done.output
    assert "would replace a file that is read" in done.output.replace("\n", " ")
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("name", ["link.jsonl", "hard.jsonl", "folder/in.jsonl", "folder/../in.jsonl"])
def test_no_link_leads_to_an_input_either(name: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    read = tmp_path / "set" / "in.jsonl"
    read.write_text(SET)
    (tmp_path / "in.jsonl").symlink_to(read)
    (tmp_path / "link.jsonl").symlink_to(read)
    (tmp_path / "folder").symlink_to(tmp_path / "set")
    os.link(read, tmp_path / "hard.jsonl")
    for inputs in ([read], [tmp_path / "other.jsonl", read]):
        with pytest.raises(InputError, match="would replace a file that is read"):
            output_file(tmp_path / name, "--out", inputs=inputs)


def test_a_list_and_a_page_may_be_written_anew_beside_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.jsonl").write_text(SET)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    monkeypatch.chdir(tmp_path)
    for words in (["inspect", ".", "--html", "page.html"], ["inspect", "in.jsonl", "--videos", ".", "--missing", "new.jsonl"]):
        for _ in range(2):
            assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert CliRunner().invoke(cli.app, ["inspect", "in.jsonl", "--videos", ".", "--missing", "a.mp4"]).exit_code == 2


@pytest.mark.parametrize("place", ["new/x.jsonl", "in.jsonl/x.jsonl", "/proc/x.jsonl"])
def test_a_place_where_no_file_can_be_made_is_wrong_input(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.jsonl").write_text(SET)
    monkeypatch.chdir(tmp_path)
    for option in ("--html", "--missing"):
        done = CliRunner().invoke(cli.app, ["inspect", "in.jsonl", option, place])
        assert done.exit_code == 2, done.output
        assert "acknowledged" not in done.output
    assert not (tmp_path / "new").exists()


def test_an_export_goes_into_no_workspace_and_may_lie_beside_its_folders(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    for place in (workspace.shards / "x", tmp_path / "other" / "lake" / "x"):
        run.init(tmp_path / "other", "demo") if not (tmp_path / "other").exists() else None
        with pytest.raises(InputError, match="belongs to a workspace"):
            output_folder(place, "--out", workspace)
    assert output_folder(workspace.root / "exports" / "hf", "--out", workspace)
    assert output_file(workspace.root / "report.html", "FILE", workspace)
    assert output_file(workspace.lake / "../report.html", "FILE", workspace)


@pytest.mark.parametrize("inside", [PAID, "lake/commits/pack/x.json"])
def test_no_link_leads_there_either(workspace: WorkspaceFolder, inside: str, tmp_path: Path) -> None:
    target = workspace.root / inside
    (tmp_path / "folder").symlink_to(target.parent)
    (tmp_path / "root").symlink_to(workspace.root)
    (tmp_path / "file").symlink_to(target)
    (tmp_path / "deep").symlink_to(workspace.root / "lake" / "tasks")
    places = [tmp_path / "folder" / "x", tmp_path / "root" / inside, tmp_path / "file", tmp_path / "deep" / ".." / "x"]
    for place in (*places, tmp_path / "ws" / "exports" / ".." / inside):
        with pytest.raises(InputError, match="belongs to a workspace"):
            output_file(place, "--out")


def test_folders_of_a_workspace_that_lie_elsewhere_are_its_own_too(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "large disk"
    elsewhere.mkdir()
    workspace.media.symlink_to(elsewhere)
    for place in (workspace.media / "x.csv", elsewhere / "x.csv"):
        with pytest.raises(InputError, match="belongs to a workspace"):
            output_file(place, "--out", workspace)


def test_a_truth_file_with_another_name_is_not_appended_to(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    os.link(workspace.root / PAID, tmp_path / "planted.jsonl")
    with pytest.raises(InputError, match="hard link"):
        OracleLedger(tmp_path / "planted.jsonl")
    assert (workspace.root / PAID).read_text() == "paid\n"


def test_no_training_and_no_evaluation_writes_there(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    with pytest.raises(InputError, match="belongs to a workspace"):
        read_sft(settings)
    settings.write_text('out = "ws/lake/e"\ncheckpoint = "x/y"\ncorpora = ["x"]\n')
    with pytest.raises(InputError, match="belongs to a workspace"):
        read_evaluation(settings)
