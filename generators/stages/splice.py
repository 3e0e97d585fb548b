"""Makes videos of haystacks: host and needles are encoded as one file, ingested like any other, with a task about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from pydantic import Field

from dmforge.curation.contract.stage import Each, EachConfig
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.curation.io.atomic import disk_errors, make_folder
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.video.encode_spliced import FrameRun, splice
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.video.ingest import COPIES, ensure_renditions
from dmforge.curation.video.media import Media, refuse_other_clips, require_clips
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.needles import Haystack, HaystackWithHost, Needle, SourceOfVideo
from dmforge.generators.stages.segments import begins_cs, within
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS, last_index
from dmforge.schemas.ids import ID_BYTES, Id, base32
from dmforge.schemas.looks import Window, print_span
from dmforge.schemas.records import Provenance, Spliced, Task, Video

SOURCE = "haystack"
"""The source of a spliced video; the sources of its parts stand in the table `spliced`."""
FIRST = "Which of these happens first?"
COUNTED = "How many times does this happen in the video: {}?"


@dataclass(frozen=True, slots=True)
class SplicedNeedle:
    """A needle in the spliced video: its frames there, from `first` up to `stop`."""

    needle: Needle
    first: int
    stop: int

    @property
    def window(self) -> Window:
        return Window(begins_cs(self.first), begins_cs(self.stop))

    @property
    def moved_cs(self) -> int:
        """The shift from its own time to the spliced video's: frames are chosen so that it is a whole number."""
        return (self.first - self.needle.first) * 100 // GRID_FPS


class SpliceConfig(EachConfig):
    """How haystacks are made into videos."""

    clips: Clips = Field(default_factory=Clips)
    """Which frames the renditions hold, and how large."""


class Splice(Each[HaystackWithHost, Video | Fingerprint | Provenance | Spliced | Task]):
    """Haystacks to videos, each with its parts and a task."""

    name, version = "splice", 1
    config: SpliceConfig

    def check(self, workspace: WorkspaceFolder) -> None:
        refuse_other_clips(workspace, self.config.clips)

    def begin(self, workspace: WorkspaceFolder) -> None:
        require_clips(workspace, self.config.clips)

    def open(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace

    def process(self, item: HaystackWithHost) -> Result:
        host, task = item.video, item.task
        if host is None or task is None:
            return Quarantined("no video", "the haystack's host or its task is not in the lake")
        clips, placements, source = self.config.clips, list(placements_of(item.haystack)), _source_of(item.haystack)
        spliced_path = self._workspace.runs / COPIES / f"{base32(item.haystack.id)}{self._workspace.writer_suffix}.mp4"
        with disk_errors(spliced_path):
            make_folder(spliced_path.parent)
            splice(self._pieces(item.haystack, host), spliced_path, clips.grid_size(host), self.heartbeat)
        try:
            sha256 = sha256_of(spliced_path)
            if bytes.fromhex(sha256)[:ID_BYTES] in forgotten_videos(self._workspace):
                return Rejected("it was taken down", "inputs/forgotten.jsonl names the whole")
            timeline = read_timeline(spliced_path)
            spliced_video = probe(timeline).as_video(sha256, spliced_path.stat().st_size)
            spliced_video = replace(spliced_video, **asdict(source), namespace=SOURCE)
            fingerprint = ensure_renditions(
                Media(self._workspace, spliced_video.id), timeline, spliced_video, clips, self.heartbeat
            )
        except UnusableVideo as error:
            return Quarantined(error.reason, error.detail)
        finally:
            with disk_errors(spliced_path):
                spliced_path.unlink(missing_ok=True)
        provenance = Provenance(
            spliced_video.id, source.source, source.licence, source.terms, SOURCE, source.source_id, (), spliced_video.role
        )
        spliced_parts = _parts(item.haystack, host, placements, spliced_video)
        return Made(
            (
                spliced_video,
                fingerprint,
                provenance,
                *spliced_parts,
                _task_about(item.haystack, task, placements, spliced_video),
            )
        )

    def _pieces(self, haystack: Haystack, host: Video) -> list[FrameRun]:
        """The pieces to splice: the host, interrupted by the needles."""
        media = Media(self._workspace, host.id)
        host_frame_count = last_index(Fraction(host.duration_cs, 100)) + 1
        cut_bounds = [0, *(needle.before for needle in haystack.needles), host_frame_count]
        frame_runs: list[FrameRun] = []
        for run_index, (first_frame, stop_frame) in enumerate(pairwise(cut_bounds)):
            frame_runs.append(FrameRun(media, first_frame, stop_frame))
            if run_index < len(haystack.needles):
                needle = haystack.needles[run_index]
                frame_runs.append(FrameRun(Media(self._workspace, needle.video), needle.first, needle.stop))
        return frame_runs


def placements_of(haystack: Haystack) -> Iterator[SplicedNeedle]:
    """The needles of a haystack with their frames in the spliced video."""
    inserted_frames = 0
    for needle in haystack.needles:
        first_frame, frame_count = needle.before + inserted_frames, needle.stop - needle.first
        yield SplicedNeedle(needle, first_frame, first_frame + frame_count)
        inserted_frames += frame_count


def _source_of(haystack: Haystack) -> SourceOfVideo:
    """Source and licence of a spliced video: the licences and terms of all its parts."""
    part_sources = (haystack.said, *(needle.said for needle in haystack.needles))
    licences, terms = {part_source.licence for part_source in part_sources}, {part_source.terms for part_source in part_sources}
    return SourceOfVideo(SOURCE, " AND ".join(sorted(licences)), " AND ".join(sorted(terms)), base32(haystack.id))


def _parts(haystack: Haystack, host: Video, placements: list[SplicedNeedle], spliced: Video) -> Iterator[Spliced]:
    """The parts of a spliced video, each with its window."""
    gap_starts = [0, *(placement.stop for placement in placements)]
    gap_ends = [*(placement.first for placement in placements), last_index(Fraction(spliced.duration_cs, 100)) + 1]
    for start_frame, stop_frame in zip(gap_starts, gap_ends, strict=True):
        if start_frame < stop_frame:
            part_window = Window(begins_cs(start_frame), min(spliced.duration_cs, begins_cs(stop_frame)))
            yield _part(spliced, part_window, host.id, "host", haystack.said)
    for placement in placements:
        yield _part(spliced, placement.window, placement.needle.video, "needle", placement.needle.said)


def _part(spliced: Video, window: Window, part_id: Id, role: Literal["host", "needle"], part_source: SourceOfVideo) -> Spliced:
    return Spliced(
        spliced.id, window, part_id, role, part_source.source, part_source.licence, part_source.terms, part_source.source_id
    )


def _task_about(haystack: Haystack, task: Task, placements: list[SplicedNeedle], spliced: Video) -> Task:
    """The task about a spliced video, with windows exact to the frame."""
    spliced_source, kind, question, options, needs = _source_of(haystack), task.task_kind, task.question, task.options, "any"
    placement_windows = tuple(placement.window for placement in placements)
    if haystack.hides == "order":
        kind, question, needs, answer = "grounded_mcq", FIRST, "all", placements[0].needle.what
        options = tuple(sorted(placement.needle.what for placement in placements))
    elif haystack.hides == "count":
        kind, question, needs, answer, options = (
            "open",
            COUNTED.format(placements[0].needle.what),
            "all",
            str(len(placements)),
            (),
        )
    else:
        gold_window, moved_cs = task.windows[0], placements[0].moved_cs
        gold_window = (
            within(Window(gold_window.start_cs + moved_cs, gold_window.end_cs + moved_cs), placements[0].window)
            or placements[0].window
        )
        placement_windows, answer = (gold_window,), print_span(gold_window) if kind == "grounding" else task.answer
    return Task(
        spliced.id, kind, question, options, answer, placement_windows, needs,
        source=spliced_source.source, licence=spliced_source.licence, terms=spliced_source.terms, origin=str(haystack),
    )  # fmt: skip
