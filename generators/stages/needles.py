"""Chooses needles and haystacks: a needle is a moment of one video that is hidden in another, its host, to be asked about.

A needle is put where a shot of its host ends, so that its seams are two cuts among others. A host needs some of them, and must
not show anything like the needle itself.
"""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, Rejected, Result, StageResults, settle
from dmforge.generators.stages.segments import Event, Storyline, within
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Joined, Provenance, Record, Task, Video
from dmforge.schemas.scoring import overlap_cs
from dmforge.schemas.units import GridFrame

Hides = Literal["one", "order", "count"]
"""One needle, about which its own question is asked; two, which of them comes first; one of them several times, how often."""
HIDES: tuple[Hides, ...] = get_args(Hides)
TIMES = (2, 3, 4)
"""How often a needle that is to be counted is put in."""
TRIED = 100
"""The most needles that are tried for a haystack; a host that shows the like of all of them gets none."""
SLACK_CS = 25
"""A needle may begin so much before its window, and an event may end so much behind it."""
WHOLE = 3
"""Frames of the grid in a whole number of centiseconds: needles are moved by multiples of it, so that windows stay exact."""


@dataclass(frozen=True, slots=True)
class SourceOfVideo:
    """Source and licence of a video."""

    source: str
    """The data set or place that it comes from."""
    licence: str
    """What it may be used under."""
    terms: str
    """Conditions beside the licence."""
    source_id: str
    """The name that it has where it comes from."""


@dataclass(frozen=True, slots=True)
class Needle:
    """A part of another video, put into a host: grid frames from `first` up to `stop`, before the host's frame `before`."""

    video: Id
    """The video that it is cut out of."""
    first: GridFrame
    """Its first grid frame."""
    stop: GridFrame
    """The grid frame behind its last."""
    before: GridFrame
    """The grid frame of the host that it is put before."""
    what: str
    """What it shows, in a sentence."""
    said: SourceOfVideo
    """Where that video comes from."""


@dataclass(frozen=True, slots=True)
class Haystack(Record):
    """A host with the needles in it, and the task that is asked about the spliced video."""

    kind = "haystack"
    table = "haystacks"

    video: Id
    """The host."""
    said: SourceOfVideo
    """Where the host comes from."""
    hides: Hides
    """How the question is made: what has to be found in the whole."""
    task: Id
    """Whose question it is, for one needle; of several, the task that the first is from."""
    needles: tuple[Needle, ...]
    """In the order in which they stand in the whole."""
    videos: tuple[Id, ...]
    """All that are in it: when one is taken down, so is this."""


@dataclass(frozen=True, slots=True)
class HaystackWithHost(Joined):
    """A haystack with its host, and the task that its question is from."""

    elsewhere = frozenset({"task"})

    haystack: Haystack
    video: Video | None
    task: Task | None


class NeedlesConfig(StageConfig):
    """Settings of how many haystacks are made, and of what."""

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
class NeedleCandidate:
    """A task whose moment can be a needle: its window, and what happens in it."""

    task: Task
    window: Window
    what: str
    said: SourceOfVideo
    once: bool
    """It happens exactly once in the window, so a host shows it as often as it is put in."""


class Needles(Collective[Task, Haystack]):
    """Tasks to haystacks. A task whose moment is in no haystack is rejected as a needle, not as a task."""

    name, version = "needles", 1
    config: NeedlesConfig
    also_reads = (Video, Provenance, Storyline)

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        tasks = view.all_rows(Task)
        video_by_id = {video.id: video for video in view.all_rows(Video) if video.role != "benchmark"}
        source_by_video = {provenance.video: _source_of(provenance) for provenance in view.all_rows(Provenance)}
        storyline_by_video = {storyline.video: storyline for storyline in view.all_rows(Storyline)}
        tasks.sort(key=lambda task: (task.video, task.id))
        needles = [
            needle for task in tasks if (needle := self._needle(task, storyline_by_video.get(task.video), source_by_video))
        ]
        haystacks_by_task: defaultdict[Id, list[Haystack]] = defaultdict(list)
        needle_ring = NeedleRing(needles, self.config.seed)
        for host_id in sorted(storyline_by_video.keys() & video_by_id.keys() & source_by_video.keys()):
            for haystack in self._haystacks(
                video_by_id[host_id], source_by_video[host_id], storyline_by_video[host_id], needle_ring
            ):
                if haystack not in haystacks_by_task[haystack.task]:
                    haystacks_by_task[haystack.task].append(haystack)
        results: list[Result] = [
            Made(tuple(haystacks_by_task[task.id]))
            if haystacks_by_task[task.id]
            else Rejected("in no haystack", "not drawn, or no moment of its own")
            for task in tasks
        ]
        yield settle(origin, [Key(task.id, task.video) for task in tasks], results, self.makes)

    def _needle(self, task: Task, storyline: Storyline | None, sources: Mapping[Id, SourceOfVideo]) -> NeedleCandidate | None:
        """The needle in a task: None unless the task is about one moment that the storyline describes."""
        if (
            storyline is None
            or not storyline.events
            or task.video not in sources
            or not task.windows
            or (task.needs == "all" and len(task.windows) > 1)
        ):
            return None
        gold_window = next(iter(task.windows))
        if gold_window.end_cs - gold_window.start_cs > 100 * self.config.needle_s:
            return None
        event = max(storyline.events, key=lambda event: (overlap_cs((event.window,), (gold_window,)), -event.window.start_cs))
        if within(event.window, gold_window) is None:
            return None
        earliest_cs, latest_cs = gold_window.start_cs - SLACK_CS, gold_window.end_cs + SLACK_CS
        surroundings = Window(max(0, earliest_cs), latest_cs)
        if any(within(gap.window, surroundings) for gap in storyline.gaps):
            return None
        similar_events = [similar_event for similar_event in storyline.events if is_near(similar_event.what, event.what)]
        similar_windows = [
            similar_event.window for similar_event in similar_events if within(similar_event.window, surroundings)
        ]
        happens_once = (
            len(similar_windows) == 1 and earliest_cs <= similar_windows[0].start_cs and similar_windows[0].end_cs <= latest_cs
        )
        return NeedleCandidate(task, gold_window, event.what, sources[task.video], happens_once)

    def _haystacks(self, host: Video, source: SourceOfVideo, storyline: Storyline, ring: NeedleRing) -> Iterator[Haystack]:
        if host.duration_cs < 100 * self.config.host_s or len(storyline.cuts) < self.config.host_cuts:
            return
        if storyline.gaps:  # what nobody described may be the like of any needle
            return
        for haystack_index in range(self.config.per_host):
            haystack_key = digest("haystack", [self.config.seed, host.id, haystack_index])
            rng = Random(haystack_key)
            weight_by_hides = dict(sorted(self.config.hides.items()))  # the order of names in a recipe must not matter
            hides = rng.choices(list(weight_by_hides), list(weight_by_hides.values()))[0]
            usable_needles = (
                needle
                for needle in ring.after(haystack_key)
                if needle.task.video != host.id and not _shows_similar(storyline.events, needle)
            )
            suitable_needles = (needle for needle in usable_needles if needle.once or hides != "count")
            haystack = needles_in(host.id, source, storyline.cuts, hides, suitable_needles, rng)
            if haystack is not None:
                yield haystack


class NeedleRing:
    """Needles in a fixed random order, as in consistent hashing: a few needles more or fewer change few choices."""

    def __init__(self, needles: Sequence[NeedleCandidate], seed: int) -> None:
        keyed_indices = sorted(
            (digest("needle", [seed, needle.task.id]), needle_index) for needle_index, needle in enumerate(needles)
        )
        self._keys, self._needles = (
            [key for key, _ in keyed_indices],
            [needles[needle_index] for _, needle_index in keyed_indices],
        )

    def after(self, key: Id) -> Iterator[NeedleCandidate]:
        """The next needles in the ring from a key on."""
        start_index, needle_count = bisect(self._keys, key), len(self._needles)
        for ring_offset in range(min(TRIED, needle_count)):
            yield self._needles[(start_index + ring_offset) % needle_count]


def needles_in(
    host_id: Id,
    source: SourceOfVideo,
    cut_frames: tuple[int, ...],
    hides: Hides,
    candidates: Iterator[NeedleCandidate],
    rng: Random,
) -> Haystack | None:
    """A haystack of a kind, if there are enough needles and cuts for it."""
    first_needle = next(candidates, None)
    if first_needle is None:
        return None
    hidden_needles = [first_needle]
    if hides == "order":
        different_needles = (
            needle
            for needle in candidates
            if needle.task.video != first_needle.task.video and not is_near(needle.what, first_needle.what)
        )
        hidden_needles += [second_needle for second_needle in (next(different_needles, None),) if second_needle is not None]
        rng.shuffle(hidden_needles)
    elif hides == "count":
        hidden_needles *= rng.choice(TIMES)
    if len(hidden_needles) > len(cut_frames) or (hides == "order" and len(hidden_needles) < 2):
        return None
    needles: list[Needle] = []
    inserted_frames = 0
    for needle_candidate, cut_frame in zip(hidden_needles, sorted(rng.sample(cut_frames, len(hidden_needles))), strict=True):
        needle = _needle_at(needle_candidate, cut_frame, inserted_frames)
        inserted_frames += needle.stop - needle.first
        needles.append(needle)
    video_ids = tuple(sorted({host_id, *(needle.video for needle in needles)}))
    return Haystack(host_id, source, hides, hidden_needles[0].task.id, tuple(needles), video_ids)


def _needle_at(needle: NeedleCandidate, cut_frame: int, inserted_frames: int) -> Needle:
    """The needle at a cut: begun up to two frames early, so that it moves by whole centiseconds. `inserted_frames` counts the
    frames of needles before it."""
    first_frame = needle.window.start_cs * GRID_FPS // 100
    stop_frame = -(-needle.window.end_cs * GRID_FPS // 100)
    frames_early = (first_frame - cut_frame - inserted_frames) % WHOLE
    # at the very beginning of its video there is nothing earlier: two frames later then, and its window is cut by as much
    first_frame = first_frame - frames_early if first_frame >= frames_early else first_frame - frames_early + WHOLE
    return Needle(needle.task.video, first_frame, max(stop_frame, first_frame + 1), cut_frame, needle.what, needle.said)


def _source_of(row: Provenance) -> SourceOfVideo:
    return SourceOfVideo(row.source, row.licence, row.terms, row.source_id)


def _shows_similar(events: Sequence[Event], needle: NeedleCandidate) -> bool:
    """A host shows something like the needle."""
    return any(is_near(event.what, needle.what) for event in events)
