"""The layout of the funnel as a flow: a trunk that loses branches on its way down. Positions and curves only, no drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MAX_BRANCHES = 5
"""How many reasons a stage shows; the others are one branch."""
LINE_HEIGHT = 19.0
HEAD_HEIGHT = 28.0
GAP = 8.0
MIN_WIDTH = 1.5
"""The smallest width of anything that is not empty."""


@dataclass(frozen=True, slots=True)
class FunnelLoss:
    """Inputs of a stage that went no further, for one reason."""

    status: str
    reason: str
    inputs: int


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """A stage of the funnel: its inputs, what it made of them and what was lost."""

    name: str
    reads: str
    makes: tuple[str, ...]
    """Tables."""
    inputs: int = 0
    made: int = 0
    losses: tuple[FunnelLoss, ...] = ()


@dataclass(frozen=True, slots=True)
class LossCurve:
    """A loss as it is drawn: a curve to its label."""

    loss: FunnelLoss
    path: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class StageBox:
    """A stage as it is drawn."""

    stop: FunnelStage
    top: float
    y: float
    """The baseline of its label."""
    trunk: str
    """The outline of what goes on to the next stage."""
    branches: tuple[LossCurve, ...]


@dataclass(frozen=True, slots=True)
class FunnelDrawing:
    """The picture of a funnel, in pixels."""

    width: int
    height: float
    trunk: float
    levels: tuple[StageBox, ...]


def funnel_stages(rows: Sequence[Sequence[object]], stages: Sequence[FunnelStage]) -> list[FunnelStage]:
    """Stages with their counts in the query `funnel`, whose rows are stage, status, reason, inputs, rows."""
    stops_by_name = {stop.name: stop for stop in stages}
    for stage, status, reason, inputs, _ in rows:
        name, input_count = str(stage), int(str(inputs))
        stop = stops_by_name[name]
        if status == "inputs":
            stops_by_name[name] = replace(stop, inputs=input_count)
        elif status == "made":
            stops_by_name[name] = replace(stop, made=input_count)
        else:
            stops_by_name[name] = replace(stop, losses=(*stop.losses, FunnelLoss(str(status), str(reason), input_count)))
    return list(stops_by_name.values())


def flow(stages: Sequence[FunnelStage], width: int, trunk: float) -> FunnelDrawing:
    """The picture of a funnel, `width` pixels wide with a trunk of `trunk`. Stages without inputs are left out."""
    shown_stops = [stop for stop in stages if stop.inputs]
    scales = _scales(shown_stops, trunk)
    levels: list[StageBox] = []
    y = 0.0
    for index, stop in enumerate(shown_stops):
        scale, losses = scales[stop.reads], _largest_losses(stop.losses)
        fork_y, next_y = y + HEAD_HEIGHT, y + HEAD_HEIGHT + max(GAP, LINE_HEIGHT * len(losses) + 6)
        input_width, made_width = _drawn_width(stop.inputs * scale), _drawn_width(stop.made * scale)
        next_stop = shown_stops[index + 1] if index + 1 < len(shown_stops) else None
        next_width = _drawn_width(next_stop.inputs * scales[next_stop.reads]) if next_stop else made_width
        outline = f"M0 {y:.1f}H{input_width:.1f}V{fork_y:.1f}H0Z" + _ribbon(made_width, fork_y, next_width, next_y)
        levels.append(
            StageBox(stop, y, y + HEAD_HEIGHT / 2 + 5, outline, _branches(losses, stop.made * scale, scale, fork_y, trunk))
        )
        y = next_y
    return FunnelDrawing(width, y + 2, trunk, tuple(levels))


def _scales(stages: Sequence[FunnelStage], trunk: float) -> dict[str, float]:
    """Pixels for one row of each table: a table is as wide as what its maker let through, one without a maker as the trunk."""
    max_inputs: dict[str, int] = {}
    for stop in stages:
        max_inputs[stop.reads] = max(max_inputs.get(stop.reads, 1), stop.inputs)
    widths: dict[str, float] = {}
    for stop in stages:
        own_width = widths.setdefault(stop.reads, trunk)
        for table in stop.makes:
            widths.setdefault(table, own_width * stop.made / max_inputs[stop.reads])
    return {table: widths[table] / number for table, number in max_inputs.items()}


def _largest_losses(losses: Sequence[FunnelLoss]) -> list[FunnelLoss]:
    largest, others = list(losses[:MAX_BRANCHES]), losses[MAX_BRANCHES:]
    if len(others) == 1:
        return [*largest, *others]
    return (
        [*largest, FunnelLoss("", f"{len(others)} further reasons", sum(loss.inputs for loss in others))] if others else largest
    )


def _branches(losses: Sequence[FunnelLoss], start: float, scale: float, fork_y: float, trunk: float) -> tuple[LossCurve, ...]:
    branches: list[LossCurve] = []
    left_x, x = start, trunk + 24
    for index, loss in enumerate(losses):
        width, y = _drawn_width(loss.inputs * scale), fork_y + LINE_HEIGHT * index + 8
        branches.append(LossCurve(loss, _curve(left_x, width, fork_y, x, y, min(width, LINE_HEIGHT - 7)), x + 6, y + 4))
        left_x += loss.inputs * scale
    return tuple(branches)


def _ribbon(top_width: float, top: float, bottom_width: float, bottom: float) -> str:
    middle_y = (top + bottom) / 2
    right_edge = f"C{top_width:.1f} {middle_y:.1f} {bottom_width:.1f} {middle_y:.1f} {bottom_width:.1f} {bottom:.1f}"
    return f"M0 {top:.1f}H{top_width:.1f}{right_edge}H0Z"


def _curve(left_x: float, start_width: float, top: float, x: float, y: float, end_width: float) -> str:
    """The outline of a branch: from the fork to the right, where its label stands."""
    upper_y, lower_y, right_x = y - end_width / 2, y + end_width / 2, left_x + start_width
    bend_x = (right_x + x) / 2
    upper_edge = f"M{right_x:.1f} {top:.1f}C{right_x:.1f} {upper_y:.1f} {bend_x:.1f} {upper_y:.1f} {x:.1f} {upper_y:.1f}"
    return f"{upper_edge}V{lower_y:.1f}C{bend_x:.1f} {lower_y:.1f} {left_x:.1f} {lower_y:.1f} {left_x:.1f} {top:.1f}Z"


def _drawn_width(pixels: float) -> float:
    return max(MIN_WIDTH, pixels) if pixels > 0 else 0.0
