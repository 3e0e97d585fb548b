"""Means and peaks over all ranks: each rank keeps sums and counts by name, and all of them are reduced at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

NOTHING = float("-inf")
"""The peak of no values."""


class MetricAccumulator:
    """Accumulates metrics; their names are fixed from the beginning, so that ranks agree on their order."""

    def __init__(self, mean_names: Iterable[str], peak_names: Iterable[str] = ()) -> None:
        self._names, self._peak_names = tuple(mean_names), tuple(peak_names)
        self._sums = dict.fromkeys(self._names, 0.0)
        self._counts = dict.fromkeys(self._names, 0)
        self._peaks = dict.fromkeys(self._peak_names, NOTHING)

    def add(self, metric_name: str, values: Sequence[float] | torch.Tensor) -> None:
        """Add values of a metric to its mean."""
        value_tensor = torch.as_tensor(values, dtype=torch.float64)
        self._sums[metric_name] += float(value_tensor.sum())
        self._counts[metric_name] += value_tensor.numel()

    def peak(self, metric_name: str, values: torch.Tensor) -> None:
        """Take the largest of these values into the peak of a metric."""
        if values.numel():
            self._peaks[metric_name] = max(self._peaks[metric_name], float(values.max()))

    def peaks(self, accelerator: Any) -> dict[str, float]:
        """The peaks over all ranks since the last call, without metrics that had no values."""
        if not self._peak_names:
            return {}
        local_peaks = torch.tensor(
            [self._peaks[metric_name] for metric_name in self._peak_names], dtype=torch.float64, device=accelerator.device
        )
        global_peaks = accelerator.gather(local_peaks).reshape(-1, len(self._peak_names)).amax(0).tolist()
        self._peaks = dict.fromkeys(self._peak_names, NOTHING)
        return {
            metric_name: peak_value
            for metric_name, peak_value in zip(self._peak_names, global_peaks, strict=True)
            if peak_value > NOTHING
        }

    def means(self, accelerator: Any) -> dict[str, float]:
        """The means over all ranks since the last call, without metrics that had no values."""
        local_sums_and_counts = [*self._sums.values(), *map(float, self._counts.values())]
        global_sums_and_counts = accelerator.reduce(
            torch.tensor(local_sums_and_counts, dtype=torch.float64, device=accelerator.device)
        ).tolist()
        global_sums, global_counts = global_sums_and_counts[: len(self._names)], global_sums_and_counts[len(self._names) :]
        self._sums, self._counts = dict.fromkeys(self._names, 0.0), dict.fromkeys(self._names, 0)
        return {
            metric_name: metric_sum / value_count
            for metric_name, metric_sum, value_count in zip(self._names, global_sums, global_counts, strict=True)
            if value_count
        }
