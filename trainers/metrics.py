"""Figures of an evaluation with 95 % intervals, each over the samples for which it has a meaning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dmforge.trainers.evaluation_rows import EvaluationRow

Measure = Callable[[EvaluationRow], float | None]


def recall(min_iou: float) -> Measure:
    """A measure: the share of samples whose looks have at least this IoU with the target."""
    return lambda evaluation_row: None if evaluation_row.iou is None else float(evaluation_row.iou >= min_iou)


def accuracy(row: EvaluationRow) -> float | None:
    """The score of an answer that is a choice or a word; spans are measured by `answer_miou`."""
    return None if row.kind == "grounding" else row.answer_score


def answer_miou(row: EvaluationRow) -> float | None:
    """For grounding: the overlap with gold of the span that is the answer."""
    return row.answer_score if row.kind == "grounding" else None


def acc_gqa(row: EvaluationRow) -> float | None:
    """Acc@GQA: the answer is right, and the look stood where it shows (IoU >= .5)."""
    accuracy_score = accuracy(row)
    return None if accuracy_score is None or row.iou is None else float(accuracy_score == 1.0 and row.iou >= 0.5)


def excess_looks(row: EvaluationRow) -> float | None:
    """How many looks more were made than the task needs."""
    return None if row.made_looks is None or row.needed_looks is None else float(max(0, row.made_looks - row.needed_looks))


def missed_looks(row: EvaluationRow) -> float | None:
    """How many looks the task needs more than were made."""
    return None if row.made_looks is None or row.needed_looks is None else float(max(0, row.needed_looks - row.made_looks))


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
    "miou_set": lambda row: row.iou_set,
    "looks": lambda row: None if row.made_looks is None else float(row.made_looks),
    "excess_looks": excess_looks,
    "missed_looks": missed_looks,
}
BY_NEED = ("accuracy", "answer_miou", "miou_set", "looks", "excess_looks", "missed_looks")
"""The measures that are also told apart by how many looks tasks need."""
HELD = ("accuracy", "answer_miou", "miou_set", "visual_tokens")
"""The measures of a policy that is held to fewer looks."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95 % interval: where it would lie in 95 of 100 evaluations on as many other videos."""

    value: float
    low: float
    high: float
    samples: int


def figures(
    rows: Sequence[EvaluationRow], resamples: int, seed: int, measure_names: Iterable[str] = MEASURES
) -> dict[str, Figure]:
    """The figures of all measures that have a meaning for some row."""
    figure_by_name = {measure_name: figure(rows, MEASURES[measure_name], resamples, seed) for measure_name in measure_names}
    return {
        measure_name: figure_or_none for measure_name, figure_or_none in figure_by_name.items() if figure_or_none is not None
    }


def figures_by_need(rows: Sequence[EvaluationRow], resamples: int, seed: int) -> dict[int, dict[str, Figure]]:
    """Figures by how many looks tasks need, where that is known."""
    rows_by_need: defaultdict[int, list[EvaluationRow]] = defaultdict(list)
    for row in rows:
        if row.needed_looks is not None:
            rows_by_need[row.needed_looks].append(row)
    return {need: figures(rows_by_need[need], resamples, seed, BY_NEED) for need in sorted(rows_by_need)}


def held_figures(rows: Sequence[EvaluationRow], resamples: int, seed: int) -> dict[int, dict[str, Figure]]:
    """Figures of the same policy by how many looks it was held to."""
    rows_by_limit: defaultdict[int, list[EvaluationRow]] = defaultdict(list)
    for row in rows:
        for held_row in row.held_rollouts or ():
            row_of_limit = replace(
                row, answer_score=held_row.answer_score, iou_set=held_row.iou_set, visual_tokens=held_row.visual_tokens
            )
            rows_by_limit[held_row.held_to].append(row_of_limit)
    return {held_to: figures(rows_by_limit[held_to], resamples, seed, HELD) for held_to in sorted(rows_by_limit)}


def figure(rows: Sequence[EvaluationRow], measure: Measure, resamples: int, seed: int) -> Figure | None:
    """The mean over samples; its interval by the percentiles of means over videos that are drawn with replacement.

    value = sum over videos of their sums / sum over videos of their numbers of samples, so a draw is two products.
    """
    return _figure(
        [
            (evaluation_row.video, metric_value)
            for evaluation_row in rows
            if (metric_value := measure(evaluation_row)) is not None
        ],
        resamples,
        seed,
    )


def gain(
    rows_before: Sequence[EvaluationRow], rows_after: Sequence[EvaluationRow], measure: Measure, resamples: int, seed: int
) -> Figure | None:
    """The gain on the same samples: the interval of paired differences is narrower than two separate ones."""
    values_before = {evaluation_row.sample: measure(evaluation_row) for evaluation_row in rows_before}
    paired_values = [
        (evaluation_row.video, measure(evaluation_row), values_before.get(evaluation_row.sample))
        for evaluation_row in rows_after
    ]
    return _figure(
        [
            (video_name, value_after - value_before)
            for video_name, value_after, value_before in paired_values
            if value_after is not None and value_before is not None
        ],
        resamples,
        seed,
    )


def _figure(video_values: Sequence[tuple[str, float]], resamples: int, seed: int) -> Figure | None:
    if not video_values:
        return None
    _, video_indices = np.unique([video_name for video_name, _ in video_values], return_inverse=True)
    sample_values = np.array([metric_value for _, metric_value in video_values])
    video_sums, video_counts = np.bincount(video_indices, sample_values), np.bincount(video_indices)
    video_draws = np.random.default_rng(seed).multinomial(
        len(video_sums), np.full(len(video_sums), 1 / len(video_sums)), resamples
    )
    low_bound, high_bound = np.percentile(video_draws @ video_sums / (video_draws @ video_counts), (2.5, 97.5))
    sample_mean = sample_values.mean()  # equal values may differ in the last bit, by the order in which they are added
    return Figure(
        float(sample_mean), float(min(low_bound, sample_mean)), float(max(high_bound, sample_mean)), len(video_values)
    )
