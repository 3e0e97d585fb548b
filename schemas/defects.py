"""Why a text is no well-formed trajectory: every fault once, at its place, without those that merely follow from it.

Three layers. Tags that don't match: after such a fault the reading goes on as a person's would, what is certainly left open
is closed at the next tag, what only stands in the wrong place is passed over. Structure: judged only where the tags match,
since else it's a guess what belongs to what. Content: judged in every element that is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final, Literal

from dmforge.schemas.looks import MAX_DENSITY_PART, read_density, read_span
from dmforge.schemas.tags import CLOSE, OPEN, TAG, TAG_NAMES, TagName

Rule = Literal[
    "think_missing",
    "think_doubled",
    "answer_missing",
    "answer_doubled",
    "answer_empty",
    "answer_before_think",
    "tag_unclosed",
    "tag_unopened",
    "tag_nested",
    "text_before_think",
    "text_before_answer",
    "text_after_answer",
    "text_in_look",
    "look_outside_think",
    "looks_too_many",
    "span_not_canonical",
    "span_empty",
    "span_reversed",
    "fps_not_canonical",
    "fps_not_positive",
    "fps_missing",
    "fps_without_span",
]

GAP: Final = " \t\r\n"
"""The white space that may stand between `</think>` and `<answer>`."""

MAX_DEFECTS: Final = 32
"""A text with more faults than that is noise; the bound also keeps the search linear (see `_closes_later`)."""

_NAME: Final[dict[str, TagName]] = {tags[name]: name for tags in (OPEN, CLOSE) for name in TAG_NAMES}


@dataclass(frozen=True, slots=True)
class Defect:
    """One fault, from `start` up to `end`, counted in characters; `message` says what was found and what is expected."""

    rule: Rule
    message: str
    start: int
    end: int


@dataclass(slots=True)
class _Element:
    """`<name>...</name>`; `parent` is "" at the top."""

    name: TagName
    parent: TagName | Literal[""]
    start: int
    inside: int
    misplaced: bool = False
    whole: bool = True  # properly closed, with no tag inside
    inside_end: int = 0
    end: int = 0


def find_defects(text: str, max_looks: int) -> tuple[Defect, ...]:
    """At most `MAX_DEFECTS` faults, ordered by offset; none if the text is well-formed."""
    scan = _Scan(text)
    scan.run()
    rules = [iter(scan.defects), _content(scan)]
    if not scan.broken_off:
        rules.append(_missing(scan))
    if scan.matched:
        rules += [_order(scan), _loose_text(scan), _stray_looks(scan), _looks(scan, max_looks)]
    found = [defect for rule in rules for defect in islice(rule, MAX_DEFECTS)]
    return tuple(sorted(found, key=lambda defect: (defect.start, defect.end))[:MAX_DEFECTS])


class _Scan:
    """One pass over the tags: which elements there are, which text is in none, which tags don't match."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.defects: list[Defect] = []
        self.elements: list[_Element] = []
        self.loose: list[tuple[int, int]] = []
        self.seen: set[TagName] = set()
        self.broken_off = False  # after MAX_DEFECTS
        self.cut_off = False  # the text ends inside an element; that alone leaves the tags before it matched
        self.matched = False
        self._open: list[_Element] = []
        self._surplus: Counter[TagName] = Counter()  # opening tags passed over: as many closing ones are, too

    def run(self) -> None:
        at = 0
        for tag in TAG.finditer(self.text):
            self._text(at, tag.start())
            name = _NAME[tag.group()]
            self.seen.add(name)
            (self._opening if tag.group() == OPEN[name] else self._closing)(name, tag.start(), tag.end())
            at = tag.end()
            if len(self.defects) >= MAX_DEFECTS:
                self.broken_off = True
                return
        self._text(at, len(self.text))
        self._end()

    def top(self, name: TagName) -> list[_Element]:
        return [element for element in self.elements if element.name == name and not element.parent]

    def _text(self, start: int, end: int) -> None:
        if start < end and not self._open:
            self.loose.append((start, end))

    def _opening(self, name: TagName, start: int, end: int) -> None:
        if any(element.name == name for element in self._open):
            self._found("tag_nested", f"{OPEN[name]} stands inside a {OPEN[name]} that is still open", start, end)
            self._surplus[name] += 1
            self._open[-1].whole = False
            return
        while self._open and not _may_hold(self._open[-1].name, name) and not self._closes_later(self._open[-1].name, end):
            self._unclosed(self._open[-1], f"before {OPEN[name]}")
            self._close(start, start)
        element = _Element(name, self._open[-1].name if self._open else "", start, end)
        if self._open:
            parent = self._open[-1]
            parent.whole = False
            element.misplaced = not _may_hold(parent.name, name)
            if element.misplaced:
                self._found("tag_nested", f"{OPEN[name]} may not stand inside {OPEN[parent.name]}", start, end)
        self._open.append(element)

    def _closing(self, name: TagName, start: int, end: int) -> None:
        if all(element.name != name for element in self._open):
            if self._open:
                self._open[-1].whole = False
            if self._surplus[name]:
                self._surplus[name] -= 1
            else:
                self._found("tag_unopened", f"{CLOSE[name]} closes nothing: no {OPEN[name]} is open here", start, end)
            return
        while self._open[-1].name != name:
            self._unclosed(self._open[-1], f"before {CLOSE[name]}")
            self._close(start, start)
        self._close(start, end)

    def _end(self) -> None:
        self.cut_off, self.matched = bool(self._open), not self.defects
        for element in reversed(self._open):
            if not element.misplaced:  # one fault: the text was cut off; only the innermost element is named
                self._unclosed(element, "before the end of the text")
                break
        while self._open:
            self._open[-1].whole = False
            self._close(len(self.text), len(self.text))

    def _unclosed(self, element: _Element, where: str) -> None:
        element.whole = False
        if not element.misplaced:
            message = f"{OPEN[element.name]} is not closed; expected {CLOSE[element.name]} {where}"
            self._found("tag_unclosed", message, element.start, element.inside)

    def _close(self, inside_end: int, end: int) -> None:
        element = self._open.pop()
        element.inside_end, element.end = inside_end, end
        self.elements.append(element)

    def _closes_later(self, name: TagName, at: int) -> bool:
        """Is the next tag of this name a closing one? Each such search ends in a defect, so there are at most MAX_DEFECTS."""
        closing = self.text.find(CLOSE[name], at)
        return closing >= 0 and self.text.find(OPEN[name], at, closing) < 0

    def _found(self, rule: Rule, message: str, start: int, end: int) -> None:
        self.defects.append(Defect(rule, message, start, end))


def _may_hold(parent: TagName, name: TagName) -> bool:
    # a look inside an answer is told as `look_outside_think`, which says more than `tag_nested`
    return parent in ("think", "answer") and name in ("span", "fps")


def _content(scan: _Scan) -> Iterator[Defect]:
    """What stands in an answer, a span, a density; of looks that a runtime would obey."""
    for element in scan.elements:
        start, end = element.inside, element.inside_end
        if not element.whole:
            continue
        if element.name == "answer" and not scan.text[start:end].strip():
            yield Defect("answer_empty", "the answer is empty", element.start, element.end)
        if element.name in ("span", "fps") and element.parent == "think":
            fault = (_span_fault if element.name == "span" else _fps_fault)(scan.text[start:end])
            if fault is not None:
                rule, expected = fault
                yield Defect(rule, f"{element.name} is {_quote(scan.text, start, end)}; expected {expected}", start, end)


def _missing(scan: _Scan) -> Iterator[Defect]:
    """A name of which even a stray tag is left isn't missing; nor is what a text that was cut off could have had."""
    end = len(scan.text)
    if "think" not in scan.seen:
        yield Defect("think_missing", f"no {OPEN['think']}; a trajectory begins with it", 0, 0)
    if "answer" not in scan.seen and not scan.cut_off:
        yield Defect("answer_missing", f"no {OPEN['answer']}; a trajectory ends with an answer", end, end)


def _order(scan: _Scan) -> Iterator[Defect]:
    """One think, then one answer."""
    thinks, answers = scan.top("think"), scan.top("answer")
    for extra in thinks[1:]:
        yield Defect("think_doubled", f"another {OPEN['think']}; expected one", extra.start, extra.end)
    for extra in answers[1:]:
        yield Defect("answer_doubled", f"another {OPEN['answer']}; expected one", extra.start, extra.end)
    if thinks and answers and answers[0].start < thinks[0].start:
        yield Defect("answer_before_think", "the answer stands before the thinking", answers[0].start, answers[0].end)


def _loose_text(scan: _Scan) -> Iterator[Defect]:
    """Text outside every element, told once a place; not told where the tag is missing that would say whose text it is."""
    thinks, answers = scan.top("think"), scan.top("answer")
    if thinks and answers and answers[0].start < thinks[0].start:
        return
    before = [part for part in scan.loose if thinks and part[1] <= thinks[0].start]
    after = [part for part in scan.loose if answers and part[0] >= answers[0].end]
    between = [
        (start, end)
        for start, end in scan.loose
        if thinks and answers and thinks[0].end <= start and end <= answers[0].start and scan.text[start:end].strip(GAP)
    ]
    places: tuple[tuple[Rule, str, list[tuple[int, int]]], ...] = (
        ("text_before_think", f"before {OPEN['think']}; expected none", before),
        ("text_before_answer", f"between {CLOSE['think']} and {OPEN['answer']}; expected at most white space", between),
        ("text_after_answer", f"after {CLOSE['answer']}; expected none", after),
    )
    for rule, place, parts in places:
        if parts:
            yield Defect(rule, f"text {_quote(scan.text, *parts[0])} {place}", parts[0][0], parts[-1][1])


def _stray_looks(scan: _Scan) -> Iterator[Defect]:
    """Looks at the top or in the answer; a span with the density behind it is told once."""
    before = None
    for element in scan.elements:
        stray = element.name in ("span", "fps") and element.parent != "think"
        paired = before is not None and (before.name, element.name) == ("span", "fps") and before.parent == element.parent
        if stray and not paired:
            place = f"in the {element.parent}" if element.parent else f"outside {OPEN['think']}"
            message = f"{OPEN[element.name]} {place}; a look is only obeyed while thinking"
            yield Defect("look_outside_think", message, element.start, element.end)
        before = element


def _looks(scan: _Scan, max_looks: int) -> Iterator[Defect]:
    """The looks of a think: each a span with its density right behind it, and not too many."""
    parts = [element for element in scan.elements if element.name in ("span", "fps") and element.parent == "think"]
    looks: list[_Element] = []
    for before, part in pairwise([None, *parts, None]):
        if before is not None and before.name == "span":
            yield from _after_span(scan, before, part)
        if part is None or (part.name == "fps" and before is not None and before.name == "span"):
            continue
        looks.append(part)
        if part.name == "fps":
            yield Defect("fps_without_span", f"{OPEN['fps']} without {OPEN['span']} before it", part.start, part.end)
    if len(looks) > max_looks:
        message = f"{len(looks)} looks; expected at most {max_looks}"
        yield Defect("looks_too_many", message, looks[max_looks].start, parts[-1].end)


def _after_span(scan: _Scan, span: _Element, part: _Element | None) -> Iterator[Defect]:
    if part is not None and part.name == "fps":
        if span.end < part.start:
            found = _quote(scan.text, span.end, part.start)
            message = f"text {found} between {CLOSE['span']} and {OPEN['fps']}; expected none"
            yield Defect("text_in_look", message, span.end, part.start)
    elif span.end < len(scan.text):  # else the text was cut off here, told already
        message = f"no density after the span; expected {OPEN['fps']} right after {CLOSE['span']}"
        yield Defect("fps_missing", message, span.start, span.end)


def _span_fault(text: str) -> tuple[Rule, str] | None:
    times = read_span(text)
    if times is None:
        return "span_not_canonical", "two times in seconds with two decimals each, like 12.00 - 20.00"
    if times[0] == times[1]:
        return "span_empty", "an end after the start"
    return ("span_reversed", "the earlier time first") if times[0] > times[1] else None


def _fps_fault(text: str) -> tuple[Rule, str] | None:
    fps = read_density(text)
    if fps is None:
        shortest = "in its shortest form, like 2, 0.5 or 1/3"
        return "fps_not_canonical", f"a density {shortest}, with no part above {MAX_DENSITY_PART}"
    return ("fps_not_positive", "a density above zero") if fps <= 0 else None


def _quote(text: str, start: int, end: int) -> str:
    """An excerpt that can always be printed: repr escapes lone surrogates and NULs."""
    return repr(text[start:end]) if end - start <= 40 else repr(text[start : start + 37]) + "..."
