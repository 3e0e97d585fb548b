"""What a faultless teacher thinks about a world with two places: where the object is, what each look shows, what follows.

The first thought goes through the overview, patch by patch: the object is there in both of its frames, in the first, in the
second, in none. A student that has to write bounds straight away must find them in one step; one that says first what it sees
only has to read its own words.

    0.5 no. 2.5 no. 4.5 second. 6.5 both. 8.5 no. ... So 5 until 8, 16 until 18. ... A blue, A=5.6. ... B red, B=16.4. A blue
    B red no.

What is compared stands side by side, and the verdict right behind it: so three layers learn to compare in a few minutes. What a
look has shown has a letter, behind which it is said again: so they learn to find it again however many frames lie between.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from dmforge.generators.synthetic.lessons.thoughts import (
    LOOK_FPS,
    WorldThoughts,
    is_there,
    overview_plan,
    patches_of,
    plan_of,
    stamp_of_first,
    written_time,
)
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import Script, Visit
from dmforge.generators.synthetic.worlds.two_place_questions import asked_colour_of
from dmforge.generators.synthetic.worlds.two_places import FLASH_FRAMES, flash_frame, place_kind
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look

LETTERS = ("A", "B")
"""What looks have shown, in order."""
WHERE = {(True, True): "both", (True, False): "first", (False, True): "second", (False, False): "no"}
"""In which of a patch's two frames the object is there."""


def two_place_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """The thoughts that lead to an answer: a look at each place that the question needs, as sparse as shows a flash."""
    stays = [stay for stay in script.visits[:2] if stay.window in question.windows] if question.places else []
    return thoughts_at(stays, script, question, clips)


def thoughts_at(stays: Sequence[Visit], script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """The thoughts of who looks at these stays, whatever the question needs."""
    if not stays:
        return WorldThoughts(f" {script.visits[0].name}.", "", (), (), "", question.answer)
    looks = tuple(Look(stay.window, LOOK_FPS) for stay in stays)
    plans = [plan_of(look, script.duration_s, clips) for look in looks]
    seen = tuple(flash_seen(stay, plan, letter) for stay, plan, letter in zip(stays, plans, LETTERS, strict=False))
    conclusion = conclusion_of(script, question, plans) if question.places == len(stays) == 2 else ""
    return WorldThoughts(overview_of(script, clips), where_of(script), looks, seen, conclusion, question.answer)


def overview_of(script: Script, clips: Clips) -> str:
    """What each patch of the overview shows, in order."""
    return "".join(patch_seen(script, *patch) for patch in patches_of(overview_plan(script.duration_s, clips)))


def where_of(script: Script) -> str:
    """Between which seconds both stays are."""
    bounds_s = [(stay.window.start_cs // 100, -(-stay.window.end_cs // 100)) for stay in script.visits[:2]]
    return f" So {', '.join(f'{start_s} until {end_s}' for start_s, end_s in bounds_s)}."


def patch_seen(script: Script, stamp_s: Fraction, times_s: Sequence[Fraction]) -> str:
    """Where in a patch of the overview the object is."""
    in_frames = [any(is_there(stay, time_s) for stay in script.visits[:2]) for time_s in times_s]
    return f" {written_time(stamp_s)} {WHERE[in_frames[0], in_frames[-1]]}."


def flash_seen(stay: Visit, plan: FramePlan, letter: str = LETTERS[0]) -> str:
    """The flash of a stay, as a look shows it; empty where it doesn't."""
    stamp_s = flash_stamp(stay, plan)
    colour = stay.deed.flashes[0].colour
    return f" {letter} {colour}, {letter}={written_time(stamp_s)}." if stamp_s is not None else ""


def flash_stamp(stay: Visit, plan: FramePlan) -> Fraction | None:
    """The stamp of the first patch that shows the flash of a stay."""
    return stamp_of_first(plan, range(flash_frame(stay), flash_frame(stay) + FLASH_FRAMES))


def conclusion_of(script: Script, question: WorldQuestion, plans: Sequence[FramePlan]) -> str:
    """What follows from both flashes; `plans` are those of the looks that show them."""
    stays = script.visits[:2]
    colours = first_colour, second_colour = tuple(stay.deed.flashes[0].colour for stay in stays)
    match place_kind(script):
        case "order":
            return f" A {first_colour}, B {second_colour}."
        case "same":
            return f" A {first_colour} B {second_colour} {_verdict(first_colour, second_colour)}."
        case "seconds":
            first_second, second_second = (int(flash_stamp(*pair) or 0) for pair in zip(stays, plans, strict=True))
            return f" A={first_second}, B={second_second}: {question.answer}."
        case "which":
            asked_colour = asked_colour_of(question.text)
            verdicts = [
                f" {letter} {colour} {asked_colour} {_verdict(colour, asked_colour)}."
                for letter, colour in zip(LETTERS, colours, strict=True)
            ]
            return "".join(verdicts)


def _verdict(colour: str, other_colour: str) -> str:
    return "yes" if colour == other_colour else "no"
