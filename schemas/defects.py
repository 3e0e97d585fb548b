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

from dmforge.schemas.box_text import BoxRule, box_faults, end_of_box, length_of_box
from dmforge.schemas.looks import MAX_DENSITY_PART, read_density, read_span
from dmforge.schemas.tags import CLOSE, OPEN, TAG, TAG_NAMES, TagName

TagRule = Literal[
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
    "layout_not_canonical",
    "call_not_canonical",
    "turn_not_canonical",
]
Rule = TagRule | BoxRule

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
    content_start: int
    is_misplaced: bool = False
    is_whole: bool = True  # properly closed, with no tag inside
    content_end: int = 0
    end: int = 0


def find_defects(text: str, max_looks: int) -> tuple[Defect, ...]:
    """At most `MAX_DEFECTS` faults, ordered by offset; none if the text is well-formed."""
    scan = _Scan(text)
    scan.run()
    defects_by_rule = [iter(scan.defects), _content_defects(scan)]
    if not scan.is_broken_off:
        defects_by_rule.append(_missing_tag_defects(scan))
    if scan.is_matched:
        defects_by_rule += [
            _order_defects(scan),
            _loose_text_defects(scan),
            _stray_look_defects(scan),
            _look_defects(scan, max_looks),
        ]
    defects = [defect for rule_defects in defects_by_rule for defect in islice(rule_defects, MAX_DEFECTS)]
    return tuple(sorted(defects, key=lambda defect: (defect.start, defect.end))[:MAX_DEFECTS])


class _Scan:
    """One pass over the tags: which elements there are, which text is in none, which tags don't match."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.defects: list[Defect] = []
        self.elements: list[_Element] = []
        self.loose_spans: list[tuple[int, int]] = []
        self.seen_tags: set[TagName] = set()
        self.is_broken_off = False  # after MAX_DEFECTS
        self.is_cut_off = False  # the text ends inside an element; that alone leaves the tags before it matched
        self.is_matched = False
        self._open: list[_Element] = []
        self._surplus_openings: Counter[TagName] = Counter()  # opening tags passed over: as many closing ones are, too

    def run(self) -> None:
        position = 0
        for tag in TAG.finditer(self.text):
            self._add_loose_text(position, tag.start())
            name = _NAME[tag.group()]
            self.seen_tags.add(name)
            (self._on_opening_tag if tag.group() == OPEN[name] else self._on_closing_tag)(name, tag.start(), tag.end())
            position = tag.end()
            if len(self.defects) >= MAX_DEFECTS:
                self.is_broken_off = True
                return
        self._add_loose_text(position, len(self.text))
        self._finish()

    def top(self, name: TagName) -> list[_Element]:
        return [element for element in self.elements if element.name == name and not element.parent]

    def _add_loose_text(self, start: int, end: int) -> None:
        if start < end and not self._open:
            self.loose_spans.append((start, end))

    def _on_opening_tag(self, name: TagName, start: int, end: int) -> None:
        if any(element.name == name for element in self._open):
            self._report("tag_nested", f"{OPEN[name]} stands inside a {OPEN[name]} that is still open", start, end)
            self._surplus_openings[name] += 1
            self._open[-1].is_whole = False
            return
        while self._open and not _may_hold(self._open[-1].name, name) and not self._closes_later(self._open[-1].name, end):
            self._report_unclosed(self._open[-1], f"before {OPEN[name]}")
            self._close(start, start)
        element = _Element(name, self._open[-1].name if self._open else "", start, end)
        if self._open:
            parent = self._open[-1]
            parent.is_whole = False
            element.is_misplaced = not _may_hold(parent.name, name)
            if element.is_misplaced:
                self._report("tag_nested", f"{OPEN[name]} may not stand inside {OPEN[parent.name]}", start, end)
        self._open.append(element)

    def _on_closing_tag(self, name: TagName, start: int, end: int) -> None:
        if all(element.name != name for element in self._open):
            if self._open:
                self._open[-1].is_whole = False
            if self._surplus_openings[name]:
                self._surplus_openings[name] -= 1
            else:
                self._report("tag_unopened", f"{CLOSE[name]} closes nothing: no {OPEN[name]} is open here", start, end)
            return
        while self._open[-1].name != name:
            self._report_unclosed(self._open[-1], f"before {CLOSE[name]}")
            self._close(start, start)
        self._close(start, end)

    def _finish(self) -> None:
        self.is_cut_off, self.is_matched = bool(self._open), not self.defects
        for element in reversed(self._open):
            if not element.is_misplaced:  # one fault: the text was cut off; only the innermost element is named
                self._report_unclosed(element, "before the end of the text")
                break
        while self._open:
            self._open[-1].is_whole = False
            self._close(len(self.text), len(self.text))

    def _report_unclosed(self, element: _Element, where: str) -> None:
        element.is_whole = False
        if not element.is_misplaced:
            message = f"{OPEN[element.name]} is not closed; expected {CLOSE[element.name]} {where}"
            self._report("tag_unclosed", message, element.start, element.content_start)

    def _close(self, content_end: int, end: int) -> None:
        element = self._open.pop()
        element.content_end, element.end = content_end, end
        self.elements.append(element)

    def _closes_later(self, name: TagName, offset: int) -> bool:
        """Is the next tag of this name a closing one? Each such search ends in a defect, so there are at most MAX_DEFECTS."""
        closing = self.text.find(CLOSE[name], offset)
        return closing >= 0 and self.text.find(OPEN[name], offset, closing) < 0

    def _report(self, rule: Rule, message: str, start: int, end: int) -> None:
        self.defects.append(Defect(rule, message, start, end))


def _may_hold(parent: TagName, name: TagName) -> bool:
    # a look inside an answer is reported as `look_outside_think`, which says more than `tag_nested`
    return parent in ("think", "answer") and name in ("span", "fps")


def _content_defects(scan: _Scan) -> Iterator[Defect]:
    """Defects in the content of answers, and in the spans and densities of looks that a runtime would obey."""
    for element in scan.elements:
        start, end = element.content_start, element.content_end
        if not element.is_whole:
            continue
        if element.name == "answer" and not scan.text[start:end].strip():
            yield Defect("answer_empty", "the answer is empty", element.start, element.end)
        if element.name in ("span", "fps") and element.parent == "think":
            rule_and_expected = (_span_fault if element.name == "span" else _fps_fault)(scan.text[start:end])
            if rule_and_expected is not None:
                rule, expected = rule_and_expected
                yield Defect(rule, f"{element.name} is {quote(scan.text, start, end)}; expected {expected}", start, end)


def _missing_tag_defects(scan: _Scan) -> Iterator[Defect]:
    """Missing elements. One with even a stray tag isn't missing; nor is what a text that was cut off could have had."""
    text_end = len(scan.text)
    if "think" not in scan.seen_tags:
        yield Defect("think_missing", f"no {OPEN['think']}; a trajectory begins with it", 0, 0)
    if "answer" not in scan.seen_tags and not scan.is_cut_off:
        yield Defect("answer_missing", f"no {OPEN['answer']}; a trajectory ends with an answer", text_end, text_end)


def _order_defects(scan: _Scan) -> Iterator[Defect]:
    """Defects of the order: one think, then one answer."""
    think_elements, answer_elements = scan.top("think"), scan.top("answer")
    for extra_element in think_elements[1:]:
        yield Defect("think_doubled", f"another {OPEN['think']}; expected one", extra_element.start, extra_element.end)
    for extra_element in answer_elements[1:]:
        yield Defect("answer_doubled", f"another {OPEN['answer']}; expected one", extra_element.start, extra_element.end)
    if think_elements and answer_elements and answer_elements[0].start < think_elements[0].start:
        yield Defect(
            "answer_before_think", "the answer stands before the thinking", answer_elements[0].start, answer_elements[0].end
        )


def _loose_text_defects(scan: _Scan) -> Iterator[Defect]:
    """Text outside every element, one defect a place; none where the tag is missing that would say whose text it is."""
    think_elements, answer_elements = scan.top("think"), scan.top("answer")
    if think_elements and answer_elements and answer_elements[0].start < think_elements[0].start:
        return
    texts_before = [
        loose_span for loose_span in scan.loose_spans if think_elements and loose_span[1] <= think_elements[0].start
    ]
    texts_after = [loose_span for loose_span in scan.loose_spans if answer_elements and loose_span[0] >= answer_elements[0].end]
    texts_between = [
        (start, end)
        for start, end in scan.loose_spans
        if think_elements
        and answer_elements
        and think_elements[0].end <= start
        and end <= answer_elements[0].start
        and scan.text[start:end].strip(GAP)
    ]
    cases: tuple[tuple[Rule, str, list[tuple[int, int]]], ...] = (
        ("text_before_think", f"before {OPEN['think']}; expected none", texts_before),
        ("text_before_answer", f"between {CLOSE['think']} and {OPEN['answer']}; expected at most white space", texts_between),
        ("text_after_answer", f"after {CLOSE['answer']}; expected none", texts_after),
    )
    for rule, expectation, loose_spans_there in cases:
        if loose_spans_there:
            yield Defect(
                rule,
                f"text {quote(scan.text, *loose_spans_there[0])} {expectation}",
                loose_spans_there[0][0],
                loose_spans_there[-1][1],
            )


def _stray_look_defects(scan: _Scan) -> Iterator[Defect]:
    """Looks outside the thinking: at the top or in the answer; a span with the density behind it is one defect."""
    previous_element = None
    for element in scan.elements:
        is_stray = element.name in ("span", "fps") and element.parent != "think"
        is_paired = (
            previous_element is not None
            and (previous_element.name, element.name) == ("span", "fps")
            and previous_element.parent == element.parent
        )
        if is_stray and not is_paired:
            location = f"in the {element.parent}" if element.parent else f"outside {OPEN['think']}"
            message = f"{OPEN[element.name]} {location}; a look is only obeyed while thinking"
            yield Defect("look_outside_think", message, element.start, element.end)
        previous_element = element


def _look_defects(scan: _Scan, max_looks: int) -> Iterator[Defect]:
    """Defects of the looks in a think: each is a span with its density right behind it, and there are not too many."""
    elements = [element for element in scan.elements if element.name in ("span", "fps") and element.parent == "think"]
    looks: list[_Element] = []
    for previous_element, element in pairwise([None, *elements, None]):
        if previous_element is not None and previous_element.name == "span":
            yield from _defects_after_span(scan, previous_element, element)
        if element is not None and element.name == "fps" and (box_length := length_of_box(scan.text, element.end)):
            message = f"a box behind the density, where it is not obeyed; expected it between {CLOSE['span']} and {OPEN['fps']}"
            yield Defect("box_after_fps", message, element.end, element.end + box_length)
        if element is None or (element.name == "fps" and previous_element is not None and previous_element.name == "span"):
            continue
        looks.append(element)
        if element.name == "fps":
            yield Defect("fps_without_span", f"{OPEN['fps']} without {OPEN['span']} before it", element.start, element.end)
    if len(looks) > max_looks:
        message = f"{len(looks)} looks; expected at most {max_looks}"
        yield Defect("looks_too_many", message, looks[max_looks].start, elements[-1].end)


def _defects_after_span(scan: _Scan, span: _Element, following: _Element | None) -> Iterator[Defect]:
    if following is not None and following.name == "fps":
        faults = list(box_faults(scan.text, span.end, following.start))
        for rule, expected, start, end in faults:
            yield Defect(rule, f"box is {quote(scan.text, start, end)}; expected {expected}", start, end)
        box_end = end_of_box(scan.text, span.end, following.start)
        if box_end < following.start and all(fault.rule != "box_doubled" for fault in faults):
            excerpt = quote(scan.text, box_end, following.start)
            message = f"text {excerpt} between {CLOSE['span']} and {OPEN['fps']}; expected none, or a box"
            yield Defect("text_in_look", message, box_end, following.start)
    elif span.end < len(scan.text):  # else the text was cut off here, which is reported already
        message = f"no density after the span; expected {OPEN['fps']} right after {CLOSE['span']}"
        yield Defect("fps_missing", message, span.start, span.end)


def _span_fault(text: str) -> tuple[Rule, str] | None:
    bounds_cs = read_span(text)
    if bounds_cs is None:
        return "span_not_canonical", "two times in seconds with two decimals each, like 12.00 - 20.00"
    return window_fault(*bounds_cs)


def window_fault(start_cs: int, end_cs: int) -> tuple[Rule, str] | None:
    """The rule that a window from here to there breaks, and what was expected; None where it is sound."""
    if start_cs == end_cs:
        return "span_empty", "an end after the start"
    return ("span_reversed", "the earlier time first") if start_cs > end_cs else None


def _fps_fault(text: str) -> tuple[Rule, str] | None:
    fps = read_density(text)
    if fps is None:
        shortest_form_hint = "in its shortest form, like 2, 0.5 or 1/3"
        return "fps_not_canonical", f"a density {shortest_form_hint}, with no part above {MAX_DENSITY_PART}"
    return ("fps_not_positive", "a density above zero") if fps <= 0 else None


def quote(text: str, start: int, end: int) -> str:
    """An excerpt that can always be printed: repr escapes lone surrogates and NULs."""
    return repr(text[start:end]) if end - start <= 40 else repr(text[start : start + 37]) + "..."
