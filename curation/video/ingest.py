"""Videos into the lake: each file is checked, probed and rendered into `media/`, in a process that may be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from dmforge.curation.contract.stage import Each, EachConfig, Root
from dmforge.curation.contract.stage_results import Made, Quarantined, Result
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import TEMPORARY, disk_errors
from dmforge.curation.io.locations import is_utf8, local_copy, sha256_of
from dmforge.curation.sources.videos import ListedVideo, listed, source_version
from dmforge.curation.video.fingerprint import Fingerprint, frame_hashes, sampled_indices
from dmforge.curation.video.media import Media, Receipt, read_receipt, refuse_other_clips, require_clips, write_receipt
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import stream_grid
from dmforge.curation.video.renditions import (
    COARSE,
    COARSE_RATE,
    GRID,
    LARGE_GRID,
    RenditionPlan,
    encoder_name,
    make_renditions,
)
from dmforge.curation.video.timeline import Timeline, read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Later, Operational
from dmforge.schemas.errors import Transient
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Provenance, Record, Video

DECLARED_FIELDS = ("source", "licence", "terms", "namespace", "source_id", "role")
"""What people declare about a video: fields of the list, the file, its provenance and the video record alike."""
COPIES = "copies"
"""Folder under `runs/` for copies of remote files while they are read."""


@dataclass(frozen=True, slots=True)
class IngestedFile(Record):
    """An ingested file with what is declared about it: changed declarations are processed anew, without rendering again."""

    kind = "file"
    table = "files"

    video: Id
    """The video that it is."""
    sha256: str
    """Of the file's bytes, in hex."""
    source: str
    """The data set or place that it comes from."""
    licence: str
    """What it may be used under."""
    terms: str
    """Conditions beside the licence."""
    namespace: str
    """Whose ids the videos' names are."""
    source_id: str
    """Its name in that namespace."""
    also: tuple[str, ...]
    """Other names that it came under."""
    role: str
    """`train`, or `benchmark` where nothing may be trained on it."""


class IngestConfig(EachConfig):
    """How files are read and what is made of them."""

    cpu_s: Operational[PositiveFloat] = 600.0
    """CPU seconds that a file may use between one frame and the next that it needs: a long film takes long, and gets on."""
    longest_s: PositiveFloat = 43_200.0
    """Seconds of the longest video: a broken clock makes days out of nothing."""
    shortest_s: Later[NonNegativeFloat] = 0.0
    """Seconds of the shortest video: in less than a few there is nowhere to look. 0: any."""
    min_side_px: Later[NonNegativeInt] = 0
    """Pixels of the shorter side, as it is displayed, that a video has at least: of thumbnails little can be asked. 0: any."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames the renditions hold, and how large."""


class Ingest(Root, Each[IngestedFile, Video | Fingerprint | Provenance]):
    """Turns ingested files into videos, their renditions and their fingerprints."""

    name, version = "ingest", 4
    config: IngestConfig

    def check(self, workspace: WorkspaceFolder) -> None:
        refuse_other_clips(workspace, self.config.clips)

    def begin(self, workspace: WorkspaceFolder) -> None:
        require_clips(workspace, self.config.clips)
        with workspace.unread() as is_unread, disk_errors(workspace.media):
            leftover_paths = (*workspace.runs.glob(f"{COPIES}/*"), *workspace.media.glob(f"*/*{TEMPORARY}"))
            # what killed processes left; not what other ranks are at
            for leftover_path in leftover_paths if is_unread else ():
                machine.current.unlink(leftover_path)

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return source_version(listed(workspace).values())

    def scan(self, workspace: WorkspaceFolder) -> Iterator[IngestedFile]:
        for listed_video in listed(workspace).values():
            yield _file_record(listed_video)

    def open(self, workspace: WorkspaceFolder) -> None:
        self._workspace, self._listed = workspace, listed(workspace)

    def process(self, item: IngestedFile) -> Result:
        location = self._listed[item.sha256].path
        if not is_utf8(location):
            return Quarantined("its name is not UTF-8", f"{location}: rename it, and ingest it again")
        with local_copy(location, self._workspace.runs / COPIES / (item.sha256 + self._workspace.writer_suffix)) as local_path:
            return self._ingest_file(item, local_path)

    def _ingest_file(self, item: IngestedFile, local_path: Path) -> Result:
        if sha256_of(local_path) != item.sha256:
            raise Transient(f"{local_path} holds other bytes now: ingest an intact copy, from wherever it is")
        try:
            timeline = read_timeline(local_path, self.heartbeat)
            provenance = _provenance(item)
            declared_fields = {field_name: getattr(provenance, field_name) for field_name in DECLARED_FIELDS}
            video = replace(probe(timeline).as_video(item.sha256, local_path.stat().st_size), **declared_fields)
            if video.duration_cs > self.config.longest_s * 100:
                raise UnusableVideo("too long", f"more than {self.config.longest_s:g} s")
            if not video.duration_cs:
                raise UnusableVideo("no frames", "it lasts less than a hundredth of a second")
            if video.duration_cs < self.config.shortest_s * 100:
                raise UnusableVideo("too short", f"less than {self.config.shortest_s:g} s")
            if min(video.width, video.height) < self.config.min_side_px:
                raise UnusableVideo("too small", f"{video.width} x {video.height}: less than {self.config.min_side_px} pixels")
            fingerprint = ensure_renditions(
                Media(self._workspace, video.id), timeline, video, self.config.clips, self.heartbeat
            )
        except UnusableVideo as error:
            return Quarantined(error.reason, error.detail)
        return Made((video, fingerprint, provenance))


def ensure_renditions(
    media: Media, timeline: Timeline, video: Video, clips: Clips, heartbeat: Callable[[], None] = lambda: None
) -> Fingerprint:
    """Make both renditions of a file unless they are there already; its fingerprint."""
    if not _are_up_to_date(media, video, clips):
        coarse_times_s, grid_times_s = clips.coarse(video).times_s, clips.grid_times_s(video)
        writer_suffix = media.workspace.writer_suffix
        rendition_plans = [
            RenditionPlan(media.coarse, coarse_times_s, clips.coarse_size(video), COARSE_RATE, COARSE, writer_suffix),
            RenditionPlan(
                media.grid, grid_times_s, clips.grid_size(video), Fraction(GRID_FPS), grid_options(video, clips), writer_suffix
            ),
        ]
        make_renditions(timeline, rendition_plans, heartbeat)
        rendition_digests = sha256_of(media.grid), sha256_of(media.coarse)
        write_receipt(
            media,
            Receipt(video.sha256, *rendition_digests, clips.digest_for(video).hex(), encoder_name(grid_options(video, clips))),
        )
    sampled_frames = sampled_indices(len(clips.grid_times_s(video)))
    return Fingerprint(video.id, frame_hashes(stream_grid(media.grid, sampled_frames)))


def grid_options(video: Video, clips: Clips) -> dict[str, str]:
    """How the grid of a video is encoded."""
    return GRID if clips.for_video(video).look_size == "fixed" else LARGE_GRID


def _are_up_to_date(media: Media, video: Video, clips: Clips) -> bool:
    """Whether the renditions are there already, just as they would be made now."""
    if not all(media_path.is_file() for media_path in (media.receipt, media.grid, media.coarse)):
        return False
    receipt = read_receipt(media)
    expected_receipt = video.sha256, clips.digest_for(video).hex(), encoder_name(grid_options(video, clips))
    is_same_recipe = (receipt.source_sha256, receipt.clips, receipt.encoder) == expected_receipt
    return is_same_recipe and (receipt.grid_sha256, receipt.coarse_sha256) == (sha256_of(media.grid), sha256_of(media.coarse))


def _file_record(video: ListedVideo) -> IngestedFile:
    return IngestedFile(
        video.video,
        video.sha256,
        also=tuple(video.also),
        **{field_name: getattr(video, field_name) for field_name in DECLARED_FIELDS},
    )


def _provenance(item: IngestedFile) -> Provenance:
    return Provenance(item.video, also=item.also, **{field_name: getattr(item, field_name) for field_name in DECLARED_FIELDS})
