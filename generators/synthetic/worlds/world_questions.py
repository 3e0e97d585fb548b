"""Questions about a world: exact answers, windows where they show, and rival worlds in which other answers are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import (
    COLOURS,
    DIRECTIONS,
    FPS,
    MAX_DOTS,
    SHAPES,
    Deed,
    Flash,
    Script,
    Visit,
)
from dmforge.generators.synthetic.worlds.two_place_questions import two_place_questions
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.records import TaskKind

Change = Callable[[Deed, str], Deed]
"""Changes a deed so that another answer is right."""

OPTIONS = 4
GENERAL = (
    ("How many corners does a triangle have?", "3", ("2", "3", "4", "5")),
    ("How many sides of equal length does a square have?", "4", ("2", "3", "4", "6")),
    ("Which of these shapes has no corner at all?", "circle", ("circle", "square", "triangle", "diamond")),
    ("Which colour do blue and yellow paint give when they are mixed?", "green", ("green", "red", "purple", "cyan")),
    ("Which of these is a colour of the traffic light that means stop?", "red", ("blue", "red", "cyan", "purple")),
)
"""General questions, which anyone can answer without looking: a filter should find them."""


def questions(script: Script) -> tuple[WorldQuestion, ...]:
    """All questions about a world, in an order that its seed decides."""
    rng = Random(f"questions {script.seed}")
    if script.looks == 2:
        return two_place_questions(rng, script)
    if script.is_study:
        return tuple(_deed_questions(rng, script))
    asked_questions = [*_when_questions(script), *_deed_questions(rng, script)]
    if rng.random() < 0.5:
        asked_questions.append(_shape_question(rng, script))
    else:
        question_text, general_answer, option_texts = rng.choice(GENERAL)
        asked_questions.append(WorldQuestion("mcq", question_text, option_texts, general_answer, (), "any", (), from_text=True))
    rng.shuffle(asked_questions)
    return tuple(asked_questions)


def _main_visits(script: Script) -> tuple[Visit, ...]:
    """The visits of the object that is asked about."""
    return tuple(visit for visit in script.visits if visit.name == script.visits[0].name)


def _when_questions(script: Script) -> Iterator[WorldQuestion]:
    main_visits = _main_visits(script)
    ordinal_texts = ("",) if len(main_visits) == 1 else (" for the first time", " for the second time")
    for main_visit, ordinal_text in zip(main_visits, ordinal_texts, strict=True):
        question_text = f"When is the {main_visit.name} on screen{ordinal_text}?"
        absent_rival = (("never", script.replacing(main_visit, None)),)
        yield WorldQuestion(
            "grounding", question_text, (), print_span(main_visit.window), (main_visit.window,), "any", absent_rival
        )


def _shape_question(rng: Random, script: Script) -> WorldQuestion:
    """A question about a shape: it is on screen for seconds, so the coarse clip shows it."""
    first_visit = min(script.visits, key=lambda visit: visit.window.start_cs)
    question_text = "Which shape comes on screen first?" if len(script.visits) > 1 else "Which shape comes on screen?"
    rival_by_shape = {shape: script.replacing(first_visit, replace(first_visit, shape=shape)) for shape in SHAPES}
    return _choice_question(rng, "mcq", question_text, first_visit.shape, (first_visit.window,), rival_by_shape)


def _deed_questions(rng: Random, script: Script) -> Iterator[WorldQuestion]:
    """Questions about what the object does. It does the same in each visit, so any of them shows it, except for counts."""
    main_visits = _main_visits(script)
    deed, object_name = main_visits[0].deed, main_visits[0].name
    visit_windows = tuple(main_visit.window for main_visit in main_visits)

    def choice(question_text: str, answer: str, answers: Sequence[str], change: Change) -> WorldQuestion:
        rival_by_answer = {other_answer: _change_all(script, main_visits, change, other_answer) for other_answer in answers}
        return _choice_question(
            rng, rng.choice(("mcq", "grounded_mcq", "open")), question_text, answer, visit_windows, rival_by_answer
        )

    if deed.flashes:
        other_colours = [colour for colour in COLOURS if colour != main_visits[0].colour]
        yield choice(f"Which colour does the {object_name} flash?", deed.flashes[0].colour, other_colours, _flash_in)
        total_flashes = sum(len(main_visit.deed.flashes) for main_visit in main_visits)
        yield WorldQuestion(
            "open",
            f"How many times does the {object_name} flash in all?",
            (),
            str(total_flashes),
            visit_windows,
            "all",
            _count_rivals(script),
        )
    if deed.flickers is not None:
        pace = "slowly" if deed.flickers.stop - deed.flickers.first > 2 else "quickly"
        other_colours = [colour for colour in COLOURS if colour != main_visits[0].colour]
        rival_by_answer = {
            other_answer: _change_all(script, main_visits, _flicker_in, other_answer) for other_answer in other_colours
        }
        question_text, answer = f"Which colour does the {object_name} flicker {pace}?", deed.flickers.colour
        yield WorldQuestion("open", question_text, (), answer, visit_windows, "any", _wrong_answers(rival_by_answer, answer))
    if deed.turns is not None:
        other_colours = [colour for colour in COLOURS if colour != main_visits[0].colour]
        yield choice(f"Which colour does the {object_name} turn into?", deed.turns.colour, other_colours, _turn_into)
    if deed.moves is not None:
        yield choice(
            f"Which way does the {object_name} move?",
            deed.moves,
            tuple(DIRECTIONS),
            lambda deed, direction: replace(deed, moves=direction),
        )
    if deed.dots:
        number_texts = [str(number_text) for number_text in range(MAX_DOTS + 1)]
        rival_by_answer = {
            number_text: _change_all(script, main_visits, _with_dots, number_text) for number_text in number_texts
        }
        question_text, answer = f"How many white dots line up while the {object_name} is on screen?", str(len(deed.dots))
        yield WorldQuestion("open", question_text, (), answer, visit_windows, "any", _wrong_answers(rival_by_answer, answer))


def _choice_question(
    rng: Random,
    kind: TaskKind,
    question_text: str,
    answer: str,
    windows: tuple[Window, ...],
    rival_by_answer: dict[str, Script],
) -> WorldQuestion:
    """A question whose answer is one of a few words, as options or open."""
    wrong_answers = _wrong_answers(rival_by_answer, answer)
    if kind == "open":
        return WorldQuestion(kind, question_text, (), answer, windows, "any", wrong_answers)
    option_texts = [
        answer,
        *(other_answer for other_answer, _ in rng.sample(wrong_answers, min(OPTIONS, len(rival_by_answer)) - 1)),
    ]
    rng.shuffle(option_texts)
    offered_rivals = tuple(
        (other_answer, rival_script) for other_answer, rival_script in wrong_answers if other_answer in option_texts
    )
    return WorldQuestion(kind, question_text, tuple(option_texts), answer, windows, "any", offered_rivals)


def _wrong_answers(rival_by_answer: dict[str, Script], answer: str) -> tuple[tuple[str, Script], ...]:
    return tuple(
        (other_answer, rival_script) for other_answer, rival_script in rival_by_answer.items() if other_answer != answer
    )


def _change_all(script: Script, visits: tuple[Visit, ...], change: Change, answer: str) -> Script:
    for visit in visits:
        script = script.replacing(visit, visit.doing(change(visit.deed, answer)))
    return script


def _flash_in(deed: Deed, colour: str) -> Deed:
    return replace(deed, flashes=tuple(replace(flash, colour=colour) for flash in deed.flashes))


def _flicker_in(deed: Deed, colour: str) -> Deed:
    return replace(deed, flickers=replace(deed.flickers, colour=colour) if deed.flickers else None)


def _turn_into(deed: Deed, colour: str) -> Deed:
    return replace(deed, turns=replace(deed.turns, colour=colour) if deed.turns else None)


def _with_dots(deed: Deed, count_text: str) -> Deed:
    """The deed with fewer dots, or with more, which join together with the last one."""
    kept_dots = deed.dots[: int(count_text)]
    return replace(deed, dots=(*kept_dots, *deed.dots[-1:] * (int(count_text) - len(kept_dots))))


def _count_rivals(script: Script) -> tuple[tuple[str, Script], ...]:
    """Rivals with one flash less, or with one more in any second that has none."""
    main_visits = _main_visits(script)
    total_flashes = sum(len(visit.deed.flashes) for visit in main_visits)
    counts_and_rivals: list[tuple[str, Script]] = []
    for visit in main_visits:
        visit_flashes = visit.deed.flashes
        first_frame, flash_frames, flash_colour = (
            visit_flashes[0].first % FPS,
            visit_flashes[0].stop - visit_flashes[0].first,
            visit_flashes[0].colour,
        )
        taken_seconds = {flash.first // FPS for flash in visit_flashes}
        for flash_index in range(len(visit_flashes)):
            deed_with_fewer = Deed(flashes=visit_flashes[:flash_index] + visit_flashes[flash_index + 1 :])
            counts_and_rivals.append((str(total_flashes - 1), script.replacing(visit, visit.doing(deed_with_fewer))))
        for free_second in sorted(set(range(visit.frames // FPS)) - taken_seconds):
            start_frame = FPS * free_second + first_frame
            deed_with_more = Deed(flashes=(*visit_flashes, Flash(flash_colour, start_frame, start_frame + flash_frames)))
            counts_and_rivals.append((str(total_flashes + 1), script.replacing(visit, visit.doing(deed_with_more))))
    return tuple(counts_and_rivals)
