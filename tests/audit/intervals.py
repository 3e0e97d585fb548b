"""Intervals of shares by their definition, for what SQL computes."""

from __future__ import annotations

import numpy as np


def wilson(hits: int, counted: int) -> list[float]:
    """Both shares p of which the observed one is 1.96 standard deviations away: roots of (share - p)^2 = z^2 p (1 - p) / n."""
    share, squared = hits / counted, 1.959964**2 / counted
    return sorted(np.roots([1 + squared, -2 * share - squared, share**2]).real.tolist())
