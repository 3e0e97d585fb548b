"""Chooses the oracle's replies: it knows only what the frames show, and guesses among the answers that they leave open."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random
from string import ascii_uppercase

from dmforge.generators.synthetic.oracle.habits import Habits
from dmforge.generators.synthetic.oracle.oracle_request import OracleRequest
from dmforge.generators.synthetic.oracle.planted_defects import UNSAFE
from dmforge.generators.synthetic.oracle.question_kinds import UnderstoodQuestion, understood, write
from dmforge.generators.synthetic.oracle.recognition import SeenFrames
from dmforge.generators.synthetic.oracle.stories import Story, read_story, seen_in
from dmforge.generators.synthetic.worlds.exact_question import DENSITIES, WorldQuestion
from dmforge.generators.synthetic.worlds.script import COLOURS, DIRECTIONS, FPS, MAX_DOTS
from dmforge.generators.synthetic.worlds.two_place_questions import guesses
from dmforge.generators.synthetic.worlds.world_questions import GENERAL
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
"""Margin on each side of a window: its ends are only known if frames before and after it are seen."""


def known_question(request: OracleRequest, view: SeenFrames | None) -> WorldQuestion | None:
    """The world's question that is asked; None if it is no question of the recognised world."""
    return (
        next((world_question for world_question in view.questions if world_question.text == request.question), None)
        if view
        else None
    )


def choose_look(request: OracleRequest, view: SeenFrames | None, rng: Random, habits: Habits = NONE) -> LookReply:
    """Reply to a look request: where to look closer, and how densely."""
    world_question = known_question(request, view)
    understood_question = understood(request.question)
    if view is not None and world_question is None and understood_question is not None:
        return _look_for(understood_question, view, rng)
    if view is None or world_question is None or not _has_seen(world_question, view):
        return _look_reply(
            "It is hard to tell from these frames where this happens. I will look at one part of it.", _any_look(rng)
        )
    inside_stamps = [view.stamps[frame_index] for frame_index in sorted(frames_inside(world_question.look, view))]
    seen_sentence = f"It is seen from {cited(inside_stamps[0])} until {cited(inside_stamps[-1])}."
    if world_question.kind == "grounding":
        look = Look(_with_margin(world_question.look, view.script.duration_cs), Fraction(2))
        return _look_reply(f"{seen_sentence} A look around that will show when it comes and goes.", look)
    fps = next((fps for fps in OFFERED if _would_tell(world_question, view, Look(world_question.look, fps))), OFFERED[-1])
    pace_sentence = "It is quick" if fps > 2 else "It is not quick"
    look = habits.of(Look(world_question.look, fps), view.script.duration_cs, rng)
    return _look_reply(f"{seen_sentence} {pace_sentence}: {print_density(look.fps)} frames per second will show it.", look)


def choose_given(request: OracleRequest, view: SeenFrames | None, rng: Random) -> GivenReply:
    """Reply with a thought that leads to a given window, and a density."""
    own_look = choose_look(request, view, rng)
    inside_frames = [] if view is None or request.given_window is None else sorted(frames_inside(request.given_window, view))
    if view is None or not inside_frames:
        return GivenReply(thought="It is hard to tell from these frames where this happens.", fps=own_look.fps)
    thought = f"Something changes after {cited(view.stamps[inside_frames[0]])}: it is worth a closer look."
    return GivenReply(thought=thought, fps=own_look.fps)


def choose_answer(request: OracleRequest, view: SeenFrames | None, rng: Random) -> AnswerReply:
    """Reply with an answer, and what it rests on."""
    if request.question in KNOWN:
        return AnswerReply(
            thought="This can be said without looking.", answer=as_option(KNOWN[request.question], request.options)
        )
    world_question = known_question(request, view)
    understood_question = understood(request.question)
    if view is not None and world_question is None and understood_question is not None:
        return _answer_drafted(understood_question, request, view, rng)
    if (
        view is None
        or world_question is None
        or not any(frames_inside(gold_window, view) for gold_window in world_question.windows)
    ):
        return AnswerReply(thought="These frames do not show it. I have to guess.", answer=_any_answer(request, rng))
    if world_question.kind == "grounding":
        return _answer_when(world_question, view)
    possible_answers = {
        world_question.answer,
        *(answer for answer, rival_script in world_question.rivals if not view.told(rival_script)),
    }
    possible_answer = rng.choice(sorted(possible_answers))
    if len(possible_answers) > 1:
        guess_thought = "These frames leave more than one answer open. I have to guess."
    else:
        seen_stamps = [view.stamps[frame_index] for frame_index in sorted(view.frames)]
        guess_thought = f"The frames from {cited(seen_stamps[0])} until {cited(seen_stamps[-1])} show it: {possible_answer}."
    return AnswerReply(thought=guess_thought, answer=as_option(possible_answer, request.options))


def choose_safety(request: OracleRequest) -> SafetyReply:
    """Reply to a safety check: only texts that are planted as unsafe are found."""
    unsafe_quote = next((unsafe_text for unsafe_text in UNSAFE if unsafe_text in request.text), "")
    return SafetyReply(quote=unsafe_quote, safety=0.0 if unsafe_quote else 1.0)


def describe(request: OracleRequest, view: SeenFrames | None) -> DescribeReply:
    """Reply with what the frames show, in sentences."""
    seen_story = seen_in(view, request.look.window) if view is not None and request.look is not None else Story(())
    windows_and_sentences = ((seen_fact.window, seen_fact.sentence) for seen_fact in seen_story.facts)
    return DescribeReply(
        events=tuple(
            Happening(start_s=Decimal(fact_window.start_cs) / 100, end_s=Decimal(fact_window.end_cs) / 100, what=fact_sentence)
            for fact_window, fact_sentence in windows_and_sentences
        )
    )


def choose_questions(request: OracleRequest, view: SeenFrames | None, rng: Random) -> WriteReply:
    """Reply with questions about the happenings that the text lists; none if no world is recognised."""
    return WriteReply(questions=write(read_story(request.text), list(request.requested_questions), rng) if view else ())


def guess(request: OracleRequest, rng: Random) -> GuessReply:
    """Reply with an answer to a question without pictures."""
    if request.question in KNOWN:
        return GuessReply(thought="Everybody knows.", answer=as_option(KNOWN[request.question], request.options))
    return GuessReply(thought="Nothing in the question says.", answer=_any_answer(request, rng))


def present(request: OracleRequest, view: SeenFrames | None) -> PresentReply:
    """Reply whether the frames show what the question is about."""
    understood_question = understood(request.question)
    world_question = known_question(request, view)
    is_shown = view is not None and world_question is not None and _has_seen(world_question, view)
    if view is not None and world_question is None and understood_question is not None:
        is_shown = understood_question.answered(seen_in(view, _whole_video(view))) is not None
    return PresentReply(thought="It is there." if is_shown else "It is nowhere.", answer="yes" if is_shown else "no")


def _look_for(drafted: UnderstoodQuestion, view: SeenFrames, rng: Random) -> LookReply:
    """A look at the objects that a drafted question is about; what they do may be too quick for these frames."""
    seen_story = seen_in(view, _whole_video(view))
    story_answer = drafted.answered(seen_story)
    object_names = [drafted.slots.get("name", ""), drafted.slots.get("other", "")]
    stay_facts = (
        list(story_answer.stays)
        if story_answer
        else [stay_fact for stay_fact in seen_story.of("stays") if stay_fact.name in object_names]
    )
    if not stay_facts:
        return _look_reply(
            "It is hard to tell from these frames where this happens. I will look at one part of it.", _any_look(rng)
        )
    look_window = Window(
        min(stay_fact.window.start_cs for stay_fact in stay_facts), max(stay_fact.window.end_cs for stay_fact in stay_facts)
    )
    inside_stamps = [view.stamps[frame_index] for frame_index in sorted(frames_inside(look_window, view))]
    seen_sentence = f"What is asked about can be seen from {cited(inside_stamps[0])} until {cited(inside_stamps[-1])}."
    if drafted.kind.grounded or drafted.kind.type == "duration":
        look_window = _with_margin(look_window, view.script.duration_cs)
    fps = drafted.kind.fps
    return _look_reply(
        f"{seen_sentence} At {print_density(fps)} frames per second a look at that time should settle it.",
        Look(look_window, fps),
    )


def _answer_drafted(drafted: UnderstoodQuestion, request: OracleRequest, view: SeenFrames, rng: Random) -> AnswerReply:
    story_answer = drafted.answered(seen_in(view, request.look.window if request.look else _whole_video(view)))
    if story_answer is None:
        return AnswerReply(thought="These frames do not show it. I have to guess.", answer=_any_answer(request, rng))
    seen_stamps = [view.stamps[frame_index] for frame_index in sorted(view.frames)]
    thought = (
        f"From {cited(seen_stamps[0])} until {cited(seen_stamps[-1])} the frames show it clearly enough: {story_answer.text}."
    )
    if drafted.kind.grounded:
        inside_frames = sorted(frames_inside(story_answer.windows[0], view))
        thought = (
            f"It is there at {cited(view.stamps[inside_frames[0]])}, and still at {cited(view.stamps[inside_frames[-1]])}."
        )
    return AnswerReply(thought=thought, answer=as_option(story_answer.text, request.options))


def _whole_video(view: SeenFrames) -> Window:
    return Window(0, view.script.duration_cs)


def _answer_when(question: WorldQuestion, view: SeenFrames) -> AnswerReply:
    window = question.windows[0]
    inside_frames = sorted(frames_inside(window, view))
    frames_before = frames_inside(Window(max(0, window.start_cs - MARGIN_CS), window.start_cs), view)
    frames_after = frames_inside(Window(window.end_cs, window.end_cs + MARGIN_CS), view)
    if not (frames_before and frames_after):  # an end was not shown: the window reaches as far as it was seen
        window = Window(inside_frames[0] * 100 // FPS, (inside_frames[-1] + 1) * 100 // FPS)
    first_stamp, last_stamp = cited(view.stamps[inside_frames[0]]), cited(view.stamps[inside_frames[-1]])
    return AnswerReply(
        thought=f"It is there at {first_stamp}, and still at {last_stamp}, not before and not after.", answer=print_span(window)
    )


def _has_seen(question: WorldQuestion, view: SeenFrames) -> bool:
    needed_windows = question.windows if question.needs == "all" else question.windows[:1]
    return bool(needed_windows) and all(frames_inside(needed_window, view) for needed_window in needed_windows)


def frames_inside(window: Window, view: SeenFrames) -> frozenset[int]:
    return frozenset(
        frame_index for frame_index in view.frames if window.start_cs * FPS <= 100 * frame_index < window.end_cs * FPS
    )


def _would_tell(question: WorldQuestion, view: SeenFrames, look: Look) -> bool:
    return question.told_by(view.script, frozenset(plan_look(look, view.script.duration_s).indices))


def _with_margin(window: Window, duration_cs: int) -> Window:
    return Window(max(0, window.start_cs - MARGIN_CS), min(duration_cs, window.end_cs + MARGIN_CS))


def _any_window(rng: Random) -> Window:
    start_cs = rng.randrange(0, 900, 100)
    return Window(start_cs, start_cs + rng.randrange(200, 400, 100))


def _any_look(rng: Random) -> Look:
    return Look(_any_window(rng), rng.choice(OFFERED))


def _any_answer(request: OracleRequest, rng: Random) -> str:
    """A guess in the form that the question asks for."""
    if request.options:
        return rng.choice(ascii_uppercase[: len(request.options)])
    understood_question = understood(request.question)
    if understood_question is not None and not understood_question.kind.grounded:
        return rng.choice(understood_question.kind.others(Story(())) or ("the first time", "the second time"))
    if possible_answers := guesses(request.question):
        return rng.choice(possible_answers)
    if request.question.startswith("When"):
        return print_span(_any_window(rng))
    if request.question.startswith("How many"):
        return str(rng.randint(0, MAX_DOTS))
    return rng.choice(tuple(DIRECTIONS) if "way" in request.question else tuple(COLOURS))


def as_option(answer: str, options: tuple[str, ...]) -> str:
    return ascii_uppercase[options.index(answer)] if answer in options else answer


def cited(stamp: str) -> str:
    """A stamp as it is cited: `<4.3 seconds>` without brackets."""
    return stamp.strip("<>")


def _look_reply(thought: str, look: Look) -> LookReply:
    window, decimal_fps = look.window, Decimal(look.fps.numerator) / look.fps.denominator
    return LookReply(
        thought=thought, start_s=Decimal(window.start_cs) / 100, end_s=Decimal(window.end_cs) / 100, fps=decimal_fps
    )
