"""Does a thought stand on what was shown: the times that it names, the span that it answers, words that give gold away?"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from pydantic import Field, PositiveInt

from dmforge.curation.settled import Made, Result
from dmforge.curation.stage import Batch, StageConfig
from dmforge.filters.cited import Cited, cited_times
from dmforge.filters.guessing import unguessed
from dmforge.filters.judged import Fault, Judged, Measure, Rule, Stretch, judged, shared, verdict
from dmforge.filters.leaks import unleaked
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import NoFrames, plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window, print_seconds, print_span, read_span
from dmforge.schemas.records import Attempt, Verdict
from dmforge.schemas.scoring import iou
from dmforge.schemas.stamps import patch_times

STAMP_CS = Fraction(5)
"""A stamp is printed to tenths: who cites it is off by as much."""


class CitationsConfig(StageConfig):
    """Which frames a thought may speak of."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames were shown, and so which stamps."""
    max_looks: PositiveInt = 1
    """Most looks of a trajectory."""


class Citations(Batch[Attempt, Verdict]):
    """A verdict a candidate and rule: `cited_stamps`, `cited_inside`, `own_span`, `unleaked`, `unguessed`."""

    name, version = "citations", 2
    measures = ("cited_stamps", "cited_inside", "own_span", "unleaked", "unguessed")
    config: CitationsConfig

    def process(self, items: Iterator[Attempt]) -> Iterator[Result]:
        for item in items:
            yield Made(tuple(self._verdicts(item)))

    def _verdicts(self, item: Attempt) -> Iterator[Verdict]:
        shown = judged(item, self.config.clips, self.config.max_looks)
        for rule in CITATIONS:
            found = rule.check(shown)
            if found is not None:
                yield verdict(item, rule.name, found)


def cited_stamps(judged: Judged) -> Measure:
    """Are the times that thoughts name those of patches that were shown, give or take half a patch?"""
    faults: list[Fault] = []
    count = 0
    for nth, thought in enumerate(judged.thoughts):
        stamps_cs, reach_cs = _shown(judged, nth)
        for cited in _citations(judged, thought):
            count += 1
            off = _distance_cs(cited, stamps_cs)
            concluded = nth > 0 and cited.time_cs in _answered_cs(judged)
            if not concluded and off > reach_cs + max(STAMP_CS, cited.slack_cs):
                told = f"T{nth + 1} cites {cited.text}; the nearest stamp is {float(off) / 100:.2f} s away"
                faults.append(Fault(told, cited.start, cited.end))
    return shared(faults, count, "off the stamps")


def cited_inside(judged: Judged) -> Measure:
    """Do the times that T1 names lie inside the video, and those that T2 names inside the window it was shown?"""
    faults: list[Fault] = []
    count = 0
    for nth, thought in enumerate(judged.thoughts):
        for cited in _citations(judged, thought):
            count += 1
            if not _is_inside(judged, nth, cited):
                where = ", ".join(print_span(look.window) for look in judged.looks[:nth]) if nth else _length(judged)
                faults.append(Fault(f"T{nth + 1} cites {cited.text}, outside {where}", cited.start, cited.end))
    return shared(faults, count, "outside what was shown")


def own_span(judged: Judged) -> Measure:
    """How far is the answer to a grounding question from the window itself? 0: it looked at its answer, and found nothing."""
    times = read_span(judged.answer.strip()) if judged.kind == "grounding" else None
    if times is None or times[0] >= times[1] or not judged.looks:
        return Measure(1.0)
    alike = max(float(iou((look.window,), (Window(*times),))) for look in judged.looks)
    if not alike:
        return Measure(1.0)
    place = judged.place_of_look(0)
    told = f"it looks at {place.text[:40]} and answers {judged.answer.strip()[:40]}"
    reason = "span is the answer" if alike == 1 else "span is near the answer"
    return Measure(1 - alike, 1, reason, (Fault(told, place.start, place.end),))


def _citations(judged: Judged, thought: Stretch) -> Iterator[Cited]:
    """Without the numbers of the question: an option that says `8 seconds` is chosen, not cited."""
    if judged.kind == "grounding":
        yield from cited_times(thought)
        return
    texts = (text for text in (*judged.options, judged.question, judged.gold) if any(map(str.isdigit, text)))
    told = {cited.text for text in texts for cited in cited_times(Stretch(f"at {text}", 0))}
    yield from (cited for cited in cited_times(thought) if cited.text not in told)


def _shown(judged: Judged, nth: int) -> tuple[list[Fraction], Fraction]:
    """The stamps that a thought may cite, in centiseconds, and half the distance of two; none where nobody knows."""
    stamps: list[Fraction] = []
    reach = Fraction(0)
    for times_s, alone_s in _clips(judged, nth):
        stamps += [100 * time_s for time_s in times_s]
        gaps = [later - time for time, later in pairwise(times_s)]
        reach = max(reach, 50 * max(gaps, default=alone_s))
    return sorted(stamps), reach


def _distance_cs(cited: Cited, stamps_cs: list[Fraction]) -> Fraction:
    """How far a time is from the nearest stamp; 0 where none is known."""
    at = bisect_left(stamps_cs, cited.time_cs)
    return min((abs(cited.time_cs - stamp) for stamp in stamps_cs[max(0, at - 1) : at + 1]), default=Fraction(0))


def _clips(judged: Judged, nth: int) -> Iterator[tuple[tuple[Fraction, ...], Fraction]]:
    """The patch times of each clip before a thought, beside how long it is: T1 has seen V0, each other one its looks."""
    clips, duration_cs = judged.clips, judged.duration_cs
    try:
        if nth == 0:
            if duration_cs:
                duration_s = Fraction(duration_cs, 100)
                yield patch_times(plan_coarse(duration_s, clips.coarse_fps, clips.coarse_frames).times_s), duration_s
            return
        for look in judged.looks[:nth]:
            end_s = look.window.end_s if duration_cs is None else Fraction(duration_cs, 100)
            plan = plan_look(look, end_s, max_frames=clips.look_frames)
            yield patch_times(plan.times_s), _length_s(look)
    except NoFrames:
        return


def _is_inside(judged: Judged, nth: int, cited: Cited) -> bool:
    if nth == 0:
        return not judged.duration_cs or cited.time_cs <= judged.duration_cs + cited.slack_cs
    windows = [look.window for look in judged.looks[:nth]]
    inside = (window.start_cs - cited.slack_cs <= cited.time_cs <= window.end_cs + cited.slack_cs for window in windows)
    return not windows or any(inside)


def _answered_cs(judged: Judged) -> tuple[int, ...]:
    """The bounds of a span that is the answer: they follow from what was seen, and need not be on a frame."""
    return (read_span(judged.answer.strip()) or ()) if judged.kind == "grounding" else ()


def _length_s(look: Look) -> Fraction:
    return look.window.end_s - look.window.start_s


def _length(judged: Judged) -> str:
    return f"a video of {print_seconds(judged.duration_cs or 0)} s"


_LOOK = "<think>Something changes near the middle of the clip. <span>2.00 - 6.00</span><fps>2</fps>"
CITATIONS = (
    Rule("cited_stamps", cited_stamps, f"{_LOOK}The square is red at 5.90 seconds.</think><answer>B</answer>"),
    Rule("cited_inside", cited_inside, f"{_LOOK}The square is red at 10.2 seconds.</think><answer>B</answer>"),
    Rule("own_span", own_span, f"{_LOOK}It is red all the time.</think><answer>2.00 - 6.00</answer>"),
    Rule("unleaked", unleaked, f"{_LOOK}The annotation says red, and so it is.</think><answer>B</answer>"),
    Rule("unguessed", unguessed, f"{_LOOK}These frames do not show it, so I have to guess.</think><answer>B</answer>"),
)
"""Each with an example that fails it; `own_span` is about grounding."""
