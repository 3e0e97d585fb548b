"""A student is measured while it learns: by what, without changing what it learns, and the best of its checkpoints is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dmforge.schemas.errors import InputError
from dmforge.trainers import training_log
from dmforge.trainers.best_checkpoint import best_step, is_exhausted
from dmforge.trainers.evaluate import evaluate
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.sdgrpo.sdgrpo import train as practise
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import HeldOutSettings, read_sft
from tests.support import flicker
from tests.training.test_sft import log_of, run


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Trajectories to learn from, and others to measure on."""
    folder = tmp_path_factory.mktemp("corpora")
    return flicker.cot(folder / "cot", 8, 2, flicker.EXACT), flicker.cot(folder / "held-out", 5, 7, flicker.EXACT)


def settings(folder: Path, corpora: tuple[Path, Path], out: str = "out", **evaluation: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "out": str(folder / out), "model": {"from_config": "speck"},
        "data": {"corpora": [{"place": str(corpora[0])}], "max_tokens": 2_000, "workers": 0},
        "training": {"steps": 4, "learning_rate": 2e-3}, "saving": {"device": "cpu", "save_every": 10, "log_every": 1},
    }  # fmt: skip
    if evaluation.get("every") == 0:
        return values
    measured = {"corpora": [str(corpora[1])], "every": 2, "max_samples": 4, "roll": {"max_tokens": 40}, **evaluation}
    return values | {"evaluation": measured}


def test_measuring_changes_no_bit_and_says_what_the_command_says(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    plain = train(read_sft(settings(tmp_path, corpora, "plain", every=0)))
    measured = train(read_sft(settings(tmp_path, corpora)))
    first, second = (load_file(result.checkpoint / "model.safetensors") for result in (plain, measured))
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())
    lines = [line for line in log_of(tmp_path / "out") if "evaluation/miou" in line]
    assert [line["step"] for line in lines] == [2, 4]
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    for line in lines:
        evaluation = evaluate(
            read_evaluation({
                "checkpoint": str(tmp_path / f"out/checkpoint-{line['step']}"), "corpora": [str(corpora[1])], "max_samples": 4,
                "out": str(tmp_path / f"evaluated-{line['step']}"), "device": "cpu", "roll": {"max_tokens": 40},
            })
        )  # fmt: skip
        figures = {f"evaluation/{name}": figure.value for name, figure in evaluation.figures.items()}
        assert figures.keys() <= line.keys()
        assert all(line[name] == pytest.approx(value, abs=1e-5) for name, value in figures.items())


def test_the_best_is_kept_and_named(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    told = settings(tmp_path, corpora, every=1, best_by="accuracy")
    told["saving"] |= {"keep": 1}
    result = train(read_sft(told))
    values = training_log.logged_values(tmp_path / "out", "evaluation/accuracy")
    best = max(values, key=lambda step: (values[step], -step))
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {f"checkpoint-{best}", "checkpoint-4"}
    assert result.best == (tmp_path / f"out/checkpoint-{best}", values[best])
    assert result.as_json()["best_checkpoint"].endswith(f"checkpoint-{best}")
    assert any("the best on held-out samples" in str(block) for block in result.blocks())


def logged(out: Path, *values: float) -> None:
    out.mkdir(exist_ok=True)
    (out / "log.jsonl").write_text(
        "".join(json.dumps({"step": 10 * step, "evaluation/miou": value}) + "\n" for step, value in enumerate(values, 1))
    )


def test_of_equals_the_first_is_best_and_patience_counts_from_there(tmp_path: Path) -> None:
    patient = HeldOutSettings(corpora=("x",), patience=2)
    logged(tmp_path, 0.1, 0.4, 0.4)
    assert best_step(tmp_path, patient) == 20
    assert not is_exhausted(tmp_path, patient, 30)
    logged(tmp_path, 0.1, 0.4, 0.4, 0.3)
    assert is_exhausted(tmp_path, patient, 40)
    assert not is_exhausted(tmp_path, HeldOutSettings(corpora=("x",)), 40)
    logged(tmp_path, 0.1, 0.4, 0.4, 0.5)
    assert not is_exhausted(tmp_path, patient, 40)


def test_a_training_that_gets_no_better_ends_and_is_not_taken_up_again(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    told = settings(tmp_path, corpora, every=1, patience=1)
    told["training"] |= {"steps": 40, "learning_rate": 1e-9}
    result = train(read_sft(told))
    assert result.steps == 2  # the second is as good as the first
    again = train(read_sft(told))
    assert (again.checkpoint, again.steps, again.best) == (result.checkpoint, result.steps, result.best)


@pytest.mark.slow
def test_practice_is_measured_too(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    imitated = train(read_sft(settings(tmp_path, corpora, "imitated", every=0)))
    told: dict[str, Any] = {
        "out": str(tmp_path / "out"), "model": {"checkpoint": str(imitated.checkpoint)},
        "data": {"corpora": [{"place": str(flicker.rl(tmp_path / "rl", 8, 3))}], "prompts": 2},
        "rollout": {"group": 2, "max_tokens": 40}, "training": {"steps": 2, "beta": 0.0}, "saving": {"device": "cpu"},
        "evaluation": {"corpora": [str(corpora[1])], "every": 1, "max_samples": 2, "roll": {"max_tokens": 40}},
    }  # fmt: skip
    result = practise(read_sdgrpo(told))
    assert [*training_log.logged_values(tmp_path / "out", "evaluation/format")] == [1, 2]
    assert result.best is not None


@pytest.mark.slow
def test_two_processes_measure_what_one_does(corpora: tuple[Path, Path], tmp_path: Path) -> None:
    for out, ranks in (("one", 1), ("two", 2)):
        told = settings(tmp_path, corpora, out)
        path = tmp_path / f"{out}.toml"
        lines = [
            f'out = "{told["out"]}"',
            '[model]\nfrom_config = "speck"',
            f'[data]\ncorpora = [{{ place = "{corpora[0]}" }}]',
        ]
        lines += ["max_tokens = 2000\nworkers = 0", "[training]\nsteps = 4\nlearning_rate = 2e-3", '[saving]\ndevice = "cpu"']
        lines += [f'[evaluation]\ncorpora = ["{corpora[1]}"]\nevery = 2\nmax_samples = 3\nroll = {{ max_tokens = 40 }}']
        path.write_text("\n".join(lines))
        run(path, ranks=ranks)
    one, two = ([line for line in log_of(tmp_path / out) if "evaluation/miou" in line] for out in ("one", "two"))
    assert [line["step"] for line in two] == [2, 4]
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        assert all(first[name] == pytest.approx(second[name], abs=0.02) for name in first if name != "epoch")


@pytest.mark.parametrize("place", ["nowhere", ""])
def test_what_it_can_not_be_measured_on_is_refused_before_the_first_step(
    corpora: tuple[Path, Path], tmp_path: Path, place: str
) -> None:
    told = settings(tmp_path, (corpora[0], tmp_path / place))
    with pytest.raises(InputError):
        train(read_sft(told))
    assert not list((tmp_path / "out").glob("checkpoint-*"))
