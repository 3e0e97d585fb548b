"""A teacher of worlds with two places that looks as people do: too wide, too sparsely, once too often or not often enough.

What it says is right all the same. So a student learns its habits and nothing wrong, and exact rewards can mend them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from dmforge.generators.synthetic.lessons.thoughts import WorldThoughts
from dmforge.generators.synthetic.lessons.two_place_thoughts import thoughts_at
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import Script, Visit
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window

WIDEST_S = 2
"""A window begins up to so many seconds too early, and ends up to so many too late."""
SPARSE, WRONG_NUMBER = 0.5, 0.4
"""Shares of looks at half the density, and of tasks that it looks at once too often, or not often enough. Were it half of
them, nothing would say which questions need how many."""


def biased_thoughts(script: Script, question: WorldQuestion, clips: Clips) -> WorldThoughts:
    """What such a teacher thinks about a question."""
    rng = Random(f"biased {script.seed} {question.text}")
    stays = [stay for stay in script.visits[:2] if stay.window in question.windows] if question.places else []
    if rng.random() < WRONG_NUMBER:  # one of two is left out, or one comes to one or none
        stays = [rng.choice(stays)] if len(stays) == 2 else sorted({*stays, _other(script, stays, rng)}, key=_start)
    exact = thoughts_at(stays, script, question, clips)
    return replace(exact, looks=tuple(_spoilt(look, script, rng) for look in exact.looks))


def _other(script: Script, stays: Sequence[Visit], rng: Random) -> Visit:
    """A stay that is not looked at yet."""
    return rng.choice([stay for stay in script.visits[:2] if stay not in stays])


def _start(stay: Visit) -> int:
    return stay.window.start_cs


def _spoilt(look: Look, script: Script, rng: Random) -> Look:
    before_cs, after_cs = (100 * rng.randint(0, WIDEST_S) for _ in range(2))
    window = Window(max(0, look.window.start_cs - before_cs), min(script.duration_cs, look.window.end_cs + after_cs))
    return Look(window, look.fps / 2 if rng.random() < SPARSE else look.fps)
