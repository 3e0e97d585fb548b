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

    def begin(self, row_indices: Sequence[int], lengths: Sequence[int]) -> None:
        """Prepare for the next forward pass: these rows get so many new tokens each, which stand at the right end of the
        batch."""
        self._arrange(row_indices)
        longest = max(lengths)
        old_lengths = [self.lengths[row] for row in row_indices]
        for row, length in zip(row_indices, lengths, strict=True):
            self.lengths[row] += length
        self._longest = max(self.lengths[row] for row in row_indices)
        self._active_rows = len(row_indices)
        # for each new token: its row and column in the batch, and its column in the cache
        self._from_row = torch.tensor([batch_row for batch_row, length in enumerate(lengths) for _ in range(length)])
        self._from_column = torch.tensor([longest - length + i for length in lengths for i in range(length)])
        self._to_column = torch.tensor(
            [old_length + i for old_length, length in zip(old_lengths, lengths, strict=True) for i in range(length)]
        )
        self._query_offset = old_lengths[0]
        self._grow()

    def repeat(self, source: int, targets: Sequence[int]) -> None:
        """Copy one row into others."""
        length = self.lengths[source]
        for row in targets:
            self.lengths[row] = length
            for table in (*self._keys, *self._values):
                table[self._slot_of_row[row], :, :length] = table[self._slot_of_row[source], :, :length]

    def mask(self, lengths: Sequence[int], row_indices: Sequence[int], device: torch.device) -> torch.Tensor | None:
        """The attention mask, rows x 1 x new tokens x columns. None where it is simply causal."""
        if len(row_indices) == 1:
            return None
        longest = max(lengths)
        row_ends = torch.tensor([self.lengths[row] for row in row_indices], device=device)[:, None]
        # the last new token sees its whole row, the one before it one column less; padding sees column 0, and nobody sees it
        last_visible = (row_ends - longest + torch.arange(longest, device=device)).clamp(min=0)
        return (torch.arange(self._longest, device=device) <= last_visible[:, :, None])[:, None]

    # the methods that the model calls

    def update(self, key: torch.Tensor, value: torch.Tensor, layer: int, *unused: object) -> tuple[torch.Tensor, torch.Tensor]:
        if layer == len(self._keys):
            shape = (len(self.lengths), key.shape[1], self._capacity, key.shape[3])
            self._keys.append(value.new_zeros(shape))  # under autocast keys come wider than attention multiplies them
            self._values.append(value.new_zeros(shape))
        if layer == 0 and self._from_row.device != key.device:
            moved = (table.to(key.device) for table in (self._from_row, self._from_column, self._to_column))
            self._from_row, self._from_column, self._to_column = moved
        active_slices: list[torch.Tensor] = []
        for table, new_values in ((self._keys[layer], key), (self._values[layer], value)):
            table[self._from_row, :, self._to_column] = new_values[self._from_row, :, self._from_column].to(table.dtype)
            active_slices.append(table[: self._active_rows, :, : self._longest])
        return active_slices[0], active_slices[1]

    def get_seq_length(self, layer: int = 0) -> int:
        return self._query_offset

    def get_query_offset(self, layer: int = 0) -> int:
        return self._query_offset

    def get_mask_sizes(self, new_tokens: int, layer: int = 0) -> tuple[int, int]:
        return self._longest, 0

    def _grow(self) -> None:
        if self._longest <= self._capacity:
            return
        self._capacity = max(self._longest + MIN_SPARE, int(self._longest * SPARE))
        for tables in (self._keys, self._values):
            for layer, table in enumerate(tables):
                larger = table.new_zeros(*table.shape[:2], self._capacity, table.shape[3])
                larger[:, :, : table.shape[2]] = table
                tables[layer] = larger

    def _arrange(self, row_indices: Sequence[int]) -> None:
        """Bring rows to the first slots, in this order."""
        for slot, row in enumerate(row_indices):
            old_slot = self._slot_of_row[row]
            if old_slot == slot:
                continue
            displaced_row = self._slot_of_row.index(slot)
            longest = max(self.lengths[row], self.lengths[displaced_row])
            for table in (*self._keys, *self._values):
                displaced = table[slot, :, :longest].clone()
                table[slot, :, :longest] = table[old_slot, :, :longest]
                table[old_slot, :, :longest] = displaced
            self._slot_of_row[row], self._slot_of_row[displaced_row] = slot, old_slot
