"""Makes students from scratch, for machines without a GPU or a network: small Qwen3-VLs and Qwen3.5s of the same architecture.

They can't read: their tokenizer is trained on the texts that they will see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast

from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.families import DELTA, DENSE, FAMILIES
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.patchify import FRAMES, MERGE, PATCH
from dmforge.generators.student.tag_tokens import MEANING, ROWS, add_tags
from dmforge.generators.student.vocabulary import VISION, Vocabulary
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.dialects.tool_list import BEFORE, BEHIND
from dmforge.schemas.errors import InputError

QWEN_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The pattern by which Qwen's tokenizer splits a text before it merges anything: each digit is a token."""
TURN_END, DOCUMENT_END = "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ " + json.dumps(BEFORE) + " }}"
    "{% for tool in tools %}{{ '\\n' ~ (tool | tojson) }}{% endfor %}"
    "{{ " + json.dumps(BEHIND) + " }}<|im_end|>\n{% endif %}" + TEMPLATE
)
"""That of students whose dialect calls functions: it tells of them as Qwen3-VL's does."""
MAX_TOKENS = 420
LONGEST_POSITION = 32_768
DELTA_HEAD = 64
"""Values of a head of a gated delta layer: the fewest that vLLM's kernels for CPUs take."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a small student."""

    hidden: int
    layers: int
    heads: int
    key_heads: int
    intermediate: int
    vision_hidden: int
    vision_layers: int
    vision_heads: int
    family: str = DENSE


SHAPES = {
    "tiny": Shape(128, 4, 4, 2, 384, 64, 2, 2),
    "mote": Shape(96, 3, 4, 2, 288, 64, 2, 2),
    "mote-qwen3.5": Shape(96, 3, 4, 2, 288, 64, 2, 2, DELTA),
    "speck": Shape(64, 2, 2, 1, 128, 32, 2, 2),
}
"""`tiny`, 1.3 million numbers, learns worlds of level 0 in minutes; `mote`, .8 million, is what the demo trains: it is steadier
in reinforcement; `mote-qwen3.5` is as large, with gated delta layers; `speck` is for tests."""
SPREAD = 0.04
"""Standard deviation of the initial weights. With the usual .02 what a model this small puts out hardly depends on pixels
(measured)."""


def make_tokenizer(texts: Iterable[str], chat_template: str = TEMPLATE) -> Any:
    """A byte-level tokenizer with Qwen's rules, Qwen's special tokens, and merges learnt from these texts."""
    tokenizer = Tokenizer(models.BPE())
    word_split = pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [word_split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    byte_alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe_trainer = trainers.BpeTrainer(vocab_size=MAX_TOKENS, initial_alphabet=byte_alphabet, show_progress=False)  # pyright: ignore
    tokenizer.train_from_iterator([*texts, *MEANING.values(), "user\nassistant\n seconds>"], bpe_trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=DOCUMENT_END,
        eos_token=TURN_END,
        additional_special_tokens=["<|im_start|>", *VISION],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )


def make_config(shape: Shape, vocabulary: Vocabulary) -> Any:
    """The configuration of a small student for a tokenizer."""
    head_size = shape.hidden // shape.heads
    text_config: dict[str, Any] = {
        "vocab_size": -(-len(vocabulary) // ROWS) * ROWS, "hidden_size": shape.hidden, "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.key_heads,
        "head_dim": head_size, "max_position_embeddings": LONGEST_POSITION, "initializer_range": SPREAD,
        "rope_parameters": _rope(head_size), "pad_token_id": vocabulary.padding, "eos_token_id": vocabulary.end,
        "tie_word_embeddings": True,
    }  # fmt: skip
    vision_config: dict[str, Any] = {
        "depth": shape.vision_layers, "hidden_size": shape.vision_hidden, "intermediate_size": 2 * shape.vision_hidden,
        "num_heads": shape.vision_heads, "patch_size": PATCH, "spatial_merge_size": MERGE, "temporal_patch_size": FRAMES,
        "out_hidden_size": shape.hidden, "num_position_embeddings": 64, "initializer_range": SPREAD,
    }  # fmt: skip
    if shape.family == DELTA:
        full_attention = {*range(3, shape.layers, 4), shape.layers - 1}  # every fourth layer, as published; and one in any case
        text_config |= {
            "layer_types": [
                "full_attention" if index in full_attention else "linear_attention" for index in range(shape.layers)
            ],
            "linear_key_head_dim": DELTA_HEAD, "linear_value_head_dim": DELTA_HEAD, "linear_num_key_heads": shape.key_heads,
            "linear_num_value_heads": shape.heads,
            # only a part of a head is rotated: a quarter of the published ones, which are much larger
            "rope_parameters": _rope(head_size // 2) | {"partial_rotary_factor": 0.5},
        }  # fmt: skip
    else:
        vision_config["deepstack_visual_indexes"] = list(range(min(2, shape.vision_layers)))
    return AutoConfig.for_model(
        shape.family, text_config=text_config, vision_config=vision_config, image_token_id=vocabulary.id("<|image_pad|>"),
        video_token_id=vocabulary.video_pad, vision_start_token_id=vocabulary.id("<|vision_start|>"),
        vision_end_token_id=vocabulary.id("<|vision_end|>"), tie_word_embeddings=True,
    )  # fmt: skip


def _rope(rotated_size: int) -> dict[str, Any]:
    """Rotary positions over so many values of a head; the sections of time, down and across add up to half of them."""
    section = rotated_size // 2 // 3
    sections = [rotated_size // 2 - 2 * section, section, section]
    return {"rope_type": "default", "rope_theta": 10_000.0, "mrope_interleaved": True, "mrope_section": sections}


def make_tiny(name: str, training_texts: Iterable[str], seed: int = 0, dialect: DialectName = "span") -> Student:
    """An untrained student of a named shape, which will write its looks in this dialect."""
    if name not in SHAPES:
        shape_names = ", ".join(sorted(SHAPES))
        raise InputError(
            f"no shape of a student from scratch is called {name!r}", where=name, hint=f"name one of these: {shape_names}"
        )
    return make_student(SHAPES[name], training_texts, seed, name, dialect)


def make_student(
    shape: Shape, tokenizer_texts: Iterable[str], seed: int = 0, name: str = "from scratch", dialect: DialectName = "span"
) -> Student:
    """An untrained student. The same seed gives the same weights, whatever was drawn before."""
    chat_template = TOOL_TEMPLATE if DIALECTS[dialect].tools else TEMPLATE
    vocabulary = Vocabulary(make_tokenizer(tokenizer_texts, chat_template), name, dialect)
    config = make_config(shape, vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FAMILIES[shape.family](config)
        add_tags(model, vocabulary)  # it may draw rows, too
    use_attention(model)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = vocabulary.padding, vocabulary.end
    return Student(model.eval(), vocabulary, where=name)
