"""A student with adapters from its first step to the merged whole: trained, killed, evaluated, practised on, merged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.inference.named_student import StudentConfig, open_engine
from dmforge.generators.student.load_student import load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.errors import InputError
from dmforge.trainers.evaluate import evaluate
from dmforge.trainers.evaluation_settings import read_evaluation
from dmforge.trainers.sdgrpo.sdgrpo import train as practise
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft
from tests.support import flicker
from tests.training.conftest import write_settings
from tests.training.test_sft import log_of, run

RANK = "{ rank = 4 }"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flicker.cot(tmp_path_factory.mktemp("small") / "cot", 8, 2, flicker.EXACT)


@pytest.fixture(scope="module")
def base(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that has never learnt anything."""
    examples = Corpus(str(small))
    pieces = [piece for example in examples.read(range(len(examples))) for piece in example.sample.transcript.pieces]
    folder = tmp_path_factory.mktemp("base") / "checkpoint-0"
    make_tiny("speck", [piece.text for piece in pieces if piece.text]).save(folder)
    return folder


def adapting(path: Path, small: Path, base: Path, out: str = "out", **changes: str) -> Path:
    told = {"model_from_config": "", "model_checkpoint": f'"{base}"', "model_adapters": RANK, "training_learning_rate": "0.02"}
    return write_settings(path, small, out, **told, **changes)


@pytest.fixture(scope="module")
def adapted(small: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of adapters."""
    return train(read_sft(adapting(tmp_path_factory.mktemp("adapted") / "sft.toml", small, base))).checkpoint


def test_adapters_and_the_rows_of_tags_learn_and_nothing_else(base: Path, adapted: Path) -> None:
    losses = [entry["loss"] for entry in log_of(adapted.parent) if "loss" in entry]
    assert losses[-1] < losses[0]
    assert not (adapted / "model.safetensors").exists()
    before, after = load(str(base)), load(str(adapted))
    changed = [
        name
        for name, weights in after.model.named_parameters()
        if not torch.equal(weights, dict(before.model.named_parameters())[name])
    ]
    assert all("_proj" in name or "embed_tokens" in name for name in changed)
    rows = (before.model.get_input_embeddings().weight != after.model.get_input_embeddings().weight).any(1)
    vocabulary = after.vocabulary
    tags = {vocabulary.id(tag) for tag in ("<span>", "</span>", "<fps>", "</fps>", "</think>", "<answer>", "</answer>")}
    assert set(rows.nonzero()[:, 0].tolist()) - {vocabulary.id("<think>")} == tags
    card = (adapted / "README.md").read_text()
    assert "library_name: peft" in card
    assert base.name in card


def test_beside_padded_weights_in_bfloat16_adapters_learn_with_checkpointing(small: Path, base: Path, tmp_path: Path) -> None:
    told = {"model_weights": '"bfloat16"', "training_gradient_checkpointing": "true", "training_bf16": "true"}
    path = adapting(tmp_path / "sft.toml", small, base, data_layout='"padded"', training_steps="2", **told)
    done = train(read_sft(path))
    assert len([entry["loss"] for entry in log_of(tmp_path / "out") if "loss" in entry]) == 2
    adapters = load_file(done.checkpoint / "adapter_model.safetensors")
    assert any(bool(weights.any()) for name, weights in adapters.items() if "lora_B" in name)
    assert {weights.dtype for name, weights in adapters.items() if "lora" in name} == {torch.float32}


@pytest.mark.slow
def test_a_killed_training_of_adapters_ends_with_the_same_bits(small: Path, base: Path, tmp_path: Path) -> None:
    run(adapting(tmp_path / "whole.toml", small, base, "whole"))
    broken = adapting(tmp_path / "broken.toml", small, base, "broken")
    run(broken, "saving", 6)
    run(broken)
    first, second = (load_file(tmp_path / out / "checkpoint-6/adapter_model.safetensors") for out in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())
    run(adapting(tmp_path / "two.toml", small, base, "two"), ranks=2)
    of_two = load_file(tmp_path / "two/checkpoint-6/adapter_model.safetensors")
    assert all(torch.allclose(weights, of_two[name], atol=1e-4) for name, weights in first.items())


def figures(checkpoint: Path, small: Path, out: Path) -> bytes:
    settings = {
        "checkpoint": str(checkpoint),
        "corpora": [str(small)],
        "out": str(out),
        "device": "cpu",
        "roll": {"max_tokens": 40},
    }
    evaluate(read_evaluation(settings))
    return (out / "rows.jsonl").read_bytes()


def invoked(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_merged_by_the_command_it_has_the_same_figures(small: Path, adapted: Path, tmp_path: Path) -> None:
    output = invoked("merge-adapters", adapted, tmp_path / "whole", "--json")
    assert json.loads(output[output.index("{") :])["checkpoint"] == str(tmp_path / "whole")
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= {
        path.name for path in (tmp_path / "whole").iterdir()
    }
    assert "adapter_config.json" not in {path.name for path in (tmp_path / "whole").iterdir()}
    assert figures(adapted, small, tmp_path / "a") == figures(tmp_path / "whole", small, tmp_path / "b")
    assert "there already" in invoked("merge-adapters", adapted, tmp_path / "whole", code=2)
    assert "no adapters" in invoked("merge-adapters", tmp_path / "whole", tmp_path / "more", code=2)
    shutil.copytree(adapted, tmp_path / "changed")
    (tmp_path / "changed/base.json").write_text('{"checkpoint": "nowhere/at-all", "digest": "x"}')
    assert "nowhere" in invoked("merge-adapters", tmp_path / "changed", tmp_path / "more", code=2)
    assert not (tmp_path / "more").exists()


def test_a_recipe_may_name_it_as_its_student(adapted: Path) -> None:
    config = StudentConfig(checkpoint=str(adapted), device="cpu")
    config.require()
    assert config.id() != StudentConfig(checkpoint=str(adapted.parent / "checkpoint-3")).id()
    open_engine(config).close()


def test_it_is_practised_on_whole_and_new_adapters_want_it_merged(adapted: Path, tmp_path: Path) -> None:
    settings = {
        "out": str(tmp_path / "out"), "model": {"checkpoint": str(adapted)},
        "data": {"corpora": [{"place": str(flicker.rl(tmp_path / "rl", 8, 3))}], "prompts": 2, "workers": 0},
        "rollout": {"group": 2, "max_tokens": 40}, "training": {"steps": 1, "beta": 0.0}, "saving": {"device": "cpu"},
    }  # fmt: skip
    practised = practise(read_sdgrpo(settings))
    assert (practised.checkpoint / "model.safetensors").exists()
    settings["model"] = {"checkpoint": str(adapted), "adapters": {"rank": 2}}
    settings["out"] = str(tmp_path / "other")
    with pytest.raises(InputError, match="adapters on adapters") as refusal:
        practise(read_sdgrpo(settings))
    assert "merge-adapters" in refusal.value.hint
    with pytest.raises(InputError, match="weights that are kept somewhere"):
        read_sft({"out": "out", "model": {"from_config": "speck", "adapters": {}}, "data": {"corpora": [{"place": "x"}]},
                  "training": {"steps": 1}})  # fmt: skip
