"""Planters of defects in further looks: each puts one named fault into a step that looks again, or that should answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from random import Random

from dmforge.generators.synthetic.oracle.planted_defects import DefectContext, insert_text, window_length_cs, window_off_gold
from dmforge.generators.synthetic.oracle.several_places import further
from dmforge.schemas.looks import Look, Window, print_seconds
from dmforge.schemas.replies import FurtherLook, StepReply
from dmforge.schemas.window_gaps import gaps_between

StepPlanter = Callable[[StepReply, DefectContext, Random], StepReply | None]
UNSHOWN_CS = 150
"""A cited time so far from every window that was shown is no matter of rounding, nor of half a patch."""


def _at(look: FurtherLook, window: Window) -> FurtherLook:
    start_s, end_s = (Decimal(print_seconds(time_cs)) for time_cs in (window.start_cs, window.end_cs))
    return look.model_copy(update={"start_s": start_s, "end_s": end_s})


def _wrong_second_window(reply: StepReply, situation: DefectContext, rng: Random) -> StepReply | None:
    window = reply.looks[0].window() if reply.looks else None
    if window is None or not situation.windows:
        return None
    taken_windows = (*situation.windows, *situation.shown_windows)
    wrong_window = window_off_gold(taken_windows, situation.duration_cs, window_length_cs(window), rng)
    return None if wrong_window is None else reply.model_copy(update={"looks": (_at(reply.looks[0], wrong_window),)})


def _overlapping_look(reply: StepReply, situation: DefectContext, rng: Random) -> StepReply | None:
    """Look at what was shown already, no more densely."""
    if not reply.looks or not situation.shown_windows:
        return None
    sparse_look = reply.looks[0].model_copy(update={"fps": min(reply.looks[0].fps, Decimal(1))})
    return reply.model_copy(update={"looks": (_at(sparse_look, situation.shown_windows[-1]),)})


def _idle_look(reply: StepReply, situation: DefectContext, rng: Random) -> StepReply | None:
    """Look where nothing of the question is, although it could be answered."""
    if reply.looks or not situation.windows or len(situation.shown_windows) < len(situation.windows):
        return None
    taken_windows = (*situation.windows, *situation.shown_windows)
    idle_window = window_off_gold(taken_windows, situation.duration_cs, 200, rng)
    if idle_window is None:
        return None
    return StepReply(thought=reply.thought, looks=(further(Look(idle_window, Fraction(2))),), answer="")


def _cited_before_shown(reply: StepReply, situation: DefectContext, rng: Random) -> StepReply | None:
    """Say what is to be seen where it is only about to look."""
    window = reply.looks[0].window() if reply.looks else None
    if window is None:
        return None
    near_windows = [
        Window(max(0, shown_window.start_cs - UNSHOWN_CS), shown_window.end_cs + UNSHOWN_CS)
        for shown_window in situation.shown_windows
    ]
    unshown_windows = gaps_between(near_windows, window.start_cs, min(window.end_cs, situation.duration_cs))
    if not unshown_windows:
        return None
    cited_window = rng.choice(unshown_windows)
    time_text = print_seconds(rng.randrange(cited_window.start_cs, cited_window.end_cs))
    sentence = f"The frame at {time_text} seconds shows it as well."
    return reply.model_copy(update={"thought": insert_text(sentence, reply.thought, rng)})


def _answered_from_first(reply: StepReply, situation: DefectContext, rng: Random) -> StepReply | None:
    """Give the right answer, although a place that it needs was not looked at."""
    if not reply.looks:
        return None
    return StepReply(thought=reply.thought, looks=(), answer=situation.answer)


STEP_DEFECTS: dict[str, StepPlanter] = {
    "wrong_second_window": _wrong_second_window,
    "overlapping_look": _overlapping_look,
    "idle_look": _idle_look,
    "cited_before_shown": _cited_before_shown,
    "answered_from_first": _answered_from_first,
}
