"""A small student of each family, with random weights: dense or with mixtures of experts, with and without delta layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from transformers import AutoConfig

from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.families import DELTA, DELTA_MIXTURE, DENSE, FAMILIES, MIXTURE
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tag_tokens import add_tags
from dmforge.generators.student.tiny import SHAPES, make_config, make_student, make_tokenizer
from dmforge.generators.student.vocabulary import Vocabulary
from tests.student.students import TEXTS

# of 128 values each: on a CPU vLLM pads those of 48, and can then take no other weights
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "mlp_only_layers": []}
EXPERTS_OF = {
    # normed as published checkpoints have it, and vLLM asks for
    MIXTURE: EXPERTS | {"decoder_sparse_step": 1, "norm_topk_prob": True},
    DELTA_MIXTURE: EXPERTS | {"shared_expert_intermediate_size": 128},
}
SHAPE_OF = {
    DENSE: SHAPES["speck"], MIXTURE: SHAPES["speck"],
    DELTA: replace(SHAPES["speck"], layers=3, family=DELTA), DELTA_MIXTURE: replace(SHAPES["speck"], layers=3, family=DELTA),
}  # fmt: skip


def small(family: str, texts: Iterable[str] = TEXTS, seed: int = 0) -> Student:
    """Of mixtures: four experts in each layer, two for each token. With delta layers: two of them, and one of attention."""
    shape = SHAPE_OF[family]
    if family not in EXPERTS_OF:
        return make_student(shape, texts, seed, family)
    vocabulary = Vocabulary(make_tokenizer(texts), family)
    parts = make_config(shape, vocabulary).to_dict()
    text_config = {name: value for name, value in parts["text_config"].items() if name != "model_type"} | EXPERTS_OF[family]
    vision_config = {name: value for name, value in parts["vision_config"].items() if name != "model_type"}
    tokens = {
        name: parts[name] for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    }
    config = AutoConfig.for_model(
        family, text_config=text_config, vision_config=vision_config, tie_word_embeddings=True, **tokens
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FAMILIES[family](config)
        add_tags(model, vocabulary)
    use_attention(model)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = vocabulary.padding, vocabulary.end
    return Student(model.eval(), vocabulary, family)


def mixture(texts: Iterable[str] = TEXTS, seed: int = 0) -> Student:
    return small(MIXTURE, texts, seed)
