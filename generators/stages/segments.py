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
from dmforge.curation.video.media import Media
from dmforge.curation.video.shot_detection import cuts
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.interview import UnreadableReply, announced, expected_usage
from dmforge.generators.teacher.side_by_side import side_by_side
from dmforge.schemas.config import Later
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.records import Record, Video, later
from dmforge.schemas.replies import DescribeReply, Happening

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
    what: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a video that was shown and not described: what happens there is unknown, which is not nothing."""

    window: Window
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
    teacher: str
    cuts: tuple[int, ...]
    """Frames of the grid with which new shots begin."""
    events: tuple[Event, ...]
    requests: tuple[Id, ...]
    """The journal keys of the answers it was made from."""
    gaps: tuple[Gap, ...] = later((), since=2)
    """The parts that nobody described, in order."""


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
    """The events of a part, the journal key of the answer that holds them, and who gave it."""

    request: Id
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
        usage = Usage()
        for part in segments((), item.duration_cs, self.config.longest_s, self.config.shortest_s):
            look = Look(part.window, self.config.fps)
            usage += expected_usage(self.config, self.config.clips, DescribeReply, item, look, self._text(item, look))
        return ExpectedCost(usage, self.config.price.usd(usage))

    async def process(self, item: Video) -> Result:
        if item.role == "benchmark":
            return Rejected("its video is a benchmark's")
        cut_frames = await asyncio.to_thread(cuts, Media(self._workspace, item.id), item, self.config.clips)
        parts = segments(cut_frames, item.duration_cs, self.config.longest_s, self.config.shortest_s)
        max_gaps_cs = item.duration_cs - round(self.config.min_described * item.duration_cs)
        described_parts = await self._describe_all(item, parts, max_gaps_cs)
        gaps = tuple(part for part in described_parts if isinstance(part, Gap))
        if excess := excess_gaps(gaps, max_gaps_cs):
            detail = _too_little(excess, len(parts), self.config.min_described)
            return self.rejected(item.id, NO_READABLE_REPLY, detail)
        events_by_part = [part.events if isinstance(part, DescribedPart) else [] for part in described_parts]
        described = [part for part in described_parts if isinstance(part, DescribedPart)]
        requests = tuple(part.request for part in described)
        models = ", ".join(dict.fromkeys(part.model for part in described)) or self.teacher.model
        events = joined(events_by_part, parts)
        return Made((Storyline(item.id, models, cut_frames, events, requests, gaps=gaps),))

    async def _describe_all(self, video: Video, parts: Sequence[Segment], max_gaps_cs: int) -> list[DescribedPart | Gap]:
        """The parts from the first on: all of them, unless those that aren't described are too much already."""
        gaps_cs = 0

        def is_too_much(part: DescribedPart | Gap) -> bool:
            nonlocal gaps_cs
            gaps_cs += part.window.end_cs - part.window.start_cs if isinstance(part, Gap) else 0
            return gaps_cs > max_gaps_cs

        return await side_by_side(self._slots, [partial(self._describe, video, part.window) for part in parts], is_too_much)

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
        attempts = self.attempts(video.id)
        try:
            request, reply, model = await self.teacher.insist(DescribeReply, video, look, self._text(video, look), attempts)
        except UnreadableReply as error:
            return Gap(window, str(error))
        described = ((self._window(happening), " ".join(happening.what.split())) for happening in reply.events)
        clipped = ((within(span, window), text) for span, text in described if span is not None and 0 < len(text) <= MAX_CHARS)
        return DescribedPart(request, model, [Event(span, text) for span, text in clipped if span is not None])


def excess_gaps(gaps: Sequence[Gap], max_cs: int) -> Sequence[Gap]:
    """The first gaps that last longer than `max_cs` together, whatever else was asked; none where all of them don't."""
    sums_cs = accumulate(gap.window.end_cs - gap.window.start_cs for gap in gaps)
    return next((gaps[:count] for count, sum_cs in enumerate(sums_cs, 1) if sum_cs > max_cs), ())


def _too_little(excess: Sequence[Gap], part_count: int, min_described: float) -> str:
    gap_texts = [*map(str, excess[:MAX_SHOWN_GAPS]), *(["..."] if len(excess) > MAX_SHOWN_GAPS else [])]
    texts = "; ".join([*gap_texts, f"min_described = {min_described:g} of its length"])
    return f"{len(excess)} of {part_count} parts have no description: {texts}"


def segments(cut_frames: tuple[int, ...], duration_cs: int, longest_s: float, shortest_s: float) -> list[Segment]:
    """The parts of a video: shots; too short ones are joined with the next, too long ones are divided equally."""
    starts = [0]
    for frame in cut_frames:
        cut_cs = begins_cs(frame)
        if cut_cs - starts[-1] >= 100 * shortest_s and duration_cs - cut_cs >= 100 * shortest_s:
            starts.append(cut_cs)
    parts: list[Segment] = []
    for start_cs, stop_cs in zip(starts, [*starts[1:], duration_cs], strict=True):
        part_count = max(1, -int(-(stop_cs - start_cs) // (100 * longest_s)))
        bounds = [start_cs + (stop_cs - start_cs) * index // part_count for index in range(part_count + 1)]
        for index in range(part_count):
            parts.append(Segment(Window(bounds[index], bounds[index + 1]), goes_on=index < part_count - 1))
    return parts


def joined(events_by_part: list[list[Event]], parts: list[Segment]) -> tuple[Event, ...]:
    """The events of all parts, in order; one that continues from a part of a shot to the next is one event."""
    finished: list[Event] = []
    ongoing: list[Event] = []
    for events, part in zip(events_by_part, parts, strict=True):
        early_cs, late_cs = part.window.start_cs + TOUCHING_CS, part.window.end_cs - TOUCHING_CS
        part_events: list[Event] = []
        for event in events:
            earlier = next(
                (
                    ongoing_event
                    for ongoing_event in ongoing
                    if event.window.start_cs <= early_cs and is_near(ongoing_event.what, event.what)
                ),
                None,
            )
            if earlier is not None:
                ongoing.remove(earlier)
                event = Event(Window(earlier.window.start_cs, event.window.end_cs), earlier.what)
            part_events.append(event)
        finished += ongoing
        ongoing = [event for event in part_events if part.goes_on and event.window.end_cs >= late_cs]
        finished += [event for event in part_events if event not in ongoing]
    return tuple(sorted([*finished, *ongoing], key=lambda event: (event.window.start_cs, event.window.end_cs, event.what)))


def begins_cs(frame: int) -> int:
    """The start of a grid frame: a window that begins with the frame starts there, one that ends before it stops there."""
    return 100 * frame // GRID_FPS


def within(window: Window, bounds: Window) -> Window | None:
    """The part of a window that lies inside another one."""
    start_cs, end_cs = max(window.start_cs, bounds.start_cs), min(window.end_cs, bounds.end_cs)
    return Window(start_cs, end_cs) if start_cs < end_cs else None
