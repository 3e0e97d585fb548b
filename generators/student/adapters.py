"""Low-rank adapters (LoRA) beside weights that stay as they are, and the rows of the tags, which have to be learnt with them.

checkpoint-500/    adapter_config.json, adapter_model.safetensors     what PEFT's `from_pretrained` reads, on top of the base
                   base.json                                          where the base lies, and the digest of its bytes
                   tokenizer, README.md

Tags that were added to a vocabulary have rows that no base holds. So adapters hold these rows themselves, and PEFT loads
them with the rest: they can't be forgotten on the way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

from dmforge.curation.io.atomic import write_json
from dmforge.generators.student.checkpoint_files import BASE, CONFIG, file_digests
from dmforge.generators.student.named_weights import weights_of
from dmforge.generators.student.vocabulary import TAGS, Vocabulary
from dmforge.schemas.errors import InputError, first_line
from dmforge.schemas.ids import digest
from dmforge.schemas.ids import show as show_id

WEIGHTS = "adapter_model.safetensors"


def with_adapters(model: Any, vocabulary: Vocabulary, *, rank: int, alpha: float, dropout: float, targets: str) -> Any:
    """The model with fresh adapters, which learn instead of the weights; with them the rows of the tags. `targets` is a
    regular expression over full names of modules."""
    from peft import LoraConfig, get_peft_model

    lora_config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType] (a float does as well)
        lora_dropout=dropout,
        target_modules=targets,
        trainable_token_indices=_tag_rows(model, vocabulary),
    )
    return get_peft_model(model, lora_config)


def _tag_rows(model: Any, vocabulary: Vocabulary) -> dict[str, list[int]] | None:
    """The rows of the tags, by the layer that holds them; the head has its own where it isn't tied to the embeddings."""
    tag_ids = [vocabulary.id(tag) for tag in TAGS if vocabulary.find(tag) is not None]
    if vocabulary.dialect != "span" or not tag_ids:
        return None
    layers = ["embed_tokens"] if model.config.tie_word_embeddings else ["embed_tokens", "lm_head"]
    return dict.fromkeys(layers, tag_ids)


def write_base(folder: Path, checkpoint: str) -> None:
    """Write beside adapters what they were trained on."""
    write_json(folder / BASE, {"checkpoint": checkpoint, "digest": _digest_of(checkpoint)})


def base_of(folder: Path) -> str:
    """The checkpoint that adapters belong to, of which every byte is as it was when they were trained."""
    try:
        base = json.loads((folder / BASE).read_bytes())
        checkpoint, known_digest = str(base["checkpoint"]), str(base["digest"])
    except FileNotFoundError:
        hint = "merge them by what made them, and name the whole: these may lack the rows of the tags"
        raise InputError(
            f"adapters without {BASE}, which dmforge writes beside its own", where=str(folder), hint=hint
        ) from None
    except (ValueError, KeyError, TypeError):
        hint = "train again, or bring the file back"
        raise InputError("it doesn't say what the adapters were trained on", where=str(folder / BASE), hint=hint) from None
    if not (folder / WEIGHTS).is_file():  # else PEFT would take a pickled file
        raise InputError(f"there is no {WEIGHTS}", where=str(folder), hint="bring it back, or train again")
    if _digest_of(checkpoint) != known_digest:
        hint = "bring back the folder that they were trained on, and name it there, or train again"
        raise InputError(
            f"adapters were trained on other weights than {checkpoint} holds now", where=str(folder / BASE), hint=hint
        )
    return checkpoint


def merge(model: Any, folder: Path) -> Any:
    """The base with adapters and rows added to its weights, once, in the precision of the larger of both."""
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        hint = "they belong to another base, or were changed: train again"
        raise InputError(f"the adapters don't fit: {first_line(error)}", where=str(folder), hint=hint) from None
    with torch.no_grad():
        for live_weight in weights_of(adapted).values():
            if live_weight.layer is not None:
                live_weight.parameter.copy_(live_weight.value())
    return adapted.unload().requires_grad_(True)


def _digest_of(checkpoint: str) -> str:
    folder = _folder_of(checkpoint)
    named_digests: Sequence[tuple[str, str]] = file_digests(folder)
    return show_id("student", digest("student", [list(name_and_sha256) for name_and_sha256 in named_digests]))


def _folder_of(checkpoint: str) -> Path:
    """The folder of a checkpoint: itself, or where the Hub's copy lies."""
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    try:
        return Path(cached_file(checkpoint, CONFIG)).parent  # pyright: ignore[reportArgumentType] (it raises where there is none)
    except (OSError, ValueError):
        hint = f"bring it back, or write into {BASE} where it lies now"
        raise InputError("the base of the adapters isn't there", where=checkpoint, hint=hint) from None
