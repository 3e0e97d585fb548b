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
    stage_by_name = {funnel_stage.name: funnel_stage for funnel_stage in stages}
    for stage_cell, status, outcome_reason, inputs_cell, _ in rows:
        stage_name, input_count = str(stage_cell), int(str(inputs_cell))
        funnel_stage = stage_by_name[stage_name]
        if status == "inputs":
            stage_by_name[stage_name] = replace(funnel_stage, inputs=input_count)
        elif status == "made":
            stage_by_name[stage_name] = replace(funnel_stage, made=input_count)
        else:
            stage_by_name[stage_name] = replace(
                funnel_stage, losses=(*funnel_stage.losses, FunnelLoss(str(status), str(outcome_reason), input_count))
            )
    return list(stage_by_name.values())


def flow(stages: Sequence[FunnelStage], width_px: int, trunk_px: float) -> FunnelDrawing:
    """The picture of a funnel, `width_px` pixels wide with a trunk of `trunk_px`. Stages without inputs are left out."""
    shown_stages = [funnel_stage for funnel_stage in stages if funnel_stage.inputs]
    scale_by_table = _scales(shown_stages, trunk_px)
    stage_boxes: list[StageBox] = []
    top_y = 0.0
    for stage_index, funnel_stage in enumerate(shown_stages):
        pixels_per_row, drawn_losses = scale_by_table[funnel_stage.reads], _largest_losses(funnel_stage.losses)
        fork_y, next_y = top_y + HEAD_HEIGHT, top_y + HEAD_HEIGHT + max(GAP, LINE_HEIGHT * len(drawn_losses) + 6)
        input_width, made_width = (
            _drawn_width(funnel_stage.inputs * pixels_per_row),
            _drawn_width(funnel_stage.made * pixels_per_row),
        )
        next_stop = shown_stages[stage_index + 1] if stage_index + 1 < len(shown_stages) else None
        next_width = _drawn_width(next_stop.inputs * scale_by_table[next_stop.reads]) if next_stop else made_width
        outline = f"M0 {top_y:.1f}H{input_width:.1f}V{fork_y:.1f}H0Z" + _ribbon(made_width, fork_y, next_width, next_y)
        stage_boxes.append(
            StageBox(
                funnel_stage,
                top_y,
                top_y + HEAD_HEIGHT / 2 + 5,
                outline,
                _branches(drawn_losses, funnel_stage.made * pixels_per_row, pixels_per_row, fork_y, trunk_px),
            )
        )
        top_y = next_y
    return FunnelDrawing(width_px, top_y + 2, trunk_px, tuple(stage_boxes))


def _scales(stages: Sequence[FunnelStage], trunk_px: float) -> dict[str, float]:
    """Pixels for one row of each table: a table is as wide as what its maker let through, one without a maker as the trunk."""
    max_inputs: dict[str, int] = {}
    for funnel_stage in stages:
        max_inputs[funnel_stage.reads] = max(max_inputs.get(funnel_stage.reads, 1), funnel_stage.inputs)
    width_by_table: dict[str, float] = {}
    for funnel_stage in stages:
        table_width = width_by_table.setdefault(funnel_stage.reads, trunk_px)
        for made_table in funnel_stage.makes:
            width_by_table.setdefault(made_table, table_width * funnel_stage.made / max_inputs[funnel_stage.reads])
    return {table_name: width_by_table[table_name] / input_count for table_name, input_count in max_inputs.items()}


def _largest_losses(losses: Sequence[FunnelLoss]) -> list[FunnelLoss]:
    largest_losses, other_losses = list(losses[:MAX_BRANCHES]), losses[MAX_BRANCHES:]
    if len(other_losses) == 1:
        return [*largest_losses, *other_losses]
    return (
        [*largest_losses, FunnelLoss("", f"{len(other_losses)} further reasons", sum(loss.inputs for loss in other_losses))]
        if other_losses
        else largest_losses
    )


def _branches(
    losses: Sequence[FunnelLoss], start_x: float, pixels_per_row: float, fork_y: float, trunk_px: float
) -> tuple[LossCurve, ...]:
    branches: list[LossCurve] = []
    fork_x, label_x = start_x, trunk_px + 24
    for loss_index, loss in enumerate(losses):
        loss_width, label_y = _drawn_width(loss.inputs * pixels_per_row), fork_y + LINE_HEIGHT * loss_index + 8
        branches.append(
            LossCurve(
                loss,
                _curve(fork_x, loss_width, fork_y, label_x, label_y, min(loss_width, LINE_HEIGHT - 7)),
                label_x + 6,
                label_y + 4,
            )
        )
        fork_x += loss.inputs * pixels_per_row
    return tuple(branches)


def _ribbon(top_width: float, top_y: float, bottom_width: float, bottom_y: float) -> str:
    middle_y = (top_y + bottom_y) / 2
    right_edge = f"C{top_width:.1f} {middle_y:.1f} {bottom_width:.1f} {middle_y:.1f} {bottom_width:.1f} {bottom_y:.1f}"
    return f"M0 {top_y:.1f}H{top_width:.1f}{right_edge}H0Z"


def _curve(fork_x: float, start_width: float, top_y: float, label_x: float, label_y: float, end_width: float) -> str:
    """The outline of a branch: from the fork to the right, where its label stands."""
    upper_y, lower_y, end_x = label_y - end_width / 2, label_y + end_width / 2, fork_x + start_width
    bend_x = (end_x + label_x) / 2
    upper_edge = f"M{end_x:.1f} {top_y:.1f}C{end_x:.1f} {upper_y:.1f} {bend_x:.1f} {upper_y:.1f} {label_x:.1f} {upper_y:.1f}"
    return f"{upper_edge}V{lower_y:.1f}C{bend_x:.1f} {lower_y:.1f} {fork_x:.1f} {lower_y:.1f} {fork_x:.1f} {top_y:.1f}Z"


def _drawn_width(pixels: float) -> float:
    return max(MIN_WIDTH, pixels) if pixels > 0 else 0.0
