"""A cache of keys, values and states for rows of different lengths: each row begins at column 0, and rows at work come first.

transformers' own cache grows by copying itself with every token, and keeps every row as long as the longest. Here a token
is written to its place. Rows that rest are swapped behind those at work, so a step reads those at work as one slice and
copies nothing. The states of gated delta layers are as large for every row; they are kept, repeated and swapped with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dmforge.generators.student.delta_layers import DeltaState

SPARE, MIN_SPARE = 1.25, 256
"""Capacity beyond what is needed now, as a factor and in tokens, so that a clip can be added without moving everything."""


class RaggedCache:
    """The part of a cache's interface that the text models of students use."""

    is_sliding = (False,)
    is_compileable = False

    def __init__(self, row_count: int) -> None:
        self.lengths = [0] * row_count
        self._slot_of_row = list(range(row_count))
        self.new_token_counts: Sequence[int] = ()
        """The new tokens of each row of the batch."""
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._states: dict[int, DeltaState] = {}
        self._capacity = 0
        self._query_offset = 0

    def begin(self, row_indices: Sequence[int], new_token_counts: Sequence[int]) -> None:
        """Prepare for the next forward pass: these rows get so many new tokens each, which stand at the right end of the
        batch."""
        self._arrange(row_indices)
        self.new_token_counts = new_token_counts
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
            for cache_tensor in (*self._keys.values(), *self._values.values()):
                cache_tensor[self._slot_of_row[target_row], :, :source_length] = cache_tensor[
                    self._slot_of_row[source_row], :, :source_length
                ]
            for state_tensor in self._state_tensors():
                state_tensor[self._slot_of_row[target_row]] = state_tensor[self._slot_of_row[source_row]]

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
        if layer_index not in self._keys:
            grown_shape = (len(self.lengths), key.shape[1], self._capacity, key.shape[3])
            self._keys[layer_index] = value.new_zeros(
                grown_shape
            )  # under autocast keys come wider than attention multiplies them
            self._values[layer_index] = value.new_zeros(grown_shape)
        if self._from_row.device != key.device:
            moved_indices = (table.to(key.device) for table in (self._from_row, self._from_column, self._to_column))
            self._from_row, self._from_column, self._to_column = moved_indices
        active_slices: list[torch.Tensor] = []
        for cached, new in ((self._keys[layer_index], key), (self._values[layer_index], value)):
            cached[self._from_row, :, self._to_column] = new[self._from_row, :, self._from_column].to(cached.dtype)
            active_slices.append(cached[: self._active_rows, :, : self._longest])
        return active_slices[0], active_slices[1]

    def delta_state(self, layer_index: int) -> DeltaState | None:
        state = self._states.get(layer_index)
        return None if state is None else DeltaState(*(state_tensor[: self._active_rows] for state_tensor in state))

    def keep_delta_state(self, layer_index: int, state: DeltaState) -> None:
        if layer_index not in self._states:
            self._states[layer_index] = DeltaState(
                *(state_tensor.new_zeros(len(self.lengths), *state_tensor.shape[1:]) for state_tensor in state)
            )
        for kept_tensor, state_tensor in zip(self._states[layer_index], state, strict=True):
            kept_tensor[: self._active_rows] = state_tensor

    def get_seq_length(self, layer_index: int = 0) -> int:
        return self._query_offset

    def get_query_offset(self, layer_index: int = 0) -> int:
        return self._query_offset

    def get_mask_sizes(self, new_tokens: int, layer_index: int = 0) -> tuple[int, int]:
        return self._longest, 0

    def _state_tensors(self) -> list[torch.Tensor]:
        return [state_tensor for state in self._states.values() for state_tensor in state]

    def _grow(self) -> None:
        if self._longest <= self._capacity:
            return
        self._capacity = max(self._longest + MIN_SPARE, int(self._longest * SPARE))
        for cache_tensors in (self._keys, self._values):
            for layer_index, cache_tensor in cache_tensors.items():
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
            for cache_tensor in (*self._keys.values(), *self._values.values()):
                displaced_tensor = cache_tensor[new_slot, :, :max_cached_tokens].clone()
                cache_tensor[new_slot, :, :max_cached_tokens] = cache_tensor[old_slot, :, :max_cached_tokens]
                cache_tensor[old_slot, :, :max_cached_tokens] = displaced_tensor
            for state_tensor in self._state_tensors():
                state_tensor[[old_slot, new_slot]] = state_tensor[[new_slot, old_slot]]
            self._slot_of_row[row_index], self._slot_of_row[displaced_row] = new_slot, old_slot
