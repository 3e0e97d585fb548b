"""Reads a text that has turns: the trajectory that it says, or its faults, each at its place.

What a call says, too many looks and an empty answer are all reported. Where the text doesn't have the shape of the form,
that is the last thing reported: what would be said of the rest would be a guess.
"""

from __future__ import annotations

from functools import partial

from dmforge.schemas.box_text import length_of_box
from dmforge.schemas.defects import GAP, MAX_DEFECTS, Defect, Rule, quote
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.turn_form import TURN_END, TurnForm
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look
from dmforge.schemas.tags import CLOSE, OPEN


def read_turns(form: TurnForm, text: str, max_looks: int = 1) -> Trajectory | tuple[Defect, ...]:
    """The trajectory, or why it isn't one: at least one defect, in the order of their offsets."""
    reader = _TurnReader(form, text)
    reader.run(max_looks)
    if reader.defects:
        return tuple(sorted(reader.defects, key=lambda defect: (defect.start, defect.end))[:MAX_DEFECTS])
    turns = tuple(reader.turns) if max(reader.turns, default=1) > 1 else ()
    return Trajectory(tuple(reader.thoughts), tuple(reader.looks), reader.answer, reader.gap, turns)


def looks_so_far(form: TurnForm, text: str) -> tuple[Look, ...] | None:
    """The looks of a text that ends with a turn of calls; None where that is no beginning of a trajectory."""
    call_count = text.count(f"</{form.look_tag}>", max(0, text.rfind(OPEN["think"])))
    answer = f"{OPEN['answer']}-{CLOSE['answer']}"
    trajectory = read_turns(form, f"{text}{form.response_text(call_count)}{form.think('')}{answer}", len(text))
    return trajectory.looks if isinstance(trajectory, Trajectory) else None


def turn_dialect(form: TurnForm) -> Dialect:
    """The dialect of a form."""
    return Dialect(
        form.name,
        form.look_tag,
        partial(read_turns, form),
        form.transcribe,
        partial(looks_so_far, form),
        form.answered,
        TURN_END,
        form.response_role,
        form.tools,
    )


class _TurnReader:
    """One pass over the text. Its steps say whether the shape of the text allows the next one."""

    def __init__(self, form: TurnForm, text: str) -> None:
        self.form, self.text, self.position = form, text, 0
        self.thoughts: list[str] = []
        self.looks: list[Look] = []
        self.turns: list[int] = []
        self.answer = self.gap = ""
        self.defects: list[Defect] = []
        self._marks = form.marks()
        self._call_spans: list[tuple[int, int]] = []

    def run(self, max_looks: int) -> None:
        call_opening = f"<{self.form.look_tag}>"
        while self._read_thought():
            if not self.text.startswith(call_opening, self.position):
                self._read_answer()
                break
            if not (self._read_calls() and self._read_response()):
                break
        if len(self._call_spans) > max_looks:
            first_start, last_end = self._call_spans[max_looks][0], self._call_spans[-1][1]
            message = f"{len(self._call_spans)} looks; expected at most {max_looks}"
            self.defects.append(Defect("looks_too_many", message, first_start, last_end))

    def _read_thought(self) -> bool:
        opening, closing = OPEN["think"], CLOSE["think"]
        if not self.text.startswith(opening, self.position):
            return self._report_before_think()
        start = self.position + len(opening) + len(self.form.inside)
        thought = self._read_element(opening, closing)
        if thought is None:
            return False
        if self.thoughts and (box_length := length_of_box(thought)):
            message = "a box at the beginning of a thought, where it is not obeyed; expected it in a call"
            self._report("box_after_fps", message, start, start + box_length)
        self.thoughts.append(thought)
        return self._expect(self.form.after_think, "layout_not_canonical", f"behind {closing}")

    def _report_before_think(self) -> bool:
        mark = self._marks.search(self.text, self.position)
        start, opening = self.position, OPEN["think"]
        if mark is not None and mark.group() == opening:
            excerpt = quote(self.text, start, mark.start())
            return self._report("text_before_think", f"text {excerpt} before {opening}; expected none", start, mark.start())
        return self._report("think_missing", f"no {opening}; every turn begins with it", start, start)

    def _read_calls(self) -> bool:
        """Read all calls of a turn, and the end of the turn."""
        opening, closing = f"<{self.form.look_tag}>", f"</{self.form.look_tag}>"
        call_count = 0
        while True:
            start = self.position
            call_text = self._read_element(opening, closing)
            if call_text is None:
                return False
            call_count += 1
            self._call_spans.append((start, self.position))
            self._add_look(call_text, start + len(opening) + len(self.form.inside))
            following = self.form.between_calls + opening
            if not (self.form.between_calls and self.text.startswith(following, self.position)):
                break
            self.position += len(self.form.between_calls)
        self.turns.append(call_count)
        return self._expect(TURN_END, "turn_not_canonical", f"behind {closing}")

    def _add_look(self, call_text: str, start: int) -> None:
        look_or_fault = self.form.read_look(call_text)
        if isinstance(look_or_fault, Look):
            self.looks.append(look_or_fault)
        elif len(self.defects) < MAX_DEFECTS:
            rule, expected = look_or_fault
            end = start + len(call_text)
            message = f"{self.form.look_tag} is {quote(self.text, start, end)}; expected {expected}"
            self._report(rule, message, start, end)

    def _read_response(self) -> bool:
        return self._expect(self.form.response_text(self.turns[-1]), "turn_not_canonical", f"behind {TURN_END}")

    def _read_answer(self) -> None:
        opening, closing = OPEN["answer"], CLOSE["answer"]
        gap_end = self.position
        while gap_end < len(self.text) and self.text[gap_end] in GAP:
            gap_end += 1
        self.gap = self.text[self.position : gap_end]
        if not self.text.startswith(opening, gap_end):
            self._report_no_answer(gap_end)
            return
        start = self.position = gap_end
        answer = self._read_element(opening, closing, inside="")
        if answer is None:
            return
        self.answer = answer
        if not answer.strip():
            self._report("answer_empty", "the answer is empty", start, self.position)
        if self.position < len(self.text):
            excerpt = quote(self.text, self.position, len(self.text))
            message = f"text {excerpt} after {closing}; expected none"
            self._report("text_after_answer", message, self.position, len(self.text))

    def _report_no_answer(self, start: int) -> None:
        opening = OPEN["answer"]
        mark = self._marks.search(self.text, start)
        if start == len(self.text):
            self._report("answer_missing", f"no {opening}; a trajectory ends with an answer", start, start)
        elif mark is not None and mark.start() == start:
            expected = f"{opening} or <{self.form.look_tag}>"
            self._report("turn_not_canonical", f"{mark.group()} behind {CLOSE['think']}; expected {expected}", *mark.span())
        else:
            end = len(self.text) if mark is None else mark.start()
            message = f"text {quote(self.text, start, end)} behind {CLOSE['think']}; expected at most white space"
            self._report("text_before_answer", message, start, end)

    def _read_element(self, opening: str, closing: str, inside: str | None = None) -> str | None:
        """The content of the element that begins here, without the white space inside of it; None where it is malformed."""
        start, inside = self.position, self.form.inside if inside is None else inside
        content_start = self.position = start + len(opening)
        if not self._expect(inside, "layout_not_canonical", f"behind {opening}"):
            return None
        mark = self._marks.search(self.text, self.position)
        if mark is None:
            message = f"{opening} is not closed; expected {closing} before the end of the text"
            self._report("tag_unclosed", message, start, content_start)
        elif mark.group() != closing:
            self._report("tag_nested", f"{mark.group()} may not stand inside {opening}", *mark.span())
        elif not self.text.endswith(inside, self.position, mark.start()):
            message = f"{closing} stands right behind a text; expected {inside!r} before it"
            self._report("layout_not_canonical", message, *mark.span())
        else:
            content = self.text[self.position : mark.start() - len(inside)]
            self.position = mark.end()
            return content
        return None

    def _expect(self, fixed: str, rule: Rule, place: str) -> bool:
        """Go on behind a fixed text; where something else stands here, report the first character that differs."""
        start = self.position
        if self.text.startswith(fixed, start):
            self.position += len(fixed)
            return True
        same = next(
            (offset for offset, letter in enumerate(fixed) if not self.text.startswith(letter, start + offset)), len(fixed)
        )
        at = start + same
        end = min(len(self.text), at + 1)
        excerpt = quote(self.text, at, end) if at < end else "the end of the text"
        return self._report(rule, f"{excerpt} {place}; expected {quote(fixed, same, len(fixed))} there", at, end)

    def _report(self, rule: Rule, message: str, start: int, end: int) -> bool:
        """Add a defect. Returns False: what reports is no step further."""
        self.defects.append(Defect(rule, message, start, end))
        return False
