"""Attention for a student, on `scaled_dot_product_attention`: in blocks for packed text, over frames, and for one new token.

Registered with transformers under two names; nothing of the model is patched.

- `BLOCKS`, for text. Transcripts that are packed in one row attend to themselves only (packed_trees.py): each block is
  plainly causal, so the kernel is the fast one and the cost is the sum of the squares, not the square of the sum. A single
  new token is multiplied with the keys of its group: repeating them for every head would copy the whole cache.
- `FRAMES`, for the vision tower. Frames attend to themselves only and most are equally large: they are one batch instead of
  a loop. transformers hands over the bounds of frames to kernels whose name says flash, and to no others: hence the name.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dmforge.generators.student.delta_layers import use_delta_layers
from dmforge.generators.student.packed_trees import trees_in

BLOCKS = "dmforge_blocks"
FRAMES = "dmforge_frames_like_flash"
FEW = 1 << 24
"""The most scores that may be in memory at once where attention is computed explicitly."""
Out = tuple[torch.Tensor, None]
Piece = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Query, key and value of one piece of a row."""


def use_attention(model: Any) -> None:
    """Switch a student to these functions, and its gated delta layers to ours. Only after it is loaded: before, transformers
    would look for a kernel package of that name."""
    model.model.language_model.config._attn_implementation = BLOCKS
    model.model.visual.config._attn_implementation = FRAMES
    use_delta_layers(model)


def attend_blocks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_ids: torch.Tensor | None = None,
    **unused: Any,
) -> Out:
    """Attention of packed text. Query, key and value are batch x heads x tokens x values; the result is batch x tokens x heads
    x values.

    Under autocast queries and keys are float32 again, since weights of their norms are, and so they are rotated. They are cast
    here to the type of the values, as autocast itself casts them for sdpa: not every kernel is reached through it."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    new_tokens, row_tokens = query.shape[2], key.shape[2]
    if new_tokens < row_tokens and not query.requires_grad and query.shape[:3].numel() * row_tokens <= FEW:
        return _attend_few(query, key, value, attention_mask, scaling), None
    if attention_mask is None and new_tokens < row_tokens:
        return _attend_behind(query, key, value, scaling), None
    if attention_mask is None and position_ids is not None and len(query) == 1:
        packed_trees = trees_in(position_ids)
        if len(packed_trees) > 1 or packed_trees[0].branches:
            attended_blocks: list[torch.Tensor] = []
            # split once: each slice by itself would have a gradient as large as the row
            split_tensors = [
                packed_tensor.split([piece_length for packed_tree in packed_trees for piece_length in packed_tree.lengths], 2)
                for packed_tensor in (query, key, value)
            ]
            tensors_by_length = zip(*split_tensors, strict=True)
            for packed_tree in packed_trees:
                query_piece, key_piece, value_piece = next(tensors_by_length)
                attended_blocks.append(
                    sdpa_attention_forward(module, query_piece, key_piece, value_piece, None, dropout, scaling)[0]
                )
                if packed_tree.branches:
                    attended_blocks.append(
                        _attend_branches(
                            key_piece[:, :, : packed_tree.shared],
                            value_piece[:, :, : packed_tree.shared],
                            [next(tensors_by_length) for _ in packed_tree.branches],
                            scaling,
                        )
                    )
            return torch.cat(attended_blocks, 1), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout)


def _attend_behind(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Attention of the last tokens of a cached row: each sees all before it. The fast kernels know this bias by its type."""
    heads_per_key = query.shape[1] // key.shape[1]
    repeated_key_and_value = [key_or_value.repeat_interleave(heads_per_key, 1) for key_or_value in (key, value)]
    causal_bias: Any = causal_lower_right(query.shape[2], key.shape[2])
    return scaled_dot_product_attention(query, *repeated_key_and_value, attn_mask=causal_bias, scale=scaling).transpose(1, 2)


def _attend_few(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """As `_attend_behind`, computed explicitly for few tokens: heads that share a key are one product, so nothing is repeated.
    Scores are at least float32, as in the kernels: bfloat16 would round one of 20 by up to .06, and its weight by 6 %."""
    batch_size, head_count, new_tokens, head_size = query.shape
    key_heads, row_tokens = key.shape[1], key.shape[2]
    precise_dtype = torch.promote_types(value.dtype, torch.float32)
    with torch.autocast(value.device.type, enabled=False):
        grouped_query = query.reshape(batch_size, key_heads, -1, head_size).to(precise_dtype) * (scaling or head_size**-0.5)
        attention_scores = (grouped_query @ key.to(precise_dtype).transpose(-1, -2)).view(
            batch_size, key_heads, -1, new_tokens, row_tokens
        )
    if mask is not None:
        attention_scores.masked_fill_(~mask[:, :, None], -torch.inf)
    elif new_tokens > 1:
        future_mask = torch.ones(new_tokens, new_tokens, dtype=torch.bool, device=query.device).triu_(1)
        attention_scores[..., row_tokens - new_tokens :].masked_fill_(future_mask, -torch.inf)
    attention_weights = torch.softmax(attention_scores, -1).to(value.dtype)
    return (
        (attention_weights.view(batch_size, key_heads, -1, row_tokens) @ value)
        .view(batch_size, head_count, new_tokens, head_size)
        .transpose(1, 2)
    )


def attend_frames(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **unused: Any,
) -> Out:
    """Attention within frames, which lie one behind the other in a batch of one: neighbours of equal size are one batch."""
    assert cu_seq_lens_q is not None, "the vision tower says where its frames begin"
    _, head_count, _, head_size = query.shape
    attended_runs: list[torch.Tensor] = []
    run_start = 0
    for frame_tokens, equal_frames in groupby(
        frame_end - frame_start for frame_start, frame_end in pairwise(_frame_ends(cu_seq_lens_q))
    ):
        frame_count = sum(1 for _ in equal_frames)
        run_end = run_start + frame_count * frame_tokens
        query_batch, key_batch, value_batch = (
            packed_tensor[0, :, run_start:run_end].view(head_count, frame_count, frame_tokens, head_size).transpose(0, 1)
            for packed_tensor in (query, key, value)
        )
        attended_batch = scaled_dot_product_attention(query_batch, key_batch, value_batch, scale=scaling)
        attended_runs.append(attended_batch.transpose(1, 2).reshape(1, frame_count * frame_tokens, head_count, head_size))
        run_start = run_end
    return torch.cat(attended_runs, 1), None


def _attend_branches(key: torch.Tensor, value: torch.Tensor, branches: list[Piece], scaling: float | None) -> torch.Tensor:
    """Attention of a tree's branches as a batch: each sees the shared tokens and itself. Padding stands behind its tokens,
    where none of them sees it."""
    branch_tensors = [_padded_batch([branch_piece[tensor_index][0] for branch_piece in branches]) for tensor_index in range(3)]
    shared_key_and_value = [key_or_value.expand(len(branches), -1, -1, -1) for key_or_value in (key, value)]
    branch_keys, branch_values = (
        torch.cat([shared_tensor, branch_tensor], 2)
        for shared_tensor, branch_tensor in zip(shared_key_and_value, branch_tensors[1:], strict=True)
    )
    attended_branches = _attend_behind(branch_tensors[0], branch_keys, branch_values, scaling)
    return torch.cat(
        [
            padded_output[: branch_piece[0].shape[2]]
            for padded_output, branch_piece in zip(attended_branches.unbind(), branches, strict=True)
        ]
    )[None]


def _padded_batch(branch_rows: list[torch.Tensor]) -> torch.Tensor:
    """A batch of rows, each heads x tokens x values, padded to the longest."""
    return torch.nn.utils.rnn.pad_sequence(
        [branch_row.transpose(0, 1) for branch_row in branch_rows], batch_first=True
    ).transpose(1, 2)


def _frame_ends(cu_seq_lens: torch.Tensor) -> list[int]:
    frame_ends = getattr(cu_seq_lens, "dmforge_ends", None)
    if frame_ends is None:
        frame_ends = cu_seq_lens.tolist()
        cu_seq_lens.dmforge_ends = frame_ends  # pyright: ignore[reportAttributeAccessIssue]
    return frame_ends


def blocks_mask(*, attention_mask: torch.Tensor | None = None, **sizes: Any) -> torch.Tensor | None:
    """No mask where attention is simply causal: a dense mask would rule out the fast kernels."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **sizes)


AttentionInterface.register(BLOCKS, attend_blocks)
AttentionInterface.register(FRAMES, attend_frames)
AttentionMaskInterface.register(BLOCKS, blocks_mask)
AttentionMaskInterface.register(FRAMES, sdpa_mask)
