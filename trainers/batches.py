"""Laid-out transcripts become what one forward takes: one behind the other, or one below the other with padding.

Packed is the way to train. Padded is what it is measured against, and for kernels that can't attend in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.generators.student.layout import Laid
from dmforge.generators.student.patchify import normalised


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward, and what is learnt from it."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    """4 x rows x tokens: in the text, in time, down and across. Where the first starts anew, another transcript begins."""
    attention_mask: torch.Tensor | None
    """Of padded rows: which tokens are there."""
    patches: torch.Tensor
    """Bytes."""
    grids: torch.Tensor
    kept: torch.Tensor
    """Columns whose next token is learnt in any row: logits are computed there and nowhere else."""
    targets: torch.Tensor
    """rows x kept: the token to be learnt, or `NOTHING`."""

    @property
    def items(self) -> int:
        """Tokens that are learnt."""
        return int((self.targets != NOTHING).sum())

    def to(self, device: torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """What a DataLoader calls where tensors go to a GPU."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        found: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        moved: dict[str, Any] = {name: None if tensor is None else change(tensor) for name, tensor in found.items()}
        return Batch(**moved)


NOTHING = -100
"""What `cross_entropy` passes over."""


def pack(laids: Sequence[Laid], weights: Sequence[int] | None = None) -> Batch:
    """One row. Transcripts of weight 0 are there and teach nothing."""
    ids = np.concatenate([laid.ids for laid in laids])[None]
    in_text = np.concatenate([np.arange(len(laid)) for laid in laids])
    places = np.concatenate([laid.positions for laid in laids], 1)
    labels = np.concatenate([_labels(laid, weight) for laid, weight in zip(laids, weights or [1] * len(laids), strict=True)])
    return _batch(laids, ids, np.concatenate([in_text[None], places])[:, None], None, labels[None])


def pad(laids: Sequence[Laid], padding: int, weights: Sequence[int] | None = None) -> Batch:
    """A row each."""
    shape = (len(laids), max(map(len, laids)))
    ids, labels, there = np.full(shape, padding), np.full(shape, NOTHING), np.zeros(shape, np.int64)
    places = np.zeros((4, *shape), np.int64)
    for row, (laid, weight) in enumerate(zip(laids, weights or [1] * len(laids), strict=True)):
        own = slice(0, len(laid))
        ids[row, own], labels[row, own], there[row, own] = laid.ids, _labels(laid, weight), 1
        places[0, row, own], places[1:, row, own] = np.arange(len(laid)), laid.positions
    return _batch(laids, ids, places, torch.from_numpy(there), labels)


def _labels(laid: Laid, weight: int) -> NDArray[np.int64]:
    """At each token the one that is to follow it, if the policy wrote that one. Who wrote it decides, and nothing else does."""
    following = np.where(laid.trained[1:], laid.ids[1:], NOTHING)
    labels = np.append(following, NOTHING)
    return labels if weight else np.full_like(labels, NOTHING)


def _batch(
    laids: Sequence[Laid],
    ids: NDArray[np.int64],
    places: NDArray[np.int64],
    there: torch.Tensor | None,
    labels: NDArray[np.int64],
) -> Batch:
    kept = np.flatnonzero((labels != NOTHING).any(0))
    if not len(kept):  # an empty choice of columns would be a shape that no kernel expects; this one teaches nothing either
        kept = np.zeros(1, np.int64)
    patches = np.concatenate([laid.patches for laid in laids])
    grids = np.concatenate([laid.grids for laid in laids])
    arrays = ids, places, patches, grids, kept, labels[:, kept]
    tokens, where, pixels, sizes, columns, targets = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    return Batch(tokens, where, there, pixels, sizes, columns, targets)


def logits_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """rows x kept x tokens: what the model expects to follow."""
    return model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        attention_mask=batch.attention_mask,
        pixel_values_videos=normalised(batch.patches) if len(batch.patches) else None,
        video_grid_thw=batch.grids if len(batch.grids) else None,
        logits_to_keep=batch.kept,
        use_cache=False,
    ).logits


def summed_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """sum over policy tokens of -log p(token | what stands before it). Divided by their number once all of them are known."""
    flat = logits.flatten(0, 1)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    return torch.nn.functional.cross_entropy(flat, batch.targets.flatten(), ignore_index=NOTHING, reduction="sum")
