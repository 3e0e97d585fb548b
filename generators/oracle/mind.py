"""What the oracle makes of what it has seen: it knows only what the frames tell, and guesses among what they leave open."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random
from string import ascii_uppercase

from dmforge.generators.oracle.eyes import Seen
from dmforge.generators.oracle.request import Asked
from dmforge.generators.worlds.questions import DENSITIES, GENERAL, Question
from dmforge.generators.worlds.script import COLOURS, DIRECTIONS, FPS, MAX_DOTS
from dmforge.schemas.frames import plan_look
from dmforge.schemas.looks import Look, Window, print_density, print_span
from dmforge.schemas.replies import AnswerReply, GivenReply, LookReply

KNOWN = {text: answer for text, answer, _ in GENERAL}
OFFERED = DENSITIES[:-1]
MARGIN_CS = 100
"""A window is found by what is seen before and after it: so much more is looked at, and must be seen."""


def known_question(asked: Asked, seen: Seen | None) -> Question | None:
    """The question, if it is one about the world that was recognised."""
    return next((question for question in seen.questions if question.text == asked.question), None) if seen else None


def choose_look(asked: Asked, seen: Seen | None, draw: Random) -> LookReply:
    """Where to look closer, and how densely."""
    question = known_question(asked, seen)
    if seen is None or question is None or not _has_seen(question, seen):
        return _reply(
            "It is hard to tell from these frames where this happens. I will look at one part of it.", _any_look(draw)
        )
    times = [seen.stamps[frame] for frame in sorted(_inside(question.look, seen))]
    where = f"What is asked about can be seen from {_said(times[0])} until {_said(times[-1])}."
    if question.kind == "grounding":
        look = Look(_padded(question.look, seen.script.duration_cs), Fraction(2))
        return _reply(f"{where} A look at the time around it will show when it begins and when it ends.", look)
    fps = next((fps for fps in OFFERED if _would_tell(question, seen, Look(question.look, fps))), OFFERED[-1])
    why = "What matters lasts a moment only" if fps > 2 else "Nothing there is quick"
    look = Look(question.look, fps)
    return _reply(f"{where} {why}, so {print_density(fps)} frames per second should be enough to settle it.", look)


def choose_given(asked: Asked, seen: Seen | None, draw: Random) -> GivenReply:
    """How one comes to look at a window that was given, and how densely."""
    own = choose_look(asked, seen, draw)
    inside = [] if seen is None or asked.given is None else sorted(_inside(asked.given, seen))
    if seen is None or not inside:
        return GivenReply(thought="It is hard to tell from these frames where this happens.", fps=own.fps)
    thought = f"Something changes after {_said(seen.stamps[inside[0]])}: it is worth a closer look."
    return GivenReply(thought=thought, fps=own.fps)


def choose_answer(asked: Asked, seen: Seen | None, draw: Random) -> AnswerReply:
    """The answer, and what it stands on."""
    if asked.question in KNOWN:
        return AnswerReply(thought="This can be said without looking.", answer=_as_option(KNOWN[asked.question], asked.options))
    question = known_question(asked, seen)
    if seen is None or question is None or not any(_inside(window, seen) for window in question.windows):
        return AnswerReply(thought="These frames do not show it. I have to guess.", answer=_any_answer(asked, draw))
    if question.kind == "grounding":
        return _when(question, seen)
    left = {question.answer, *(answer for answer, rival in question.rivals if not seen.told(rival))}
    answer = draw.choice(sorted(left))
    if len(left) > 1:
        thought = "These frames leave more than one answer open. I have to guess."
    else:
        times = [seen.stamps[frame] for frame in sorted(seen.frames)]
        thought = f"From {_said(times[0])} until {_said(times[-1])} the frames show it clearly enough: {answer}."
    return AnswerReply(thought=thought, answer=_as_option(answer, asked.options))


def _when(question: Question, seen: Seen) -> AnswerReply:
    window = question.windows[0]
    inside = sorted(_inside(window, seen))
    before = _inside(Window(max(0, window.start_cs - MARGIN_CS), window.start_cs), seen)
    after = _inside(Window(window.end_cs, window.end_cs + MARGIN_CS), seen)
    if not (before and after):  # an edge was not shown: all that is known is what was seen
        window = Window(inside[0] * 100 // FPS, (inside[-1] + 1) * 100 // FPS)
    first, last = _said(seen.stamps[inside[0]]), _said(seen.stamps[inside[-1]])
    return AnswerReply(
        thought=f"It is there at {first}, and still at {last}, not before and not after.", answer=print_span(window)
    )


def _has_seen(question: Question, seen: Seen) -> bool:
    windows = question.windows if question.needs == "all" else question.windows[:1]
    return bool(windows) and all(_inside(window, seen) for window in windows)


def _inside(window: Window, seen: Seen) -> frozenset[int]:
    return frozenset(frame for frame in seen.frames if window.start_cs * FPS <= 100 * frame < window.end_cs * FPS)


def _would_tell(question: Question, seen: Seen, look: Look) -> bool:
    return question.told_by(seen.script, frozenset(plan_look(look, seen.script.duration_s).indices))


def _padded(window: Window, duration_cs: int) -> Window:
    return Window(max(0, window.start_cs - MARGIN_CS), min(duration_cs, window.end_cs + MARGIN_CS))


def _any_window(draw: Random) -> Window:
    start_cs = draw.randrange(0, 900, 100)
    return Window(start_cs, start_cs + draw.randrange(200, 400, 100))


def _any_look(draw: Random) -> Look:
    return Look(_any_window(draw), draw.choice(OFFERED))


def _any_answer(asked: Asked, draw: Random) -> str:
    """A guess in the form that the question asks for."""
    if asked.options:
        return draw.choice(ascii_uppercase[: len(asked.options)])
    if asked.question.startswith("When"):
        return print_span(_any_window(draw))
    if asked.question.startswith("How many"):
        return str(draw.randint(0, MAX_DOTS))
    return draw.choice(tuple(DIRECTIONS) if "way" in asked.question else tuple(COLOURS))


def _as_option(answer: str, options: tuple[str, ...]) -> str:
    return ascii_uppercase[options.index(answer)] if answer in options else answer


def _said(stamp: str) -> str:
    """`<4.3 seconds>` as it is cited."""
    return stamp.strip("<>")


def _reply(thought: str, look: Look) -> LookReply:
    window, fps = look.window, Decimal(look.fps.numerator) / look.fps.denominator
    return LookReply(thought=thought, start_s=Decimal(window.start_cs) / 100, end_s=Decimal(window.end_cs) / 100, fps=fps)
