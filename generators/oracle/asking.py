"""Questions that an oracle can write and answer: what they ask of a story, told in sentences or seen in frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random

from dmforge.generators.oracle.stories import WAYS, Fact, Story
from dmforge.generators.worlds.script import COLOURS, MAX_DOTS, SHAPES
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.records import Needs
from dmforge.schemas.replies import Form, QuestionType, Span, Written

QUICK, USUAL = Fraction(6), Fraction(2)
CLOSE_CS = 50
"""What happens so soon after something else follows from it."""
DIFFER_CS = 50
"""Stays that differ by less are not compared."""
MCQ_OPTIONS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the facts that it stands on."""

    text: str
    stays: tuple[Fact, ...]
    needs: Needs = "any"

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(stay.window for stay in self.stays)


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of question."""

    type: QuestionType
    text: str
    """With `{name}`, `{other}`, `{colour}` for what it is about."""
    answer: Callable[[Story, dict[str, str]], Answer | None]
    fps: Fraction = USUAL
    grounded: bool = False
    others: Callable[[Story], list[str]] = lambda story: []
    """What else might be the answer."""

    @property
    def pattern(self) -> re.Pattern[str]:
        text = re.escape(self.text)
        for slot, words in SLOTS.items():
            text = text.replace(re.escape(f"{{{slot}}}"), f"(?P<{slot}>{words})")
        return re.compile(text)


_OBJECT = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
SLOTS = {"name": _OBJECT, "other": _OBJECT, "colour": "|".join(COLOURS)}


@dataclass(frozen=True, slots=True)
class Understood:
    """A question that an oracle knows how to answer."""

    kind: Kind
    about: dict[str, str]

    def answered(self, story: Story) -> Answer | None:
        """The answer, as far as the story tells it."""
        return self.kind.answer(story, self.about)


def understood(question: str) -> Understood | None:
    """What a question asks for, if it is one of ours."""
    for kind in KINDS:
        found = kind.pattern.fullmatch(question)
        if found is not None:
            return Understood(kind, {name: value for name, value in found.groupdict().items() if value})
    return None


def write(story: Story, wanted: list[tuple[QuestionType, Form]], draw: Random) -> tuple[Written, ...]:
    """A question for each wanted one that the story can bear."""
    written: list[Written] = []
    for kind, form in wanted:
        found = list(_possible(story, kind, form, {one.question for one in written}))
        if found:
            text, one, answer = draw.choice(found)
            written.append(_written(text, one, answer, form, story, draw))
    return tuple(written)


def _possible(story: Story, kind: QuestionType, form: Form, taken: set[str]) -> Iterator[tuple[str, Kind, Answer]]:
    for one in KINDS:
        if one.type != kind or one.grounded != (form == "grounded"):
            continue
        for about in _abouts(story):
            text = one.text.format(**about)
            answer = one.answer(story, about)
            if answer is not None and text not in taken:
                yield text, one, answer


def _abouts(story: Story) -> Iterator[dict[str, str]]:
    for name in story.names:
        others = [other for other in story.names if other != name]
        for other in others or [""]:
            yield {"name": name, "other": other, "colour": name.split()[0]}


def _written(text: str, kind: Kind, answer: Answer, form: Form, story: Story, draw: Random) -> Written:
    options: list[str] = []
    if form == "mcq":
        others = [other for other in dict.fromkeys(kind.others(story)) if other != answer.text]
        options = [answer.text, *draw.sample(others, min(MCQ_OPTIONS - 1, len(others)))]
        draw.shuffle(options)
    spans = tuple(Span(start_s=Decimal(w.start_cs) / 100, end_s=Decimal(w.end_cs) / 100) for w in answer.windows)
    return Written(
        type=kind.type, form=form if options or form != "mcq" else "open", question=text, options=tuple(options),
        answer=answer.text, windows=spans, needs=answer.needs, difficulty="medium" if kind.fps > USUAL else "easy",
        fps=Decimal(kind.fps.numerator) / kind.fps.denominator,
    )  # fmt: skip


def _stays(story: Story, name: str) -> tuple[Fact, ...]:
    return tuple(story.of("stays", name))


def _answer(text: str | None, stays: tuple[Fact, ...], needs: Needs = "any") -> Answer | None:
    return Answer(text, stays, needs) if text and stays else None


def _shape(story: Story, about: dict[str, str]) -> Answer | None:
    name = next((name for name in story.names if name.startswith(about["colour"] + " ")), "")
    return _answer(name.rpartition(" ")[2], _stays(story, name))


def _deed(story: Story, about: dict[str, str]) -> Answer | None:
    name = about["name"]
    does = next((fact for fact in story.facts if fact.name == name and fact.kind in ("flashes", "turns", "moves")), None)
    said = does.sentence.replace(f"the {name}", "it") if does else "white dots line up" if story.of("dots", name) else None
    return _answer(said, _stays(story, name)[:1])


def _first(story: Story, about: dict[str, str]) -> Answer | None:
    stays = [_stays(story, about[slot])[:1] for slot in ("name", "other") if about.get(slot)]
    if len(stays) < 2 or not all(stays):
        return None
    (one,), (other,) = sorted(stays, key=lambda stay: stay[0].window.start_cs)
    if other.window.start_cs - one.window.start_cs < DIFFER_CS:
        return None
    return _answer(f"the {one.name}", (one, other), "all")


def _flashes(story: Story, about: dict[str, str]) -> Answer | None:
    found, stays = story.of("flashes", about["name"]), _stays(story, about["name"])
    return _answer(str(len(found)) if found else None, stays, "all" if len(stays) > 1 else "any")


def _dots(story: Story, about: dict[str, str]) -> Answer | None:
    found, stays = story.of("dots", about["name"]), _stays(story, about["name"])
    return _answer(str(len(found)) if found and len(stays) == 1 else None, stays)


def _seconds(story: Story, about: dict[str, str]) -> Answer | None:
    stays = _stays(story, about["name"])
    if len(stays) != 1:
        return None
    return _answer(str(round((stays[0].window.end_cs - stays[0].window.start_cs) / 100)), stays)


def _state(story: Story, about: dict[str, str]) -> Answer | None:
    turns = story.of("turns", about["name"])
    return _answer(turns[0].what if turns else None, _stays(story, about["name"])[:1])


def _cause(story: Story, about: dict[str, str]) -> Answer | None:
    pair = _caused(story, about["name"])
    return _answer(f"the {pair[0].name} flashes" if pair else None, _stays(story, about["name"])[:1])


def _consequence(story: Story, about: dict[str, str]) -> Answer | None:
    pair = _caused(story, about["name"])
    if pair is None or pair[0].name != about.get("other"):
        return None
    return _answer(f"it turns {pair[1].what}", _stays(story, about["name"])[:1])


def _caused(story: Story, name: str) -> tuple[Fact, Fact] | None:
    """Another object's flash, and the change that comes at once with it."""
    for turn in story.of("turns", name):
        for flash in story.of("flashes"):
            if flash.name != name and abs(turn.window.start_cs - flash.window.start_cs) <= CLOSE_CS:
                return flash, turn
    return None


def _longer(story: Story, about: dict[str, str]) -> Answer | None:
    stays = _stays(story, about["name"])
    if len(stays) != 2:
        return None
    first, second = (stay.window.end_cs - stay.window.start_cs for stay in stays)
    if abs(first - second) < DIFFER_CS:
        return None
    return _answer("the first time" if first > second else "the second time", stays, "all")


def _when(story: Story, about: dict[str, str]) -> Answer | None:
    stays = _stays(story, about["name"])
    return _answer(print_span(stays[0].window) if len(stays) == 1 else None, stays)


def _when_first(story: Story, about: dict[str, str]) -> Answer | None:
    stays = story.of("stays")[:1]
    return _answer(print_span(stays[0].window) if len(story.names) > 1 else None, tuple(stays))


def _happenings(story: Story) -> list[str]:
    """What happens in this video, as causes are worded, and what might."""
    flashing = [f"the {name} flashes" for name in story.names]
    return [*flashing, *(f"the {name} goes away" for name in story.names), "a white dot joins the row"]


def _changes(story: Story) -> list[str]:
    colours = [*(name.split()[0] for name in story.names), *COLOURS]
    return [f"it turns {colour}" for colour in colours]


def _deeds(story: Story) -> list[str]:
    colours = list(dict.fromkeys([*(name.split()[0] for name in story.names), *COLOURS]))
    return [
        *(f"it flashes {one}" for one in colours[:3]),
        *(f"it turns {one}" for one in colours[:2]),
        f"it moves {WAYS['left']}",
    ]


def _numbers(story: Story) -> list[str]:
    return [str(number) for number in range(1, MAX_DOTS + 1)]


def _both(story: Story) -> list[str]:
    return [f"the {name}" for name in story.names]


KINDS = (
    Kind("object", "What shape is the {colour} object?", _shape, others=lambda story: list(SHAPES)),
    Kind("object", "When is the {name} on screen?", _when, grounded=True),
    Kind("action", "What does the {name} do while it is on screen?", _deed, QUICK, others=_deeds),
    Kind("order", "Which comes on screen first, the {name} or the {other}?", _first, others=_both),
    Kind("order", "When is the object on screen that comes first?", _when_first, grounded=True),
    Kind("count", "How many times does the {name} flash?", _flashes, QUICK, others=_numbers),
    Kind("count", "How many white dots line up while the {name} is on screen?", _dots, QUICK, others=_numbers),
    Kind("duration", "For how many seconds is the {name} on screen?", _seconds, others=_numbers),
    Kind("state", "Which colour is the {name} after it has changed?", _state, others=lambda story: list(COLOURS)),
    Kind("cause", "What makes the {name} change its colour?", _cause, others=_happenings),
    Kind("cause", "What happens to the {name} when the {other} flashes?", _consequence, others=_changes),
    Kind("comparison", "When is the {name} longer on screen, the first or the second time?", _longer,
         others=lambda story: ["the first time", "the second time"]),
)  # fmt: skip
