"""Baselines that need no model, or no choice of a window: figures mean something only in comparison with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dmforge.schemas.looks import Window
from dmforge.trainers.evaluation_rows import EvaluationRow
from dmforge.trainers.metrics import Figure, figure

MAX_BOUNDS = 60
"""The most beginnings, and ends, that are tried for the constant span, spread evenly over all of them."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """The baselines of an evaluation; None where one applies to no sample of the corpora."""

    constant_span: Window | None
    constant_miou: Figure | None
    """Mean IoU of always looking at the one span that is best over the targets it was chosen on."""
    uniform_frames: Figure | None
    """Accuracy of the same policy when its look covers the whole video, whatever it chose."""
    longest_option: Figure | None
    """Accuracy of always taking the longest option, over samples with options."""
    constant_sets: Mapping[int, tuple[Window, ...]] = field(default_factory=dict[int, tuple[Window, ...]])
    """By a number of windows, the ones that are always looked at where a task needs so many."""
    constant_miou_set: Figure | None = None
    """Mean window score of these."""
    uniform_miou_set: Figure | None = None
    """Mean window score of the whole video."""


def baselines(
    rows: Sequence[EvaluationRow],
    spans_cs: NDArray[np.int64],
    resamples: int,
    seed: int,
    window_sets: Sequence[tuple[Window, ...]] = (),
) -> Baselines:
    """The baselines of these rows; the constant span is chosen on `spans_cs`, windows x 2, constant sets on `window_sets`."""
    constant_span = best_span(spans_cs) if len(spans_cs) else None
    constant_sets = best_sets(window_sets)
    return Baselines(
        constant_span,
        figure(rows, lambda evaluation_row: iou_of(constant_span, evaluation_row), resamples, seed) if constant_span else None,
        figure(
            rows,
            lambda evaluation_row: None if evaluation_row.kind == "grounding" else evaluation_row.uniform_frames,
            resamples,
            seed,
        ),
        figure(rows, lambda evaluation_row: evaluation_row.longest_option, resamples, seed),
        constant_sets,
        figure(rows, lambda evaluation_row: constant_iou_set(constant_sets, evaluation_row), resamples, seed),
        figure(rows, lambda evaluation_row: evaluation_row.uniform_iou_set, resamples, seed),
    )


def iou_of(window: Window, row: EvaluationRow) -> float | None:
    """The IoU with a row's target of a window in place of those that were looked at."""
    return row.target_iou((window,))


def constant_iou_set(constant_sets: Mapping[int, tuple[Window, ...]], row: EvaluationRow) -> float | None:
    """The window score of as many constant windows as a row's task needs, or of the most below that for which there are any."""
    numbers = [number for number in constant_sets if row.needed_looks is not None and number <= row.needed_looks]
    return row.target_iou_set(constant_sets[max(numbers)]) if numbers else None


def best_sets(window_sets: Sequence[tuple[Window, ...]]) -> dict[int, tuple[Window, ...]]:
    """By size: the span that is best over the first windows of all sets of so many, over the second ones, and so on."""
    sets_by_size: defaultdict[int, list[list[Window]]] = defaultdict(list)
    for windows in window_sets:
        in_order = sorted(windows, key=lambda window: (window.start_cs, window.end_cs))
        sets_by_size[len(windows)].append(in_order)
    return {
        size: tuple(best_span(_bounds_cs(windows_at_position)) for windows_at_position in zip(*sets_by_size[size], strict=True))
        for size in sorted(sets_by_size)
    }


def _bounds_cs(windows: Sequence[Window]) -> NDArray[np.int64]:
    return np.array([(window.start_cs, window.end_cs) for window in windows], np.int64)


def best_span(spans_cs: NDArray[np.int64]) -> Window:
    """The span from any target's beginning to any target's end whose mean IoU with all of them is the highest."""
    candidate_starts, candidate_ends = (_evenly_spread(np.unique(spans_cs[:, bound_column])) for bound_column in (0, 1))
    start_grid, end_grid = (
        bound_grid.ravel()[:, None] for bound_grid in np.meshgrid(candidate_starts, candidate_ends, indexing="ij")
    )
    overlap_cs = np.maximum(0, np.minimum(end_grid, spans_cs[:, 1]) - np.maximum(start_grid, spans_cs[:, 0]))
    union_cs = (end_grid - start_grid) + (spans_cs[:, 1] - spans_cs[:, 0]) - overlap_cs
    mean_ious = np.where(end_grid > start_grid, overlap_cs / np.where(end_grid > start_grid, union_cs, 1), -1.0).mean(1)
    best_index = int(mean_ious.argmax())
    return Window(int(start_grid[best_index, 0]), int(end_grid[best_index, 0]))


def _evenly_spread(sorted_bounds_cs: NDArray[np.int64]) -> NDArray[np.int64]:
    return sorted_bounds_cs[
        np.linspace(0, len(sorted_bounds_cs) - 1, min(len(sorted_bounds_cs), MAX_BOUNDS)).round().astype(int)
    ]
