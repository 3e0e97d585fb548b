"""A whole workspace is checked with one command, and what is lost comes back from what is sound, with nobody to ask."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaos.flips import build, made, trials
from dmforge import cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished workspace, whose oracle is gone."""
    return build(tmp_path_factory.mktemp("sound"), 3, trained=False)


@pytest.fixture
def workspace(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    return Path(shutil.copytree(whole, tmp_path / "ws"))


def dmforge(*words: object, code: int = 0) -> Any:
    """The one JSON document that a command prints."""
    done = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stderr


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def test_a_whole_workspace_is_sound(workspace: Path) -> None:
    report = dmforge("verify", "-w", workspace)
    assert (report["ok"], report["defects"], report["notes"]) == (True, [], [])


LOSSES: dict[str, Callable[[Path], None]] = {
    "a part": lambda root: first(root, "lake/candidates/*.parquet").unlink(),
    "every part": lambda root: [path.unlink() for path in root.glob("lake/*/*.parquet")] and None,
    "a bit of a commit": lambda root: flip(first(root, "lake/commits/annotate/*.json")),
    "a rendition": lambda root: first(root, "media/*/*.coarse.mp4").unlink(),
    "all media and shards": lambda root: [shutil.rmtree(path) for path in (*root.glob("media/??"), root / "shards")] and None,
    "a bit of a receipt": lambda root: flip(first(root, "media/*/*.json")),
    "a bit of a shard": lambda root: flip(first(root, "shards/*/*/*.tar")),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_lost_is_named_and_comes_back_with_nobody_to_ask(loss: str, workspace: Path) -> None:
    expected = made(workspace)
    LOSSES[loss](workspace)
    report = dmforge("verify", "-w", workspace, code=1)
    assert all(defect["repairable"] and defect["remedy"] for defect in report["defects"])
    repaired = dmforge("verify", "-w", workspace, "--repair")
    assert (repaired["ok"], repaired["notes"]) == (True, [])
    assert made(workspace) == expected


def test_a_commit_that_was_deleted_comes_back_with_the_next_run(workspace: Path) -> None:
    expected = made(workspace)
    shutil.rmtree(workspace / "lake/commits/annotate")
    assert "no commit names" in dmforge("verify", "-w", workspace)["notes"][0]
    dmforge("run", "-w", workspace)
    assert made(workspace) == expected


@pytest.mark.parametrize("is_resealed", [False, True])
def test_an_edited_answer_is_named_with_its_line(is_resealed: bool, workspace: Path) -> None:
    sql = "SELECT s.id, c.requests[1] AS ask FROM samples s JOIN candidates c ON c.id = s.candidate LIMIT 1"
    ((sample, request),) = dmforge("audit", "--sql", sql, "-w", workspace)["rows"]
    journal = first(workspace, "journal/*/*.jsonl")
    lines = journal.read_text().splitlines()
    (number,) = (number for number, line in enumerate(lines) if str(request) in line)
    fields = json.loads(lines[number])
    fields["answer"]["content"] = fields["answer"]["content"].replace("e", "a", 1)
    seal = fields.pop("sha256")
    content = json.dumps(fields)[:-1]
    seal = hashlib.sha256(content.encode()).hexdigest() if is_resealed else seal
    lines[number] = f'{content}, "sha256": "{seal}"}}'
    journal.write_text("\n".join(lines) + "\n")
    checks = dmforge("why", sample, "--check", "-w", workspace, code=1)["checks"]
    (failed,) = (check for check in checks if not check["holds"])
    assert failed["path"] == str(journal.relative_to(workspace))
    assert f"line {number + 1}" in failed["what"]
    assert f"line {number + 1}" in dmforge("digest", "-w", workspace, code=1)
    defects = dmforge("verify", "-w", workspace, code=1)["defects"]
    (defect,) = (d for d in defects if d["file"].endswith(".jsonl"))  # what is kept beside it no longer fits, either
    assert (defect["file"], f"line {number + 1}" in defect["reason"]) == (failed["path"], True)
    assert dmforge("verify", "-w", workspace, "--repair")["ok"]
    assert list((workspace / "set-aside").rglob("*.jsonl"))


def test_a_flip_anywhere_is_found_or_harmless(whole: Path) -> None:
    outcomes = list(trials(whole, 10, 7, 1))
    assert not [outcome for outcome in outcomes if outcome.failed]
    assert {outcome.verdict for outcome in outcomes if outcome.kind != "recipe"} == {"found by verify"}
