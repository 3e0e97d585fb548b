"""Intervals over trainings and videos at once: both are drawn, and every training was measured on the same videos.

    value = sum over trainings and videos of w_t w_v x / sum of w_t w_v, over those that have a value

A draw takes as many trainings and as many videos as there are, with replacement. Of few trainings no draw can tell how much
others would differ, so the interval is too narrow rather than too wide: say beside it how many agree on the sign.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmforge.trainers.metrics import Figure

RESAMPLES = 2000


def crossed(values: NDArray[np.float64], seed: int = 0) -> Figure | None:
    """The mean with its 95 % interval. A row a training, a column a video; NaN where there is nothing to measure."""
    known = ~np.isnan(values)
    if not known.any():
        return None
    filled, draw = np.where(known, values, 0.0), np.random.default_rng(seed)
    trainings, videos = (draw.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64) for n in values.shape)
    sums, numbers = (((trainings @ part) * videos).sum(1) for part in (filled, known.astype(np.float64)))
    low, high = np.percentile(sums[numbers > 0] / numbers[numbers > 0], (2.5, 97.5))
    return Figure(float(filled.sum() / known.sum()), float(low), float(high), int(known.sum()))


def agreeing(differences: NDArray[np.float64]) -> tuple[int, int, int]:
    """In how many trainings the mean difference is above, at and below 0."""
    means = np.round(np.nanmean(differences[~np.isnan(differences).all(axis=1)], axis=1), 9)
    return int((means > 0).sum()), int((means == 0).sum()), int((means < 0).sum())
