"""The student that learns: what of it is frozen, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.load import Student, load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.errors import InputError
from dmforge.trainers.settings import ModelSettings

MOST_TEXTS = 2_000
"""Samples whose texts a tokenizer from scratch is trained on."""


def student_of(settings: ModelSettings, corpora: Sequence[Corpus], seed: int) -> Student:
    """The student that is told, with the tags."""
    if settings.scratch:
        samples = corpora[0].read(range(min(MOST_TEXTS, len(corpora[0]))))
        texts = [piece.text for one in samples for piece in one.sample.transcript.pieces if piece.text]
        return make_tiny(settings.scratch, texts, seed)
    return load(settings.checkpoint, getattr(torch, settings.weights), add_missing_tags=settings.add_tags)


def prepared(student: Student, settings: ModelSettings) -> Student:
    """What doesn't learn is frozen; adapters and kernels are put in."""
    model = student.model.to(getattr(torch, settings.weights))
    if settings.attention == "flash_attention_2":
        model.set_attn_implementation("flash_attention_2")
    for pattern in settings.freeze:
        met = [weights for name, weights in model.named_parameters() if fnmatchcase(name, pattern)]
        if not met:
            parts = {re.split(r"\.(?:layers|blocks)\.", name)[0] for name, _ in model.named_parameters()}
            mend = f"names begin with: {', '.join(sorted(parts))}"
            raise InputError(f"no weight is called {pattern!r}", where="[model] freeze", mend=mend)
        for weights in met:
            weights.requires_grad_(False)
    if settings.adapters:
        from peft import LoraConfig, get_peft_model

        told = settings.adapters
        lora = LoraConfig(r=told.rank, lora_alpha=told.alpha, lora_dropout=told.dropout, target_modules=told.targets)  # pyright: ignore
        student.model = get_peft_model(model, lora)
    return student
