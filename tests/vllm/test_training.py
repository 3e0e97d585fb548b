"""SD-GRPO whose rollouts vLLM writes: the same training, up to the order in which floats are added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.generators.student.families import DELTA, DELTA_MIXTURE, MIXTURE
from dmforge.generators.student.load_student import load
from dmforge.trainers.sdgrpo.sdgrpo_settings import DEFAULT_IMPORTANCE_CAP
from tests.rl.conftest import imitating, write_settings
from tests.support import flicker
from tests.support.rank_processes import begin_ranks
from tests.vllm.family_students import imitating_of

STEPS = 3
BESIDE = {
    "engine_kind": '"vllm"', "engine_weights": '"float32"', "engine_max_num_seqs": "8",
    "engine_max_model_len": "2048", "engine_max_num_batched_tokens": "2048", "engine_cache_gb": "0.02",
    "engine_compiled": "false",
    "engine_start_timeout_s": "280",
}  # fmt: skip


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flicker.rl(tmp_path_factory.mktemp("practice") / "rl", 8, 1)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imitating")
    return imitating(flicker.cot(folder / "cot", 24, 2, flicker.BIASED), folder / "checkpoint-0")


def trained(path: Path) -> tuple[list[dict[str, Any]], Path]:
    """By the command line: the lines of its log, and its last checkpoint."""
    told = CliRunner().invoke(cli.app, ["train", "sdgrpo", str(path), "--json"])
    assert told.exit_code == 0, told.output
    lines = map(json.loads, (path.parent / path.stem / "log.jsonl").read_text().splitlines())
    return [line for line in lines if "loss" in line], Path(json.loads(told.stdout)["checkpoint"])


def test_a_training_with_rollouts_by_vllm_is_that_with_its_own(practice: Path, student: Path, tmp_path: Path) -> None:
    told = {"training_steps": str(STEPS), "saving_save_every": "9"}
    path = tmp_path / "itself.toml"
    itself, _ = trained(write_settings(path, practice, student, path.stem, **told))
    path = tmp_path / "beside.toml"
    beside, checkpoint = trained(write_settings(path, practice, student, path.stem, **told, **BESIDE))
    assert len(beside) == len(itself) == STEPS
    assert max(abs(line["loss"]) for line in itself) > 1e-3
    for mine, its in zip(itself, beside, strict=True):
        # weights changed with each update: an engine that hadn't followed would be apart from the second line on
        assert its["mismatch"] < 1e-4
        assert its["correction/mean"] == pytest.approx(1, abs=1e-4)
        assert its["correction/max"] == pytest.approx(1, abs=1e-3)
        assert its["correction/clipped"] == 0
        assert its["seconds/sync"] < its["seconds/rollout"]
        assert its["loss"] == pytest.approx(mine["loss"], abs=1e-3)
        assert [its[name] for name in ("iou", "answer", "looked")] == [mine[name] for name in ("iou", "answer", "looked")]
        assert not any(name.startswith("correction") for name in mine)
    assert checkpoint.name == f"checkpoint-{STEPS}"
    assert load(str(checkpoint)).vocabulary.without_tags() == []
    assert '"kind": "vllm"' in (checkpoint / "README.md").read_text()


def test_what_coarser_arithmetic_drew_is_corrected(practice: Path, student: Path, tmp_path: Path) -> None:
    path = tmp_path / "coarse.toml"
    told = {"training_steps": "1", "engine_weights": '"bfloat16"'}
    (line,), _ = trained(write_settings(path, practice, student, path.stem, **(BESIDE | told)))
    assert line["mismatch"] > 1e-4
    assert line["correction/max"] > 1
    assert line["correction/mean"] == pytest.approx(1, abs=0.1)
    assert line["correction/clipped"] == 0 or line["correction/max"] > DEFAULT_IMPORTANCE_CAP


def test_weights_that_are_spread_over_ranks_reach_the_engine_of_each_in_whole(
    practice: Path, student: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sharded.toml"
    told = {"training_steps": str(STEPS), "saving_save_every": "9", "training_shard": '"fsdp2"'}
    write_settings(path, practice, student, path.stem, **(BESIDE | told))
    ranks = begin_ranks("dmforge.cli", ["train", "sdgrpo", str(path), "--json"], 2)
    ends = [rank.communicate(timeout=500) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], ends[0][1].decode()[-3000:]
    lines = [json.loads(line) for line in (tmp_path / "sharded/log.jsonl").read_text().splitlines()]
    mismatches = [line["mismatch"] for line in lines if "loss" in line]
    assert len(mismatches) == STEPS
    assert max(mismatches) < 1e-4


@pytest.mark.parametrize(("family", "weights"), [(MIXTURE, "float32"), (DELTA, "bfloat16"), (DELTA_MIXTURE, "bfloat16")])
def test_an_engine_follows_experts_and_gated_delta_layers(family: str, weights: str, practice: Path, tmp_path: Path) -> None:
    """On a CPU vLLM 0.32 has the latter in bfloat16 only. Weights change by more than its rounding from step to step."""
    corpus = flicker.cot(tmp_path / "cot", 24, 2, flicker.BIASED)
    student = imitating_of(family, corpus, tmp_path)
    told = {"training_steps": "3", "training_learning_rate": "1e-2", "engine_weights": f'"{weights}"'}
    lines, _ = trained(write_settings(tmp_path / "followed.toml", practice, student, "followed", **(BESIDE | told)))
    assert family == MIXTURE or lines[0]["looked"] > 0.2  # states are kept over what a look shows
    assert max(line["mismatch"] for line in lines) < (1e-4 if weights == "float32" else 0.02)
