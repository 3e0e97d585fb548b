"""Questions about worlds with two places: one needs a look at both, one a look at one of them, and one no look at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from random import Random

from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.script import COLOURS, FPS, SHAPES, Script, Visit
from dmforge.generators.synthetic.worlds.two_places import (
    PLACE_KINDS,
    flash_frame,
    flashing,
    flashing_in,
    hidden_flashes,
    other_colours,
    place_kind,
)
from dmforge.schemas.records import Needs

AnswerOfColours = Callable[[str, str], str]
"""The answer that is right where the flashes have these colours."""

ORDINALS = ("first", "second")
NUMBERS = range(1, 20)
"""Seconds between flashes that somebody guesses who has seen neither: of a world of the usual length."""
TEXTS = {
    "order": "Which colours does the {name} flash, the first time and then the second?",
    "same": "Does the {name} flash in the same colour both times?",
    "seconds": "How many whole seconds of the video is it from the one in which the {name} first flashes to the one in which "
    "it flashes again?",
    "which": "Which of the two flashes of the {name} is {colour}: the first, the second, both or neither?",
    "one": "Which colour does the {name} flash the {ordinal} time?",
    "shape": "What shape is the object that is shown twice?",
    "colour": "What colour is the object that is shown twice?",
}
GUESSES: dict[str, tuple[str, ...]] = {
    "order": tuple(f"{first} then {second}" for first, second in product(COLOURS, repeat=2)),
    "same": ("yes", "no"),
    "seconds": tuple(map(str, NUMBERS)),
    "which": ("the first", "the second", "both", "neither"),
    "shape": SHAPES,
}
"""Answers that a question allows by its words; those to all others are colours."""


def two_place_questions(rng: Random, script: Script) -> tuple[WorldQuestion, ...]:
    """The three questions about a world: what needs both places, one, and none, in an order that its seed decides."""
    asked_questions = [_both_question(rng, script), _one_question(script), _none_question(rng, script)]
    rng.shuffle(asked_questions)
    return tuple(asked_questions)


def guesses(question_text: str) -> tuple[str, ...]:
    """Answers among which somebody guesses who has seen nothing of a world with two places; none for other questions."""
    for text_name, possible_answers in GUESSES.items():
        opening, _, _ = TEXTS[text_name].partition("{name}")
        if question_text.startswith(opening):
            return possible_answers
    return ()


def asked_colour_of(question_text: str) -> str:
    """The colour that a question asks about, where it asks which flash has one."""
    return question_text.rpartition(":")[0].rpartition(" ")[2]


def _both_question(rng: Random, script: Script) -> WorldQuestion:
    first_stay, second_stay = script.visits[:2]
    colours = first_stay.deed.flashes[0].colour, second_stay.deed.flashes[0].colour
    match place_kind(script):
        case "order":
            return _colour_question(script, TEXTS["order"], lambda first, second: f"{first} then {second}")
        case "same":
            return _colour_question(script, TEXTS["same"], lambda first, second: "yes" if first == second else "no")
        case "seconds":
            return _seconds_question(script)
        case "which":
            asked_colour = _asked_colour(rng, script.visits[0].colour, colours)
            text = TEXTS["which"].replace("{colour}", asked_colour)
            return _colour_question(script, text, lambda first, second: _which(asked_colour, first, second))


def _one_question(script: Script) -> WorldQuestion:
    stay_index = script.seed // len(PLACE_KINDS) % 2  # after the kinds, so that each kind comes with either
    stay, text = script.visits[stay_index], TEXTS["one"].replace("{ordinal}", ORDINALS[stay_index])
    gold_colour = stay.deed.flashes[0].colour
    rivals = tuple(
        (colour, script.replacing(stay, flashing_in(stay, colour)))
        for colour in other_colours(stay.colour)
        if colour != gold_colour
    )
    return _question(script, text, gold_colour, (stay,), "any", rivals, 1)


def _none_question(rng: Random, script: Script) -> WorldQuestion:
    first_stay = script.visits[0]
    if rng.random() < 0.5:
        rivals = tuple((shape, _changed(script, shape=shape)) for shape in SHAPES if shape != first_stay.shape)
        return _question(script, TEXTS["shape"], first_stay.shape, script.visits[:2], "any", rivals, 0)
    rivals = tuple((colour, _changed(script, colour=colour)) for colour in other_colours(first_stay.colour))
    return _question(script, TEXTS["colour"], first_stay.colour, script.visits[:2], "any", rivals, 0)


def _seconds_question(script: Script) -> WorldQuestion:
    """How much later the second flash is, in seconds of the video: 12 from one at 3.2 s to one at 15.9 s."""
    stays = script.visits[:2]
    first_second, second_second = (flash_frame(stay) // FPS for stay in stays)
    answer, rivals = str(second_second - first_second), list[tuple[str, Script]]()
    seconds_of_stays = [hidden_flashes(stay.window, script.duration_s) for stay in stays]
    for seconds in product(*seconds_of_stays):
        other_answer = str(seconds[1] - seconds[0])
        if other_answer == answer:
            continue
        rival = script
        for stay, second, frames_by_second in zip(stays, seconds, seconds_of_stays, strict=True):
            if flash_frame(stay) // FPS != second:
                rival = rival.replacing(stay, flashing(stay, stay.deed.flashes[0].colour, frames_by_second[second][0]))
        rivals.append((other_answer, rival))
    return _question(script, TEXTS["seconds"], answer, stays, "all", tuple(rivals), 2)


def _colour_question(script: Script, text: str, answer_of: AnswerOfColours) -> WorldQuestion:
    """A question about the colours of both flashes; its rivals are all pairs of colours with another answer."""
    stays = script.visits[:2]
    answer = answer_of(*(stay.deed.flashes[0].colour for stay in stays))
    rivals: list[tuple[str, Script]] = []
    for colours in product(other_colours(stays[0].colour), repeat=2):
        if (other_answer := answer_of(*colours)) != answer:
            rival = script
            for stay, colour in zip(stays, colours, strict=True):
                rival = rival.replacing(stay, flashing_in(stay, colour))
            rivals.append((other_answer, rival))
    return _question(script, text, answer, stays, "all", tuple(rivals), 2)


def _question(
    script: Script,
    text: str,
    answer: str,
    stays: tuple[Visit, ...],
    needs: Needs,
    rivals: tuple[tuple[str, Script], ...],
    places: int,
) -> WorldQuestion:
    question_text, windows = text.replace("{name}", script.visits[0].name), tuple(stay.window for stay in stays)
    return WorldQuestion("open", question_text, (), answer, windows, needs, rivals, places=places)


def _asked_colour(rng: Random, object_colour: str, flash_colours: tuple[str, str]) -> str:
    """One of two colours, or half of the time the only one: so each answer is right in a quarter of such worlds, and who has
    seen one of the flashes is left with two answers that are equally likely."""
    if flash_colours[0] != flash_colours[1]:
        return rng.choice(flash_colours)
    is_right = rng.random() < 0.5
    return rng.choice([colour for colour in other_colours(object_colour) if (colour == flash_colours[0]) == is_right])


def _which(asked_colour: str, first_colour: str, second_colour: str) -> str:
    if first_colour == second_colour:
        return "both" if first_colour == asked_colour else "neither"
    if asked_colour in (first_colour, second_colour):
        return "the first" if first_colour == asked_colour else "the second"
    return "neither"


def _changed(script: Script, *, colour: str = "", shape: str = "") -> Script:
    """The world in which the object has another colour or shape."""
    for stay in script.visits[:2]:
        script = script.replacing(stay, replace(stay, colour=colour or stay.colour, shape=shape or stay.shape))
    return script
