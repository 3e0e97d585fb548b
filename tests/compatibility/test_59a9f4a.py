"""What commit 59a9f4a left behind is brought up, audited, exported, run on and trained from, with no endpoint reachable.

`59a9f4a.sh` made it, in an environment of that commit; `golden.json` in it holds what that commit printed about it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.audit import query
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import base32

FIXTURE = Path(__file__).with_name("59a9f4a.tar.xz")
WORKSPACES = ("demo/workspace", "raw", "cot", "exam", "practice")
RAISED = {"citations", "segments", "questions", "admit", "absent", "annotate", "thin", "crosscheck", "safety", "duplicates"}
"""Stages whose version was raised since, or that of the reader of replies: they are done again, asking nobody."""
ASKING = ("segments", "questions", "annotate")
"""Stages of these workspaces that ask a teacher: what they make follows from the journal."""


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture, unpacked and brought up once; nothing writes to it but what looking writes."""
    return upgraded(unpack(tmp_path_factory.mktemp("59a9f4a")))


@pytest.fixture
def copied(untouched: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(untouched, tmp_path / "copied")


@pytest.fixture(scope="module")
def golden(untouched: Path) -> dict[str, Any]:
    return json.loads((untouched / "golden.json").read_text())


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a teacher is refused at once."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def unpack(folder: Path) -> Path:
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(folder, filter="data")
    return folder


def upgraded(folder: Path) -> Path:
    """All that an owner of these files types before he goes on."""
    for name in WORKSPACES:
        assert dmforge("upgrade", "-w", folder / name)["changes"]
    assert dmforge("upgrade", *sorted(folder.glob("*.toml")), *sorted((folder / "recipes").glob("*.toml")))
    return folder


def dmforge(*words: object, code: int = 0) -> Any:
    """The one JSON document that a command prints."""
    result = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def shards_of(workspace: Path) -> dict[str, str]:
    tars = sorted(workspace.glob("shards/*/*/*.tar"))
    return {str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest() for path in tars}


def test_every_recipe_of_then_has_the_keys_of_then(untouched: Path, golden: dict[str, Any]) -> None:
    for path in sorted((untouched / "recipes").glob("*.toml")):
        keys = {stage.name: base32(stage.variant) for stage in read_recipe(path).stages}
        then = golden["variants"][path.stem]
        assert keys.keys() == then.keys()
        assert {name for name, key in keys.items() if key != then[name]} == RAISED & keys.keys(), path.stem


@pytest.mark.parametrize("name", WORKSPACES)
def test_a_workspace_stands_where_it_stood_and_asks_nobody(name: str, copied: Path, golden: dict[str, Any]) -> None:
    workspace, expected = copied / name, golden["workspaces"][name]
    stages = [stage["name"] for stage in expected["stages"]]
    raised = min((stages.index(stage) for stage in RAISED & set(stages)), default=len(stages))
    assert dmforge("status", "-w", workspace)["stages"][:raised] == expected["stages"][:raised]
    plan = dmforge("plan", "-w", workspace)
    assert plan["cost"] == 0
    assert all(stage["calls"] == 0 for stage in plan["stages"])
    dmforge("run", "-w", workspace)
    assert dmforge("status", "-w", workspace) == {"stages": expected["stages"], "cost": expected["cost"]}
    assert dmforge("digest", "-w", workspace)["digest"] == expected["digest"]
    assert shards_of(workspace) == expected["shards"]


@pytest.mark.parametrize("name", ["demo/workspace", "raw", "cot"])
def test_a_workspace_is_run_on_to_its_end_from_its_journal(name: str, copied: Path, golden: dict[str, Any]) -> None:
    """Keys of questions are those of then: all that was asked is made anew, and nobody is asked."""
    workspace, expected = copied / name, golden["workspaces"][name]
    first = next(stage for stage in ASKING if (workspace / "lake/commits" / stage).exists())
    order = [stage.name for stage in read_recipe(workspace / "recipe.toml").stages]
    for stage in order[order.index(first) :]:
        shutil.rmtree(workspace / "lake/commits" / stage, ignore_errors=True)
    shutil.rmtree(workspace / "shards")
    made = dmforge("run", "-w", workspace)
    assert made["cost"] == expected["cost"]
    assert dmforge("digest", "-w", workspace)["digest"] == expected["digest"]
    assert shards_of(workspace) == expected["shards"]


@pytest.fixture(scope="module")
def current(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain's workspace, run on to its end."""
    workspace = shutil.copytree(untouched / "demo/workspace", tmp_path_factory.mktemp("current") / "workspace")
    dmforge("run", "-w", workspace)
    return workspace


@pytest.mark.slow
def test_every_named_question_has_an_answer(untouched: Path) -> None:
    questions = [row[0] for row in query.listed().rows]
    for name in questions:
        beside = ["--with", untouched / "demo/workspace"] if query.compares(name) else []
        assert dmforge("audit", name, "-w", untouched / "demo/workspace", *beside)["columns"]
    assert dmforge("audit", "funnel", "-w", untouched / "demo/workspace")["rows"]
    assert dmforge("audit", "checkpoints", "-w", untouched / "exam")["rows"]
    assert dmforge("audit", "difficulty", "-w", untouched / "practice")["rows"]


def test_the_report_is_drawn(untouched: Path, current: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    dmforge("report", page, "--training", untouched / "sft", "-w", current)
    assert page.stat().st_size > 50_000


def test_a_sample_says_why_it_is_as_it_is(current: Path) -> None:
    sample = dmforge("audit", "--sql", "SELECT id FROM samples LIMIT 1", "-w", current)["rows"][0][0]
    assert dmforge("why", sample, "--check", "-w", current)


def test_exports_are_those_of_then(current: Path, golden: dict[str, Any]) -> None:
    """But for what is new in them: clips with the clock of their video, and turns of their own for what was injected."""
    for form in ("dynframe", "llamafactory", "trl", "hf"):
        assert dmforge("export", "cot", "--to", form, "-w", current)["samples"] == 10
    exports = current / "exports"
    written = {
        str(path.relative_to(exports)): hashlib.sha256(path.read_bytes()).hexdigest() for path in exports.rglob("*.json*")
    }
    then = {name: sha256 for name, sha256 in golden["exports"].items() if name.startswith("dynframe")}
    assert then
    assert then.items() <= written.items()
    assert golden["exports"].keys() <= written.keys()


@pytest.mark.parametrize("name", WORKSPACES)
def test_every_byte_of_the_shards_is_sound(name: str, untouched: Path) -> None:
    for manifest in (untouched / name).glob("shards/*/*/manifest.json"):
        assert dmforge("verify", manifest.parent)["ok"]


def test_a_training_goes_on_where_it_was_stopped(copied: Path) -> None:
    """From the checkpoint in the middle to the same weights, give or take what another processor rounds."""
    from safetensors.torch import load_file

    expected = load_file(copied / "sft/checkpoint-4/model.safetensors")
    shutil.rmtree(copied / "sft/checkpoint-4")
    dmforge("train", "sft", copied / "sft.toml")
    weights = load_file(copied / "sft/checkpoint-4/model.safetensors")
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        assert (weight - expected[name]).abs().max() < 1e-4, name


def test_a_student_is_evaluated_and_practises(copied: Path) -> None:
    assert dmforge("evaluate", copied / "evaluate.toml")["metrics"]
    assert dmforge("train", "sdgrpo", copied / "sdgrpo.toml")["metrics"]
