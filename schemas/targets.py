"""A target is a set of looks: one where one look is enough, several where several places are needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Task

NEEDED_LOOKS = "needed_looks"
"""The key of a task's extras under which its file says how many looks it needs."""
MAX_NEEDED_LOOKS = 100
"""The most looks that a file may say a task needs."""


def as_target(looks: Iterable[Look]) -> tuple[Look, ...]:
    """The looks of a set, each once, in the order of time: equal sets are equal tuples, and have equal ids."""
    return tuple(sorted(dict.fromkeys(looks), key=_order))


def windows_of_set(task: Task, max_looks: int) -> tuple[Window, ...]:
    """The windows that a task needs all of, where there are several and a trajectory may look at each; else none."""
    if task.needs != "all":
        return ()
    distinct_windows = sorted(set(task.windows), key=lambda window: (window.start_cs, window.end_cs))
    return tuple(distinct_windows) if 1 < len(distinct_windows) <= max_looks else ()


def right_windows(task: Task, max_looks: int) -> tuple[Window, ...]:
    """The windows to look at, one look each: all that are needed, or one that spans them where there are too many of them."""
    window = right_window(task)
    return windows_of_set(task, max_looks) or (() if window is None else (window,))


def right_window(task: Task) -> Window | None:
    """The one window to look at: the first where any will do, or the span of all that are needed; None where unknown."""
    if not task.windows:
        return None
    if task.needs == "any":
        return task.windows[0]
    return Window(min(window.start_cs for window in task.windows), max(window.end_cs for window in task.windows))


def needed_looks(task: Task, target_looks: Sequence[Look]) -> int | None:
    """How many looks a task needs: as its file says, as its target has, or by its windows; None where nothing says so.

    That the overview is enough, and no look is needed, only its file can say: such a task may have windows, and its target a
    look there.
    """
    declared_looks = _declared_looks(task.extras)
    if declared_looks is not None:
        return declared_looks
    if target_looks:
        return len(target_looks)
    if task.needs == "all":
        return len(set(task.windows)) or None
    return 1 if task.windows else None


def _declared_looks(extras: str) -> int | None:
    """What a file says in extras, which in shards of strangers may be any text."""
    try:
        extra_values: Any = json.loads(extras) if extras else {}
    except (ValueError, RecursionError):
        return None
    declared_looks = extra_values.get(NEEDED_LOOKS) if isinstance(extra_values, dict) else None
    return declared_looks if type(declared_looks) is int and 0 <= declared_looks <= MAX_NEEDED_LOOKS else None


def _order(look: Look) -> tuple[object, ...]:
    box_sides = (look.box.x1, look.box.y1, look.box.x2, look.box.y2) if look.box else ()
    return look.window.start_cs, look.window.end_cs, look.fps, box_sides, look.tokens or 0
