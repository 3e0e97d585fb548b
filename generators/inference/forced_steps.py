"""Looks that are forced on a policy which still thinks for itself: where it would look, or end its thought, it looks as told.

So its thoughts are its own, behind every clip, and only where it looks is not. When all has been shown it must answer: a policy
that would look once more has its thought ended. So has one that looks where it likes, but is held to fewer looks than it wants.
"""

from __future__ import annotations

from dmforge.schemas.grammar import written_look
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.tags import CLOSE, OPEN

Step = Look | Window
"""A look that is forced whole; or its window alone, behind which the policy writes a density of its own."""
MUST_ANSWER = f"{CLOSE['think']}{OPEN['answer']}"
STRAIGHT_TO_THE_ANSWER = f"{OPEN['think']}{MUST_ANSWER}"
"""What is written in place of the look for a student that is not to look."""
BEFORE_A_STEP = (OPEN["span"], CLOSE["think"])
BEFORE_THE_ANSWER = (OPEN["span"],)


def written_step(step: Step) -> str:
    """What the runtime writes for the policy."""
    return written_look(step) if isinstance(step, Look) else f"{OPEN['span']}{print_span(step)}{CLOSE['span']}"
