"""The families of students: what a checkpoint calls itself, and the class of transformers that it is loaded with.

All of them read the tokens, positions and patches of Qwen3-VL; what stands between embeddings and head is the class's own.
Qwen3.5 has gated delta layers in place of most of its attention (delta_layers.py).

Published mixtures of Qwen3-VL hold the matrices of experts across: transformers turns them as it loads them, and saves them
turned. So what it saved it can load again, and vLLM, which knows published ones, can't: it is given weights that are turned
back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import safe_open
from transformers import (
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeForConditionalGeneration,
)

from dmforge.generators.student.checkpoint_files import CONFIG
from dmforge.schemas.errors import InputError

NO_STUDENT = "give a folder with a Qwen3-VL or Qwen3.5 checkpoint, or the id of one on the Hub"
DENSE, MIXTURE, DELTA, DELTA_MIXTURE = "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"
FAMILIES: Mapping[str, Any] = MappingProxyType({
    DENSE: Qwen3VLForConditionalGeneration, MIXTURE: Qwen3VLMoeForConditionalGeneration,
    DELTA: Qwen3_5ForConditionalGeneration, DELTA_MIXTURE: Qwen3_5MoeForConditionalGeneration,
})  # fmt: skip


def family_of(config: Any, where: str) -> Any:
    """The class of a checkpoint; one of another family is refused."""
    if config.model_type not in FAMILIES:
        raise InputError(
            f"the checkpoint is a {config.model_type}, neither a Qwen3-VL nor a Qwen3.5", where=where, hint=NO_STUDENT
        )
    return FAMILIES[config.model_type]


def lies_across(config: Any, weight_name: str) -> bool:
    """Whether a published checkpoint has this weight with its last two dimensions exchanged."""
    return config.model_type == MIXTURE and ".mlp.experts." in weight_name


def is_turned(checkpoint: str) -> bool:
    """Whether a folder holds a mixture as transformers saves it, and not as it is published."""
    folder = Path(checkpoint)
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):  # an id, or no checkpoint: who loads it says so
        return False
    if config.get("model_type") != MIXTURE:
        return False
    hidden_size = config["text_config"]["hidden_size"]
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - it is no mapping
                if name.endswith(".mlp.experts.gate_up_proj"):
                    return weights.get_slice(name).get_shape()[-1] == hidden_size
    return False
