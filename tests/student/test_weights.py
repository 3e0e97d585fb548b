"""A student's weights, as any process on this machine can load them while their holder lives."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.named_weights import weights_of
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.weights import WEIGHTS, LiveCheckpoint
from dmforge.trainers.model_setup import prepare_student
from dmforge.trainers.training_settings import Adapters, ModelSettings

TEXTS = ["Which colour?", "Early.", "It is red.", "10.00 - 30.00"]


@pytest.fixture
def student() -> Student:
    return make_tiny("speck", TEXTS, 0)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_what_is_loaded_is_the_student_of_the_last_renewal(student: Student, tmp_path: Path) -> None:
    live = LiveCheckpoint(student, torch.float32)
    try:
        live.renew(student)
        first = load_file(live.path / WEIGHTS)
        student.save(tmp_path)
        assert same(first, load_file(tmp_path / "model.safetensors"))
        with torch.no_grad():
            for weights in student.model.parameters():
                weights.mul_(1.5)
        assert same(load_file(live.path / WEIGHTS), first)
        live.renew(student)
        other = (
            "import sys; from dmforge.generators.student.load_student import load; print(float(sum(p.double().sum() for p in "
        )
        other += "load(sys.argv[1]).model.parameters())))"
        told = subprocess.run([sys.executable, "-c", other, str(live.path)], capture_output=True, text=True, check=True)
        expected = float(sum(weights.detach().double().sum() for weights in student.model.parameters()))
        assert float(told.stdout) == pytest.approx(expected, rel=1e-12)
    finally:
        live.close()
    assert not live.path.exists()


def test_half_precision_is_that_of_a_checkpoint(student: Student) -> None:
    live = LiveCheckpoint(student, torch.bfloat16)
    live.renew(student)
    found = load_file(live.path / WEIGHTS)
    assert same(found, {name: weight.parameter.detach().bfloat16() for name, weight in weights_of(student.model).items()})
    live.close()


def test_adapters_are_merged_into_what_is_loaded_and_stay_what_they_are(student: Student) -> None:
    plain = {name: weight.value().clone() for name, weight in weights_of(student.model).items()}
    settings = ModelSettings(checkpoint="speck", adapters=Adapters(rank=2))
    adapted = prepare_student(student, settings)
    with torch.no_grad():
        for name, weights in adapted.model.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.1)
    before = {name: weights.clone() for name, weights in adapted.model.state_dict().items()}
    live = LiveCheckpoint(adapted, torch.float32)
    live.renew(adapted)
    assert same(before, dict(adapted.model.state_dict()))
    merged = load(str(live.path))
    found = {name: weight.value() for name, weight in weights_of(merged.model).items()}
    assert found.keys() == plain.keys()
    assert any(not torch.equal(found[name], plain[name]) for name in found)
    ids = torch.tensor([student.vocabulary.encode("Which colour? It is red.")])
    with torch.no_grad():
        logits = [one.model.eval()(input_ids=ids).logits for one in (adapted, merged)]
    assert torch.allclose(*logits, atol=1e-5)
    live.close()


def test_memory_is_given_back_with_each_renewal(student: Student) -> None:
    live = LiveCheckpoint(student, torch.float32)
    for _ in range(4):
        live.renew(student)
    gc.collect()
    held = [path for path in Path("/proc/self/fd").iterdir() if WEIGHTS in str(path.readlink() if path.exists() else "")]
    assert len(held) == 1
    live.close()
