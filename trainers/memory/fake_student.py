"""A student without numbers: tensors that know their shapes and types, and what of them a backward pass would keep.

One layer of each kind is enough, since all layers keep as much. torch itself says what is kept: what a block saves for its
backward pass is counted, each storage once and weights not, under the same autocast as in a training. So norms, rotations and
copies in bfloat16 are in it without a formula for any of them. Attention stands in for the fast kernels: they keep queries,
keys, values, their output and a sum a token, and no scores. An adapter keeps the input of the weight that it lies beside, as
this one would if it learnt, so it is measured as if; besides it keeps a rank's width a token.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import AttentionInterface, AutoModelForImageTextToText

from dmforge.generators.student.load_student import Student
from dmforge.generators.student.patchify import FRAMES, MERGE, PATCH
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.trainers.model_setup import prepare_student
from dmforge.trainers.training_settings import TrainingSettings

FAST = "dmforge_planned_flash"
"""transformers hands the bounds of frames to kernels whose name says flash."""
PIXELS_A_PATCH = 3 * FRAMES * PATCH * PATCH


class FastAttention(torch.autograd.Function):
    """What a fast kernel keeps, and nothing that it computes."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:  # pyright: ignore
        attended = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, attended, query.new_empty(query.shape[:3], dtype=torch.float32))
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # pyright: ignore
        raise NotImplementedError("a student without numbers has no gradients")


def _attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **unused: Any) -> tuple[Any, None]:
    return FastAttention.apply(query.to(value.dtype), key.to(value.dtype), value).transpose(1, 2), None


AttentionInterface.register(FAST, _attend)


@dataclass(frozen=True, slots=True)
class RowSize:
    """How much goes through the model in one forward."""

    tokens: int
    patches: int
    learnt: int
    """Tokens for which logits are computed."""
    forwards: int = 1
    """Of an update: gradients stay from one to the next."""


@dataclass(frozen=True, slots=True)
class KeptBytes:
    """What one forward keeps for its backward pass."""

    layer: int
    """Of each layer of the text."""
    layer_input: int
    """What each layer keeps where it is computed again in the backward pass."""
    block: int
    """Of each block of the vision tower."""
    block_input: int
    around: int
    """Of embeddings, patches and the layers between the tower and the text."""
    head: int
    """Of logits and loss, with the gradient of the logits."""


def kept_bytes(config: Any, vocabulary: Vocabulary, settings: TrainingSettings, row: RowSize) -> KeptBytes:
    """What a forward keeps, by part, for a student of this configuration as it is trained by these settings."""
    shallow = copy.deepcopy(config)
    shallow.text_config.num_hidden_layers = shallow.vision_config.depth = 1
    shallow.text_config._attn_implementation = shallow.vision_config._attn_implementation = "eager"  # nothing is asked for
    mergers, shallow.vision_config.deepstack_visual_indexes = len(config.vision_config.deepstack_visual_indexes), [0]
    adapters, dtype = settings.model.adapters, getattr(torch, settings.model.weights)
    with FakeTensorMode():
        student = Student(AutoModelForImageTextToText.from_config(shallow, dtype=dtype), vocabulary, "without numbers")
        model = prepare_student(student, settings.model.model_copy(update={"adapters": None})).model
        model.model.language_model.config._attn_implementation = FAST
        model.model.visual.config._attn_implementation = FAST
        if adapters is None:
            return _Measured(model, settings.training.bf16, row, mergers).kept()
        adapted = _leave_adapted(model, adapters.targets)
        kept = _Measured(model, settings.training.bf16, row, mergers).kept()
        head = model.get_output_embeddings().weight.nbytes  # copied, with the rows of the tags in it
    of_adapters = sum(".layers." in name for name in adapted) * row.tokens * adapters.rank * torch.float32.itemsize
    return replace(kept, layer=kept.layer + of_adapters, head=kept.head + head)


def _leave_adapted(model: Any, targets: str) -> list[str]:
    """Let only those weights learn that have an adapter; the names of their modules."""
    adapted: list[str] = []
    for name, weight in model.named_parameters():
        module_name = name.rpartition(".")[0]
        weight.requires_grad_(re.fullmatch(targets, module_name) is not None)
        adapted += [module_name] if weight.requires_grad else []
    return adapted


class _Measured:
    """One fake model, measured part by part."""

    def __init__(self, model: Any, bf16: bool, row: RowSize, mergers: int) -> None:
        self._model, self._bf16, self._row, self._mergers = model, bf16, row, mergers
        self._weights = {weight.untyped_storage()._cdata for weight in model.parameters()}  # pyright: ignore[reportPrivateUsage]

    def kept(self) -> KeptBytes:
        text, tower, row = self._model.model.language_model, self._model.model.visual, self._row
        dtype = text.embed_tokens.weight.dtype
        hidden = torch.empty(1, row.tokens, text.config.hidden_size, dtype=dtype, requires_grad=True)
        positions = text.rotary_emb(hidden, torch.zeros(3, 1, row.tokens, dtype=torch.long))
        layer = self._saved(lambda: text.layers[0](hidden, position_embeddings=positions, attention_mask=None))
        block, block_input, around = self._tower_and_around(tower, dtype)
        return KeptBytes(layer, hidden.nbytes, block, block_input, around + 2 * hidden.nbytes, self._head(text, hidden))

    def _tower_and_around(self, tower: Any, dtype: torch.dtype) -> tuple[int, int, int]:
        if not self._row.patches or not any(weight.requires_grad for weight in tower.parameters()):
            return 0, 0, 0
        patch_count = max(MERGE * MERGE, self._row.patches // MERGE**2 * MERGE**2)
        pixels = torch.empty(patch_count, PIXELS_A_PATCH)
        hidden = torch.empty(patch_count, tower.config.hidden_size, dtype=dtype, requires_grad=True)
        angles = torch.empty(patch_count, tower.config.hidden_size // tower.config.num_heads, dtype=dtype)
        bounds = torch.empty(2, dtype=torch.int32)
        block = self._saved(
            lambda: tower.blocks[0](hidden, cu_seqlens=bounds, max_seqlen=1, position_embeddings=(angles, angles))
        )
        patches = self._saved(lambda: tower.patch_embed(pixels)) + pixels.nbytes
        merged = self._saved(lambda: tower.merger(hidden))
        merged += self._mergers * self._saved(lambda: tower.deepstack_merger_list[0](hidden))
        return block, hidden.nbytes, patches + merged

    def _head(self, text: Any, hidden: torch.Tensor) -> int:
        """Logits in their own type and in float32, their softmax, and the gradients of both."""
        learnt = hidden[:, : max(1, self._row.learnt)]
        logits_bytes = max(1, self._row.learnt) * text.embed_tokens.weight.shape[0] * 4
        return self._saved(lambda: self._model.lm_head(text.norm(learnt)).float().log_softmax(-1)) + 2 * logits_bytes

    def _saved(self, forward: Callable[[], Any]) -> int:
        """The bytes of all that a forward saves, weights not counted."""
        bytes_by_storage: dict[int, int] = {}
        alive: list[torch.Tensor] = []  # so that no storage takes the place of another

        def count(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            bytes_by_storage[storage._cdata] = storage.nbytes()  # pyright: ignore[reportPrivateUsage]
            alive.append(tensor)
            return tensor

        with saved_tensors_hooks(count, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            alive.append(forward())
        return sum(size for storage, size in bytes_by_storage.items() if storage not in self._weights)
