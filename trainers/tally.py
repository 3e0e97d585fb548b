"""Means, and peaks, over what several ranks counted: each keeps sums and numbers by name, and all of them are put together at
once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

NOTHING = float("-inf")
"""The largest of no values."""


class Tally:
    """The names are known from the beginning, so that ranks agree on their order."""

    def __init__(self, names: Iterable[str], peaks: Iterable[str] = ()) -> None:
        self._names, self._of_peaks = tuple(names), tuple(peaks)
        self._sums = dict.fromkeys(self._names, 0.0)
        self._numbers = dict.fromkeys(self._names, 0)
        self._peaks = dict.fromkeys(self._of_peaks, NOTHING)

    def add(self, name: str, values: Sequence[float] | torch.Tensor) -> None:
        """Some more values."""
        told = torch.as_tensor(values, dtype=torch.float64)
        self._sums[name] += float(told.sum())
        self._numbers[name] += told.numel()

    def peak(self, name: str, values: torch.Tensor) -> None:
        """Some more values, the largest of which counts."""
        if values.numel():
            self._peaks[name] = max(self._peaks[name], float(values.max()))

    def peaks(self, accelerator: Any) -> dict[str, float]:
        """The largest of all ranks since the last time; nothing for what nobody saw."""
        if not self._of_peaks:
            return {}
        told = torch.tensor([self._peaks[name] for name in self._of_peaks], dtype=torch.float64, device=accelerator.device)
        found = accelerator.gather(told).reshape(-1, len(self._of_peaks)).amax(0).tolist()
        self._peaks = dict.fromkeys(self._of_peaks, NOTHING)
        return {name: value for name, value in zip(self._of_peaks, found, strict=True) if value > NOTHING}

    def means(self, accelerator: Any) -> dict[str, float]:
        """Over all ranks since the last time; nothing for what nobody saw."""
        told = [*self._sums.values(), *map(float, self._numbers.values())]
        found = accelerator.reduce(torch.tensor(told, dtype=torch.float64, device=accelerator.device)).tolist()
        sums, numbers = found[: len(self._names)], found[len(self._names) :]
        self._sums, self._numbers = dict.fromkeys(self._names, 0.0), dict.fromkeys(self._names, 0)
        return {name: total / number for name, total, number in zip(self._names, sums, numbers, strict=True) if number}
