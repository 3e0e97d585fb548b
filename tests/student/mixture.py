"""A small Qwen3-VL whose layers are mixtures of experts, with random weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tag_tokens import add_tags
from dmforge.generators.student.tiny import SHAPES, make_config, make_tokenizer
from dmforge.generators.student.vocabulary import Vocabulary
from tests.student.students import TEXTS


def mixture(texts: Iterable[str] = TEXTS, seed: int = 0) -> Student:
    """Four experts in each layer, two for each token."""
    vocabulary = Vocabulary(make_tokenizer(texts), "mixture")
    dense = make_config(SHAPES["speck"], vocabulary).to_dict()
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "decoder_sparse_step": 1}
    experts["norm_topk_prob"] = True  # as published checkpoints have it, and vLLM asks for
    text = dense["text_config"] | experts | {"mlp_only_layers": []}
    text.pop("model_type")
    dense["vision_config"].pop("model_type")
    config = Qwen3VLMoeConfig(
        text_config=text, vision_config=dense["vision_config"], tie_word_embeddings=True,
        **{name: dense[name] for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLMoeForConditionalGeneration(config)
        add_tags(model, vocabulary)
    use_attention(model)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = vocabulary.padding, vocabulary.end
    return Student(model.eval(), vocabulary, "mixture")
