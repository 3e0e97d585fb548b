"""Attention as a student needs it, on `scaled_dot_product_attention`: in blocks, over frames, and of one new token.

Registered with transformers under two names; nothing of the model is patched.

- `BLOCKS`, for text. Transcripts that are packed in one row attend to themselves only: a row is cut where its text positions
  start anew, and each block is plainly causal, so the kernel is the fast one and the cost is the sum of the squares, not
  the square of the sum. A single new token is multiplied with the keys of its group: repeating them for every head would
  copy the whole cache. Where text positions start anew at p > 0, another way to go on behind the first p tokens of the
  transcript before begins: rollouts of one prompt share it in one row.
- `FRAMES`, for the vision tower. Frames attend to themselves only and most are equally large: they are one batch instead of
  a loop. transformers hands over the bounds of frames to kernels whose name says flash, and to no others: hence the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

BLOCKS = "dmforge_blocks"
FRAMES = "dmforge_frames_like_flash"
FEW = 1 << 24
"""Scores that may stand in memory at once where attention is written out."""
Out = tuple[torch.Tensor, None]
Piece = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Query, key and value of one piece of a row."""


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
    """Query, key and value are batch x heads x tokens x values; what comes out is batch x tokens x heads x values.

    Under autocast queries and keys are float32 again, since weights of their norms are, and so they are rotated. They are cast
    here to the type of the values, as autocast itself casts them for sdpa: not every kernel is reached through it."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    new, seen = query.shape[2], key.shape[2]
    if new < seen and not query.requires_grad and query.shape[:3].numel() * seen <= FEW:
        return _few(query, key, value, attention_mask, scaling), None
    if attention_mask is None and new < seen:
        return _behind(query, key, value, scaling), None
    if attention_mask is None and position_ids is not None and len(query) == 1:
        trees = _trees(position_ids)
        if len(trees) > 1 or trees[0].branches:
            blocks: list[torch.Tensor] = []
            # cut once: the gradient of every slice by itself would be as large as the row
            cut = [x.split([length for tree in trees for length in tree.lengths], 2) for x in (query, key, value)]
            pieces = zip(*cut, strict=True)
            for tree in trees:
                q, k, v = next(pieces)
                blocks.append(sdpa_attention_forward(module, q, k, v, None, dropout, scaling)[0])
                if tree.branches:
                    blocks.append(
                        _branching(
                            k[:, :, : tree.shared], v[:, :, : tree.shared], [next(pieces) for _ in tree.branches], scaling
                        )
                    )
            return torch.cat(blocks, 1), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout)


def _behind(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """The last tokens of a row that is kept: each looks at all before it. The fast kernels know this shape by its name."""
    groups = query.shape[1] // key.shape[1]
    heads = [x.repeat_interleave(groups, 1) for x in (key, value)]
    bias: Any = causal_lower_right(query.shape[2], key.shape[2])
    return scaled_dot_product_attention(query, *heads, attn_mask=bias, scale=scaling).transpose(1, 2)


def _few(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """The same for few tokens, written out: heads that share a key are one product, so nothing is repeated. Scores are at least
    float32, as in the kernels: bfloat16 would round one of 20 by up to .06, and its weight by 6 %."""
    batch, heads, new, size = query.shape
    shared, seen = key.shape[1], key.shape[2]
    precise = torch.promote_types(value.dtype, torch.float32)
    with torch.autocast(value.device.type, enabled=False):
        grouped = query.reshape(batch, shared, -1, size).to(precise) * (scaling or size**-0.5)
        scores = (grouped @ key.to(precise).transpose(-1, -2)).view(batch, shared, -1, new, seen)
    if mask is not None:
        scores.masked_fill_(~mask[:, :, None], -torch.inf)
    elif new > 1:
        future = torch.ones(new, new, dtype=torch.bool, device=query.device).triu_(1)
        scores[..., seen - new :].masked_fill_(future, -torch.inf)
    weights = torch.softmax(scores, -1).to(value.dtype)
    return (weights.view(batch, shared, -1, seen) @ value).view(batch, heads, new, size).transpose(1, 2)


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


@dataclass(frozen=True, slots=True)
class _Tree:
    """A transcript, and other ways to go on behind its first `shared` tokens."""

    length: int
    shared: int = 0
    branches: tuple[int, ...] = ()
    """How long each is."""

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.length, *self.branches


def _branching(key: torch.Tensor, value: torch.Tensor, branches: list[Piece], scaling: float | None) -> torch.Tensor:
    """The branches of a tree as a batch: each looks at what they share, and at itself. What fills up stands behind its tokens,
    where none of them looks."""
    own = [_stacked([piece[of][0] for piece in branches]) for of in range(3)]
    shared = [x.expand(len(branches), -1, -1, -1) for x in (key, value)]
    keys, values = (torch.cat([before, behind], 2) for before, behind in zip(shared, own[1:], strict=True))
    seen = _behind(own[0], keys, values, scaling)
    return torch.cat([row[: piece[0].shape[2]] for row, piece in zip(seen.unbind(), branches, strict=True)])[None]


def _stacked(rows: list[torch.Tensor]) -> torch.Tensor:
    """heads x tokens x values each, filled up: a batch."""
    return torch.nn.utils.rnn.pad_sequence([row.transpose(0, 1) for row in rows], batch_first=True).transpose(1, 2)


def _trees(position_ids: torch.Tensor) -> list[_Tree]:
    """What stands in a row. Told by the tensor itself from the second layer on."""
    known = getattr(position_ids, "dmforge_trees", None)
    if known is None:
        told = position_ids[0]
        anew = [0, *(torch.nonzero(told[1:] != told[:-1] + 1)[:, 0] + 1).tolist()]
        known = []
        for position, (begin, end) in zip(told[anew].tolist(), pairwise([*anew, len(told)]), strict=True):
            if not known or position == 0:
                known.append(_Tree(end - begin))
                continue
            tree = known[-1]
            if position > tree.length or (tree.branches and position != tree.shared):
                raise ValueError(f"what begins at {begin} goes on behind {position} tokens, which no transcript before it has")
            known[-1] = _Tree(tree.length, position, (*tree.branches, end - begin))
        position_ids.dmforge_trees = known  # pyright: ignore[reportAttributeAccessIssue]
    return known


def _ends(cu_seq_lens: torch.Tensor) -> list[int]:
    known = getattr(cu_seq_lens, "dmforge_ends", None)
    if known is None:
        known = cu_seq_lens.tolist()
        cu_seq_lens.dmforge_ends = known  # pyright: ignore[reportAttributeAccessIssue]
    return known


def blocks_mask(*, attention_mask: torch.Tensor | None = None, **sizes: Any) -> torch.Tensor | None:
    """No mask where what stands before a token is all that it may look at: a dense one would take the fast kernels away."""
    return None if attention_mask is None else sdpa_mask(attention_mask=attention_mask, **sizes)


AttentionInterface.register(BLOCKS, attend_blocks)
AttentionInterface.register(FRAMES, attend_frames)
AttentionMaskInterface.register(BLOCKS, blocks_mask)
AttentionMaskInterface.register(FRAMES, sdpa_mask)
