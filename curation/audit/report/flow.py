"""The funnel as a flow: a trunk that loses branches on its way down. Where things stand and how they are curved; no drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_BRANCHES = 5
"""Reasons that a stage shows; the others are one branch."""
LINE = 19.0
HEAD = 28.0
GAP = 8.0
THIN = 1.5
"""So wide at least is what is there at all."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Inputs of a stage that went no further, for one reason."""

    status: str
    reason: str
    inputs: int


@dataclass(frozen=True, slots=True)
class Stop:
    """A stage with what came, what went on and what was lost."""

    name: str
    reads: str
    makes: tuple[str, ...]
    """Tables."""
    inputs: int = 0
    made: int = 0
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A loss as it is drawn: a curve to its words."""

    loss: Loss
    path: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Level:
    """A stage as it is drawn."""

    stop: Stop
    top: float
    y: float
    """Where its words stand."""
    trunk: str
    """The outline of what goes on to the next stage."""
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """The picture, in pixels."""

    width: int
    height: float
    trunk: float
    levels: tuple[Level, ...]


def stops(rows: Sequence[Sequence[object]], stages: Sequence[Stop]) -> list[Stop]:
    """Stages with what the query `funnel` says of them; its rows are stage, status, reason, inputs, rows."""
    found = {stop.name: stop for stop in stages}
    for stage, status, reason, inputs, _ in rows:
        name, number = str(stage), int(str(inputs))
        before = found[name]
        if status == "inputs":
            found[name] = replace(before, inputs=number)
        elif status == "made":
            found[name] = replace(before, made=number)
        else:
            found[name] = replace(before, losses=(*before.losses, Loss(str(status), str(reason), number)))
    return list(found.values())


def flow(stages: Sequence[Stop], width: int, trunk: float) -> Flow:
    """The picture of so many pixels, with a trunk of so many. Stages that were given nothing are left out."""
    given = [stop for stop in stages if stop.inputs]
    scales = _scales(given, trunk)
    levels: list[Level] = []
    y = 0.0
    for place, stop in enumerate(given):
        scale, losses = scales[stop.reads], _gathered(stop.losses)
        fork, below = y + HEAD, y + HEAD + max(GAP, LINE * len(losses) + 6)
        came, went = _wide(stop.inputs * scale), _wide(stop.made * scale)
        following = given[place + 1] if place + 1 < len(given) else None
        arrives = _wide(following.inputs * scales[following.reads]) if following else went
        outline = f"M0 {y:.1f}H{came:.1f}V{fork:.1f}H0Z" + _ribbon(went, fork, arrives, below)
        levels.append(Level(stop, y, y + HEAD / 2 + 5, outline, _branches(losses, stop.made * scale, scale, fork, trunk)))
        y = below
    return Flow(width, y + 2, trunk, tuple(levels))


def _scales(stages: Sequence[Stop], trunk: float) -> dict[str, float]:
    """Pixels for one row of each table: a table is as wide as what its maker let through, one from outside as the trunk."""
    most: dict[str, int] = {}
    for stop in stages:
        most[stop.reads] = max(most.get(stop.reads, 1), stop.inputs)
    wide: dict[str, float] = {}
    for stop in stages:
        own = wide.setdefault(stop.reads, trunk)
        for table in stop.makes:
            wide.setdefault(table, own * stop.made / most[stop.reads])
    return {table: wide[table] / number for table, number in most.items()}


def _gathered(losses: Sequence[Loss]) -> list[Loss]:
    first, rest = list(losses[:MOST_BRANCHES]), losses[MOST_BRANCHES:]
    if len(rest) == 1:
        return [*first, *rest]
    return [*first, Loss("", f"{len(rest)} further reasons", sum(loss.inputs for loss in rest))] if rest else first


def _branches(losses: Sequence[Loss], start: float, scale: float, fork: float, trunk: float) -> tuple[Branch, ...]:
    found: list[Branch] = []
    left, x = start, trunk + 24
    for place, loss in enumerate(losses):
        broad, y = _wide(loss.inputs * scale), fork + LINE * place + 8
        found.append(Branch(loss, _curve(left, broad, fork, x, y, min(broad, LINE - 7)), x + 6, y + 4))
        left += loss.inputs * scale
    return tuple(found)


def _ribbon(wide: float, top: float, wide_below: float, bottom: float) -> str:
    middle = (top + bottom) / 2
    right = f"C{wide:.1f} {middle:.1f} {wide_below:.1f} {middle:.1f} {wide_below:.1f} {bottom:.1f}"
    return f"M0 {top:.1f}H{wide:.1f}{right}H0Z"


def _curve(left: float, broad: float, top: float, x: float, y: float, wide: float) -> str:
    """From the fork to the right, where the words stand."""
    high, low, right = y - wide / 2, y + wide / 2, left + broad
    bend = (right + x) / 2
    over = f"M{right:.1f} {top:.1f}C{right:.1f} {high:.1f} {bend:.1f} {high:.1f} {x:.1f} {high:.1f}"
    return f"{over}V{low:.1f}C{bend:.1f} {low:.1f} {left:.1f} {low:.1f} {left:.1f} {top:.1f}Z"


def _wide(pixels: float) -> float:
    return max(THIN, pixels) if pixels > 0 else 0.0
