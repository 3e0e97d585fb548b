"""Answers to views: which rows they have, a page of them, and how many have each name and each score.

A condition is an array of the rows that miss it. Rows that miss none are those of the view; rows that miss none but that of one
column are what this column is counted over, so that a list of names says what another choice would give.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dmforge.curation.browse.map_points import MapPoints, map_points
from dmforge.curation.browse.question_map import MapReader, QuestionMap
from dmforge.curation.browse.row_columns import Mask, NamedColumn
from dmforge.curation.browse.row_index import FACETS, RowIndex
from dmforge.curation.browse.row_query import DECISION, MAP, SCORE, SORTS, MapArea, RowQuery
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id

if TYPE_CHECKING:
    from typing import Any

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
PAGE_ROWS = 50
MAX_NAMES = 60
"""How many names of a column are listed."""
REMEMBERED_VIEWS, REMEMBERED_ORDERS, REMEMBERED_WORDS = 4, 4, 12
DECISIONS = ("undecided", "keep", "reject", "comment")


@dataclass(frozen=True, slots=True)
class NameCount:
    """How many rows of a view have a name."""

    name: str
    rows: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class ColumnCounts:
    """The names of a column with their counts, the commonest first."""

    column: str
    names: tuple[NameCount, ...]
    further: int
    """How many names are left out."""


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """How the scores of a filter lie in a view."""

    filter: str
    min_score: float | None
    bins: tuple[int, ...]
    failing: int


@dataclass(frozen=True, slots=True)
class RowPage:
    """A page of a view."""

    total: int
    page: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Conditions:
    """The conditions of a view: which rows miss each, and how many each row misses."""

    missed_by_column: Mapping[str, Mask]
    missed: npt.NDArray[np.uint16]

    def rows(self) -> Mask:
        return self.missed == 0

    def rows_but_for(self, column: str) -> Mask:
        """The rows that miss no condition, or that of one column alone."""
        own = self.missed_by_column.get(column)
        return self.rows() if own is None else self.missed == own


class RowSelection:
    """An index with what one reviewer decided, and without what was taken down."""

    def __init__(self, index: RowIndex, map_reader: MapReader | None = None) -> None:
        self.index, self._map_reader = index, map_reader
        self._decisions = np.zeros(len(index), np.uint8)
        self._hidden: Mask = np.zeros(len(index), np.bool_)
        self._forgotten: frozenset[Id] = frozenset()
        self._changes = 0
        self._conditions = _Remembered[tuple[RowQuery, int], _Conditions](REMEMBERED_VIEWS)
        self._orders = _Remembered[str, npt.NDArray[np.int32]](REMEMBERED_ORDERS)
        self._words = _Remembered[str, Mask](REMEMBERED_WORDS)

    def note_decision(self, subject: Id, decision: str) -> None:
        """Count a decision from now on; one about a task that is no row has no place here."""
        row = self.index.find(subject)
        if row is not None and self.index.id(row) == subject:
            self._decisions[row] = DECISIONS.index(decision)
            self._changes += 1

    def hide(self, forgotten: frozenset[Id]) -> None:
        """Show nothing any more of videos that were taken down."""
        if forgotten != self._forgotten:
            self._forgotten, self._hidden = forgotten, self.index.of_videos(forgotten)
            self._changes += 1

    def page(self, query: RowQuery, page: int) -> RowPage:
        """A page of a view, counted from 0; behind the last page, the last one."""
        rows = self._asked(query).rows()
        if query.sort == SORTS[0]:
            in_order = np.flatnonzero(rows)
        else:
            order = self._orders.get(query.sort, lambda: self._order(query))
            in_order = order[rows[order]]
        page = min(page, max(len(in_order) - 1, 0) // PAGE_ROWS)
        return RowPage(len(in_order), page, tuple(in_order[page * PAGE_ROWS : (page + 1) * PAGE_ROWS].tolist()))

    def counts(self, query: RowQuery, column: str) -> ColumnCounts:
        """How many rows of a view have each name of a column, whichever of them is chosen."""
        named_column, chosen = self._named(column), dict(query.names).get(column, frozenset[str]())
        counts = named_column.counts(self._asked(query).rows_but_for(column))
        name_counts = [
            NameCount(name, count, name in chosen)
            for name, count in zip(named_column.names, counts.tolist(), strict=True)
            if count or name in chosen
        ]
        name_counts.sort(key=lambda name_count: (not name_count.chosen, -name_count.rows, name_count.name))
        return ColumnCounts(column, tuple(name_counts[:MAX_NAMES]), max(0, len(name_counts) - MAX_NAMES))

    def score_counts(self, query: RowQuery, filter_name: str) -> ScoreCounts:
        """How the scores of a filter lie in a view, whichever range of them is chosen."""
        column = self.index.scores[filter_name]
        rows = self._asked(query).rows_but_for(SCORE + filter_name)
        failing = int(np.count_nonzero(column.failing() & rows))
        return ScoreCounts(filter_name, column.min_score, tuple(column.histogram(rows)), failing)

    def question_map(self) -> QuestionMap | None:
        """The map of questions by meaning; None where they have no vectors."""
        return self._map_reader.read() if self._map_reader else None

    def map_points(self, question_map: QuestionMap, query: RowQuery, column: str) -> MapPoints:
        """What the map shows of a view, whichever part of the map is chosen, in the colours of a column."""
        rows = self._asked(query).rows_but_for(MAP)
        return map_points(question_map, self.index, rows, self._hidden, self._named(column))

    def decision(self, row: int) -> str:
        return DECISIONS[self._decisions[row]]

    def is_hidden(self, row: int) -> bool:
        return bool(self._hidden[row])

    def _asked(self, query: RowQuery) -> _Conditions:
        return self._conditions.get((query, self._changes), lambda: self._read(query))

    def _read(self, query: RowQuery) -> _Conditions:
        missed_by_column = {column: ~self._named(column).having(chosen) for column, chosen in query.names}
        for filter_name, score_range in query.ranges:
            if filter_name not in self.index.scores:
                hint = nearest(filter_name[:60], list(self.index.scores))
                raise InputError(f"there are no scores of {filter_name[:60]!r}", where="view", hint=hint)
            column = self.index.scores[filter_name]
            missed_by_column[SCORE + filter_name] = ~column.between(score_range.low, score_range.high, score_range.below)
        if query.area is not None:
            missed_by_column[MAP] = ~self._in_area(query.area)
        missed = np.zeros(len(self.index), np.uint16)
        words_missed = [~self._words.get(word, lambda word=word: self.index.holding(word)) for word in query.words]
        # twice: what belongs to no column is missed for every column
        for mask in (*missed_by_column.values(), *(2 * [self._hidden, *words_missed])):
            missed += mask
        return _Conditions(missed_by_column, missed)

    def _in_area(self, area: MapArea) -> Mask:
        """The rows whose question lies in a part of the map. What is not on the map lies nowhere."""
        question_map = self.question_map()
        if question_map is None:
            hint = "put [stages.embed] into the recipe, and run: it makes a vector for each question"
            raise InputError("there is no map: no question has a vector", where=MAP, hint=hint)
        is_in_area: Mask = np.zeros(len(self.index.of_tasks.ids), np.bool_)
        is_in_area[question_map.tasks[question_map.within(area)]] = True
        return is_in_area[self.index.tasks]

    def _named(self, column: str) -> NamedColumn:
        if column == DECISION:
            return NamedColumn(DECISIONS, self._decisions)
        if column not in FACETS:
            raise InputError(f"there is no column {column[:60]!r}", where="view", hint=nearest(column[:60], list(FACETS)))
        return self.index.facets[column]

    def _order(self, query: RowQuery) -> npt.NDArray[np.int32]:
        """All rows in the order of a column: scores low first, failures and lengths high first; `-` turns that around, and what
        has no score is last either way."""
        column = query.sort_column
        if column == SORTS[0]:
            return np.arange(len(self.index), dtype=np.int32)[::-1]
        if column in SORTS:
            values: Any = self.index.failure_counts() if column == "fails" else self.index.lengths
            keys = values if query.sorts_backwards else ~values
        elif (filter_name := column.removeprefix(SCORE)) in self.index.scores:
            scores = self.index.scores[filter_name]
            count = len(scores.values)
            keys = np.where(scores.codes < count, count - 1 - scores.codes.astype(np.int32), count)
            keys = keys if query.sorts_backwards else scores.codes
        else:
            hint = f"{', '.join(SORTS)}, or a score: {SCORE}FILTER"
            raise InputError(f"nothing can be sorted by {column[:60]!r}", where="view", hint=hint)
        return np.argsort(keys, kind="stable").astype(np.int32)


class _Remembered(Generic[K, T]):
    """The last few results of something that takes its time; several threads may ask."""

    def __init__(self, size: int) -> None:
        self._size, self._lock, self._results = size, threading.Lock(), OrderedDict[K, T]()

    def get(self, key: K, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._results:
                self._results[key] = make()
            self._results.move_to_end(key)
            while len(self._results) > self._size:
                self._results.popitem(last=False)
            return self._results[key]


def filters_of(index: RowIndex) -> Iterable[str]:
    """Every filter with scores: those that a selection asks for first."""
    return sorted(index.scores, key=lambda name: (index.scores[name].min_score is None, name))
