"""Which needle goes into which haystack: a moment of one video, put into another one that is then asked about it.

A needle is put where a shot of its host ends, so that its seams are two cuts among others. A host needs some of them, and must
not tell anything like the needle itself.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.stage import Collective, StageConfig
from dmforge.generators.segments import Event, Storyline, within
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Provenance, Record, Task, Video
from dmforge.schemas.scoring import overlap_cs

Hides = Literal["one", "order", "count"]
"""One needle, about which its own question is asked; two, which of them comes first; one of them several times, how often."""
HIDES: tuple[Hides, ...] = get_args(Hides)
TIMES = (2, 3, 4)
"""How often a needle that is to be counted is put in."""
TRIED = 100
"""So many needles are tried for a haystack: a host that tells the like of all of these is none."""
SLACK_CS = 25
"""A needle may begin so much before its window, and an event may end so much behind it."""
WHOLE = 3
"""Frames of the grid that make a whole number of centiseconds: needles are moved by multiples, so that windows stay exact."""


@dataclass(frozen=True, slots=True)
class Said:
    """Whose a video is."""

    source: str
    licence: str
    terms: str
    source_id: str


@dataclass(frozen=True, slots=True)
class Needle:
    """What is put into a host: frames of another video's grid, from one up to another, before a frame of the host's."""

    video: Id
    first: int
    stop: int
    before: int
    what: str
    """What it shows, in a sentence."""
    said: Said


@dataclass(frozen=True, slots=True)
class Haystack(Record):
    """A host, what is put into it, and which task is asked about the whole."""

    kind = "haystack"
    table = "haystacks"

    video: Id
    """The host."""
    said: Said
    hides: Hides
    task: Id
    """Whose question it is, for one needle; of several, the task that the first is from."""
    needles: tuple[Needle, ...]
    """In the order in which they stand in the whole."""
    videos: tuple[Id, ...]
    """All that are in it: when one is taken down, so is this."""


class NeedlesConfig(StageConfig):
    """How many haystacks are made, and of what."""

    per_host: NonNegativeInt = 2
    """Haystacks that are tried for each host. 0: none."""
    hides: dict[Hides, NonNegativeFloat] = Field(default_factory=lambda: dict.fromkeys(HIDES, 1.0))
    """How often each kind is made, beside the others."""
    host_s: PositiveFloat = 60.0
    """Hosts last at least so long."""
    host_cuts: PositiveInt = 4
    """And have at least so many cuts: among fewer, two more would stand out."""
    needle_s: PositiveFloat = 20.0
    """Needles last no longer."""
    seed: int = 0
    """Another seed makes others."""

    @model_validator(mode="after")
    def _hides_something(self) -> NeedlesConfig:
        if not 0 < sum(self.hides.values()) < float("inf"):
            raise ValueError("`hides` makes nothing: give one of them a weight above 0, or set `per_host = 0`")
        return self


@dataclass(frozen=True, slots=True)
class Found:
    """A task that can be a needle: its moment, and what happens then."""

    task: Task
    window: Window
    what: str
    said: Said
    once: bool
    """It happens once, from beginning to end: so often as it is put in, so often it happens."""


class Needles(Collective[Task, Haystack]):
    """Tasks to haystacks. A task that is in none is rejected: as a needle, not as a task."""

    name, version = "needles", 1
    config: NeedlesConfig
    also_reads = (Video, Provenance, Storyline)

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        tasks = from_arrow(Task, view.table(view.rows(Task).sql))
        videos = {video.id: video for video in from_arrow(Video, view.table(view.rows(Video).sql)) if video.role != "benchmark"}
        said = {row.video: _said(row) for row in from_arrow(Provenance, view.table(view.rows(Provenance).sql))}
        stories = {story.video: story for story in from_arrow(Storyline, view.table(view.rows(Storyline).sql))}
        tasks.sort(key=lambda task: (task.video, task.id))
        found = [needle for task in tasks if (needle := self._needle(task, stories.get(task.video), said))]
        made: defaultdict[Id, list[Haystack]] = defaultdict(list)
        ring = Ring(found, self.config.seed)
        for host in sorted(stories.keys() & videos.keys() & said.keys()):
            for haystack in self._haystacks(videos[host], said[host], stories[host], ring):
                if haystack not in made[haystack.task]:
                    made[haystack.task].append(haystack)
        results: list[Result] = [
            Made(tuple(made[task.id])) if made[task.id] else Rejected("in no haystack", "not drawn, or no moment of its own")
            for task in tasks
        ]
        yield settle(origin, [Key(task.id, task.video) for task in tasks], results, self.makes)

    def _needle(self, task: Task, story: Storyline | None, said: Mapping[Id, Said]) -> Found | None:
        """A task about one moment, of which somebody has said what happens in it."""
        if (
            story is None
            or not story.events
            or task.video not in said
            or not task.windows
            or (task.needs == "all" and len(task.windows) > 1)
        ):
            return None
        window = next(iter(task.windows))
        if window.end_cs - window.start_cs > 100 * self.config.needle_s:
            return None
        event = max(story.events, key=lambda event: (overlap_cs((event.window,), (window,)), -event.window.start_cs))
        if within(event.window, window) is None:
            return None
        begins_cs, ends_cs = window.start_cs - SLACK_CS, window.end_cs + SLACK_CS
        alike = [other for other in story.events if is_near(other.what, event.what)]
        shown = [other.window for other in alike if within(other.window, Window(max(0, begins_cs), ends_cs))]
        once = len(shown) == 1 and begins_cs <= shown[0].start_cs and shown[0].end_cs <= ends_cs
        return Found(task, window, event.what, said[task.video], once)

    def _haystacks(self, host: Video, said: Said, story: Storyline, ring: Ring) -> Iterator[Haystack]:
        if host.duration_cs < 100 * self.config.host_s or len(story.cuts) < self.config.host_cuts:
            return
        for number in range(self.config.per_host):
            at = digest("haystack", [self.config.seed, host.id, number])
            draw = Random(at)
            weights = dict(sorted(self.config.hides.items()))  # the order of a recipe is no part of the work key
            hides = draw.choices(list(weights), list(weights.values()))[0]
            fits = (one for one in ring.after(at) if one.task.video != host.id and not _tells(story.events, one))
            fit = (one for one in fits if one.once or hides != "count")
            haystack = needles_in(host.id, said, story.cuts, hides, fit, draw)
            if haystack is not None:
                yield haystack


class Ring:
    """Needles in an order of their own: who begins somewhere and takes what fits next is moved by few that come or go."""

    def __init__(self, found: Sequence[Found], seed: int) -> None:
        placed = sorted((digest("needle", [seed, needle.task.id]), number) for number, needle in enumerate(found))
        self._places, self._needles = [place for place, _ in placed], [found[number] for _, number in placed]

    def after(self, place: Id) -> Iterator[Found]:
        """A number of needles from a place on."""
        begin, count = bisect(self._places, place), len(self._needles)
        for step in range(min(TRIED, count)):
            yield self._needles[(begin + step) % count]


def needles_in(
    host: Id, said: Said, cuts: tuple[int, ...], hides: Hides, fit: Iterator[Found], draw: Random
) -> Haystack | None:
    """A haystack of this kind, if there are needles and cuts enough for it."""
    first = next(fit, None)
    if first is None:
        return None
    hidden = [first]
    if hides == "order":
        different = (one for one in fit if one.task.video != first.task.video and not is_near(one.what, first.what))
        hidden += [other for other in (next(different, None),) if other is not None]
        draw.shuffle(hidden)
    elif hides == "count":
        hidden *= draw.choice(TIMES)
    if len(hidden) > len(cuts) or (hides == "order" and len(hidden) < 2):
        return None
    needles: list[Needle] = []
    put = 0
    for one, before in zip(hidden, sorted(draw.sample(cuts, len(hidden))), strict=True):
        needle = _placed(one, before, put)
        put += needle.stop - needle.first
        needles.append(needle)
    videos = tuple(sorted({host, *(needle.video for needle in needles)}))
    return Haystack(host, said, hides, hidden[0].task.id, tuple(needles), videos)


def _placed(found: Found, before: int, put: int) -> Needle:
    """The frames of a needle, begun up to two frames early so that it moves by whole centiseconds; `put` are in already."""
    first = found.window.start_cs * GRID_FPS // 100
    stop = -(-found.window.end_cs * GRID_FPS // 100)
    early = (first - before - put) % WHOLE
    # at the very beginning of its video there is nothing earlier: two frames later then, and its window is cut by as much
    first = first - early if first >= early else first - early + WHOLE
    return Needle(found.task.video, first, max(stop, first + 1), before, found.what, found.said)


def _said(row: Provenance) -> Said:
    return Said(row.source, row.licence, row.terms, row.source_id)


def _tells(events: Sequence[Event], needle: Found) -> bool:
    """Whether a host shows something like the needle."""
    return any(is_near(event.what, needle.what) for event in events)
