"""Adapters: what a checkpoint of them holds, that it needs its base, and that the merged whole is the same student."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from dmforge.generators.student.adapters import with_adapters, write_base
from dmforge.generators.student.checkpoint_files import file_digests
from dmforge.generators.student.load_student import Student, load, load_vocabulary
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.weights import LiveCheckpoint
from dmforge.schemas.errors import InputError

TEXTS = ["Which colour?", "Early.", "It is red.", "10.00 - 30.00"]
SIZE: dict[str, Any] = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "targets": r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"}
Place = Callable[[Path], Path]


def base(folder: Path, *, tied: bool = True) -> Path:
    """A student that lies somewhere."""
    student = make_tiny("speck", TEXTS, 0)
    if not tied:
        student.model.config.tie_word_embeddings = student.model.config.text_config.tie_word_embeddings = False
        student.model.lm_head.weight = torch.nn.Parameter(0.04 * torch.randn_like(student.model.lm_head.weight))
    student.save(folder)
    return folder


def adapted(checkpoint: Path, folder: Path, *, add_tags: bool = False) -> Student:
    """Adapters that have learnt something, with their checkpoint."""
    student = load(str(checkpoint), add_missing_tags=add_tags)
    student.model = with_adapters(student.model, student.vocabulary, **SIZE)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in student.model.parameters():
            if weights.requires_grad:
                weights += 0.05 * torch.randn(weights.shape, generator=generator)
    student.model.save_pretrained(folder)
    student.save_all_but_weights(folder)
    write_base(folder, str(checkpoint))
    return student


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(300)[None] % model.get_input_embeddings().weight.shape[0]
    with torch.no_grad():
        return model(input_ids=ids).logits


def without_tags(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint as one that has never seen the tags, and has no room for them."""
    student = load(str(checkpoint))
    known = len(student.vocabulary) - 8  # the tags are the last ones
    student.model.resize_token_embeddings(known)
    student.model.save_pretrained(folder)
    student.save_all_but_weights(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < known]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.parametrize("tied", [True, False])
def test_the_rows_of_the_tags_learn_and_are_kept(tmp_path: Path, tied: bool) -> None:
    student = adapted(base(tmp_path / "base", tied=tied), tmp_path / "adapters")
    kept = load_file(tmp_path / "adapters/adapter_model.safetensors")
    rows = {name: weights for name, weights in kept.items() if "trainable_tokens" in name}
    assert len(rows) == (1 if tied else 2)
    loaded = load(str(tmp_path / "adapters"))
    look_end = student.vocabulary.look_end
    before = load(str(tmp_path / "base")).model.get_input_embeddings().weight[look_end]
    after = loaded.model.get_input_embeddings().weight[look_end]
    assert not torch.equal(before, after)
    assert any(torch.equal(after, row) for weights in rows.values() for row in weights)
    assert torch.equal(loaded.model.get_output_embeddings().weight[look_end], after) == tied


@pytest.mark.parametrize("tied", [True, False])
def test_merged_by_us_or_beside_the_base_in_plain_transformers_it_is_the_same_student(tmp_path: Path, tied: bool) -> None:
    student = adapted(base(tmp_path / "base", tied=tied), tmp_path / "adapters")
    expected = logits(student.model.eval())
    assert not torch.allclose(expected, logits(load(str(tmp_path / "base")).model), atol=1e-2)
    merged = load(str(tmp_path / "adapters"))
    assert torch.allclose(logits(merged.model), expected, atol=1e-5)
    merged.save(tmp_path / "merged")
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
    assert torch.allclose(logits(plain), expected, atol=1e-5)
    beside = PeftModel.from_pretrained(
        AutoModelForImageTextToText.from_pretrained(tmp_path / "base"), str(tmp_path / "adapters")
    )
    assert torch.allclose(logits(beside.eval()), expected, atol=1e-5)
    by_folder = AutoModelForImageTextToText.from_pretrained(tmp_path / "adapters")
    assert torch.allclose(logits(by_folder.eval()), expected, atol=1e-5)


def test_tags_that_the_base_has_no_room_for_come_with_the_adapters(tmp_path: Path) -> None:
    bare = without_tags(base(tmp_path / "base"), tmp_path / "bare")
    with pytest.raises(InputError, match="tags"):
        load(str(bare))
    student = adapted(bare, tmp_path / "adapters", add_tags=True)
    loaded = load(str(tmp_path / "adapters"))
    assert not loaded.vocabulary.without_tags()
    assert torch.allclose(logits(loaded.model), logits(student.model.eval()), atol=1e-5)
    with pytest.raises((IndexError, RuntimeError, ValueError)):  # and nobody gets them without our rows
        PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(bare), str(tmp_path / "adapters"))


def test_in_half_precision_a_weight_is_rounded_once(tmp_path: Path) -> None:
    adapted(base(tmp_path / "base"), tmp_path / "adapters")
    exact, rounded = load(str(tmp_path / "adapters")), load(str(tmp_path / "adapters"), torch.bfloat16)
    of_base = load(str(tmp_path / "base"), torch.bfloat16).model.state_dict()
    bound = 2**-8
    for name, weights in exact.model.state_dict().items():
        distance = (rounded.model.state_dict()[name].float() - weights).abs()
        from_base = (of_base[name].float() - load_file(tmp_path / "base/model.safetensors").get(name, weights)).abs()
        assert bool((distance <= bound * weights.abs() + from_base + 1e-6).all()), name


def moved(folder: Path) -> None:
    shutil.move(folder / "base", folder / "elsewhere")


def changed(folder: Path) -> None:
    weights = load_file(folder / "base/model.safetensors")
    save_file({name: 1.001 * tensor for name, tensor in weights.items()}, folder / "base/model.safetensors", {"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "adapters/adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapters/adapter_model.bin")


def cut(folder: Path) -> None:
    weights = load_file(folder / "adapters/adapter_model.safetensors")
    save_file({name: tensor[:1] for name, tensor in weights.items()}, folder / "adapters/adapter_model.safetensors")


def foreign(folder: Path) -> None:
    (folder / "adapters/base.json").unlink()


def garbled(folder: Path) -> None:
    (folder / "adapters/base.json").write_text("[]")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (moved, "isn't there"), (changed, "other weights"), (pickled, "safetensors"), (cut, "don't fit"),
        (foreign, "without base.json"), (garbled, "doesn't say"),
    ],
)  # fmt: skip
def test_adapters_without_their_base_are_refused(tmp_path: Path, break_it: Callable[[Path], None], message: str) -> None:
    adapted(base(tmp_path / "base"), tmp_path / "adapters")
    break_it(tmp_path)
    with pytest.raises(InputError, match=message) as refusal:
        load(str(tmp_path / "adapters"))
    assert refusal.value.hint


def test_a_base_that_was_moved_is_found_where_the_file_says(tmp_path: Path) -> None:
    adapted(base(tmp_path / "base"), tmp_path / "adapters")
    before = logits(load(str(tmp_path / "adapters")).model)
    identity = file_digests(tmp_path / "adapters")
    moved(tmp_path)
    said = json.loads((tmp_path / "adapters/base.json").read_text())
    (tmp_path / "adapters/base.json").write_text(json.dumps(said | {"checkpoint": str(tmp_path / "elsewhere")}))
    assert torch.equal(before, logits(load(str(tmp_path / "adapters")).model))
    assert load_vocabulary(str(tmp_path / "adapters")).look_end
    assert file_digests(tmp_path / "adapters") == identity  # it is the same student wherever its base lies


def test_engines_beside_a_training_get_the_rows_of_the_tags_too(tmp_path: Path) -> None:
    student = adapted(base(tmp_path / "base"), tmp_path / "adapters")
    live = LiveCheckpoint(student, torch.float32)
    live.renew(student)
    assert torch.allclose(logits(load(str(live.path)).model), logits(student.model.eval()), atol=1e-5)
    live.close()
