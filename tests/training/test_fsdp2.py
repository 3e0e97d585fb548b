"""Students that are spread over ranks: they learn what one process learns, and go on with any number of ranks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmforge.schemas.errors import InputError
from dmforge.trainers import sharded_optimizer
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft
from tests.support.rank_processes import begin_ranks
from tests.training.conftest import write_settings
from tests.training.test_sft import log_of, run


def sharded(path: Path, corpus: Path, out: str, **changes: str) -> Path:
    return write_settings(path.parent / f"{out}.toml", corpus, out, training_shard='"fsdp2"', **changes)


def measured_in(out: Path) -> list[dict[str, float]]:
    """What was measured while it learnt, without what Hugging Face makes of a number of epochs."""
    return [{**entry, "epoch": 0} for entry in log_of(out) if "evaluation/miou" in entry]


def losses_of(out: Path) -> list[float]:
    return [entry["loss"] for entry in log_of(out) if "loss" in entry]


def assert_alike(first: Path, second: Path) -> None:
    """Two trainings came to the same losses and weights, but for the rounding of float32."""
    assert losses_of(first) == pytest.approx(losses_of(second), rel=1e-5)
    weights, others = (load_file(folder / "checkpoint-6/model.safetensors") for folder in (first, second))
    assert weights.keys() == others.keys()
    furthest = max(float((weights[name] - others[name]).abs().max()) for name in weights)
    assert furthest < 2e-4, furthest  # Adam divides what is rounded off by what is small


@pytest.mark.slow
def test_two_and_three_ranks_learn_what_one_process_does(settings: Path, corpus: Path) -> None:
    train(read_sft(settings))
    for ranks in (2, 3):
        run(sharded(settings, corpus, f"by-{ranks}"), ranks=ranks)
        assert_alike(settings.parent / f"by-{ranks}", settings.parent / "out")


@pytest.mark.slow
def test_a_killed_training_goes_on_with_another_number_of_ranks(settings: Path, corpus: Path) -> None:
    train(read_sft(settings))
    folder = settings.parent
    killed = sharded(settings, corpus, "killed")
    run(killed, "after", 4, ranks=2)
    checkpoint = folder / "killed/checkpoint-3"
    assert {path.name for path in checkpoint.glob("optimizer*")} == {
        "optimizer-00000-of-00002.rows", "optimizer-00001-of-00002.rows"
    }  # fmt: skip
    for name, path, ranks in (
        ("by-three", sharded(settings, corpus, "by-three"), 3),
        ("by-one", sharded(settings, corpus, "by-one"), 1),
        ("not-sharded", write_settings(folder / "not-sharded.toml", corpus, "not-sharded"), 1),
    ):
        shutil.copytree(folder / "killed", folder / name)
        run(path, ranks=ranks)
        assert_alike(folder / name, folder / "out")


def test_a_checkpoint_without_the_rows_of_a_rank_is_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 4)
    optimizer, names = torch.optim.AdamW(model.parameters()), {weight: name for name, weight in model.named_parameters()}
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    sharded_optimizer.save(optimizer, names, tmp_path, 0, 2)
    with pytest.raises(InputError, match="some ranks are missing"):
        sharded_optimizer.load(optimizer, names, tmp_path)


@pytest.mark.slow
def test_ranks_that_are_shown_nothing_and_ranks_that_roll_out_longer_keep_nobody_waiting() -> None:
    children = begin_ranks("tests.training.sharded_child", [], ranks=3)
    ends = [child.communicate(timeout=200) for child in children]
    assert all(child.returncode == 0 for child in children), ends[0][1].decode()[-3000:]
    figures = [json.loads(stdout) for stdout, _ in ends]
    parts = [figure["part"] for figure in figures]
    assert max(parts) - min(parts) < 0.1 * max(parts)
    assert [len(figure["written"]) for figure in figures] == [1, 2, 3]
    assert all(figure["as_alone"] and figure["weights_off"] == 0 for figure in figures)
    assert all(figure["gradients_off"] < 1e-6 for figure in figures)


@pytest.mark.slow
def test_a_sharded_student_is_measured_while_it_learns_as_one_process_measures_it(settings: Path, corpus: Path) -> None:
    held_out = f"""
[evaluation]
corpora = ["{corpus}"]
every = 3
max_samples = 3
[evaluation.roll]
max_tokens = 40
"""
    by_two = sharded(settings, corpus, "by-two")
    for path in (settings, by_two):
        path.write_text(path.read_text() + held_out)
    train(read_sft(settings))
    run(by_two, ranks=2)
    measured, others = (measured_in(settings.parent / name) for name in ("out", "by-two"))
    assert [entry["step"] for entry in measured] == [3, 6]
    for entry, other in zip(measured, others, strict=True):
        assert entry == pytest.approx(other)
    assert_alike(settings.parent / "by-two", settings.parent / "out")


def test_what_cannot_be_spread_is_refused(settings: Path, corpus: Path, tmp_path: Path) -> None:
    adapters = sharded(settings, corpus, "a", model_from_config="", model_checkpoint='"."', model_adapters="{}")
    with pytest.raises(InputError, match="adapters"):
        read_sft(adapters)
    with pytest.raises(InputError, match="Adafactor"):
        read_sft(sharded(settings, corpus, "b", training_optimizer='"adafactor"'))
    by_hugging_face = write_settings(tmp_path / "c.toml", corpus, training_fsdp='"full_shard"')
    with pytest.raises(InputError, match='shard = "fsdp2"'):
        read_sft(by_hugging_face)
