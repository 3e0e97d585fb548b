"""What the map shows of a view: its points with the names that colour them, and in words where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dmforge.curation.browse.question_map import QuestionMap
from dmforge.curation.browse.row_columns import Mask, NamedColumn
from dmforge.curation.browse.row_index import RowIndex
from dmforge.curation.browse.row_query import MAP_SIDE, MapArea

MAX_COLOURS = 6
"""Names with a colour and a shape of their own: more can't be told apart. All others share one."""
CELLS = 5
"""The map is cut into so many cells each way."""
MAX_REGIONS = 12


@dataclass(frozen=True, slots=True)
class MapRegion:
    """A cell of the map that holds questions of the view."""

    area: MapArea
    questions: int
    name: str
    """The commonest name in it, and how many have it."""
    named: int
    example: int
    """The task whose question lies nearest to the middle of them."""


@dataclass(frozen=True, slots=True)
class MapPoints:
    """The map as a view has it."""

    names: tuple[tuple[str, int], ...]
    """Names with their questions, the commonest first."""
    places: npt.NDArray[np.int16]
    """Where each point lies."""
    codes: npt.NDArray[np.int16]
    """Of each point the place of its name among these, `MAX_COLOURS` for any other, -1 where it is not in the view."""
    regions: tuple[MapRegion, ...]
    """The fullest first."""
    further_regions: int


def map_points(question_map: QuestionMap, index: RowIndex, rows: Mask, hidden: Mask, column: NamedColumn) -> MapPoints:
    """The points of the rows of a view, each with the name that its first row there has; of hidden rows there is none."""
    is_shown = ~np.isin(question_map.tasks, index.tasks[hidden])
    question_map = replace(question_map, tasks=question_map.tasks[is_shown], places=question_map.places[is_shown])
    rows_in_view = np.flatnonzero(rows)
    tasks_in_view, first_positions = np.unique(index.tasks[rows_in_view], return_index=True)
    positions = np.searchsorted(tasks_in_view, question_map.tasks)
    is_in_view: Mask = np.zeros(len(question_map.tasks), np.bool_)
    is_known = positions < len(tasks_in_view)
    is_in_view[is_known] = tasks_in_view[positions[is_known]] == question_map.tasks[is_known]
    first_rows = rows_in_view[first_positions[positions[is_in_view]]]
    name_codes = column.codes[first_rows].astype(np.int64)
    counts = np.bincount(name_codes, minlength=len(column.names))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], column.names[code]))
    rank_by_code = np.full(len(column.names), MAX_COLOURS, np.int16)
    rank_by_code[order[:MAX_COLOURS]] = np.arange(min(len(order), MAX_COLOURS))
    codes = np.full(len(question_map.tasks), -1, np.int16)
    codes[is_in_view] = rank_by_code[name_codes]
    names = tuple((column.names[code], int(counts[code])) for code in order)
    regions = _regions(question_map, np.flatnonzero(is_in_view), name_codes, column.names)
    return MapPoints(names, question_map.places, codes, tuple(regions[:MAX_REGIONS]), max(0, len(regions) - MAX_REGIONS))


def _regions(
    question_map: QuestionMap, points: npt.NDArray[np.int64], name_codes: npt.NDArray[np.int64], names: tuple[str, ...]
) -> list[MapRegion]:
    """Every cell with points of the view."""
    places = question_map.places[points]
    edges = [round(MAP_SIDE * cell / CELLS) for cell in range(CELLS)]
    columns, lines = (np.searchsorted(edges, places[:, axis], "right") - 1 for axis in (0, 1))
    cells = columns * CELLS + lines
    regions = list[MapRegion]()
    for cell in np.unique(cells).tolist():
        members = np.flatnonzero(cells == cell)
        counts = np.bincount(name_codes[members])
        commonest = int(counts.argmax())
        offsets = places[members] - places[members].mean(axis=0)
        nearest = members[int((offsets**2).sum(axis=1).argmin())]
        (left, right), (low, high) = (_cell_bounds(edges, position) for position in divmod(cell, CELLS))
        area, example = MapArea(left, low, right, high), int(question_map.tasks[points[nearest]])
        regions.append(MapRegion(area, len(members), names[commonest], int(counts[commonest]), example))
    return sorted(regions, key=lambda region: (-region.questions, region.area))


def _cell_bounds(edges: list[int], position: int) -> tuple[int, int]:
    """Where a cell begins and ends; no place belongs to two cells."""
    return edges[position], edges[position + 1] - 1 if position + 1 < len(edges) else MAP_SIDE
