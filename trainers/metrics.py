"""Rows become figures with 95 % intervals, each over the samples for which it has a meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmforge.trainers.rows import Row

Measure = Callable[[Row], float | None]


def recall(least: float) -> Measure:
    """Share of samples whose first look meets the target with at least this IoU."""
    return lambda row: None if row.iou is None else float(row.iou >= least)


def accuracy(row: Row) -> float | None:
    """Right answers among those that are a choice or a word; spans are measured by `answer_miou`."""
    return None if row.kind == "grounding" else row.answer_score


def answer_miou(row: Row) -> float | None:
    """Of grounding: overlap of the span that is the answer with gold."""
    return row.answer_score if row.kind == "grounding" else None


def acc_gqa(row: Row) -> float | None:
    """Acc@GQA: the answer is right, and the look stood where it shows (IoU >= .5)."""
    right = accuracy(row)
    return None if right is None or row.iou is None else float(right == 1.0 and row.iou >= 0.5)


MEASURES: Mapping[str, Measure] = {
    "format": lambda row: float(row.well_formed),
    "r_at_0.3": recall(0.3),
    "r_at_0.5": recall(0.5),
    "r_at_0.7": recall(0.7),
    "miou": lambda row: row.iou,
    "gold_miou": lambda row: row.gold_iou,
    "iop": lambda row: row.iop,
    "accuracy": accuracy,
    "acc_gqa": acc_gqa,
    "answer_miou": answer_miou,
    "density_error": lambda row: row.density_error,
    "visual_tokens": lambda row: float(row.visual_tokens),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean, and where it would lie in 95 of 100 evaluations on as many other videos."""

    value: float
    low: float
    high: float
    samples: int


def figures(rows: Sequence[Row], resamples: int, seed: int) -> dict[str, Figure]:
    """Those measures that have a meaning for any row."""
    found = {name: figure(rows, measure, resamples, seed) for name, measure in MEASURES.items()}
    return {name: one for name, one in found.items() if one is not None}


def figure(rows: Sequence[Row], measure: Measure, resamples: int, seed: int) -> Figure | None:
    """The mean over samples; its interval by the percentiles of means over videos that are drawn with replacement.

    value = sum over videos of their sums / sum over videos of their numbers of samples, so a draw is two products.
    """
    return _figure([(row.video, value) for row in rows if (value := measure(row)) is not None], resamples, seed)


def gain(before: Sequence[Row], after: Sequence[Row], measure: Measure, resamples: int, seed: int) -> Figure | None:
    """By how much the same samples came out better: an interval of paired differences is narrower than two of its own."""
    known = {row.sample: measure(row) for row in before}
    pairs = [(row.video, measure(row), known.get(row.sample)) for row in after]
    return _figure([(video, now - then) for video, now, then in pairs if now is not None and then is not None], resamples, seed)


def _figure(told: Sequence[tuple[str, float]], resamples: int, seed: int) -> Figure | None:
    if not told:
        return None
    _, video = np.unique([name for name, _ in told], return_inverse=True)
    values = np.array([value for _, value in told])
    sums, numbers = np.bincount(video, values), np.bincount(video)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), resamples)
    low, high = np.percentile(drawn @ sums / (drawn @ numbers), (2.5, 97.5))
    mean = values.mean()  # equal values may differ in the last bit, by the order in which they are added
    return Figure(float(mean), float(min(low, mean)), float(max(high, mean)), len(told))
