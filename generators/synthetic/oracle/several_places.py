"""Chooses the oracle's replies where it may look several times: a look at each place that a question needs, then the answer."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

from dmforge.generators.synthetic.oracle.answering import NONE, choose_answer, choose_look, cited, frames_inside, known_question
from dmforge.generators.synthetic.oracle.habits import Habits
from dmforge.generators.synthetic.oracle.oracle_request import OracleRequest
from dmforge.generators.synthetic.oracle.planted_defects import window_length_cs
from dmforge.generators.synthetic.oracle.recognition import SeenFrames
from dmforge.generators.synthetic.worlds.exact_question import DENSITIES, WorldQuestion
from dmforge.schemas.frames import plan_look
from dmforge.schemas.looks import Look, Window, print_density
from dmforge.schemas.replies import FinalReply, FirstReply, FurtherLook, StepReply
from dmforge.schemas.scoring import overlap_cs

OFFERED = DENSITIES[:-1]
COVERED = Fraction(9, 10)
"""A place of which looks have shown so much needs no further look."""


def choose_first(request: OracleRequest, view: SeenFrames | None, rng: Random, habits: Habits = NONE) -> FirstReply:
    """Reply with the first look: at the only place, or at the first of those that the question needs together."""
    places = _places(request, view)
    if view is None or len(places) < 2 or not all(frames_inside(place, view) for place in places):
        reply = choose_look(request, view, rng, habits)
        return FirstReply(thought=reply.thought, start_s=reply.start_s, end_s=reply.end_s, fps=reply.fps)
    times = " and again ".join(_seen_from_until(place, view) for place in places)
    look = habits.of(Look(places[0], _enough_fps(known_question(request, view), view, places)), view.script.duration_cs, rng)
    thought = f"It is seen {times}. I will look at each of these times, at {print_density(look.fps)} frames per second."
    further_look = further(look)
    return FirstReply(thought=thought, start_s=further_look.start_s, end_s=further_look.end_s, fps=further_look.fps)


def choose_step(request: OracleRequest, view: SeenFrames | None, rng: Random, habits: Habits = NONE) -> StepReply:
    """Reply with the next look, where the looks so far don't settle it and a place that it needs was not looked at; else with
    the answer."""
    places = _places(request, view)
    unseen_places = [
        place for place in places if overlap_cs((place,), request.shown_windows) < COVERED * window_length_cs(place)
    ]
    if view is None or len(places) < 2 or not unseen_places or _is_settled(request, view):
        reply = choose_answer_of_several(request, view, rng)
        return StepReply(thought=reply.thought, looks=(), answer=reply.answer)
    fps = _enough_fps(known_question(request, view), view, places)
    look = habits.of(Look(unseen_places[0], fps), view.script.duration_cs, rng)
    useful_windows = _useful_windows(request, view)
    seen = f"It is seen {_seen_from_until(useful_windows[-1], view)}. " if useful_windows else ""
    thought = f"{seen}That is not all of it: the other time has to be looked at, too."
    return StepReply(thought=thought, looks=(further(look),), answer="")


def choose_answer_of_several(request: OracleRequest, view: SeenFrames | None, rng: Random) -> FinalReply:
    """Reply with the answer. It cites the latest look that shows something of what is asked about."""
    reply = choose_answer(request, view, rng)
    useful_windows = _useful_windows(request, view)
    if view is None or len(request.shown_windows) < 2 or not useful_windows or "show it" not in reply.thought:
        return FinalReply(thought=reply.thought, answer=reply.answer)
    thought = f"Here it is seen {_seen_from_until(useful_windows[-1], view)}. With what was seen before, that settles it."
    return FinalReply(thought=thought, answer=reply.answer)


def further(look: Look) -> FurtherLook:
    """A look as a reply asks for it."""
    start_s, end_s = (Decimal(time_cs) / 100 for time_cs in (look.window.start_cs, look.window.end_cs))
    return FurtherLook(start_s=start_s, end_s=end_s, fps=Decimal(look.fps.numerator) / look.fps.denominator)


def _places(request: OracleRequest, view: SeenFrames | None) -> tuple[Window, ...]:
    """The places that a question needs together; of one that any place answers, the first."""
    question = known_question(request, view)
    if question is None or not question.windows:
        return ()
    return question.windows if question.needs == "all" else question.windows[:1]


def _is_settled(request: OracleRequest, view: SeenFrames) -> bool:
    """The looks alone show the answer."""
    question, looks = known_question(request, view), [look for look in request.clips if look is not None]
    look_frames = frozenset(index for look in looks for index in plan_look(look, view.script.duration_s).indices)
    return question is not None and question.told_by(view.script, look_frames & view.frames)


def _useful_windows(request: OracleRequest, view: SeenFrames | None) -> list[Window]:
    """The windows of looks that show something of what is asked about."""
    question = known_question(request, view)
    if view is None or question is None:
        return []
    return [
        shown_window
        for shown_window in request.shown_windows
        if overlap_cs((shown_window,), question.windows) and frames_inside(shown_window, view)
    ]


def _enough_fps(question: WorldQuestion | None, view: SeenFrames, places: tuple[Window, ...]) -> Fraction:
    """The lowest density at which looks at all places settle the question."""
    if question is None:
        return OFFERED[-1]
    for fps in OFFERED:
        plans = [plan_look(Look(place, fps), view.script.duration_s) for place in places]
        if question.told_by(view.script, frozenset(index for plan in plans for index in plan.indices)):
            return fps
    return OFFERED[-1]


def _seen_from_until(place: Window, view: SeenFrames) -> str:
    inside_stamps = [view.stamps[frame_index] for frame_index in sorted(frames_inside(place, view))]
    return f"from {cited(inside_stamps[0])} until {cited(inside_stamps[-1])}"
