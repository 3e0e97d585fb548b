"""Keys and values of rows of different lengths: each row is whole from column 0 on, and the rows at work come first.

transformers' own cache grows by copying itself with every token, and keeps every row as long as the longest. Here a token
is written to its place. Rows that rest are swapped behind those at work, so a step reads those at work as one slice and
copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

SPARE, LEAST_SPARE = 1.25, 256
"""Room beyond what is needed now, as a factor and in tokens: a clip that is put in should find its place without a move."""


class RaggedCache:
    """What a Qwen3-VL text model asks of a cache, and no more."""

    is_sliding = (False,)
    is_compileable = False

    def __init__(self, rows: int) -> None:
        self.lengths = [0] * rows
        self._slot = list(range(rows))
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._room = 0
        self._first = 0

    def begin(self, rows: Sequence[int], lengths: Sequence[int]) -> None:
        """The next forward goes through these rows; each is given so many tokens, at the right end of what comes."""
        self._arrange(rows)
        longest = max(lengths)
        before = [self.lengths[row] for row in rows]
        for row, length in zip(rows, lengths, strict=True):
            self.lengths[row] += length
        self._seen = max(self.lengths[row] for row in rows)
        self._active = len(rows)
        # of every new token: where it comes from (row of the batch, column), and where it goes
        self._from_row = torch.tensor([at for at, length in enumerate(lengths) for _ in range(length)])
        self._from_column = torch.tensor([longest - length + i for length in lengths for i in range(length)])
        self._to_column = torch.tensor(
            [first + i for first, length in zip(before, lengths, strict=True) for i in range(length)]
        )
        self._first = before[0]
        self._grow()

    def repeat(self, source: int, targets: Sequence[int]) -> None:
        """What stands in one row stands in others, too."""
        length = self.lengths[source]
        for row in targets:
            self.lengths[row] = length
            for table in (*self._keys, *self._values):
                table[self._slot[row], :, :length] = table[self._slot[source], :, :length]

    def mask(self, lengths: Sequence[int], rows: Sequence[int], device: torch.device) -> torch.Tensor | None:
        """rows x 1 x new tokens x columns: what each new token may look at. None where that is simply what came before it."""
        if len(rows) == 1:
            return None
        longest = max(lengths)
        ends = torch.tensor([self.lengths[row] for row in rows], device=device)[:, None]
        # the last new token sees its whole row, the one before it one column less; padding sees column 0, and nobody sees it
        last = (ends - longest + torch.arange(longest, device=device)).clamp(min=0)
        return (torch.arange(self._seen, device=device) <= last[:, :, None])[:, None]

    # what the model asks for

    def update(self, key: torch.Tensor, value: torch.Tensor, layer: int, *rest: object) -> tuple[torch.Tensor, torch.Tensor]:
        if layer == len(self._keys):
            shape = (len(self.lengths), key.shape[1], self._room, key.shape[3])
            self._keys.append(value.new_zeros(shape))  # under autocast keys come wider than attention multiplies them
            self._values.append(value.new_zeros(shape))
        if layer == 0 and self._from_row.device != key.device:
            moved = (table.to(key.device) for table in (self._from_row, self._from_column, self._to_column))
            self._from_row, self._from_column, self._to_column = moved
        found: list[torch.Tensor] = []
        for table, new in ((self._keys[layer], key), (self._values[layer], value)):
            table[self._from_row, :, self._to_column] = new[self._from_row, :, self._from_column].to(table.dtype)
            found.append(table[: self._active, :, : self._seen])
        return found[0], found[1]

    def get_seq_length(self, layer: int = 0) -> int:
        return self._first

    def get_query_offset(self, layer: int = 0) -> int:
        return self._first

    def get_mask_sizes(self, new: int, layer: int = 0) -> tuple[int, int]:
        return self._seen, 0

    def _grow(self) -> None:
        if self._seen <= self._room:
            return
        self._room = max(self._seen + LEAST_SPARE, int(self._seen * SPARE))
        for tables in (self._keys, self._values):
            for layer, table in enumerate(tables):
                larger = table.new_zeros(*table.shape[:2], self._room, table.shape[3])
                larger[:, :, : table.shape[2]] = table
                tables[layer] = larger

    def _arrange(self, rows: Sequence[int]) -> None:
        """Bring rows to the first slots, in this order."""
        for slot, row in enumerate(rows):
            now = self._slot[row]
            if now == slot:
                continue
            other = self._slot.index(slot)
            longest = max(self.lengths[row], self.lengths[other])
            for table in (*self._keys, *self._values):
                kept = table[slot, :, :longest].clone()
                table[slot, :, :longest] = table[now, :, :longest]
                table[now, :, :longest] = kept
            self._slot[row], self._slot[other] = slot, now
