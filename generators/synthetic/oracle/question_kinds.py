"""Questions that an oracle can write, and answer from a story."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random

from dmforge.generators.synthetic.oracle.stories import WAYS, Fact, Story
from dmforge.generators.synthetic.worlds.script import COLOURS, MAX_DOTS, SHAPES
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.records import Needs
from dmforge.schemas.replies import Form, QuestionType, Span, Written

QUICK, USUAL = Fraction(6), Fraction(2)
CLOSE_CS = 50
"""Two happenings that are so near in time are cause and effect."""
DIFFER_CS = 50
"""Stays that differ by less are not compared."""
MCQ_OPTIONS = 4


@dataclass(frozen=True, slots=True)
class OracleAnswer:
    """An answer, and the facts that it rests on."""

    text: str
    stays: tuple[Fact, ...]
    needs: Needs = "any"

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(stay_fact.window for stay_fact in self.stays)


@dataclass(frozen=True, slots=True)
class QuestionKind:
    """A kind of question: its text, and how to answer it."""

    type: QuestionType
    text: str
    """A template with `{name}`, `{other}`, `{colour}` for the objects that it is about."""
    answer: Callable[[Story, dict[str, str]], OracleAnswer | None]
    fps: Fraction = USUAL
    grounded: bool = False
    others: Callable[[Story], list[str]] = lambda story: []
    """Other answers that are possible for a story."""

    @property
    def pattern(self) -> re.Pattern[str]:
        pattern_text = re.escape(self.text)
        for slot_name, slot_pattern in SLOTS.items():
            pattern_text = pattern_text.replace(re.escape(f"{{{slot_name}}}"), f"(?P<{slot_name}>{slot_pattern})")
        return re.compile(pattern_text)


_OBJECT = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
SLOTS = {"name": _OBJECT, "other": _OBJECT, "colour": "|".join(COLOURS)}


@dataclass(frozen=True, slots=True)
class UnderstoodQuestion:
    """A question of a known kind, and the objects that it is about."""

    kind: QuestionKind
    slots: dict[str, str]

    def answered(self, story: Story) -> OracleAnswer | None:
        """The answer, if the story has it."""
        return self.kind.answer(story, self.slots)


def understood(question: str) -> UnderstoodQuestion | None:
    """The kind and the objects of a question; None if it is of no known kind."""
    for question_kind in KINDS:
        kind_match = question_kind.pattern.fullmatch(question)
        if kind_match is not None:
            return UnderstoodQuestion(
                question_kind, {slot_name: slot_value for slot_name, slot_value in kind_match.groupdict().items() if slot_value}
            )
    return None


def write(story: Story, requested: list[tuple[QuestionType, Form]], rng: Random) -> tuple[Written, ...]:
    """Write a question for each requested type and form, where the story allows one."""
    written_questions: list[Written] = []
    for question_type, question_form in requested:
        possible_questions = list(
            _possible(
                story, question_type, question_form, {possible_question.question for possible_question in written_questions}
            )
        )
        if possible_questions:
            question_text, question_kind, story_answer = rng.choice(possible_questions)
            written_questions.append(_compose(question_text, question_kind, story_answer, question_form, story, rng))
    return tuple(written_questions)


def _possible(
    story: Story, question_type: QuestionType, form: Form, texts_used: set[str]
) -> Iterator[tuple[str, QuestionKind, OracleAnswer]]:
    for question_kind in KINDS:
        if question_kind.type != question_type or question_kind.grounded != (form == "grounded"):
            continue
        for slot_values in _slot_values(story):
            question_text = question_kind.text.format(**slot_values)
            story_answer = question_kind.answer(story, slot_values)
            if story_answer is not None and question_text not in texts_used:
                yield question_text, question_kind, story_answer


def _slot_values(story: Story) -> Iterator[dict[str, str]]:
    for object_name in story.names:
        other_names = [other_name for other_name in story.names if other_name != object_name]
        for other_name in other_names or [""]:
            yield {"name": object_name, "other": other_name, "colour": object_name.split()[0]}


def _compose(text: str, kind: QuestionKind, answer: OracleAnswer, form: Form, story: Story, rng: Random) -> Written:
    answer_options: list[str] = []
    if form == "mcq":
        other_answers = [other_answer for other_answer in dict.fromkeys(kind.others(story)) if other_answer != answer.text]
        answer_options = [answer.text, *rng.sample(other_answers, min(MCQ_OPTIONS - 1, len(other_answers)))]
        rng.shuffle(answer_options)
    answer_spans = tuple(
        Span(start_s=Decimal(answer_window.start_cs) / 100, end_s=Decimal(answer_window.end_cs) / 100)
        for answer_window in answer.windows
    )
    return Written(
        type=kind.type, form=form if answer_options or form != "mcq" else "open", question=text, options=tuple(answer_options),
        answer=answer.text, windows=answer_spans, needs=answer.needs, difficulty="medium" if kind.fps > USUAL else "easy",
        fps=Decimal(kind.fps.numerator) / kind.fps.denominator,
    )  # fmt: skip


def _stays(story: Story, object_name: str) -> tuple[Fact, ...]:
    return tuple(story.of("stays", object_name))


def _answer_if(text: str | None, stays: tuple[Fact, ...], needs: Needs = "any") -> OracleAnswer | None:
    return OracleAnswer(text, stays, needs) if text and stays else None


def _answer_shape(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    object_name = next((object_name for object_name in story.names if object_name.startswith(slot_values["colour"] + " ")), "")
    return _answer_if(object_name.rpartition(" ")[2], _stays(story, object_name))


def _answer_deed(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    object_name = slot_values["name"]
    deed_fact = next(
        (
            deed_fact
            for deed_fact in story.facts
            if deed_fact.name == object_name and deed_fact.kind in ("flashes", "turns", "moves")
        ),
        None,
    )
    deed_sentence = (
        deed_fact.sentence.replace(f"the {object_name}", "it")
        if deed_fact
        else "white dots line up"
        if story.of("dots", object_name)
        else None
    )
    return _answer_if(deed_sentence, _stays(story, object_name)[:1])


def _answer_first(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    first_stays = [_stays(story, slot_values[slot_name])[:1] for slot_name in ("name", "other") if slot_values.get(slot_name)]
    if len(first_stays) < 2 or not all(first_stays):
        return None
    (first_stay,), (second_stay,) = sorted(first_stays, key=lambda stay_facts: stay_facts[0].window.start_cs)
    if second_stay.window.start_cs - first_stay.window.start_cs < DIFFER_CS:
        return None
    return _answer_if(f"the {first_stay.name}", (first_stay, second_stay), "all")


def _answer_flash_count(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    flash_facts, stay_facts = story.of("flashes", slot_values["name"]), _stays(story, slot_values["name"])
    return _answer_if(str(len(flash_facts)) if flash_facts else None, stay_facts, "all" if len(stay_facts) > 1 else "any")


def _answer_dot_count(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    dot_facts, stay_facts = story.of("dots", slot_values["name"]), _stays(story, slot_values["name"])
    return _answer_if(str(len(dot_facts)) if dot_facts and len(stay_facts) == 1 else None, stay_facts)


def _answer_seconds(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    stay_facts = _stays(story, slot_values["name"])
    if len(stay_facts) != 1:
        return None
    return _answer_if(str(round((stay_facts[0].window.end_cs - stay_facts[0].window.start_cs) / 100)), stay_facts)


def _answer_colour_after(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    turn_facts = story.of("turns", slot_values["name"])
    return _answer_if(turn_facts[0].what if turn_facts else None, _stays(story, slot_values["name"])[:1])


def _answer_cause(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    flash_and_turn = _flash_and_turn(story, slot_values["name"])
    return _answer_if(
        f"the {flash_and_turn[0].name} flashes" if flash_and_turn else None, _stays(story, slot_values["name"])[:1]
    )


def _answer_consequence(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    flash_and_turn = _flash_and_turn(story, slot_values["name"])
    if flash_and_turn is None or flash_and_turn[0].name != slot_values.get("other"):
        return None
    return _answer_if(f"it turns {flash_and_turn[1].what}", _stays(story, slot_values["name"])[:1])


def _flash_and_turn(story: Story, object_name: str) -> tuple[Fact, Fact] | None:
    """Another object's flash, and the change of colour that comes with it."""
    for turn_fact in story.of("turns", object_name):
        for flash_fact in story.of("flashes"):
            if flash_fact.name != object_name and abs(turn_fact.window.start_cs - flash_fact.window.start_cs) <= CLOSE_CS:
                return flash_fact, turn_fact
    return None


def _answer_longer(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    stay_facts = _stays(story, slot_values["name"])
    if len(stay_facts) != 2:
        return None
    first_cs, second_cs = (stay_fact.window.end_cs - stay_fact.window.start_cs for stay_fact in stay_facts)
    if abs(first_cs - second_cs) < DIFFER_CS:
        return None
    return _answer_if("the first time" if first_cs > second_cs else "the second time", stay_facts, "all")


def _answer_when(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    stay_facts = _stays(story, slot_values["name"])
    return _answer_if(print_span(stay_facts[0].window) if len(stay_facts) == 1 else None, stay_facts)


def _answer_when_first(story: Story, slot_values: dict[str, str]) -> OracleAnswer | None:
    first_stay = story.of("stays")[:1]
    return _answer_if(print_span(first_stay[0].window) if len(story.names) > 1 else None, tuple(first_stay))


def _possible_causes(story: Story) -> list[str]:
    """Possible causes: happenings of this video, and others, worded as causes."""
    flash_causes = [f"the {object_name} flashes" for object_name in story.names]
    return [*flash_causes, *(f"the {object_name} goes away" for object_name in story.names), "a white dot joins the row"]


def _colour_changes(story: Story) -> list[str]:
    colours = [*(object_name.split()[0] for object_name in story.names), *COLOURS]
    return [f"it turns {colour}" for colour in colours]


def _possible_deeds(story: Story) -> list[str]:
    colours = list(dict.fromkeys([*(object_name.split()[0] for object_name in story.names), *COLOURS]))
    return [
        *(f"it flashes {colour}" for colour in colours[:3]),
        *(f"it turns {colour}" for colour in colours[:2]),
        f"it moves {WAYS['left']}",
    ]


def _number_texts(story: Story) -> list[str]:
    return [str(dot_count) for dot_count in range(1, MAX_DOTS + 1)]


def _object_names(story: Story) -> list[str]:
    return [f"the {object_name}" for object_name in story.names]


KINDS = (
    QuestionKind("object", "What shape is the {colour} object?", _answer_shape, others=lambda story: list(SHAPES)),
    QuestionKind("object", "When is the {name} on screen?", _answer_when, grounded=True),
    QuestionKind("action", "What does the {name} do while it is on screen?", _answer_deed, QUICK, others=_possible_deeds),
    QuestionKind("order", "Which comes on screen first, the {name} or the {other}?", _answer_first, others=_object_names),
    QuestionKind("order", "When is the object on screen that comes first?", _answer_when_first, grounded=True),
    QuestionKind("count", "How many times does the {name} flash?", _answer_flash_count, QUICK, others=_number_texts),
    QuestionKind(
        "count", "How many white dots line up while the {name} is on screen?", _answer_dot_count, QUICK, others=_number_texts
    ),
    QuestionKind("duration", "For how many seconds is the {name} on screen?", _answer_seconds, others=_number_texts),
    QuestionKind(
        "state", "Which colour is the {name} after it has changed?", _answer_colour_after, others=lambda story: list(COLOURS)
    ),
    QuestionKind("cause", "What makes the {name} change its colour?", _answer_cause, others=_possible_causes),
    QuestionKind("cause", "What happens to the {name} when the {other} flashes?", _answer_consequence, others=_colour_changes),
    QuestionKind("comparison", "When is the {name} longer on screen, the first or the second time?", _answer_longer,
         others=lambda story: ["the first time", "the second time"]),
)  # fmt: skip
