"""`dmforge evaluate` with vLLM: the same trajectories as by the student in this process, adapters included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.generators.student.families import DELTA, DELTA_MIXTURE, MIXTURE
from tests.rl.conftest import imitating
from tests.student.small_families import small
from tests.support import flicker
from tests.training.conftest import write_settings
from tests.vllm.family_students import imitating_of

ENGINE = """
[engine]
kind = "vllm"
weights = "float32"
max_num_seqs = 8
max_model_len = 2048
max_num_batched_tokens = 2048
cache_gb = 0.02
compiled = false
start_timeout_s = 280
"""


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flicker.cot(tmp_path_factory.mktemp("trajectories") / "cot", 24, 2, flicker.BIASED)


@pytest.fixture(scope="module")
def student(trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imitating(trajectories, tmp_path_factory.mktemp("imitating") / "checkpoint-0")


def invoked(*words: str) -> dict[str, Any]:
    told = CliRunner().invoke(cli.app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def evaluated(folder: Path, name: str, checkpoint: Path, corpus: Path, engine: str = "") -> list[dict[str, Any]]:
    """The rows of an evaluation by the command line."""
    path = folder / f"{name}.toml"
    head = f'checkpoint = "{checkpoint}"\ncorpora = ["{corpus}"]\nout = "{name}"\ndevice = "cpu"\nmax_samples = 12\n'
    path.write_text(head + "[roll]\nmax_tokens = 48\n" + engine)
    invoked("evaluate", str(path))
    return [json.loads(line) for line in (folder / name / "rows.jsonl").read_text().splitlines()]


def test_vllm_evaluates_as_the_student_itself_does(student: Path, trajectories: Path, tmp_path: Path) -> None:
    own = evaluated(tmp_path, "own", student, trajectories)
    assert evaluated(tmp_path, "by-vllm", student, trajectories, ENGINE) == own
    assert any(row["ending"] == "answered" for row in own)


def test_vllm_evaluates_adapters_merged_into_their_base(student: Path, trajectories: Path, tmp_path: Path) -> None:
    settings = write_settings(
        tmp_path / "sft.toml", trajectories, "adapted", model_from_config="", model_checkpoint=f'"{student}"',
        model_adapters="{ rank = 4 }", training_steps="4", training_learning_rate="2e-2", saving_save_every="4",
    )  # fmt: skip
    adapted = Path(invoked("train", "sft", str(settings))["checkpoint"])
    assert (adapted / "base.json").exists()
    own = evaluated(tmp_path, "own", adapted, trajectories)
    assert evaluated(tmp_path, "by-vllm", adapted, trajectories, ENGINE) == own
    assert own != evaluated(tmp_path, "base", student, trajectories)


@pytest.mark.parametrize("family", [MIXTURE, DELTA, DELTA_MIXTURE])
def test_vllm_runs_students_of_other_families(family: str, trajectories: Path, tmp_path: Path) -> None:
    student = imitating_of(family, trajectories, tmp_path)
    own = evaluated(tmp_path, "own", student, trajectories)
    if family == MIXTURE:
        assert evaluated(tmp_path, "by-vllm", student, trajectories, ENGINE) == own
        return
    # on a CPU vLLM 0.32 has gated delta layers in bfloat16 only, so a token may be another one
    rows = evaluated(tmp_path, "by-vllm", student, trajectories, ENGINE.replace("float32", "bfloat16"))
    assert sum(row == other for row, other in zip(rows, own, strict=True)) >= 10


def test_an_engine_that_can_run_no_row_is_given_up(trajectories: Path, tmp_path: Path) -> None:
    """On a CPU vLLM 0.32 dies over the first token of gated delta layers in float32."""
    small(DELTA).save(tmp_path / "base")
    path = tmp_path / "evaluation.toml"
    head = f'checkpoint = "{tmp_path / "base"}"\ncorpora = ["{trajectories}"]\nout = "rows"\ndevice = "cpu"\nmax_samples = 12\n'
    path.write_text(head + "[roll]\nmax_tokens = 8\n" + ENGINE)
    told = CliRunner().invoke(cli.app, ["evaluate", str(path)])
    assert told.exit_code == 1, told.output
    assert "BF16" in told.output
