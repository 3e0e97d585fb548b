"""A key-value cache for rows of different lengths: each row begins at column 0, and the rows at work come first.

transformers' own cache grows by copying itself with every token, and keeps every row as long as the longest. Here a token
is written to its place. Rows that rest are swapped behind those at work, so a step reads those at work as one slice and
copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

SPARE, MIN_SPARE = 1.25, 256
"""Capacity beyond what is needed now, as a factor and in tokens, so that a clip can be added without moving everything."""


class RaggedCache:
    """The part of a cache's interface that a Qwen3-VL text model uses."""

    is_sliding = (False,)
    is_compileable = False

    def __init__(self, row_count: int) -> None:
        self.lengths = [0] * row_count
        self._slot_of_row = list(range(row_count))
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._capacity = 0
        self._query_offset = 0

    def begin(self, row_indices: Sequence[int], new_token_counts: Sequence[int]) -> None:
        """Prepare for the next forward pass: these rows get so many new tokens each, which stand at the right end of the
        batch."""
        self._arrange(row_indices)
        max_new_tokens = max(new_token_counts)
        cached_lengths = [self.lengths[row_index] for row_index in row_indices]
        for row_index, new_token_count in zip(row_indices, new_token_counts, strict=True):
            self.lengths[row_index] += new_token_count
        self._longest = max(self.lengths[row_index] for row_index in row_indices)
        self._active_rows = len(row_indices)
        # for each new token: its row and column in the batch, and its column in the cache
        self._from_row = torch.tensor(
            [batch_row for batch_row, new_token_count in enumerate(new_token_counts) for _ in range(new_token_count)]
        )
        self._from_column = torch.tensor(
            [
                max_new_tokens - new_token_count + token_offset
                for new_token_count in new_token_counts
                for token_offset in range(new_token_count)
            ]
        )
        self._to_column = torch.tensor(
            [
                cached_length + token_offset
                for cached_length, new_token_count in zip(cached_lengths, new_token_counts, strict=True)
                for token_offset in range(new_token_count)
            ]
        )
        self._query_offset = cached_lengths[0]
        self._grow()

    def repeat(self, source_row: int, target_rows: Sequence[int]) -> None:
        """Copy one row into others."""
        source_length = self.lengths[source_row]
        for target_row in target_rows:
            self.lengths[target_row] = source_length
            for cache_tensor in (*self._keys, *self._values):
                cache_tensor[self._slot_of_row[target_row], :, :source_length] = cache_tensor[
                    self._slot_of_row[source_row], :, :source_length
                ]

    def mask(self, new_token_counts: Sequence[int], row_indices: Sequence[int], device: torch.device) -> torch.Tensor | None:
        """The attention mask, rows x 1 x new tokens x columns. None where it is simply causal."""
        if len(row_indices) == 1:
            return None
        max_new_tokens = max(new_token_counts)
        row_ends = torch.tensor([self.lengths[row_index] for row_index in row_indices], device=device)[:, None]
        # the last new token sees its whole row, the one before it one column less; padding sees column 0, and nobody sees it
        last_visible = (row_ends - max_new_tokens + torch.arange(max_new_tokens, device=device)).clamp(min=0)
        return (torch.arange(self._longest, device=device) <= last_visible[:, :, None])[:, None]

    # the methods that the model calls

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer_index: int, *unused: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if layer_index == len(self._keys):
            grown_shape = (len(self.lengths), key.shape[1], self._capacity, key.shape[3])
            self._keys.append(value.new_zeros(grown_shape))  # under autocast keys come wider than attention multiplies them
            self._values.append(value.new_zeros(grown_shape))
        if layer_index == 0 and self._from_row.device != key.device:
            moved_indices = (table.to(key.device) for table in (self._from_row, self._from_column, self._to_column))
            self._from_row, self._from_column, self._to_column = moved_indices
        active_slices: list[torch.Tensor] = []
        for cached, new in ((self._keys[layer_index], key), (self._values[layer_index], value)):
            cached[self._from_row, :, self._to_column] = new[self._from_row, :, self._from_column].to(cached.dtype)
            active_slices.append(cached[: self._active_rows, :, : self._longest])
        return active_slices[0], active_slices[1]

    def get_seq_length(self, layer_index: int = 0) -> int:
        return self._query_offset

    def get_query_offset(self, layer_index: int = 0) -> int:
        return self._query_offset

    def get_mask_sizes(self, new_tokens: int, layer_index: int = 0) -> tuple[int, int]:
        return self._longest, 0

    def _grow(self) -> None:
        if self._longest <= self._capacity:
            return
        self._capacity = max(self._longest + MIN_SPARE, int(self._longest * SPARE))
        for cache_tensors in (self._keys, self._values):
            for layer_index, cache_tensor in enumerate(cache_tensors):
                larger_tensor = cache_tensor.new_zeros(*cache_tensor.shape[:2], self._capacity, cache_tensor.shape[3])
                larger_tensor[:, :, : cache_tensor.shape[2]] = cache_tensor
                cache_tensors[layer_index] = larger_tensor

    def _arrange(self, row_indices: Sequence[int]) -> None:
        """Bring rows to the first slots, in this order."""
        for new_slot, row_index in enumerate(row_indices):
            old_slot = self._slot_of_row[row_index]
            if old_slot == new_slot:
                continue
            displaced_row = self._slot_of_row.index(new_slot)
            max_cached_tokens = max(self.lengths[row_index], self.lengths[displaced_row])
            for cache_tensor in (*self._keys, *self._values):
                displaced_tensor = cache_tensor[new_slot, :, :max_cached_tokens].clone()
                cache_tensor[new_slot, :, :max_cached_tokens] = cache_tensor[old_slot, :, :max_cached_tokens]
                cache_tensor[old_slot, :, :max_cached_tokens] = displaced_tensor
            self._slot_of_row[row_index], self._slot_of_row[displaced_row] = new_slot, old_slot
