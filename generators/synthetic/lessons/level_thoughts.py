"""What a faultless teacher thinks about a study world: which shape is where, where the one asked for is, what colour it turns.

Shapes, not colours, are named patch by patch, since a flicker changes the colour. To name everything that is there, and only
then to take the one that is asked for, is what keeps a student from looking at the other object.

    nothing 0.5. triangle 2.5. triangle 4.5. nothing 6.5. square 8.5. square 10.5. So square 8.5 until 10.5. It is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from dmforge.generators.synthetic.lessons.thoughts import (
    LOOK_FPS,
    NOTHING,
    WorldThoughts,
    is_there,
    overview_plan,
    patches_of,
    plan_of,
    stamp_of_first,
    written_time,
)
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import FPS, Script, Visit
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look


def level_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """The thoughts that lead to an answer: a look at the object that is asked for, as sparse as shows its flicker."""
    look = Look(question.look, question.lowest_fps(script) or LOOK_FPS)
    stay = next(visit for visit in script.visits if visit.window == question.look)
    patches = patches_of(overview_plan(script.duration_s, clips))
    stamps_inside = [stamp_s for stamp_s, times_s in patches if any(is_there(stay, time_s) for time_s in times_s)]
    where = (
        f" So {stay.shape} {written_time(stamps_inside[0])} until {written_time(stamps_inside[-1])}." if stamps_inside else ""
    )
    pace = " It is quick." if look.fps > 2 else " It is not quick."
    seen = flicker_seen(stay, plan_of(look, script.duration_s, clips))
    overview = "".join(patch_seen(script, *patch) for patch in patches)
    return WorldThoughts(overview, where + pace, (look,), (seen,), "", question.answer)


def patch_seen(script: Script, stamp_s: Fraction, times_s: Sequence[Fraction]) -> str:
    """The shapes that a patch of the overview shows."""
    shapes = dict.fromkeys(visit.shape for time_s in times_s for visit in script.visits if is_there(visit, time_s))
    return f" {' and '.join(shapes) or NOTHING} {written_time(stamp_s)}."


def flicker_seen(stay: Visit, plan: FramePlan) -> str:
    """The flicker of a stay, as a look shows it; empty where it doesn't."""
    flicker = stay.deed.flickers
    if flicker is None:
        return ""
    flicker_frames = [stay.first + age for age in range(stay.frames) if flicker.first <= age % FPS < flicker.stop]
    stamp_s = stamp_of_first(plan, flicker_frames)
    return f"It turns {flicker.colour} at {written_time(stamp_s)}." if stamp_s is not None else ""
