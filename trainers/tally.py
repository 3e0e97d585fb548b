"""Means over what several ranks counted: each keeps sums and numbers by name, and all of them are added up at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch


class Tally:
    """The names are known from the beginning, so that ranks agree on their order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._sums = dict.fromkeys(self._names, 0.0)
        self._numbers = dict.fromkeys(self._names, 0)

    def add(self, name: str, values: Sequence[float] | torch.Tensor) -> None:
        """Some more values."""
        told = torch.as_tensor(values, dtype=torch.float64)
        self._sums[name] += float(told.sum())
        self._numbers[name] += told.numel()

    def means(self, accelerator: Any) -> dict[str, float]:
        """Over all ranks since the last time; nothing for what nobody saw."""
        told = [*self._sums.values(), *map(float, self._numbers.values())]
        found = accelerator.reduce(torch.tensor(told, dtype=torch.float64, device=accelerator.device)).tolist()
        sums, numbers = found[: len(self._names)], found[len(self._names) :]
        self._sums, self._numbers = dict.fromkeys(self._names, 0.0), dict.fromkeys(self._names, 0)
        return {name: total / number for name, total, number in zip(self._names, sums, numbers, strict=True) if number}
