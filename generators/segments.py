"""Raw videos become storylines: cut where shots end, described part by part by a teacher, and joined to events with windows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from dmforge.curation.accounts import Expected, Usage
from dmforge.curation.settled import Made, Rejected, Result
from dmforge.curation.video.cuts import cuts
from dmforge.curation.video.media import Media
from dmforge.curation.workspace import Workspace
from dmforge.generators.teacher.asking import Asking, ShowingConfig
from dmforge.generators.teacher.interview import Unreadable, announced, expected_usage
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Record, Video
from dmforge.schemas.replies import DescribeReply, Happening

MAX_CHARS = 300
"""Of what is said about an event; what is longer is no sentence."""
TOUCHING_CS = 50
"""An event that goes on in the next part of a shot ends and begins so near to where the parts meet."""


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
    """0.3 as a recipe has it, not as a float does."""
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
    """A part of a video that is shown at once."""

    window: Window
    goes_on: bool
    """The shot doesn't end with it."""


class Segments(Asking[Video, Storyline]):
    """Videos to storylines, a question for each part."""

    name, version = "segments", 1
    replies = (DescribeReply,)
    config: SegmentsConfig

    def open(self, workspace: Workspace) -> None:
        super().open(workspace)
        self._workspace = workspace

    def expected(self, item: Video) -> Expected | None:
        """As many parts as the length makes; cuts, which nobody knows yet, make a few more."""
        if item.role == "benchmark":
            return None
        used = Usage()
        for part in segments((), item.duration_cs, self.config.longest_s, self.config.shortest_s):
            look = Look(part.window, self.config.fps)
            used += expected_usage(self.config, self.config.clips, DescribeReply, item, look, self._text(item, look))
        return Expected(used, self.config.price.usd(used))

    async def process(self, item: Video) -> Result:
        if item.role == "benchmark":
            return Rejected("its video is a benchmark's")
        found = await asyncio.to_thread(cuts, Media(self._workspace, item.id), item, self.config.clips)
        parts = segments(found, item.duration_cs, self.config.longest_s, self.config.shortest_s)
        seen: list[list[Event]] = []
        requests: list[Id] = []
        for part in parts:
            try:
                request, events = await self._described(item, part.window)
            except Unreadable as error:
                return Rejected("no readable reply", str(error))
            requests.append(request)
            seen.append(events)
        return Made((Storyline(item.id, self.teacher.model, found, joined(seen, parts), tuple(requests)),))

    def _text(self, video: Video, look: Look) -> str:
        """At the density that is really shown, where the asked one would have been too many frames."""
        return announced(replace(look, fps=self.config.clips.look(video, look).actual_fps))

    def _window(self, happening: Happening) -> Window | None:
        """What lasts a moment only lasts as long as one frame was shown."""
        if happening.start_s == happening.end_s:
            start_cs = round(happening.start_s * 100)
            return Window(start_cs, start_cs + max(1, round(100 / self.config.fps)))
        return happening.window()

    async def _described(self, video: Video, window: Window) -> tuple[Id, list[Event]]:
        look = Look(window, self.config.fps)
        attempts = range(self.config.attempts)
        request, reply = await self.teacher.insist(DescribeReply, video, look, self._text(video, look), attempts)
        told = ((self._window(happening), " ".join(happening.what.split())) for happening in reply.events)
        inside = ((within(span, window), what) for span, what in told if span is not None and 0 < len(what) <= MAX_CHARS)
        return request, [Event(span, what) for span, what in inside if span is not None]


def segments(found: tuple[int, ...], duration_cs: int, longest_s: float, shortest_s: float) -> list[Segment]:
    """Shots, those that are too short with the next one, those that are too long in equal parts."""
    starts = [0]
    for frame in found:
        at_cs = begins_cs(frame)
        if at_cs - starts[-1] >= 100 * shortest_s and duration_cs - at_cs >= 100 * shortest_s:
            starts.append(at_cs)
    parts: list[Segment] = []
    for start, stop in zip(starts, [*starts[1:], duration_cs], strict=True):
        number = max(1, -int(-(stop - start) // (100 * longest_s)))
        bounds = [start + (stop - start) * part // number for part in range(number + 1)]
        for part in range(number):
            parts.append(Segment(Window(bounds[part], bounds[part + 1]), goes_on=part < number - 1))
    return parts


def joined(seen: list[list[Event]], parts: list[Segment]) -> tuple[Event, ...]:
    """The events of all parts; one that goes on from a part of a shot to the next is one event."""
    done: list[Event] = []
    going_on: list[Event] = []
    for events, part in zip(seen, parts, strict=True):
        begins_cs, ends_cs = part.window.start_cs + TOUCHING_CS, part.window.end_cs - TOUCHING_CS
        here: list[Event] = []
        for event in events:
            before = next(
                (one for one in going_on if event.window.start_cs <= begins_cs and is_near(one.what, event.what)), None
            )
            if before is not None:
                going_on.remove(before)
                event = Event(Window(before.window.start_cs, event.window.end_cs), before.what)
            here.append(event)
        done += going_on
        going_on = [event for event in here if part.goes_on and event.window.end_cs >= ends_cs]
        done += [event for event in here if event not in going_on]
    return tuple(sorted([*done, *going_on], key=lambda event: (event.window.start_cs, event.window.end_cs, event.what)))


def begins_cs(frame: int) -> int:
    """Where a window begins whose first frame on the grid is this one, or ends that has all before it."""
    return 100 * frame // GRID_FPS


def within(window: Window, bounds: Window) -> Window | None:
    """The part of a window that lies inside another one."""
    start_cs, end_cs = max(window.start_cs, bounds.start_cs), min(window.end_cs, bounds.end_cs)
    return Window(start_cs, end_cs) if start_cs < end_cs else None
