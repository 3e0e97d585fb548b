"""The input and the output of a rule: a trajectory with what is known of its task and video; a score with places in the text.

A rule is a function from `RuleInput` to a `RuleScore`, or to None where too little is known to say anything. It is total:
whatever the text, it returns. Places count characters of `RuleInput.text`, so that a person can look them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dmforge.schemas.clips import Clips
from dmforge.schemas.defects import Defect
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.known_dialects import dialect_of
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import CandidateWithTask, Needs, Overview, TaskKind, Verdict
from dmforge.schemas.scoring import answer_options
from dmforge.schemas.tags import CLOSE, OPEN, TAG

MAX_REPORTED = 3
"""The most faults that a verdict reports; the others can be found in the text."""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A part of a text: from `start` up to `end`."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class RuleInput:
    """A trajectory with what is known of its task and its video."""

    text: str
    """All that the policy wrote."""
    kind: TaskKind
    question: str
    options: tuple[str, ...] = ()
    gold: str = ""
    """Empty where unknown."""
    windows: tuple[Window, ...] = ()
    """Where the answer shows; empty where unknown."""
    needs: Needs = "any"
    duration_cs: int | None = None
    """None where unknown."""
    looks: tuple[Look, ...] = ()
    answer: str = ""
    clips: Clips = field(default_factory=Clips)
    max_looks: int = 1
    sent_patches: tuple[tuple[int, ...], ...] = ()
    """Of each clip, which patches the writer was sent; empty where that were all."""
    overview: Overview = "first"
    """Whether the coarse clip was shown before the first look only, or `always`."""

    @cached_property
    def parsed(self) -> Trajectory | tuple[Defect, ...]:
        return self.dialect.parse(self.text, self.max_looks)

    @cached_property
    def dialect(self) -> Dialect:
        """The form in which the text is written."""
        return dialect_of(self.text)

    @cached_property
    def thoughts(self) -> tuple[TextSpan, ...]:
        """T1, T2: the text before, between and after looks, without tags; in a broken text the most likely reading."""
        if self.dialect.turn_end:
            return tuple(_contents(self.text, OPEN["think"], CLOSE["think"])) or (TextSpan("", 0),)
        think_start = _end_of_tag(self.text, OPEN["think"], 0)
        think_end = _start_of_first_tag(self.text, (CLOSE["think"], OPEN["answer"]), think_start)
        thought_spans: list[TextSpan] = []
        thought_start, close_start = think_start, think_start
        while (look_start := self.text.find(OPEN["span"], thought_start, think_end)) >= 0:
            thought_spans.append(TextSpan(self.text[thought_start:look_start], thought_start))
            # once no closing tag is left, none is searched for again: the time stays linear
            close_start = self.text.find(CLOSE["fps"], look_start, think_end) if close_start >= 0 else close_start
            thought_start = look_start + len(OPEN["span"]) if close_start < 0 else close_start + len(CLOSE["fps"])
        return (*thought_spans, TextSpan(self.text[thought_start:think_end], thought_start))

    @cached_property
    def spans(self) -> tuple[TextSpan, ...]:
        """The text in each `<span>`, or in each call of another dialect: the place of a window."""
        look_tag = self.dialect.look_tag
        if self.dialect.turn_end:
            return tuple(_contents(self.text, f"<{look_tag}>", f"</{look_tag}>"))
        return tuple(_element_texts(self.text, OPEN["span"]))

    @cached_property
    def answers(self) -> tuple[TextSpan, ...]:
        """The text in each `<answer>`; where there is none, an empty one at the end."""
        return tuple(_element_texts(self.text, OPEN["answer"])) or (TextSpan("", len(self.text)),)

    def place_of_look(self, index: int) -> TextSpan:
        """The place of a look; the beginning of the text where it can't be found."""
        return self.spans[index] if index < len(self.spans) else TextSpan(self.text[:1], 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a text, with its place."""

    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RuleScore:
    """The score of a rule: 1 is sound, 0 as bad as can be, over `n` things that were checked."""

    score: float
    n: int = 1
    reason: str = ""
    """One of a few fixed texts; particulars stand in the faults."""
    faults: tuple[Finding, ...] = ()

    def detail(self) -> str:
        """The first faults with their places."""
        return "; ".join(f"at {finding.start}-{finding.end}: {finding.message}" for finding in self.faults[:MAX_REPORTED])


SOUND = RuleScore(1.0)
Check = Callable[[RuleInput], RuleScore | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, named as its verdicts are, with a trajectory about `EXAMPLE` that fails it."""

    name: str
    check: Check
    fails: str
    """A trajectory about a video of 12 s that shows a blue square, and from 3 s to 5 s a red one."""
    version: int = 1
    """Of a plug-in's rule: raised when what comes out changes. dmforge's own go by the version of their stage."""

    @property
    def about(self) -> str:
        """The question that the rule asks: the docstring of its check."""
        return (self.check.__doc__ or "").strip()


EXAMPLE = RuleInput("", "mcq", "Which colour comes second?", ("blue", "red"), "red", (Window(300, 500),), "any", 1200)
"""The task and video that the examples of rules are about."""


def measure_share(faults: Sequence[Finding], checked_count: int, reason: str) -> RuleScore:
    """The measure of a rule about `checked_count` things: the share of them that are not at fault."""
    return (
        RuleScore(max(0.0, 1 - len(faults) / checked_count), checked_count, reason, tuple(faults))
        if faults
        else RuleScore(1.0, checked_count)
    )


def rule_input_of(item: CandidateWithTask, clips: Clips, max_looks: int, overview: Overview = "first") -> RuleInput:
    """The input of rules for a candidate. A missing video has length 0: nothing lies inside it."""
    candidate, task = item.candidate, item.task
    options = answer_options(task.task_kind, task.question, task.options, task.answer)
    return RuleInput(
        candidate.transcript.trajectory_text,
        task.task_kind, task.question, options, task.answer, task.windows, task.needs,
        item.video.duration_cs if item.video else 0, candidate.looks, candidate.answer, clips, max_looks,
        candidate.sent_patches, overview,
    )  # fmt: skip


def verdict(item: CandidateWithTask, name: str, rule_score: RuleScore) -> Verdict:
    """The verdict on a candidate that stores a measure."""
    candidate_id: Id = item.candidate.id
    # half a surrogate comes from broken escapes; it can't be stored, but the rest of the sentence can
    storable_detail = rule_score.detail().encode("utf-8", "backslashreplace").decode()
    return Verdict(
        item.candidate.video,
        candidate_id,
        "candidate",
        name,
        rule_score.score,
        rule_score.n,
        rule_score.reason,
        storable_detail,
    )


def _contents(text: str, opening: str, closing: str) -> Iterator[TextSpan]:
    """The text from each opening tag up to the next closing one of its name."""
    position = 0
    while (opening_start := text.find(opening, position)) >= 0:
        start = opening_start + len(opening)
        position = text.find(closing, start)
        if position < 0:
            return
        yield TextSpan(text[start:position], start)


def _element_texts(text: str, opening: str) -> Iterator[TextSpan]:
    """The text between each such opening tag and the next tag."""
    tag_matches = [*TAG.finditer(text)]
    for tag_index, tag_match in enumerate(tag_matches):
        if tag_match.group() == opening:
            next_tag_start = tag_matches[tag_index + 1].start() if tag_index + 1 < len(tag_matches) else len(text)
            yield TextSpan(text[tag_match.end() : next_tag_start], tag_match.end())


def _end_of_tag(text: str, tag: str, start: int) -> int:
    tag_offset = text.find(tag, start)
    return start if tag_offset < 0 else tag_offset + len(tag)


def _start_of_first_tag(text: str, tags: tuple[str, ...], start: int) -> int:
    return min((tag_offset for tag in tags if (tag_offset := text.find(tag, start)) >= 0), default=len(text))
