"""What a rule is shown, and what it says: a trajectory beside what is known of its task and its video; a score and its places.

A rule is a function from `Judged` to a `Measure`, or to None where too little is known to say anything. It is total: whatever
the text, it returns. Places count characters of `Judged.text`, so that a person can look at what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dmforge.schemas.clips import Clips
from dmforge.schemas.defects import Defect
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Attempt, Needs, TaskKind, Verdict
from dmforge.schemas.scoring import answer_options
from dmforge.schemas.tags import CLOSE, OPEN, TAG

TOLD = 3
"""Places that a verdict names; the text is there to be searched for more."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a text: from `start` up to `end`."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Judged:
    """A trajectory with what is known of it."""

    text: str
    """All that the policy wrote."""
    kind: TaskKind
    question: str
    options: tuple[str, ...] = ()
    gold: str = ""
    """Empty where nobody said."""
    windows: tuple[Window, ...] = ()
    """Where the answer shows; none where nobody said."""
    needs: Needs = "any"
    duration_cs: int | None = None
    """None where nobody said."""
    looks: tuple[Look, ...] = ()
    answer: str = ""
    clips: Clips = field(default_factory=Clips)
    max_looks: int = 1

    @cached_property
    def parsed(self) -> Trajectory | tuple[Defect, ...]:
        return parse(self.text, self.max_looks)

    @cached_property
    def thoughts(self) -> tuple[Stretch, ...]:
        """T1, T2: what stands before, between and behind looks, without tags; of a broken text what most likely is meant."""
        begin = _after(self.text, OPEN["think"], 0)
        end = _before(self.text, (CLOSE["think"], OPEN["answer"]), begin)
        found: list[Stretch] = []
        at, close = begin, begin
        while (look := self.text.find(OPEN["span"], at, end)) >= 0:
            found.append(Stretch(self.text[at:look], at))
            # where none is closed any more, it isn't searched for again: the time stays linear
            close = self.text.find(CLOSE["fps"], look, end) if close >= 0 else close
            at = look + len(OPEN["span"]) if close < 0 else close + len(CLOSE["fps"])
        return (*found, Stretch(self.text[at:end], at))

    @cached_property
    def spans(self) -> tuple[Stretch, ...]:
        """What stands in `<span>`: the place of a window."""
        return tuple(_elements(self.text, OPEN["span"]))

    @cached_property
    def answers(self) -> tuple[Stretch, ...]:
        """What stands in `<answer>`; an answer of which nothing is there has its place at the end."""
        return tuple(_elements(self.text, OPEN["answer"])) or (Stretch("", len(self.text)),)

    def place_of_look(self, nth: int) -> Stretch:
        """Where a look stands; the beginning of the text where it can't be found."""
        return self.spans[nth] if nth < len(self.spans) else Stretch(self.text[:1], 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Measure:
    """What a rule found: 1 is sound, 0 as bad as can be, over `n` things looked at."""

    score: float
    n: int = 1
    reason: str = ""
    """Few and fixed; what is particular stands in the faults."""
    faults: tuple[Fault, ...] = ()

    def detail(self) -> str:
        """The first faults with their places."""
        return "; ".join(f"at {fault.start}-{fault.end}: {fault.message}" for fault in self.faults[:TOLD])


SOUND = Measure(1.0)
Check = Callable[[Judged], Measure | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by the name of its verdicts, with an answer to the `EXAMPLE` question that fails it."""

    name: str
    check: Check
    fails: str
    """A trajectory about a video of 12 s that shows a blue square, and from 3 s to 5 s a red one."""

    @property
    def about(self) -> str:
        """What it asks, as its documentation says."""
        return (self.check.__doc__ or "").strip()


EXAMPLE = Judged("", "mcq", "Which colour comes second?", ("blue", "red"), "red", (Window(300, 500),), "any", 1200)
"""What the examples of rules are about."""


def shared(faults: Sequence[Fault], n: int, reason: str) -> Measure:
    """The share of `n` things that are not at fault."""
    return Measure(max(0.0, 1 - len(faults) / n), n, reason, tuple(faults)) if faults else Measure(1.0, n)


def judged(item: Attempt, clips: Clips, max_looks: int) -> Judged:
    """A candidate as rules are shown it. A video that isn't there has no length: nothing lies inside it."""
    candidate, task = item.candidate, item.task
    options = answer_options(task.task_kind, task.question, task.options, task.answer)
    return Judged(
        candidate.transcript.trajectory_text,
        task.task_kind, task.question, options, task.answer, task.windows, task.needs,
        item.video.duration_cs if item.video else 0, candidate.looks, candidate.answer, clips, max_looks,
    )  # fmt: skip


def verdict(item: Attempt, name: str, found: Measure) -> Verdict:
    """A measure as it is kept."""
    subject: Id = item.candidate.id
    # half a surrogate comes from broken escapes; it can't be stored, and the rest of the sentence can
    detail = found.detail().encode("utf-8", "backslashreplace").decode()
    return Verdict(item.candidate.video, subject, "candidate", name, found.score, found.n, found.reason, detail)


def _elements(text: str, opening: str) -> Iterator[Stretch]:
    """What stands between an opening tag and the next tag."""
    tags = [*TAG.finditer(text)]
    for nth, tag in enumerate(tags):
        if tag.group() == opening:
            end = tags[nth + 1].start() if nth + 1 < len(tags) else len(text)
            yield Stretch(text[tag.end() : end], tag.end())


def _after(text: str, tag: str, at: int) -> int:
    found = text.find(tag, at)
    return at if found < 0 else found + len(tag)


def _before(text: str, tags: tuple[str, ...], at: int) -> int:
    return min((found for tag in tags if (found := text.find(tag, at)) >= 0), default=len(text))
