"""Samples become tars: one key a video, its renditions and its samples; the same bytes for the same selection."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, PositiveInt

from dmforge.curation.atomic import writing
from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.shards.folders import Manifest, Shard, published, selection_folder, write_manifest
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.media import Media, read_renditions
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, base32, digest, show
from dmforge.schemas.looks import print_density, print_span
from dmforge.schemas.prompts import lettered
from dmforge.schemas.records import Candidate, Record, Sample, Task, Video
from dmforge.schemas.transcript import Piece

MODE, USER = 0o644, "dmforge"
"""What stands in every tar header, so that it doesn't matter who packs, or when."""


@dataclass(frozen=True, slots=True)
class Packed(Record):
    """Where a sample lies."""

    kind = "packed"
    table = "packed"

    video: Id
    sample: Id
    corpus: str
    selection: str
    shard: str
    key: str


class PackConfig(StageConfig):
    """How shards are cut."""

    corpus: str = Field("cot", pattern="^[a-z][a-z0-9_-]*$")
    """Whose samples are packed."""
    shard_mb: PositiveInt = 256
    """A shard ends with the video that makes it this large."""


class Pack(Collective[Sample, Packed]):
    """Samples to shards."""

    name, version = "pack", 1
    config: PackConfig
    also_reads = (Candidate, Task, Video)

    def open(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        samples = sorted(_rows(view, Sample).values(), key=lambda sample: (sample.video, sample.id))
        wanted = [sample for sample in samples if sample.corpus == self.config.corpus]
        if samples and not wanted:
            known = sorted({sample.corpus for sample in samples})
            mend = nearest(self.config.corpus, known)
            raise InputError(f"there is no corpus {self.config.corpus!r}", where="[stages.pack] corpus", mend=mend)
        selection = digest("selection", [self.config.semantic(), [sample.id for sample in wanted]])
        rows = _Rows(_rows(view, Candidate), _rows(view, Task), _rows(view, Video))
        places: dict[Id, str] = {}
        with published(selection_folder(self._workspace, self.config.corpus, selection)) as folder:
            shards: list[Shard] = []
            videos = [(video, list(group)) for video, group in itertools.groupby(wanted, lambda sample: sample.video)]
            rest = iter(videos)
            for number in itertools.count():
                name = f"train-{number:06d}.tar"
                with writing(folder / name) as file:
                    packed = self._fill(file, rest, rows)
                if not packed:
                    (folder / name).unlink()
                    break
                places |= {sample.id: name for sample in packed}
                count = len({sample.video for sample in packed})
                shards.append(Shard(name, file.sha256, file.size_bytes, count, len(packed)))
            keys = tuple(base32(video) for video, _ in videos)
            write_manifest(folder, Manifest(self.config.corpus, base32(selection), keys, tuple(shards)))
        keys = [Key(sample.id, sample.video) for sample in samples]
        made = [
            Made((self._packed(sample, selection, places[sample.id]),) if sample.id in places else ()) for sample in samples
        ]
        yield settle(origin, keys, made, self.makes)

    def _fill(self, file: Any, videos: Iterator[tuple[Id, list[Sample]]], rows: _Rows) -> list[Sample]:
        """One shard: the next videos, until it is large enough."""
        from webdataset.writer import TarWriter

        packed: list[Sample] = []
        with TarWriter(file, user=USER, group=USER, mode=MODE, mtime=0) as tar:
            for video, samples in videos:
                media = Media(self._workspace, video)
                document = json.dumps(_document(rows.videos[video], samples, rows), ensure_ascii=False)
                tar.write({"__key__": base32(video), **read_renditions(media), "json": document.encode()})
                packed += samples
                if file.size_bytes >= self.config.shard_mb << 20:
                    break
        return packed

    def _packed(self, sample: Sample, selection: Id, shard: str) -> Packed:
        return Packed(sample.video, sample.id, sample.corpus, base32(selection), shard, base32(sample.video))


@dataclass(frozen=True, slots=True)
class _Rows:
    candidates: Mapping[Id, Candidate]
    tasks: Mapping[Id, Task]
    videos: Mapping[Id, Video]


def _rows(view: View, record: Any) -> dict[Id, Any]:
    return {row.id: row for row in from_arrow(record, view.table(view.rows(record).sql))}


def _document(video: Video, samples: list[Sample], rows: _Rows) -> dict[str, Any]:
    """What is said about a video. Every field is always there, none is null, no list is empty, floats are floats: readers of
    WebDatasets take the schema from the first documents that they see."""
    kept = [(sample, rows.tasks[sample.task], rows.candidates[sample.candidate]) for sample in samples if sample.candidate]
    return {
        "video": str(video), "duration_s": video.duration_cs / 100, "source": video.source, "licence": video.licence,
        "samples": [_sample(*row) for row in kept],
    }  # fmt: skip


def _sample(sample: Sample, task: Task, candidate: Candidate) -> dict[str, Any]:
    return {
        "id": str(sample), "corpus": sample.corpus, "task": str(task), "kind": task.task_kind, "question": task.question,
        "options": "\n".join(lettered(task.options)), "gold": task.answer,
        "windows": ", ".join(map(print_span, task.windows)), "needs": task.needs, "candidate": show("candidate", candidate.id),
        "teacher": candidate.teacher, "window_source": candidate.window_source, "answer": candidate.answer,
        "pieces": [_piece(piece) for piece in candidate.transcript.pieces],
    }  # fmt: skip


def _piece(piece: Piece) -> dict[str, str]:
    look = piece.look
    return {
        "author": piece.author,
        "kind": "text" if not piece.is_clip else "coarse" if look is None else "look",
        "text": piece.text or "",
        "window": print_span(look.window) if look else "",
        "fps": print_density(look.fps) if look else "",
    }
