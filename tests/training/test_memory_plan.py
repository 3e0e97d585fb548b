"""What a training needs of memory is said beforehand: as much as a forward really keeps, and without writing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from typer.testing import CliRunner

from dmforge import cli
from dmforge.api.learning import plan_training
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.tiny import make_tiny
from dmforge.trainers.batches import ForwardBatch, logits_of, pack, summed_loss
from dmforge.trainers.memory.fake_student import RowSize
from dmforge.trainers.memory.memory_plan import MemoryEstimate
from dmforge.trainers.memory.row_sizes import RolloutSize
from dmforge.trainers.model_setup import prepare_student
from dmforge.trainers.training_settings import Adapters, ModelSettings, SftSettings, read_sft
from tests.student.small_families import mixture
from tests.student.students import TEXTS, shown, transcript
from tests.student.students import look as look_at
from tests.support import flicker
from tests.training.conftest import write_settings


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("corpora")
    return flicker.cot(folder / "cot", 4, 2, flicker.EXACT), flicker.rl(folder / "rl", 4, 3)


def settings(tmp_path: Path, **training: Any) -> SftSettings:
    return read_sft(
        {"out": str(tmp_path / "out"), "model": {"from_config": "tiny"}, "data": {"corpora": [{"place": "x"}]},
         "training": {"steps": 1, **training}}
    )  # fmt: skip


def really_kept(student: Student, batch: ForwardBatch, *, bf16: bool) -> int:
    """The bytes that a forward saves for its backward pass, weights not counted."""
    weights = {weight.untyped_storage().data_ptr() for weight in student.model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = summed_loss(logits_of(student.model, batch), batch)
    assert loss.requires_grad
    return sum(storage.nbytes() for place, storage in kept.items() if place not in weights)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("adapters", [None, Adapters(rank=8)])
def test_what_a_forward_keeps_is_known_without_a_weight(tmp_path: Path, bf16: bool, adapters: Adapters | None) -> None:
    student = make_tiny("tiny", TEXTS, 0)
    student.save(tmp_path / "base")
    told = settings(tmp_path, bf16=bf16)
    told = told.model_copy(update={"model": ModelSettings(checkpoint=str(tmp_path / "base"), adapters=adapters)})
    sequences = [student.layout.join(student.layout.transcript(shown(transcript(look_at(0, 500), thought="It flashes. " * n))))
                 for n in (20, 60, 90)]  # fmt: skip
    batch, config = pack(sequences), student.model.config
    row = RowSize(batch.input_ids.numel(), len(batch.patches), batch.items)
    planned = MemoryEstimate(config, student.vocabulary, row, RolloutSize(0, 0), 1).kept(told)
    gradients_of_logits = 2 * 4 * batch.items * config.text_config.vocab_size
    student = prepare_student(load(str(tmp_path / "base")), told.model)
    assert planned - gradients_of_logits == pytest.approx(really_kept(student, batch, bf16=bf16), rel=0.1)


def test_what_needs_less_is_said_to_need_less(tmp_path: Path, corpora: tuple[Path, Path]) -> None:
    make_tiny("tiny", TEXTS, 0).save(tmp_path / "base")
    told: dict[str, Any] = {
        "out": str(tmp_path / "out"), "model": {"checkpoint": str(tmp_path / "base")},
        "data": {"corpora": [{"place": str(corpora[0])}], "max_tokens": 4_000}, "training": {"steps": 1},
    }  # fmt: skip
    plan = plan_training("sft", told)
    as_it_is = plan.needs["as they are"]
    assert as_it_is.optimizer == 2 * as_it_is.gradients == 2 * as_it_is.weights
    assert as_it_is.reference == as_it_is.rollouts == 0
    assert plan.needs["gradient_checkpointing = true"].kept < as_it_is.kept / 2
    assert plan.needs['weights = "bfloat16"'].weights == as_it_is.weights / 2
    adapted = plan.needs["[model.adapters]"]
    assert as_it_is.weights < adapted.weights < 1.2 * as_it_is.weights
    assert adapted.gradients < as_it_is.gradients / 4
    assert plan.needs["all of these"].peak < min(need.peak for name, need in plan.needs.items() if name != "all of these")
    practice = plan_training(
        "sdgrpo", told | {"data": {"corpora": [{"place": str(corpora[1])}]}, "rollout": {"max_tokens": 64}}
    )
    assert practice.needs["as they are"].reference == as_it_is.weights
    assert practice.needs["as they are"].rollouts > 0
    assert practice.needs["[model.adapters]"].reference == 0


def test_gradients_stay_from_one_forward_of_an_update_to_the_next(tmp_path: Path, corpora: tuple[Path, Path]) -> None:
    told: dict[str, Any] = {
        "out": str(tmp_path / "out"), "model": {"from_config": "tiny"}, "rollout": {"max_tokens": 64},
        "data": {"corpora": [{"place": str(corpora[1])}], "prompts": 4}, "training": {"steps": 1, "beta": 0.0},
    }  # fmt: skip
    together = plan_training("sdgrpo", told)
    one_by_one = plan_training("sdgrpo", told | {"training": told["training"] | {"max_tokens": together.row.tokens // 4 + 1}})
    assert (together.row.forwards, one_by_one.row.forwards) == (1, 4)
    need = one_by_one.needs["as they are"]
    assert need.peak == need.weights + need.optimizer + need.kept + need.gradients


def test_each_of_several_ranks_has_its_share_of_the_row_and_gradients_twice(
    tmp_path: Path, corpora: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"out": str(tmp_path / "out"), "model": {"from_config": "speck"},
            "data": {"corpora": [{"place": str(corpora[0])}], "max_tokens": 4_000}, "training": {"steps": 1}}  # fmt: skip
    alone = plan_training("sft", told)
    monkeypatch.setenv("WORLD_SIZE", "2")
    both = plan_training("sft", told)
    assert (alone.ranks, both.ranks) == (1, 2)
    assert both.row.tokens == alone.row.tokens / 2
    assert both.needs["as they are"].gradients == 2 * alone.needs["as they are"].gradients
    assert "[model.adapters]" not in both.needs  # a student from scratch has no base for them to lie beside


def test_fsdp2_spreads_all_but_what_a_forward_keeps_and_adafactor_keeps_little(
    tmp_path: Path, corpora: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"out": str(tmp_path / "out"), "model": {"from_config": "tiny"},
            "data": {"corpora": [{"place": str(corpora[0])}], "max_tokens": 4_000}, "training": {"steps": 1}}  # fmt: skip
    assert 'shard = "fsdp2"' not in plan_training("sft", told).needs
    monkeypatch.setenv("WORLD_SIZE", "4")
    needs = plan_training("sft", told).needs
    whole, spread, frugal = (needs[name] for name in ("as they are", 'shard = "fsdp2"', 'optimizer = "adafactor"'))
    assert (spread.weights, spread.optimizer) == (whole.weights // 4, whole.optimizer // 4)
    assert spread.gradients == whole.gradients // 8
    assert spread.kept == whole.kept
    assert 0 < spread.gathered < 2 * whole.weights
    assert spread.peak < whole.peak
    assert frugal.optimizer < whole.optimizer / 20
    practice = {**told, "data": {"corpora": [{"place": str(corpora[1])}]}, "rollout": {"max_tokens": 64}}
    rolling = plan_training("sdgrpo", practice).needs['shard = "fsdp2"']
    assert rolling.peak >= rolling.weights + rolling.reference + rolling.optimizer + rolling.rollouts + whole.weights


def test_other_families_are_not_planned(tmp_path: Path, corpora: tuple[Path, Path]) -> None:
    mixture().save(tmp_path / "mixture")
    path = write_settings(tmp_path / "sft.toml", corpora[0], model_from_config="", model_checkpoint=f'"{tmp_path / "mixture"}"')
    assert "qwen3_vl_moe" in invoked("train", "sft", path, "--plan", code=2)
    path = write_settings(tmp_path / "sft.toml", corpora[0], model_from_config='"mote-qwen3.5"')
    assert "qwen3_5" in invoked("train", "sft", path, "--plan", code=2)


def invoked(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_plans_and_writes_nothing(tmp_path: Path, corpora: tuple[Path, Path]) -> None:
    path = write_settings(tmp_path / "sft.toml", corpora[0])
    metrics = json.loads(invoked("train", "sft", path, "--plan", "--json"))["metrics"]
    assert metrics["bytes"]["as they are"]["peak"] > 0
    table = invoked("train", "sft", path, "--plan")
    assert "gradient_checkpointing = true" in table
    assert sorted(tmp_path.iterdir()) == [path]
    assert "no training called" in invoked("train", "dpo", path, "--plan", code=2)
    write_settings(path, tmp_path / "nowhere")
    assert "nowhere" in invoked("train", "sft", path, "--plan", code=2)
