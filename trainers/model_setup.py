"""The student that learns: where it comes from, and which of its weights are frozen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.adapters import with_adapters
from dmforge.generators.student.checkpoint_files import is_adapted
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.trainers.training_settings import ModelSettings

MAX_TEXTS = 2_000
"""The most samples whose texts a tokenizer from scratch is trained on."""


def make_student(settings: ModelSettings, corpora: Sequence[Corpus], seed: int) -> Student:
    """The student that the settings name, with the tags in its vocabulary."""
    if settings.from_config:
        text_corpora = [Corpus(place) for place in settings.vocabulary] or corpora[:1]
        first_samples = [
            example
            for corpus in text_corpora
            for example in corpus.read(range(min(MAX_TEXTS // len(text_corpora), len(corpus))))
        ]
        transcripts = [say_in(settings.dialect, example.sample.transcript, example.sample.id) for example in first_samples]
        piece_texts = [piece.text for transcript in transcripts for piece in transcript.pieces if piece.text]
        return make_tiny(settings.from_config, piece_texts, seed, settings.dialect)
    return load(
        settings.checkpoint,
        getattr(torch, settings.weights),
        add_missing_tags=settings.add_tags,
        dialect=settings.dialect,
    )


def prepare_student(student: Student, settings: ModelSettings) -> Student:
    """Freeze what doesn't learn, and put in adapters and kernels."""
    dtype = getattr(torch, settings.weights)
    model = student.model if student.model.dtype == dtype else student.model.to(dtype)
    if settings.attention == "flash_attention_2":
        model.set_attn_implementation("flash_attention_2")
    for name_pattern in settings.freeze:
        matching_weights = [
            weights for weight_name, weights in model.named_parameters() if fnmatchcase(weight_name, name_pattern)
        ]
        if not matching_weights:
            name_beginnings = {
                re.split(r"\.(?:layers|blocks)\.", weight_name)[0] for weight_name, _ in model.named_parameters()
            }
            hint = f"names begin with: {', '.join(sorted(name_beginnings))}"
            raise InputError(f"no weight matches {name_pattern!r}", where="[model] freeze", hint=hint)
        for weight_tensor in matching_weights:
            weight_tensor.requires_grad_(False)
    if settings.adapters:
        if is_adapted(student.where):
            hint = "dmforge merge-adapters CHECKPOINT FOLDER, then name the folder; or leave [model.adapters] out"
            raise InputError("adapters on adapters", where=f"[model] checkpoint {student.where}", hint=hint)
        student.model = with_adapters(model, student.vocabulary, **settings.adapters.model_dump())
    return student
