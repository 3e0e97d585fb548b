"""Two corpora side by side, distribution by distribution: the values of each, their classes, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dmforge.curation.audit.distances import MAX_BLOCKS, BlockCounts, Distance, category_distance, number_distance
from dmforge.curation.audit.quantities import QUANTITIES, SCORE_FILTERS, Quantity, score_quantity
from dmforge.curation.lake.views import interruptible
from dmforge.schemas.visible import shortened

MAX_CLASSES = 10
"""Categories that are shown; the others are counted together."""
MAX_NAME_CHARS = 60
_BLOCKS = f"""
CREATE OR REPLACE TEMP TABLE blocks AS
SELECT video, (row_number() OVER (ORDER BY video) - 1) % {MAX_BLOCKS} AS block
FROM (SELECT video FROM questions UNION SELECT video FROM trajectories UNION SELECT video FROM scores)
"""


@dataclass(frozen=True, slots=True)
class CorpusTables:
    """A corpus as it is compared: its questions, its trajectories and their looks, and the scores of filters."""

    name: str
    questions: pa.Table
    trajectories: pa.Table
    looks: pa.Table
    scores: pa.Table


@dataclass(frozen=True, slots=True)
class ClassPair:
    """A class of values: how many there are here, and how many there."""

    label: str
    here: int
    there: int


@dataclass(frozen=True, slots=True)
class ComparedQuantity:
    """A distribution here and there."""

    quantity: Quantity
    here: int
    there: int
    """How many values."""
    mean_here: float | None
    mean_there: float | None
    distance: Distance | None
    """None where one of the two has no values."""
    classes: tuple[ClassPair, ...]

    @property
    def most(self) -> float:
        """The largest share of any class."""
        return max((max(self.shares(pair)) for pair in self.classes), default=0.0)

    def shares(self, pair: ClassPair) -> tuple[float, float]:
        """The share that a class has here, and there."""
        return pair.here / max(1, self.here), pair.there / max(1, self.there)

    @property
    def measure(self) -> str:
        return "Wasserstein" if self.quantity.is_number else "total variation"

    def __str__(self) -> str:
        """The distance in a sentence."""
        if self.distance is None:
            return f"only {'here' if self.here else 'there'}"
        unit = f" {self.quantity.unit}" if self.quantity.unit else ""
        apart = f"{self.measure} {self.distance.value:.3g}{unit}"
        if self.distance.low is None or self.distance.high is None or self.distance.chance is None:
            return f"{apart}; of one video alone there is no interval"
        interval = f"{self.distance.low:.3g} - {self.distance.high:.3g}"
        verdict = "more than chance" if self.distance.is_apart else "no more than chance"
        return f"{apart} ({interval}), {verdict} ({self.distance.chance:.3g})"


def compare(here: CorpusTables, there: CorpusTables, audit: str = "") -> tuple[ComparedQuantity, ...]:
    """Each distribution that one of the two has, those that both have first: of one named question, or all of them and the
    scores of filters that measured both."""
    quantities = [quantity for quantity in QUANTITIES if audit in ("", quantity.audit)]
    with interruptible(), duckdb.connect() as connection_here, duckdb.connect() as connection_there:
        for connection, tables in ((connection_here, here), (connection_there, there)):
            _register(connection, tables)
        if not audit:
            filters = (set(connection.execute(SCORE_FILTERS).fetchall()) for connection in (connection_here, connection_there))
            quantities += [score_quantity(name) for (name,) in sorted(set.intersection(*filters))]
        compared = [_compared(quantity, connection_here, connection_there) for quantity in quantities]
    return tuple(sorted((item for item in compared if item is not None), key=lambda item: item.distance is None))


def _register(connection: duckdb.DuckDBPyConnection, tables: CorpusTables) -> None:
    connection.register("questions", tables.questions)
    connection.register("trajectories", tables.trajectories)
    connection.register("looks", tables.looks)
    connection.register("scores", tables.scores)
    connection.execute(_BLOCKS)


def _compared(
    quantity: Quantity, connection_here: duckdb.DuckDBPyConnection, connection_there: duckdb.DuckDBPyConnection
) -> ComparedQuantity | None:
    here, there = (_counted(quantity, connection) for connection in (connection_here, connection_there))
    if not here.n and not there.n:
        return None
    measure = number_distance if quantity.is_number else category_distance
    return ComparedQuantity(
        quantity, here.n, there.n,
        _mean(here) if quantity.is_number else None, _mean(there) if quantity.is_number else None,
        measure(here, there) if here.n and there.n else None,
        tuple(_classes(quantity, here, there)),
    )  # fmt: skip


def _counted(quantity: Quantity, connection: duckdb.DuckDBPyConnection) -> BlockCounts:
    table = connection.sql(quantity.sql, params=dict(quantity.values)).to_arrow_table()
    block, value, count = (table.column(name).to_numpy() for name in ("block", "value", "n"))
    return BlockCounts(block.astype(np.int64), value, count.astype(np.int64))


def _mean(side: BlockCounts) -> float | None:
    return float(side.values @ side.counts / side.n) if side.n else None


def _classes(quantity: Quantity, here: BlockCounts, there: BlockCounts) -> Iterator[ClassPair]:
    if quantity.scale == "category":
        yield from _categories(here, there)
    elif quantity.scale == "tenths":
        yield from _binned(here, there, lambda values: np.minimum(values * 10, 9), lambda at: f"{at * 10} to {at * 10 + 10} %")
    elif quantity.scale == "counts":
        yield from _binned(here, there, lambda values: np.minimum(values, MAX_CLASSES), _count_label)
    else:
        first = quantity.first_bound
        yield from _binned(
            here, there, lambda values: np.ceil(np.log2(np.maximum(values, first) / first) - 1e-9),
            lambda at: f"{_bound(first, at - 1)} to {_bound(first, at)}" if at else f"up to {_bound(first, 0)}",
            f" {quantity.unit}",
        )  # fmt: skip


def _categories(here: BlockCounts, there: BlockCounts) -> Iterator[ClassPair]:
    """The commonest categories of both, by the larger of their shares."""
    counts = [_sums(side) for side in (here, there)]
    names = sorted(
        {*counts[0], *counts[1]},
        key=lambda name: (-max(counts[0].get(name, 0) / max(1, here.n), counts[1].get(name, 0) / max(1, there.n)), name),
    )
    pairs = [ClassPair(shortened(name, MAX_NAME_CHARS), counts[0].get(name, 0), counts[1].get(name, 0)) for name in names]
    listed, others = (pairs, []) if len(pairs) <= MAX_CLASSES + 1 else (pairs[:MAX_CLASSES], pairs[MAX_CLASSES:])
    yield from listed
    if others:
        yield ClassPair(f"{len(others)} others", sum(pair.here for pair in others), sum(pair.there for pair in others))


def _sums(side: BlockCounts) -> dict[str, int]:
    names, places = np.unique(side.values.astype(str), return_inverse=True)
    sums = np.bincount(places, weights=side.counts, minlength=len(names))
    return {str(name): int(count) for name, count in zip(names, sums, strict=True)}


def _binned(
    here: BlockCounts,
    there: BlockCounts,
    place: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    label: Callable[[int], str],
    unit: str = "",
) -> Iterator[ClassPair]:
    """A class for each place between the lowest and the highest, empty ones as well."""
    places = [np.maximum(place(side.values.astype(np.float64)), 0).astype(np.int64) for side in (here, there)]
    of_both = np.concatenate(places)
    lowest, highest = int(of_both.min()), int(of_both.max())
    sums = [
        np.bincount(side_places - lowest, weights=side.counts, minlength=highest - lowest + 1)
        for side_places, side in zip(places, (here, there), strict=True)
    ]
    for at in range(lowest, highest + 1):
        yield ClassPair(f"{label(at)}{unit}", int(sums[0][at - lowest]), int(sums[1][at - lowest]))


def _count_label(at: int) -> str:
    return str(at) if at < MAX_CLASSES else f"{MAX_CLASSES} or more"


def _bound(first: float, at: int) -> str:
    return f"{first * 2**at:,.4g}"
