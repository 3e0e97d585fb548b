"""Logistic regression over examples that have a few of very many features, with a ridge; numpy alone, L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS, REMEMBERED_STEPS, HALVINGS = 100, 8, 30
TOLERANCE = 1e-6
"""The share of the loss that a step must gain; the fit ends with one that gains less."""


@dataclass(frozen=True)
class FeatureMatrix:
    """Which features which example has: the columns of each row, one behind the other."""

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    height: int
    width: int

    def times(self, weights: Floats) -> Floats:
        return np.bincount(self.rows, weights[self.columns], self.height).astype(np.float64)

    def transposed_times(self, values: Floats) -> Floats:
        return np.bincount(self.columns, values[self.rows], self.width).astype(np.float64)


def fit_weights(matrix: FeatureMatrix, positive: NDArray[np.bool_], counts: Floats, ridge: Floats, begin: Floats) -> Floats:
    """The weights of least loss: each example has a count, each weight a ridge; the search begins at given weights."""
    sign = np.where(positive, 1.0, -1.0)

    def _loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * matrix.times(weights)
        slope = -sign * counts / (1 + np.exp(np.minimum(margin, 500)))
        loss = float((counts * np.logaddexp(0, -margin)).sum() + (ridge / 2 * weights * weights).sum())
        return loss, matrix.transposed_times(slope) + ridge * weights

    return minimize(_loss, begin)


def minimize(function: Callable[[Floats], tuple[float, Floats]], at: Floats) -> Floats:
    """The lowest point of a smooth convex function that gives its value and its slope."""
    value, slope = function(at)
    history: list[tuple[Floats, Floats]] = []
    for _ in range(STEPS):
        direction = _direction(slope, history)
        length = 1.0 if history else 1 / max(1.0, float(np.abs(slope).sum()) ** 0.5)
        next_value, next_slope = function(at + length * direction)
        for _ in range(HALVINGS):
            if next_value <= value + 1e-4 * length * (slope @ direction):
                break
            length /= 2
            next_value, next_slope = function(at + length * direction)
        step, change = length * direction, next_slope - slope
        history = [*history, (step, change)][-REMEMBERED_STEPS:] if step @ change > 1e-12 else history
        gain = value - next_value
        at, slope, value = at + step, next_slope, next_value
        if gain < TOLERANCE * max(1.0, abs(value)):
            break
    return at


def _direction(slope: Floats, history: list[tuple[Floats, Floats]]) -> Floats:
    """Down the slope, bent by the curvature of the last steps (the two loops of L-BFGS)."""
    down = -slope
    shares: list[float] = []
    for step, change in reversed(history):
        shares.append(float(step @ down) / float(change @ step))
        down = down - shares[-1] * change
    if history:
        step, change = history[-1]
        down = down * (step @ change) / (change @ change)
    for (step, change), share in zip(history, reversed(shares), strict=True):
        down = down + (share - (change @ down) / (change @ step)) * step
    return down
