"""A target is a set of looks: one where one look is enough, several where several places are needed."""

from __future__ import annotations

from collections.abc import Iterable

from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Task


def as_target(looks: Iterable[Look]) -> tuple[Look, ...]:
    """The looks of a set, each once, in the order of time: equal sets are equal tuples, and have equal ids."""
    return tuple(sorted(dict.fromkeys(looks), key=_order))


def windows_of_set(task: Task, max_looks: int) -> tuple[Window, ...]:
    """The windows that a task needs all of, where there are several and a trajectory may look at each; else none."""
    if task.needs != "all":
        return ()
    distinct_windows = sorted(set(task.windows), key=lambda window: (window.start_cs, window.end_cs))
    return tuple(distinct_windows) if 1 < len(distinct_windows) <= max_looks else ()


def _order(look: Look) -> tuple[object, ...]:
    box_sides = (look.box.x1, look.box.y1, look.box.x2, look.box.y2) if look.box else ()
    return look.window.start_cs, look.window.end_cs, look.fps, box_sides, look.tokens or 0
