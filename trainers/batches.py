"""Batches of laid-out transcripts for one forward: packed one behind the other in a row, or a padded row each.

Packed is the way to train. Padded is the reference to compare with, and for kernels that can't attend in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.generators.student.patchify import MERGE, PATCH_VALUES, normalised
from dmforge.generators.student.token_layout import LaidOutTranscript


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """The input of one forward, and the tokens to be learnt from it."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    """4 x rows x tokens: positions in the text, in time, down and across. The first starts anew with each transcript."""
    attention_mask: torch.Tensor | None
    """Of padded rows: 1 for tokens, 0 for padding."""
    patches: torch.Tensor
    """Pixels of video patches, as bytes."""
    grids: torch.Tensor
    learnt_columns: torch.Tensor
    """Columns whose next token is learnt in any row: logits are computed only there."""
    targets: torch.Tensor
    """rows x learnt_columns: the token to be learnt, or `NOTHING`."""

    @property
    def items(self) -> int:
        """The number of tokens that are learnt."""
        return int((self.targets != NOTHING).sum())

    def to(self, device: torch.device) -> ForwardBatch:
        return self._map_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> ForwardBatch:
        """The batch in pinned memory; a DataLoader calls this where tensors go to a GPU."""
        return self._map_tensors(torch.Tensor.pin_memory)

    def _map_tensors(self, change_tensor: Callable[[torch.Tensor], torch.Tensor]) -> ForwardBatch:
        tensor_by_field: dict[str, Any] = {batch_field.name: getattr(self, batch_field.name) for batch_field in fields(self)}
        changed_by_field: dict[str, Any] = {
            field_name: None if tensor is None else change_tensor(tensor) for field_name, tensor in tensor_by_field.items()
        }
        return ForwardBatch(**changed_by_field)


NOTHING = -100
"""The target that `cross_entropy` ignores."""


def pack(sequences: Sequence[LaidOutTranscript], sample_weights: Sequence[int] | None = None) -> ForwardBatch:
    """A batch of one row. Transcripts of weight 0 are in it but teach nothing."""
    token_ids = np.concatenate([sequence.ids for sequence in sequences])[None]
    text_positions = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
    position_ids = np.concatenate([sequence.positions for sequence in sequences], 1)
    label_ids = np.concatenate(
        [
            _labels(sequence, sample_weight)
            for sequence, sample_weight in zip(sequences, sample_weights or [1] * len(sequences), strict=True)
        ]
    )
    return _batch(sequences, token_ids, np.concatenate([text_positions[None], position_ids])[:, None], None, label_ids[None])


def pad(sequences: Sequence[LaidOutTranscript], padding_id: int, sample_weights: Sequence[int] | None = None) -> ForwardBatch:
    """A batch with a padded row for each transcript."""
    batch_shape = (len(sequences), max(map(len, sequences)))
    token_ids, label_ids, attention_mask = (
        np.full(batch_shape, padding_id),
        np.full(batch_shape, NOTHING),
        np.zeros(batch_shape, np.int64),
    )
    position_ids = np.zeros((4, *batch_shape), np.int64)
    for row_index, (sequence, sample_weight) in enumerate(zip(sequences, sample_weights or [1] * len(sequences), strict=True)):
        token_columns = slice(0, len(sequence))
        token_ids[row_index, token_columns], label_ids[row_index, token_columns], attention_mask[row_index, token_columns] = (
            sequence.ids,
            _labels(sequence, sample_weight),
            1,
        )
        position_ids[0, row_index, token_columns], position_ids[1:, row_index, token_columns] = (
            np.arange(len(sequence)),
            sequence.positions,
        )
    return _batch(sequences, token_ids, position_ids, torch.from_numpy(attention_mask), label_ids)


def _labels(sequence: LaidOutTranscript, sample_weight: int) -> NDArray[np.int64]:
    """For each token the one after it, if the policy wrote that one: only the author decides what is learnt."""
    next_tokens = np.where(sequence.trained[1:], sequence.ids[1:], NOTHING)
    label_ids = np.append(next_tokens, NOTHING)
    return label_ids if sample_weight else np.full_like(label_ids, NOTHING)


def _batch(
    sequences: Sequence[LaidOutTranscript],
    token_ids: NDArray[np.int64],
    positions: NDArray[np.int64],
    attention_mask: torch.Tensor | None,
    labels: NDArray[np.int64],
) -> ForwardBatch:
    learnt_columns = np.flatnonzero((labels != NOTHING).any(0))
    if not len(learnt_columns):  # kernels don't expect an empty choice of columns; this one teaches nothing either
        learnt_columns = np.zeros(1, np.int64)
    joined_patches = np.concatenate([sequence.patches for sequence in sequences])
    clip_grids = np.concatenate([sequence.grids for sequence in sequences])
    batch_arrays = token_ids, positions, joined_patches, clip_grids, learnt_columns, labels[:, learnt_columns]
    input_ids, position_ids, patch_tensor, grid_tensor, column_tensor, target_labels = (
        torch.from_numpy(np.ascontiguousarray(batch_array)) for batch_array in batch_arrays
    )
    return ForwardBatch(input_ids, position_ids, attention_mask, patch_tensor, grid_tensor, column_tensor, target_labels)


def logits_of(model: torch.nn.Module, batch: ForwardBatch) -> torch.Tensor:
    """rows x learnt_columns x vocabulary: the logits of the next tokens."""
    with nullcontext() if len(batch.patches) or not torch.is_grad_enabled() else _eye_at_work(model, batch):
        return model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
            pixel_values_videos=normalised(batch.patches) if len(batch.patches) else None,
            video_grid_thw=batch.grids if len(batch.grids) else None,
            logits_to_keep=batch.learnt_columns,
            use_cache=False,
        ).logits


@contextmanager
def _eye_at_work(model: torch.nn.Module, batch: ForwardBatch) -> Generator[None]:
    """The eye sees a blank frame, of which 0 times reaches the text: for a batch without any clip.

    So its weights have a gradient, of 0, and are gathered when those of other ranks are: ranks wait for each other in both.
    """
    modules = dict(model.named_modules())
    eye, text = (
        next(module for name, module in modules.items() if name.endswith(part)) for part in ("visual", "language_model")
    )

    def see_nothing(text: Any, words: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        blank = normalised(batch.patches.new_zeros((MERGE * MERGE, PATCH_VALUES)))
        seen = eye(blank, grid_thw=batch.grids.new_tensor([[1, MERGE, MERGE]]))
        embeddings = more["inputs_embeds"]
        for part in (seen.pooler_output, *getattr(seen, "deepstack_features", ())):  # Qwen3.5 has none of the latter
            embeddings = embeddings + 0.0 * part.sum().to(embeddings.dtype)
        return words, {**more, "inputs_embeds": embeddings}

    hook = text.register_forward_pre_hook(see_nothing, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def summed_loss(logits: torch.Tensor, batch: ForwardBatch) -> torch.Tensor:
    """sum over policy tokens of -log p(token | all before it), to be divided by the number of tokens of the whole update."""
    flat_logits = logits.flatten(0, 1)
    flat_logits = flat_logits if flat_logits.dtype == torch.float64 else flat_logits.float()
    return torch.nn.functional.cross_entropy(flat_logits, batch.targets.flatten(), ignore_index=NOTHING, reduction="sum")
