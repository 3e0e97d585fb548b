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
        return tuple(stay.window for stay in self.stays)


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
        text = re.escape(self.text)
        for slot, words in SLOTS.items():
            text = text.replace(re.escape(f"{{{slot}}}"), f"(?P<{slot}>{words})")
        return re.compile(text)


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
    for kind in KINDS:
        match = kind.pattern.fullmatch(question)
        if match is not None:
            return UnderstoodQuestion(kind, {name: value for name, value in match.groupdict().items() if value})
    return None


def write(story: Story, requested: list[tuple[QuestionType, Form]], rng: Random) -> tuple[Written, ...]:
    """Write a question for each requested type and form, where the story allows one."""
    questions: list[Written] = []
    for question_type, form in requested:
        possible = list(_possible(story, question_type, form, {question.question for question in questions}))
        if possible:
            text, question_kind, answer = rng.choice(possible)
            questions.append(_compose(text, question_kind, answer, form, story, rng))
    return tuple(questions)


def _possible(
    story: Story, question_type: QuestionType, form: Form, texts_used: set[str]
) -> Iterator[tuple[str, QuestionKind, OracleAnswer]]:
    for question_kind in KINDS:
        if question_kind.type != question_type or question_kind.grounded != (form == "grounded"):
            continue
        for slots in _slot_values(story):
            text = question_kind.text.format(**slots)
            answer = question_kind.answer(story, slots)
            if answer is not None and text not in texts_used:
                yield text, question_kind, answer


def _slot_values(story: Story) -> Iterator[dict[str, str]]:
    for name in story.names:
        other_names = [other_name for other_name in story.names if other_name != name]
        for other_name in other_names or [""]:
            yield {"name": name, "other": other_name, "colour": name.split()[0]}


def _compose(text: str, kind: QuestionKind, answer: OracleAnswer, form: Form, story: Story, rng: Random) -> Written:
    options: list[str] = []
    if form == "mcq":
        other_answers = [other_answer for other_answer in dict.fromkeys(kind.others(story)) if other_answer != answer.text]
        options = [answer.text, *rng.sample(other_answers, min(MCQ_OPTIONS - 1, len(other_answers)))]
        rng.shuffle(options)
    spans = tuple(Span(start_s=Decimal(window.start_cs) / 100, end_s=Decimal(window.end_cs) / 100) for window in answer.windows)
    return Written(
        type=kind.type, form=form if options or form != "mcq" else "open", question=text, options=tuple(options),
        answer=answer.text, windows=spans, needs=answer.needs, difficulty="medium" if kind.fps > USUAL else "easy",
        fps=Decimal(kind.fps.numerator) / kind.fps.denominator,
    )  # fmt: skip


def _stays(story: Story, name: str) -> tuple[Fact, ...]:
    return tuple(story.of("stays", name))


def _answer_if(text: str | None, stays: tuple[Fact, ...], needs: Needs = "any") -> OracleAnswer | None:
    return OracleAnswer(text, stays, needs) if text and stays else None


def _answer_shape(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    name = next((name for name in story.names if name.startswith(slots["colour"] + " ")), "")
    return _answer_if(name.rpartition(" ")[2], _stays(story, name))


def _answer_deed(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    name = slots["name"]
    deed = next((fact for fact in story.facts if fact.name == name and fact.kind in ("flashes", "turns", "moves")), None)
    answer = deed.sentence.replace(f"the {name}", "it") if deed else "white dots line up" if story.of("dots", name) else None
    return _answer_if(answer, _stays(story, name)[:1])


def _answer_first(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    stays = [_stays(story, slots[slot])[:1] for slot in ("name", "other") if slots.get(slot)]
    if len(stays) < 2 or not all(stays):
        return None
    (first_stay,), (second_stay,) = sorted(stays, key=lambda stay: stay[0].window.start_cs)
    if second_stay.window.start_cs - first_stay.window.start_cs < DIFFER_CS:
        return None
    return _answer_if(f"the {first_stay.name}", (first_stay, second_stay), "all")


def _answer_flash_count(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    flashes, stays = story.of("flashes", slots["name"]), _stays(story, slots["name"])
    return _answer_if(str(len(flashes)) if flashes else None, stays, "all" if len(stays) > 1 else "any")


def _answer_dot_count(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    dots, stays = story.of("dots", slots["name"]), _stays(story, slots["name"])
    return _answer_if(str(len(dots)) if dots and len(stays) == 1 else None, stays)


def _answer_seconds(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    stays = _stays(story, slots["name"])
    if len(stays) != 1:
        return None
    return _answer_if(str(round((stays[0].window.end_cs - stays[0].window.start_cs) / 100)), stays)


def _answer_colour_after(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    turns = story.of("turns", slots["name"])
    return _answer_if(turns[0].what if turns else None, _stays(story, slots["name"])[:1])


def _answer_cause(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    flash_and_turn = _flash_and_turn(story, slots["name"])
    return _answer_if(f"the {flash_and_turn[0].name} flashes" if flash_and_turn else None, _stays(story, slots["name"])[:1])


def _answer_consequence(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    flash_and_turn = _flash_and_turn(story, slots["name"])
    if flash_and_turn is None or flash_and_turn[0].name != slots.get("other"):
        return None
    return _answer_if(f"it turns {flash_and_turn[1].what}", _stays(story, slots["name"])[:1])


def _flash_and_turn(story: Story, name: str) -> tuple[Fact, Fact] | None:
    """Another object's flash, and the change of colour that comes with it."""
    for change in story.of("turns", name):
        for flash in story.of("flashes"):
            if flash.name != name and abs(change.window.start_cs - flash.window.start_cs) <= CLOSE_CS:
                return flash, change
    return None


def _answer_longer(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    stays = _stays(story, slots["name"])
    if len(stays) != 2:
        return None
    first_cs, second_cs = (stay.window.end_cs - stay.window.start_cs for stay in stays)
    if abs(first_cs - second_cs) < DIFFER_CS:
        return None
    return _answer_if("the first time" if first_cs > second_cs else "the second time", stays, "all")


def _answer_when(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    stays = _stays(story, slots["name"])
    return _answer_if(print_span(stays[0].window) if len(stays) == 1 else None, stays)


def _answer_when_first(story: Story, slots: dict[str, str]) -> OracleAnswer | None:
    stays = story.of("stays")[:1]
    return _answer_if(print_span(stays[0].window) if len(story.names) > 1 else None, tuple(stays))


def _possible_causes(story: Story) -> list[str]:
    """Possible causes: happenings of this video, and others, worded as causes."""
    flash_causes = [f"the {name} flashes" for name in story.names]
    return [*flash_causes, *(f"the {name} goes away" for name in story.names), "a white dot joins the row"]


def _colour_changes(story: Story) -> list[str]:
    colours = [*(name.split()[0] for name in story.names), *COLOURS]
    return [f"it turns {colour}" for colour in colours]


def _possible_deeds(story: Story) -> list[str]:
    colours = list(dict.fromkeys([*(name.split()[0] for name in story.names), *COLOURS]))
    return [
        *(f"it flashes {colour}" for colour in colours[:3]),
        *(f"it turns {colour}" for colour in colours[:2]),
        f"it moves {WAYS['left']}",
    ]


def _number_texts(story: Story) -> list[str]:
    return [str(number) for number in range(1, MAX_DOTS + 1)]


def _object_names(story: Story) -> list[str]:
    return [f"the {name}" for name in story.names]


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
