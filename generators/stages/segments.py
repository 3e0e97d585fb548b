"""Makes storylines of raw videos: cut where shots end, described by a teacher part by part, joined to events with windows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from dmforge.curation.contract.budget import ExpectedCost, Usage
from dmforge.curation.contract.stage_results import Made, Rejected, Result
from dmforge.curation.video.media import Media
from dmforge.curation.video.shot_detection import cuts
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.ask_stage import ShowingConfig, TeacherStage
from dmforge.generators.teacher.interview import UnreadableReply, announced, expected_usage
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Record, Video
from dmforge.schemas.replies import DescribeReply, Happening

MAX_CHARS = 300
"""The most characters that describe an event; a longer text is no sentence."""
TOUCHING_CS = 50
"""An event continues in the next part of a shot if both windows reach so near to where the parts meet."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens in a window."""

    window: Window
    what: str


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


def _plain(fps: Fraction) -> Fraction:
    """The fraction that a recipe means by a number: 0.3 is 3/10, not the nearest float."""
    return fps.limit_denominator(1000)


class SegmentsConfig(ShowingConfig):
    """How a video is cut up, and how closely each part is looked at."""

    fps: Annotated[Fraction, Field(ge=Fraction(1, 100), le=GRID_FPS), AfterValidator(_plain)] = Fraction(2)
    """How densely each part is shown: what is quicker is not seen, and no question will be about it."""
    longest_s: Annotated[float, Field(ge=1)] = 10.0
    """Shots that last longer are shown in parts of equal length."""
    shortest_s: PositiveFloat = 1.0
    """Shots that are shorter are shown together with the next one."""
    attempts: PositiveInt = 3
    """How often a part is described until the reply can be read."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video that is shown in one request."""

    window: Window
    goes_on: bool
    """The shot continues in the next part."""


class Segments(TeacherStage[Video, Storyline]):
    """Videos to storylines, in one request for each part."""

    name, version = "segments", 1
    replies = (DescribeReply,)
    config: SegmentsConfig

    def open(self, workspace: WorkspaceFolder) -> None:
        super().open(workspace)
        self._workspace = workspace

    def expected(self, item: Video) -> ExpectedCost | None:
        """The cost of the parts that follow from the length; cuts, which are not known yet, make a few more."""
        if item.role == "benchmark":
            return None
        usage = Usage()
        for segment in segments((), item.duration_cs, self.config.longest_s, self.config.shortest_s):
            look = Look(segment.window, self.config.fps)
            usage += expected_usage(self.config, self.config.clips, DescribeReply, item, look, self._text(item, look))
        return ExpectedCost(usage, self.config.price.usd(usage))

    async def process(self, item: Video) -> Result:
        if item.role == "benchmark":
            return Rejected("its video is a benchmark's")
        cut_frames = await asyncio.to_thread(cuts, Media(self._workspace, item.id), item, self.config.clips)
        segments_of_video = segments(cut_frames, item.duration_cs, self.config.longest_s, self.config.shortest_s)
        events_by_part: list[list[Event]] = []
        requests: list[Id] = []
        for segment in segments_of_video:
            try:
                request_key, events = await self._describe(item, segment.window)
            except UnreadableReply as error:
                return Rejected("no readable reply", str(error))
            requests.append(request_key)
            events_by_part.append(events)
        return Made(
            (Storyline(item.id, self.teacher.model, cut_frames, joined(events_by_part, segments_of_video), tuple(requests)),)
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

    async def _describe(self, video: Video, window: Window) -> tuple[Id, list[Event]]:
        look = Look(window, self.config.fps)
        attempts = range(self.config.attempts)
        request_key, reply = await self.teacher.insist(DescribeReply, video, look, self._text(video, look), attempts)
        window_text_pairs = ((self._window(happening), " ".join(happening.what.split())) for happening in reply.events)
        clipped_pairs = (
            (within(event_window, window), event_text)
            for event_window, event_text in window_text_pairs
            if event_window is not None and 0 < len(event_text) <= MAX_CHARS
        )
        return request_key, [
            Event(event_window, event_text) for event_window, event_text in clipped_pairs if event_window is not None
        ]


def segments(cut_frames: tuple[int, ...], duration_cs: int, longest_s: float, shortest_s: float) -> list[Segment]:
    """The parts of a video: shots; too short ones are joined with the next, too long ones are divided equally."""
    shot_starts_cs = [0]
    for cut_frame in cut_frames:
        cut_cs = begins_cs(cut_frame)
        if cut_cs - shot_starts_cs[-1] >= 100 * shortest_s and duration_cs - cut_cs >= 100 * shortest_s:
            shot_starts_cs.append(cut_cs)
    made_segments: list[Segment] = []
    for start_cs, stop_cs in zip(shot_starts_cs, [*shot_starts_cs[1:], duration_cs], strict=True):
        part_count = max(1, -int(-(stop_cs - start_cs) // (100 * longest_s)))
        part_bounds_cs = [start_cs + (stop_cs - start_cs) * part_index // part_count for part_index in range(part_count + 1)]
        for part_index in range(part_count):
            made_segments.append(
                Segment(Window(part_bounds_cs[part_index], part_bounds_cs[part_index + 1]), goes_on=part_index < part_count - 1)
            )
    return made_segments


def joined(events_by_part: list[list[Event]], segments_in_order: list[Segment]) -> tuple[Event, ...]:
    """The events of all parts, in order; one that continues from a part of a shot to the next is one event."""
    finished_events: list[Event] = []
    ongoing_events: list[Event] = []
    for events, segment in zip(events_by_part, segments_in_order, strict=True):
        early_cs, late_cs = segment.window.start_cs + TOUCHING_CS, segment.window.end_cs - TOUCHING_CS
        part_events: list[Event] = []
        for event in events:
            continued_event = next(
                (
                    ongoing_event
                    for ongoing_event in ongoing_events
                    if event.window.start_cs <= early_cs and is_near(ongoing_event.what, event.what)
                ),
                None,
            )
            if continued_event is not None:
                ongoing_events.remove(continued_event)
                event = Event(Window(continued_event.window.start_cs, event.window.end_cs), continued_event.what)
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


def within(window: Window, outer_window: Window) -> Window | None:
    """The part of a window that lies inside another one."""
    start_cs, end_cs = max(window.start_cs, outer_window.start_cs), min(window.end_cs, outer_window.end_cs)
    return Window(start_cs, end_cs) if start_cs < end_cs else None
