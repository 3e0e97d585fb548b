"""Haystacks become videos: host and needles encoded as one whole, taken in like any other file, and asked about exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from pydantic import Field

from dmforge.curation.atomic import disk_errors, make_folder
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.sources.places import sha256_of
from dmforge.curation.stage import Each, EachConfig
from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.video.ingest import COPIES, ensure_renditions
from dmforge.curation.video.media import Media, require_clips
from dmforge.curation.video.probe import probe
from dmforge.curation.video.splice import Piece, splice
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.workspace import Workspace
from dmforge.generators.needles import Haystack, Needle, Said
from dmforge.generators.segments import begins_cs, within
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS, last_index
from dmforge.schemas.ids import ID_BYTES, Id, base32
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.records import Joined, Provenance, Spliced, Task, Video

SOURCE = "haystack"
"""Where a spliced video comes from; where its parts come from stands in `spliced`."""
FIRST = "Which of these happens first?"
COUNTED = "How many times does this happen in the video: {}?"


@dataclass(frozen=True, slots=True)
class Whole(Joined):
    """A haystack beside its host, and the task that its question is from."""

    elsewhere = frozenset({"task"})

    haystack: Haystack
    video: Video | None
    task: Task | None


@dataclass(frozen=True, slots=True)
class Laid:
    """A needle in the whole: its frames there, from one up to another."""

    needle: Needle
    first: int
    stop: int

    @property
    def window(self) -> Window:
        return Window(begins_cs(self.first), begins_cs(self.stop))

    @property
    def moved_cs(self) -> int:
        """Between its own time and that of the whole: frames are chosen so that this is a whole number."""
        return (self.first - self.needle.first) * 100 // GRID_FPS


class SpliceConfig(EachConfig):
    """How haystacks are made into videos."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames the renditions hold, and how large."""


class Splice(Each[Whole, Video | Fingerprint | Provenance | Spliced | Task]):
    """Haystacks to videos, with the parts that they are made of, and a task for each."""

    name, version = "splice", 1
    config: SpliceConfig

    def begin(self, workspace: Workspace) -> None:
        require_clips(workspace, self.config.clips)

    def open(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, item: Whole) -> Result:
        host, task = item.video, item.task
        if host is None or task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        clips, laid, owned = self.config.clips, list(laid_out(item.haystack)), _owned(item.haystack)
        path = self._workspace.runs / COPIES / f"{base32(item.haystack.id)}{self._workspace.writer_suffix}.mp4"
        with disk_errors(path):
            make_folder(path.parent)
            splice(self._pieces(item.haystack, host), path, clips.look_size(host), self.gets_on)
        try:
            sha256 = sha256_of(path)
            if bytes.fromhex(sha256)[:ID_BYTES] in forgotten_videos(self._workspace):
                return Rejected("it was taken down", "inputs/forgotten.jsonl names the whole")
            timeline = read_timeline(path)
            whole = probe(timeline).as_video(sha256, path.stat().st_size)
            whole = replace(whole, **asdict(owned), namespace=SOURCE)
            looks = ensure_renditions(Media(self._workspace, whole.id), timeline, whole, clips, self.gets_on)
        except Unusable as error:
            return Quarantined(error.reason, error.detail)
        finally:
            with disk_errors(path):
                path.unlink(missing_ok=True)
        said = Provenance(whole.id, owned.source, owned.licence, owned.terms, SOURCE, owned.source_id, (), whole.role)
        return Made((whole, looks, said, *_parts(item.haystack, host, laid, whole), _asked(item.haystack, task, laid, whole)))

    def _pieces(self, haystack: Haystack, host: Video) -> list[Piece]:
        """The host, interrupted by the needles."""
        media = Media(self._workspace, host.id)
        frames = last_index(Fraction(host.duration_cs, 100)) + 1
        bounds = [0, *(needle.before for needle in haystack.needles), frames]
        pieces: list[Piece] = []
        for number, (first, stop) in enumerate(pairwise(bounds)):
            pieces.append(Piece(media, first, stop))
            if number < len(haystack.needles):
                needle = haystack.needles[number]
                pieces.append(Piece(Media(self._workspace, needle.video), needle.first, needle.stop))
        return pieces


def laid_out(haystack: Haystack) -> Iterator[Laid]:
    put = 0
    for needle in haystack.needles:
        first, frames = needle.before + put, needle.stop - needle.first
        yield Laid(needle, first, first + frames)
        put += frames


def _owned(haystack: Haystack) -> Said:
    """Under what a whole may be used: under all that its parts may be used under."""
    parts = (haystack.said, *(needle.said for needle in haystack.needles))
    licences, terms = {part.licence for part in parts}, {part.terms for part in parts}
    return Said(SOURCE, " AND ".join(sorted(licences)), " AND ".join(sorted(terms)), base32(haystack.id))


def _parts(haystack: Haystack, host: Video, laid: list[Laid], whole: Video) -> Iterator[Spliced]:
    """Who is where in the whole."""
    ends = [0, *(one.stop for one in laid)]
    begins = [*(one.first for one in laid), last_index(Fraction(whole.duration_cs, 100)) + 1]
    for first, stop in zip(ends, begins, strict=True):
        if first < stop:
            window = Window(begins_cs(first), min(whole.duration_cs, begins_cs(stop)))
            yield _part(whole, window, host.id, "host", haystack.said)
    for one in laid:
        yield _part(whole, one.window, one.needle.video, "needle", one.needle.said)


def _part(whole: Video, window: Window, part: Id, role: Literal["host", "needle"], said: Said) -> Spliced:
    return Spliced(whole.id, window, part, role, said.source, said.licence, said.terms, said.source_id)


def _asked(haystack: Haystack, task: Task, laid: list[Laid], whole: Video) -> Task:
    """The question about the whole, with windows to the frame."""
    owned, kind, text, options, needs = _owned(haystack), task.task_kind, task.question, task.options, "any"
    windows = tuple(one.window for one in laid)
    if haystack.hides == "order":
        kind, text, needs, answer = "grounded_mcq", FIRST, "all", laid[0].needle.what
        options = tuple(sorted(one.needle.what for one in laid))
    elif haystack.hides == "count":
        kind, text, needs, answer, options = "open", COUNTED.format(laid[0].needle.what), "all", str(len(laid)), ()
    else:
        window, moved_cs = task.windows[0], laid[0].moved_cs
        window = within(Window(window.start_cs + moved_cs, window.end_cs + moved_cs), laid[0].window) or laid[0].window
        windows, answer = (window,), print_span(window) if kind == "grounding" else task.answer
    return Task(
        whole.id, kind, text, options, answer, windows, needs,
        source=owned.source, licence=owned.licence, terms=owned.terms, origin=str(haystack),
    )  # fmt: skip
