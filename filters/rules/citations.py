"""Do thoughts rest on what was shown? Rules about the times they cite, the span they answer, and words that give gold away."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pydantic import Field, PositiveInt

from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.filters.rules.cited_times import CitedTime, cited_times
from dmforge.filters.rules.guessing import unguessed
from dmforge.filters.rules.leaks import unleaked
from dmforge.filters.rules.look_use import LOOK_USE
from dmforge.filters.rules.rule import Finding, Rule, RuleInput, RuleScore, TextSpan, measure_share, rule_input_of, verdict
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Later
from dmforge.schemas.frames import NoFrames, plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window, print_seconds, print_span, read_span
from dmforge.schemas.records import CandidateWithTask, Overview, Verdict
from dmforge.schemas.scoring import iou
from dmforge.schemas.stamps import patch_times

STAMP_ROUNDING_CS = Fraction(5)
"""Stamps are printed to tenths of a second: a citation of one may be off by half a tenth."""


class CitationsConfig(StageConfig):
    """Which frames thoughts may cite."""

    clips: Clips = Field(default_factory=Clips)
    """How clips were cut: decides which frames, and so which stamps, were shown."""
    max_looks: PositiveInt = 1
    """The most looks in a trajectory."""
    overview: Later[Overview] = "first"
    """Whether a teacher was shown the coarse clip before its first look only, or `always`."""


class Citations(Batch[CandidateWithTask, Verdict]):
    """One verdict per candidate and rule: `cited_stamps`, `cited_inside`, `own_span`, `unleaked`, `unguessed`; where there may
    be several looks also `overlap_looks` and `idle_look`."""

    name, version = "citations", 3
    measures = ("cited_stamps", "cited_inside", "own_span", "unleaked", "unguessed", "overlap_looks", "idle_look")
    config: CitationsConfig

    def given_scores(self) -> frozenset[str]:
        return frozenset(rule.name for rule in self._rules)

    @property
    def _rules(self) -> tuple[Rule, ...]:
        return (*CITATIONS, *(LOOK_USE if self.config.max_looks > 1 else ()))

    def process(self, items: Iterator[CandidateWithTask]) -> Iterator[Result]:
        for item in items:
            yield Made(tuple(self._verdicts(item)))

    def _verdicts(self, item: CandidateWithTask) -> Iterator[Verdict]:
        rule_input = rule_input_of(item, self.config.clips, self.config.max_looks, self.config.overview)
        for rule in self._rules:
            rule_score = rule.check(rule_input)
            if rule_score is not None:
                yield verdict(item, rule.name, rule_score)


def cited_stamps(rule_input: RuleInput) -> RuleScore:
    """Are the times that thoughts cite those of patches that were shown, give or take half a patch?"""
    stamp_faults: list[Finding] = []
    citation_count = 0
    for thought_index, thought in enumerate(rule_input.thoughts):
        visible_clips = _visible_clips(rule_input, thought_index)
        for cited_time in _citations(rule_input, thought):
            citation_count += 1
            slack_cs = max(STAMP_ROUNDING_CS, cited_time.slack_cs)
            distances_cs = [_distance_cs(cited_time, clip.stamps_cs) for clip in visible_clips]
            is_near = not visible_clips or any(
                distance_cs <= clip.reach_cs + slack_cs for clip, distance_cs in zip(visible_clips, distances_cs, strict=True)
            )
            is_concluded = thought_index > 0 and cited_time.time_cs in _answered_bounds_cs(rule_input)
            if not is_concluded and not is_near:
                distance_s = float(min(distances_cs)) / 100
                fault_message = f"T{thought_index + 1} cites {cited_time.text}; the nearest stamp is {distance_s:.2f} s away"
                stamp_faults.append(Finding(fault_message, cited_time.start, cited_time.end))
    return measure_share(stamp_faults, citation_count, "off the stamps")


def cited_inside(rule_input: RuleInput) -> RuleScore:
    """Do the times that T1 cites lie inside the video, and those that T2 cites inside the window that it was shown?"""
    window_faults: list[Finding] = []
    citation_count = 0
    for thought_index, thought in enumerate(rule_input.thoughts):
        for cited_time in _citations(rule_input, thought):
            citation_count += 1
            if not _is_inside(rule_input, thought_index, cited_time):
                window_bounds_text = (
                    ", ".join(print_span(look.window) for look in rule_input.looks[:thought_index])
                    if thought_index
                    else _duration_text(rule_input)
                )
                window_faults.append(
                    Finding(
                        f"T{thought_index + 1} cites {cited_time.text}, outside {window_bounds_text}",
                        cited_time.start,
                        cited_time.end,
                    )
                )
    return measure_share(window_faults, citation_count, "outside what was shown")


def own_span(rule_input: RuleInput) -> RuleScore:
    """How far is the answer to a grounding question from the window of its own look? 0: the answer is that window itself."""
    answer_cs = read_span(rule_input.answer.strip()) if rule_input.kind == "grounding" else None
    if answer_cs is None or answer_cs[0] >= answer_cs[1] or not rule_input.looks:
        return RuleScore(1.0)
    best_iou = max(float(iou((look.window,), (Window(*answer_cs),))) for look in rule_input.looks)
    if not best_iou:
        return RuleScore(1.0)
    look_span = rule_input.place_of_look(0)
    overlap_message = f"it looks at {look_span.text[:40]} and answers {rule_input.answer.strip()[:40]}"
    overlap_reason = "span is the answer" if best_iou == 1 else "span is near the answer"
    return RuleScore(1 - best_iou, 1, overlap_reason, (Finding(overlap_message, look_span.start, look_span.end),))


def _citations(rule_input: RuleInput, thought: TextSpan) -> Iterator[CitedTime]:
    """The times that a thought cites, without those of the question: an option that says `8 seconds` is chosen, not cited."""
    if rule_input.kind == "grounding":
        yield from cited_times(thought)
        return
    task_texts = (
        task_text
        for task_text in (*rule_input.options, rule_input.question, rule_input.gold)
        if any(map(str.isdigit, task_text))
    )
    question_citations = {
        cited_time.text for task_text in task_texts for cited_time in cited_times(TextSpan(f"at {task_text}", 0))
    }
    yield from (cited_time for cited_time in cited_times(thought) if cited_time.text not in question_citations)


@dataclass(frozen=True, slots=True)
class VisibleClip:
    """A clip that was shown before a thought, as far as times can be cited from it."""

    stamps_cs: list[Fraction]
    reach_cs: Fraction
    """Half the largest gap between two patches: a time nearer to a stamp than this is one of its patch."""


def _visible_clips(rule_input: RuleInput, thought_index: int) -> list[VisibleClip]:
    """The clips from which a thought may cite; none if unknown."""
    visible_clips: list[VisibleClip] = []
    first_clip = 0 if rule_input.overview == "always" else min(thought_index, 1)
    for clip_index, (times_s, clip_length_s) in enumerate(_patch_times_of_clips(rule_input, thought_index), first_clip):
        sent_patches = _sent_patches(rule_input, clip_index, len(times_s))
        stamps_cs = [100 * times_s[patch_index] for patch_index in sent_patches if patch_index < len(times_s)]
        gaps_s = [time_after_s - time_before_s for time_before_s, time_after_s in pairwise(times_s)]
        visible_clips.append(VisibleClip(sorted(stamps_cs), 50 * max(gaps_s, default=clip_length_s)))
    return visible_clips


def _distance_cs(cited_time: CitedTime, stamps_cs: list[Fraction]) -> Fraction:
    """The distance of a cited time from the nearest stamp; 0 where no stamp is known."""
    next_stamp_index = bisect_left(stamps_cs, cited_time.time_cs)
    return min(
        (abs(cited_time.time_cs - stamp_cs) for stamp_cs in stamps_cs[max(0, next_stamp_index - 1) : next_stamp_index + 1]),
        default=Fraction(0),
    )


def _sent_patches(rule_input: RuleInput, clip_index: int, patch_count: int) -> Iterable[int]:
    """Which patches of a clip the writer was sent: all, unless something else is known."""
    sent_patches = rule_input.sent_patches
    return sent_patches[clip_index] if clip_index < len(sent_patches) else range(patch_count)


def _patch_times_of_clips(rule_input: RuleInput, thought_index: int) -> Iterator[tuple[tuple[Fraction, ...], Fraction]]:
    """The patch times and the length in seconds of each clip before a thought: V0 before T1, the looks before later ones."""
    clips_settings, duration_cs = rule_input.clips, rule_input.duration_cs
    try:
        if thought_index == 0 or rule_input.overview == "always":
            if not duration_cs:  # no stamp of the coarse clip is known
                return
            duration_s = Fraction(duration_cs, 100)
            coarse_plan = plan_coarse(duration_s, clips_settings.coarse_fps, clips_settings.coarse_frames)
            yield patch_times(coarse_plan.times_s), duration_s
        for look in rule_input.looks[:thought_index]:
            video_end_s = look.window.end_s if duration_cs is None else Fraction(duration_cs, 100)
            look_plan = plan_look(look, video_end_s, max_frames=clips_settings.look_frames)
            yield patch_times(look_plan.times_s), _look_length_s(look)
    except NoFrames:
        return


def _is_inside(rule_input: RuleInput, thought_index: int, cited_time: CitedTime) -> bool:
    if thought_index == 0 or rule_input.overview == "always":
        return not rule_input.duration_cs or cited_time.time_cs <= rule_input.duration_cs + cited_time.slack_cs
    shown_windows = [look.window for look in rule_input.looks[:thought_index]]
    contains_cited = (
        shown_window.start_cs - cited_time.slack_cs <= cited_time.time_cs <= shown_window.end_cs + cited_time.slack_cs
        for shown_window in shown_windows
    )
    return not shown_windows or any(contains_cited)


def _answered_bounds_cs(rule_input: RuleInput) -> tuple[int, ...]:
    """The bounds of an answer that is a span: they follow from what was seen, and need not be on a frame."""
    return (read_span(rule_input.answer.strip()) or ()) if rule_input.kind == "grounding" else ()


def _look_length_s(look: Look) -> Fraction:
    return look.window.end_s - look.window.start_s


def _duration_text(rule_input: RuleInput) -> str:
    return f"a video of {print_seconds(rule_input.duration_cs or 0)} s"


_EXAMPLE_LOOK = "<think>Something changes near the middle of the clip. <span>2.00 - 6.00</span><fps>2</fps>"
CITATIONS = (
    Rule("cited_stamps", cited_stamps, f"{_EXAMPLE_LOOK}The square is red at 5.90 seconds.</think><answer>B</answer>"),
    Rule("cited_inside", cited_inside, f"{_EXAMPLE_LOOK}The square is red at 10.2 seconds.</think><answer>B</answer>"),
    Rule("own_span", own_span, f"{_EXAMPLE_LOOK}It is red all the time.</think><answer>2.00 - 6.00</answer>"),
    Rule("unleaked", unleaked, f"{_EXAMPLE_LOOK}The annotation says red, and so it is.</think><answer>B</answer>"),
    Rule("unguessed", unguessed, f"{_EXAMPLE_LOOK}These frames do not show it, so I have to guess.</think><answer>B</answer>"),
)
"""The rules, each with an example that fails it; that of `own_span` answers a grounding question."""
