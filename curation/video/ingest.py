"""Videos into the lake: each file is checked, probed and given its place in `media/`, in a process that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.atomic import sync_folder, writing
from dmforge.curation.settled import Made, Quarantined, Result
from dmforge.curation.sources.videos import Listed, edition, listed
from dmforge.curation.stage import Each, EachConfig, Root
from dmforge.curation.video.media import media_path
from dmforge.curation.video.probe import Probe, Unusable, probe
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import Transient
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record, Video, aside

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class File(Record):
    """A file that someone ingested."""

    kind = "file"
    table = "files"

    video: Id
    sha256: str
    source: str = aside()
    licence: str = aside()
    namespace: str = aside()
    source_id: str = aside("")


class IngestConfig(EachConfig):
    """How files are read."""


class Ingest(Root, Each[File, Video]):
    """Files to videos."""

    name, version = "ingest", 1
    config: IngestConfig

    def edition(self, workspace: Workspace) -> str:
        return edition(listed(workspace).values())

    def scan(self, workspace: Workspace) -> Iterator[File]:
        for video in listed(workspace).values():
            yield _file(video)

    def open(self, workspace: Workspace) -> None:
        self._workspace, self._listed = workspace, listed(workspace)

    def process(self, item: File) -> Result:
        source, place = Path(self._listed[item.sha256].path), media_path(self._workspace, item.video)
        if not source.is_file():
            raise Transient(f"{source} is not there: bring it back, or ingest the file again from where it is")
        if _copied(source, place) != item.sha256:
            place.unlink()
            return Quarantined("changed", "its bytes are no longer those that were ingested")
        try:
            found = probe(place)
        except Unusable as error:
            place.unlink()
            return Quarantined(error.reason, error.detail)
        return Made((_video(item, found, place.stat().st_size),))


def _copied(source: Path, place: Path) -> str:
    """Copy a file; the sha256 of what was copied."""
    with source.open("rb") as file, writing(place) as copy:
        while block := file.read(BLOCK):
            copy.write(block)
    sync_folder(place.parent)
    return copy.sha256


def _file(video: Listed) -> File:
    return File(
        video.video, video.sha256, source=video.source, licence=video.licence, namespace=video.namespace,
        source_id=video.source_id,
    )  # fmt: skip


def _video(file: File, found: Probe, size_bytes: int) -> Video:
    return Video(
        file.sha256, found.duration_cs, found.width, found.height, found.rate_fps, found.codec, 0, size_bytes,
        source=file.source, licence=file.licence, namespace=file.namespace, source_id=file.source_id,
    )  # fmt: skip
