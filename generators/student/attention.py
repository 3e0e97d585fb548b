"""Attention as a student needs it, on `scaled_dot_product_attention`: in blocks, over frames, and of one new token.

Registered with transformers under two names; nothing of the model is patched.

- `BLOCKS`, for text. Transcripts that are packed in one row attend to themselves only: a row is cut where its text positions
  start anew, and each block is plainly causal, so the kernel is the fast one and the cost is the sum of the squares, not
  the square of the sum. A single new token is multiplied with the keys of its group: repeating them for every head would
  copy the whole cache.
- `FRAMES`, for the vision tower. Frames attend to themselves only and most are equally large: they are one batch instead of
  a loop. transformers hands over the bounds of frames to kernels whose name says flash, and to no others: hence the name.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

BLOCKS = "dmforge_blocks"
FRAMES = "dmforge_frames_like_flash"
Out = tuple[torch.Tensor, None]


def use(model: Any) -> None:
    """Let a Qwen3-VL attend so. After it is made: on the way, transformers would look for a kernel package by the name."""
    model.model.language_model.config._attn_implementation = BLOCKS
    model.model.visual.config._attn_implementation = FRAMES


def attend_blocks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_ids: torch.Tensor | None = None,
    **rest: Any,
) -> Out:
    """Query, key and value are batch x heads x tokens x values; what comes out is batch x tokens x heads x values."""
    if attention_mask is not None and query.shape[2] == 1 and not query.requires_grad:
        return _one(query, key, value, attention_mask, scaling), None
    if attention_mask is None and position_ids is not None and query.shape[:1] == (1,):
        ends = _bounds(position_ids)
        if len(ends) > 2:
            found = [
                sdpa_attention_forward(
                    module, query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], None, scaling=scaling, dropout=dropout
                )[0]
                for a, b in pairwise(ends)
            ]
            return torch.cat(found, 1), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **rest)


def _one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    batch, heads, _, size = query.shape
    scores = query.view(batch, key.shape[1], -1, size) @ key.transpose(-1, -2) * (scaling or size**-0.5)
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), -1, torch.promote_types(scores.dtype, torch.float32))
    return (weights.to(value.dtype) @ value).view(batch, 1, heads, size)


def attend_frames(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **rest: Any,
) -> Out:
    """Frames that lie one behind the other in a batch of one: those of a size are attended to at once."""
    assert cu_seq_lens_q is not None, "the vision tower says where its frames begin"
    _, heads, _, size = query.shape
    found: list[torch.Tensor] = []
    begin = 0
    for length, group in groupby(b - a for a, b in pairwise(_ends(cu_seq_lens_q))):
        frames = sum(1 for _ in group)
        end = begin + frames * length
        q, k, v = (x[0, :, begin:end].view(heads, frames, length, size).transpose(0, 1) for x in (query, key, value))
        seen = scaled_dot_product_attention(q, k, v, scale=scaling)
        found.append(seen.transpose(1, 2).reshape(1, frames * length, heads, size))
        begin = end
    return torch.cat(found, 1), None


def _bounds(position_ids: torch.Tensor) -> list[int]:
    """Where blocks begin, and where the last one ends. Told by the tensor itself from the second layer on."""
    known = getattr(position_ids, "dmforge_bounds", None)
    if known is None:
        known = [*torch.nonzero(position_ids[0] == 0)[:, 0].tolist(), position_ids.shape[1]]
        position_ids.dmforge_bounds = known  # pyright: ignore[reportAttributeAccessIssue]
    return known


def _ends(cu_seq_lens: torch.Tensor) -> list[int]:
    known = getattr(cu_seq_lens, "dmforge_ends", None)
    if known is None:
        known = cu_seq_lens.tolist()
        cu_seq_lens.dmforge_ends = known  # pyright: ignore[reportAttributeAccessIssue]
    return known


def blocks_mask(*, attention_mask: torch.Tensor | None = None, **sizes: Any) -> torch.Tensor | None:
    """No mask where positions say it all: a dense one would take the fast kernels away."""
    if attention_mask is None and sizes["q_length"] == sizes["kv_length"]:
        return None
    return sdpa_mask(attention_mask=attention_mask, **sizes)


AttentionInterface.register(BLOCKS, attend_blocks)
AttentionInterface.register(FRAMES, attend_frames)
AttentionMaskInterface.register(BLOCKS, blocks_mask)
AttentionMaskInterface.register(FRAMES, sdpa_mask)
