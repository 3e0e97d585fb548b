"""The best single look at a world with two places, for a student that may look once: found by trying all of them.

Of looks with bounds on whole seconds, at every density, it is the one after which an answer is most likely right, for who has
seen the overview: where in a stay the flash is, that doesn't show. Of equal ones it is the one of the fewest frames, then the
shortest. With all frames that two looks would have, it may reach over both places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from dmforge.generators.synthetic.lessons.thoughts import WorldThoughts, plan_of
from dmforge.generators.synthetic.lessons.two_place_thoughts import (
    LETTERS,
    conclusion_of,
    flash_seen,
    overview_of,
    two_place_thoughts,
    where_of,
)
from dmforge.generators.synthetic.worlds.exact_question import DENSITIES, WorldQuestion
from dmforge.generators.synthetic.worlds.script import COLOURS, Script, Visit
from dmforge.generators.synthetic.worlds.two_places import FLASH_FRAMES, hidden_flashes, place_kind
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window


def single_look_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """The thoughts of who may look once. Where a second look is needed, the answer is right, but nothing shows all of it."""
    if question.places != 2:
        return two_place_thoughts(script, question, clips)
    look = best_look(script, clips)
    plan = plan_of(look, script.duration_s, clips)
    letters = iter(LETTERS)
    flashes_seen = [flash_seen(stay, plan, next(letters)) for stay in script.visits[:2] if flash_seen(stay, plan)]
    conclusion = conclusion_of(script, question, [plan, plan]) if len(flashes_seen) == 2 else ""
    return WorldThoughts(
        overview_of(script, clips), where_of(script), (look,), ("".join(flashes_seen),), conclusion, question.answer
    )


def best_look(script: Script, clips: Clips) -> Look:
    """The look after which an answer is most likely right, for who knows both stays and not where in them the flashes are."""
    chance_by_shown = _chances(script)

    def badness(look: Look) -> tuple[float, float, int, int]:
        shown_frames = plan_of(look, script.duration_s, clips).indices
        first_shown, second_shown = (_chance_of_flash(stay, script, shown_frames) for stay in script.visits[:2])
        likelihood_by_shown = (
            (1 - first_shown) * (1 - second_shown),
            first_shown * (1 - second_shown) + (1 - first_shown) * second_shown,
            first_shown * second_shown,
        )
        expected = sum(likelihood * chance for likelihood, chance in zip(likelihood_by_shown, chance_by_shown, strict=True))
        shown_flashes = first_shown + second_shown  # where one is as good as none, as in "the same?", it looks all the same
        return -round(expected, 9), -round(shown_flashes, 9), len(shown_frames), look.window.end_cs - look.window.start_cs

    return min(_looks(script, clips), key=badness)


def _chances(script: Script) -> tuple[float, float, float]:
    """How likely a guess is right after none, one or both flashes were seen."""
    seconds = [len(hidden_flashes(stay.window, script.duration_s)) for stay in script.visits[:2]]
    colours = len(COLOURS) - 1
    match place_kind(script):
        case "order":
            return 1 / colours**2, 1 / colours, 1.0
        case "same":
            return 1 / 2, 1 / 2, 1.0
        case "which":
            return 1 / 4, 1 / 2, 1.0
        case "seconds":
            return 1 / max(seconds), 1 / min(seconds), 1.0


def _chance_of_flash(stay: Visit, script: Script, shown_frames: Sequence[int]) -> float:
    """How likely frames show the flash of a stay: first its second is drawn, then its frame."""
    frames = frozenset(shown_frames)
    by_second = [
        sum(not frames.isdisjoint(range(first, first + FLASH_FRAMES)) for first in first_frames) / len(first_frames)
        for first_frames in hidden_flashes(stay.window, script.duration_s).values()
    ]
    return sum(by_second) / len(by_second)


def _looks(script: Script, clips: Clips) -> Iterator[Look]:
    """All looks whose frames can be paid for."""
    seconds = range(int(script.duration_s) + 1)
    for fps in DENSITIES:
        longest_s = Fraction(clips.look_frames) / fps
        for start_s in seconds:
            for end_s in seconds[start_s + 1 :]:
                if end_s - start_s <= longest_s:
                    yield Look(Window(100 * start_s, 100 * end_s), fps)
