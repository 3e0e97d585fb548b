"""Makes storylines of raw videos: cut where shots end, described by a teacher part by part, joined to events with windows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from dmforge.curation.contract.budget import ExpectedCost, Usage
from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.curation.lake.journal_seals import AnswerReference
from dmforge.curation.video.media import Media
from dmforge.curation.video.shot_detection import cuts
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.clip_messages import announced
from dmforge.generators.teacher.expected_tokens import expected_usage
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.generators.teacher.side_by_side import side_by_side
from dmforge.schemas.config import Later
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.record_fields import later, receipt
from dmforge.schemas.records import Record, Video
from dmforge.schemas.replies import DescribeReply, Happening
from dmforge.schemas.units import GridFrame

MAX_CHARS = 300
"""The most characters that describe an event; a longer text is no sentence."""
TOUCHING_CS = 50
"""An event continues in the next part of a shot if both windows reach so near to where the parts meet."""
MAX_SHOWN_GAPS = 3
"""The most gaps that the detail of a rejection names."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens in a window."""

    window: Window
    """When it happens."""
    what: str
    """In the teacher's words."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a video that was shown and not described: what happens there is unknown, which is not nothing."""

    window: Window
    """The part that is unknown."""
    why: str
    """What came instead of a description, at the last attempt."""

    def __str__(self) -> str:
        return f"{print_span(self.window)}: {self.why}"


@dataclass(frozen=True, slots=True)
class Storyline(Record):
    """All that a teacher saw in a video, in order."""

    kind = "storyline"
    table = "storylines"

    video: Id
    """The video that was watched."""
    teacher: str
    """The model that described it."""
    cuts: tuple[GridFrame, ...]
    """Frames of the grid with which new shots begin."""
    events: tuple[Event, ...]
    """What happens, in order."""
    requests: tuple[Id, ...]
    """The journal keys of the answers it was made from."""
    gaps: tuple[Gap, ...] = later((), since=2)
    """The parts that nobody described, in order."""
    answers: tuple[Id, ...] = receipt(since=3)
    """Digests of what these answers say, in the order of `requests`: the journal must say the same."""


def _plain(fps: Fraction) -> Fraction:
    """The fraction that a recipe means by a number: 0.3 is 3/10, not the nearest float."""
    return fps.limit_denominator(1000)


class SegmentsConfig(RetryingConfig):
    """How a video is cut up, and how closely each part is looked at."""

    fps: Annotated[Fraction, Field(ge=Fraction(1, 100), le=GRID_FPS), AfterValidator(_plain)] = Fraction(2)
    """How densely each part is shown: what is quicker is not seen, and no question will be about it."""
    longest_s: Annotated[float, Field(ge=1)] = 10.0
    """Shots that last longer are shown in parts of equal length."""
    shortest_s: PositiveFloat = 1.0
    """Shots that are shorter are shown together with the next one."""
    attempts: PositiveInt = 3
    """How often a part is described until the reply can be read."""
    min_described: Later[Annotated[float, Field(gt=0, le=1)]] = 0.5
    """The least share of a video's length that must have been described. Parts that a teacher refuses, or whose replies stay
    unreadable, are gaps: no question is about them. Where they are more than half, questions about what is left would pass for
    questions about the video. 1: a video with any gap is rejected."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video that is shown in one request."""

    window: Window
    goes_on: bool
    """The shot continues in the next part."""


@dataclass(frozen=True, slots=True)
class DescribedPart:
    """The events of a part, the answer in the journal that holds them, and who gave it."""

    request: AnswerReference
    model: str
    events: list[Event]


class Segments(RetryingStage[Video, Storyline]):
    """Videos to storylines, in one request for each part."""

    name, version = "segments", 1
    replies = (DescribeReply,)
    config: SegmentsConfig

    def open(self, workspace: WorkspaceFolder) -> None:
        super().open(workspace)
        self._workspace, self._slots = workspace, asyncio.Semaphore(self.config.in_flight)

    def expected(self, item: Video) -> ExpectedCost | None:
        """The cost of the parts that follow from the length; cuts, which are not known yet, make a few more."""
        if item.role == "benchmark":
            return None
        summed_usage = Usage()
        for segment in segments((), item.duration_cs, self.config.longest_s, self.config.shortest_s):
            look = Look(segment.window, self.config.fps)
            summed_usage += expected_usage(self.config, self.config.clips, DescribeReply, item, look, self._text(item, look))
        return ExpectedCost(summed_usage, self.config.price.usd(summed_usage))

    async def process(self, item: Video) -> Result:
        if item.role == "benchmark":
            return Rejected("its video is a benchmark's")
        cut_frames = await asyncio.to_thread(cuts, Media(self._workspace, item.id), item, self.config.clips)
        video_segments = segments(cut_frames, item.duration_cs, self.config.longest_s, self.config.shortest_s)
        max_gaps_cs = item.duration_cs - round(self.config.min_described * item.duration_cs)
        described_parts = await self._describe_all(item, video_segments, max_gaps_cs)
        gaps = tuple(described_part for described_part in described_parts if isinstance(described_part, Gap))
        if excessive_gaps := excess_gaps(gaps, max_gaps_cs):
            rejection_detail = _too_little(excessive_gaps, len(video_segments), self.config.min_described)
            return self.rejected(item.id, NO_READABLE_REPLY, rejection_detail)
        events_by_part = [
            described_part.events if isinstance(described_part, DescribedPart) else [] for described_part in described_parts
        ]
        described_segments = [described_part for described_part in described_parts if isinstance(described_part, DescribedPart)]
        requests = [described_part.request for described_part in described_segments]
        model_names = (
            ", ".join(dict.fromkeys(described_part.model for described_part in described_segments)) or self.teacher.model
        )
        joined_events = joined(events_by_part, video_segments)
        request_ids, answer_digests = (
            tuple(request.key for request in requests),
            tuple(request.reply_digest for request in requests),
        )
        storyline = Storyline(item.id, model_names, cut_frames, joined_events, request_ids, gaps=gaps, answers=answer_digests)
        return Made((storyline,))

    async def _describe_all(self, video: Video, parts: Sequence[Segment], max_gaps_cs: int) -> list[DescribedPart | Gap]:
        """The parts from the first on: all of them, unless those that aren't described are too much already."""
        gaps_cs = 0

        def is_too_much(part: DescribedPart | Gap) -> bool:
            nonlocal gaps_cs
            gaps_cs += part.window.end_cs - part.window.start_cs if isinstance(part, Gap) else 0
            return gaps_cs > max_gaps_cs

        return await side_by_side(
            self._slots, [partial(self._describe, video, segment.window) for segment in parts], is_too_much
        )

    def _text(self, video: Video, look: Look) -> str:
        """The text above the frames, with the density that is really shown: the configured one may be too many frames."""
        return announced(replace(look, fps=self.config.clips.look(video, look).actual_fps))

    def _window(self, happening: Happening) -> Window | None:
        """The window of a happening; one that lasts no time gets the length of one frame."""
        if happening.start_s == happening.end_s:
            start_cs = round(happening.start_s * 100)
            return Window(start_cs, start_cs + max(1, round(100 / self.config.fps)))
        return happening.window()

    async def _describe(self, video: Video, window: Window) -> DescribedPart | Gap:
        look = Look(window, self.config.fps)
        attempt_numbers = self.attempts(video.id)
        try:
            request, reply, teacher_model = await self.teacher.insist(
                DescribeReply, video, look, self._text(video, look), attempt_numbers
            )
        except UnreadableReply as error:
            return Gap(window, str(error))
        spans_and_texts = ((self._window(happening), " ".join(happening.what.split())) for happening in reply.events)
        clipped_spans = (
            (within(span, window), event_text)
            for span, event_text in spans_and_texts
            if span is not None and 0 < len(event_text) <= MAX_CHARS
        )
        return DescribedPart(
            request, teacher_model, [Event(span, event_text) for span, event_text in clipped_spans if span is not None]
        )


def excess_gaps(gaps: Sequence[Gap], max_cs: int) -> Sequence[Gap]:
    """The first gaps that last longer than `max_cs` together, whatever else was asked; none where all of them don't."""
    sums_cs = accumulate(gap.window.end_cs - gap.window.start_cs for gap in gaps)
    return next((gaps[:gap_count] for gap_count, sum_cs in enumerate(sums_cs, 1) if sum_cs > max_cs), ())


def _too_little(excess: Sequence[Gap], part_count: int, min_described: float) -> str:
    gap_texts = [*map(str, excess[:MAX_SHOWN_GAPS]), *(["..."] if len(excess) > MAX_SHOWN_GAPS else [])]
    bounds_text = "; ".join([*gap_texts, f"min_described = {min_described:g} of its length"])
    return f"{len(excess)} of {part_count} parts have no description: {bounds_text}"


def segments(cut_frames: tuple[int, ...], duration_cs: int, longest_s: float, shortest_s: float) -> list[Segment]:
    """The parts of a video: shots; too short ones are joined with the next, too long ones are divided equally."""
    part_starts_cs = [0]
    for cut_frame in cut_frames:
        cut_cs = begins_cs(cut_frame)
        if cut_cs - part_starts_cs[-1] >= 100 * shortest_s and duration_cs - cut_cs >= 100 * shortest_s:
            part_starts_cs.append(cut_cs)
    made_segments: list[Segment] = []
    for start_cs, stop_cs in zip(part_starts_cs, [*part_starts_cs[1:], duration_cs], strict=True):
        part_count = max(1, -int(-(stop_cs - start_cs) // (100 * longest_s)))
        bounds_cs = [start_cs + (stop_cs - start_cs) * bound_number // part_count for bound_number in range(part_count + 1)]
        for bound_index in range(part_count):
            made_segments.append(
                Segment(Window(bounds_cs[bound_index], bounds_cs[bound_index + 1]), goes_on=bound_index < part_count - 1)
            )
    return made_segments


def joined(events_by_part: list[list[Event]], video_segments: list[Segment]) -> tuple[Event, ...]:
    """The events of all parts, in order; one that continues from a part of a shot to the next is one event."""
    finished_events: list[Event] = []
    ongoing_events: list[Event] = []
    for events, segment in zip(events_by_part, video_segments, strict=True):
        early_cs, late_cs = segment.window.start_cs + TOUCHING_CS, segment.window.end_cs - TOUCHING_CS
        part_events: list[Event] = []
        for event in events:
            earlier_event = next(
                (
                    ongoing_event
                    for ongoing_event in ongoing_events
                    if event.window.start_cs <= early_cs and is_near(ongoing_event.what, event.what)
                ),
                None,
            )
            if earlier_event is not None:
                ongoing_events.remove(earlier_event)
                event = Event(Window(earlier_event.window.start_cs, event.window.end_cs), earlier_event.what)
            part_events.append(event)
        finished_events += ongoing_events
        ongoing_events = [event for event in part_events if segment.goes_on and event.window.end_cs >= late_cs]
        finished_events += [event for event in part_events if event not in ongoing_events]
    return tuple(
        sorted([*finished_events, *ongoing_events], key=lambda event: (event.window.start_cs, event.window.end_cs, event.what))
    )


def begins_cs(frame: int) -> int:
    """The start of a grid frame: a window that begins with the frame starts there, one that ends before it stops there."""
    return 100 * frame // GRID_FPS


def within(window: Window, bounds: Window) -> Window | None:
    """The part of a window that lies inside another one."""
    start_cs, end_cs = max(window.start_cs, bounds.start_cs), min(window.end_cs, bounds.end_cs)
    return Window(start_cs, end_cs) if start_cs < end_cs else None
