"""The columns of an index: values that are told apart by small numbers, so that a million are counted in milliseconds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing import Any

    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.unsignedinteger[Any]] if TYPE_CHECKING else np.ndarray
Floats = npt.NDArray[np.float64]
BINS = 20


@dataclass(frozen=True, slots=True)
class NamedColumn:
    """A column of names: of each row the number of its name."""

    names: tuple[str, ...]
    codes: Codes

    def having(self, chosen_names: Collection[str]) -> Mask:
        """The rows that have one of these names."""
        return np.array([name in chosen_names for name in self.names], np.bool_)[self.codes]

    def counts(self, rows: Mask) -> npt.NDArray[np.int64]:
        """How many of some rows have each name."""
        return np.bincount(self.codes[rows], minlength=len(self.names))

    def name(self, row: int) -> str:
        return self.names[self.codes[row]]


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A filter's scores: of each row the number of its score among all that there are, the last one where it has none."""

    values: Floats
    """Every score that there is, rising."""
    codes: Codes
    min_score: float | None
    """What a selection of the recipe asks for."""

    def between(self, low: float, high: float, below: bool) -> Mask:
        """The rows with a score from low to high, or below high."""
        first, end = np.searchsorted(self.values, low, "left"), np.searchsorted(self.values, high, "left" if below else "right")
        return (self.codes >= first) & (self.codes < end)

    def failing(self) -> Mask:
        """The rows whose score is too low."""
        if self.min_score is None:
            return np.zeros(len(self.codes), np.bool_)
        return self.codes < np.searchsorted(self.values, self.min_score, "left")

    def score(self, row: int) -> float | None:
        code = int(self.codes[row])
        return float(self.values[code]) if code < len(self.values) else None

    def histogram(self, rows: Mask) -> list[int]:
        """How the scores of some rows lie between 0 and 1, what is outside at the ends."""
        counts = np.bincount(self.codes[rows], minlength=len(self.values) + 1)[: len(self.values)]
        bins = np.clip((self.values * BINS).astype(np.int64), 0, BINS - 1)
        return np.bincount(bins, weights=counts, minlength=BINS).astype(np.int64).tolist()


def narrow(codes: npt.NDArray[np.integer[Any]], name_count: int) -> Codes:
    """Codes in as few bytes as so many names need."""
    return codes.astype(np.min_scalar_type(max(name_count - 1, 0)))


def score_column(scores: Floats, min_score: float | None) -> ScoreColumn:
    """The column of scores, NaN where a row has none."""
    values, codes = np.unique(scores, return_inverse=True)  # all NaN are one, and the last
    measured = values[~np.isnan(values)]
    return ScoreColumn(measured, narrow(codes, len(measured) + 1), min_score)


class NamedColumnBuilder:
    """A named column that is filled batch by batch; rows that never come have the name ''."""

    def __init__(self, count: int) -> None:
        self._codes, self._code_by_name = np.zeros(count, np.int32), {"": 0}

    def add(self, rows: npt.NDArray[np.int64], names: pa.Array[Any]) -> None:
        """Add the names of some rows."""
        encoded = names.fill_null("").dictionary_encode()
        codes = [self._code_by_name.setdefault(str(name), len(self._code_by_name)) for name in encoded.dictionary.to_pylist()]
        self._codes[rows] = np.array(codes, np.int32)[np.asarray(encoded.indices)] if codes else 0

    def column(self) -> NamedColumn:
        return NamedColumn(tuple(self._code_by_name), narrow(self._codes, len(self._code_by_name)))
