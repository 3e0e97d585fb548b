"""What the oracle makes of what it has seen: it knows only what the frames tell, and guesses among what they leave open."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random
from string import ascii_uppercase

from dmforge.generators.oracle.asking import Understood, understood, write
from dmforge.generators.oracle.defects import UNSAFE
from dmforge.generators.oracle.eyes import Seen
from dmforge.generators.oracle.habits import Habits
from dmforge.generators.oracle.request import Asked
from dmforge.generators.oracle.stories import Story, read_story, seen_in
from dmforge.generators.worlds.questions import DENSITIES, GENERAL, Question
from dmforge.generators.worlds.script import COLOURS, DIRECTIONS, FPS, MAX_DOTS
from dmforge.schemas.frames import plan_look
from dmforge.schemas.looks import Look, Window, print_density, print_span
from dmforge.schemas.replies import (
    AnswerReply,
    DescribeReply,
    GivenReply,
    GuessReply,
    Happening,
    LookReply,
    PresentReply,
    SafetyReply,
    WriteReply,
)

KNOWN = {text: answer for text, answer, _ in GENERAL}
OFFERED = DENSITIES[:-1]
NONE = Habits()
MARGIN_CS = 100
"""A window is found by what is seen before and after it: so much more is looked at, and must be seen."""


def known_question(asked: Asked, seen: Seen | None) -> Question | None:
    """The question, if it is one about the world that was recognised."""
    return next((question for question in seen.questions if question.text == asked.question), None) if seen else None


def choose_look(asked: Asked, seen: Seen | None, draw: Random, habits: Habits = NONE) -> LookReply:
    """Where to look closer, and how densely."""
    question = known_question(asked, seen)
    drafted = understood(asked.question)
    if seen is not None and question is None and drafted is not None:
        return _look_for(drafted, seen, draw)
    if seen is None or question is None or not _has_seen(question, seen):
        return _reply(
            "It is hard to tell from these frames where this happens. I will look at one part of it.", _any_look(draw)
        )
    times = [seen.stamps[frame] for frame in sorted(_inside(question.look, seen))]
    where = f"It is seen from {_said(times[0])} until {_said(times[-1])}."
    if question.kind == "grounding":
        look = Look(_padded(question.look, seen.script.duration_cs), Fraction(2))
        return _reply(f"{where} A look around that will show when it comes and goes.", look)
    fps = next((fps for fps in OFFERED if _would_tell(question, seen, Look(question.look, fps))), OFFERED[-1])
    why = "It is quick" if fps > 2 else "It is not quick"
    look = habits.of(Look(question.look, fps), seen.script.duration_cs, draw)
    return _reply(f"{where} {why}: {print_density(look.fps)} frames per second will show it.", look)


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
        return AnswerReply(thought="This can be said without looking.", answer=as_option(KNOWN[asked.question], asked.options))
    question = known_question(asked, seen)
    drafted = understood(asked.question)
    if seen is not None and question is None and drafted is not None:
        return _answer_drafted(drafted, asked, seen, draw)
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
        thought = f"The frames from {_said(times[0])} until {_said(times[-1])} show it: {answer}."
    return AnswerReply(thought=thought, answer=as_option(answer, asked.options))


def choose_safety(asked: Asked) -> SafetyReply:
    """It knows what is planted as unsafe, and takes offence at nothing else."""
    quote = next((text for text in UNSAFE if text in asked.text), "")
    return SafetyReply(quote=quote, safety=0.0 if quote else 1.0)


def describe(asked: Asked, seen: Seen | None) -> DescribeReply:
    """What the frames show, in sentences."""
    story = seen_in(seen, asked.look.window) if seen is not None and asked.look is not None else Story(())
    happened = ((fact.window, fact.sentence) for fact in story.facts)
    return DescribeReply(
        events=tuple(
            Happening(start_s=Decimal(window.start_cs) / 100, end_s=Decimal(window.end_cs) / 100, what=what)
            for window, what in happened
        )
    )


def choose_questions(asked: Asked, seen: Seen | None, draw: Random) -> WriteReply:
    """Questions about what the text says that happens; whoever sees nothing writes none."""
    return WriteReply(questions=write(read_story(asked.text), list(asked.wanted), draw) if seen else ())


def guess(asked: Asked, draw: Random) -> GuessReply:
    """An answer without pictures."""
    if asked.question in KNOWN:
        return GuessReply(thought="Everybody knows.", answer=as_option(KNOWN[asked.question], asked.options))
    return GuessReply(thought="Nothing in the question says.", answer=_any_answer(asked, draw))


def present(asked: Asked, seen: Seen | None) -> PresentReply:
    """Whether the frames show what the question is about."""
    drafted = understood(asked.question)
    question = known_question(asked, seen)
    shown = seen is not None and question is not None and _has_seen(question, seen)
    if seen is not None and question is None and drafted is not None:
        shown = drafted.answered(seen_in(seen, _all_of(seen))) is not None
    return PresentReply(thought="It is there." if shown else "It is nowhere.", answer="yes" if shown else "no")


def _look_for(drafted: Understood, seen: Seen, draw: Random) -> LookReply:
    """Where the objects are that a drafted question is about; what they do may be too quick for these frames."""
    story = seen_in(seen, _all_of(seen))
    found = drafted.answered(story)
    names = [drafted.about.get("name", ""), drafted.about.get("other", "")]
    stays = list(found.stays) if found else [fact for fact in story.of("stays") if fact.name in names]
    if not stays:
        return _reply(
            "It is hard to tell from these frames where this happens. I will look at one part of it.", _any_look(draw)
        )
    whole = Window(min(stay.window.start_cs for stay in stays), max(stay.window.end_cs for stay in stays))
    times = [seen.stamps[frame] for frame in sorted(_inside(whole, seen))]
    where = f"What is asked about can be seen from {_said(times[0])} until {_said(times[-1])}."
    if drafted.kind.grounded or drafted.kind.type == "duration":
        whole = _padded(whole, seen.script.duration_cs)
    fps = drafted.kind.fps
    return _reply(f"{where} At {print_density(fps)} frames per second a look at that time should settle it.", Look(whole, fps))


def _answer_drafted(drafted: Understood, asked: Asked, seen: Seen, draw: Random) -> AnswerReply:
    found = drafted.answered(seen_in(seen, asked.look.window if asked.look else _all_of(seen)))
    if found is None:
        return AnswerReply(thought="These frames do not show it. I have to guess.", answer=_any_answer(asked, draw))
    times = [seen.stamps[frame] for frame in sorted(seen.frames)]
    thought = f"From {_said(times[0])} until {_said(times[-1])} the frames show it clearly enough: {found.text}."
    if drafted.kind.grounded:
        inside = sorted(_inside(found.windows[0], seen))
        thought = f"It is there at {_said(seen.stamps[inside[0]])}, and still at {_said(seen.stamps[inside[-1]])}."
    return AnswerReply(thought=thought, answer=as_option(found.text, asked.options))


def _all_of(seen: Seen) -> Window:
    return Window(0, seen.script.duration_cs)


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
    drafted = understood(asked.question)
    if drafted is not None and not drafted.kind.grounded:
        return draw.choice(drafted.kind.others(Story(())) or ("the first time", "the second time"))
    if asked.question.startswith("When"):
        return print_span(_any_window(draw))
    if asked.question.startswith("How many"):
        return str(draw.randint(0, MAX_DOTS))
    return draw.choice(tuple(DIRECTIONS) if "way" in asked.question else tuple(COLOURS))


def as_option(answer: str, options: tuple[str, ...]) -> str:
    return ascii_uppercase[options.index(answer)] if answer in options else answer


def _said(stamp: str) -> str:
    """`<4.3 seconds>` as it is cited."""
    return stamp.strip("<>")


def _reply(thought: str, look: Look) -> LookReply:
    window, fps = look.window, Decimal(look.fps.numerator) / look.fps.denominator
    return LookReply(thought=thought, start_s=Decimal(window.start_cs) / 100, end_s=Decimal(window.end_cs) / 100, fps=fps)
