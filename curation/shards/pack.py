"""Samples become shards: one key a video, its renditions and its samples; the same bytes for the same selection."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, PositiveInt

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Settled, settle
from dmforge.curation.shards.card import Contents, write_card
from dmforge.curation.shards.document import ShardSample, sample_of, video_of
from dmforge.curation.shards.folders import Manifest, published, selection_folder, write_manifest
from dmforge.curation.shards.index import INDEX, write_index
from dmforge.curation.shards.write import Entry, write_shards
from dmforge.curation.stage import Collective, StageConfig
from dmforge.curation.video.media import Media, read_receipt, read_renditions
from dmforge.curation.workspace import Workspace
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Candidate, Provenance, Record, Sample, Task, Video
from dmforge.schemas.sizes import clip_tokens
from dmforge.schemas.stamps import patch_times, stamp


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

    shard_mb: PositiveInt = 256
    """A shard ends with the video that makes it this large."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames are shown: they decide what a sample costs."""
    partial: bool = False
    """Set by `pack --partial`: earlier stages still have work to do, and the card says so."""


class Pack(Collective[Sample, Packed]):
    """Samples to shards, each corpus in a folder of its own."""

    name, version = "pack", 3
    config: PackConfig
    also_reads = (Candidate, Task, Video, Provenance)

    def open(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        samples: list[Sample] = sorted(_rows(view, Sample).values(), key=lambda sample: (sample.video, sample.id))
        provenances = {row.video: row.id for row in _rows(view, Provenance).values()}
        rows = _Rows(_rows(view, Candidate), _rows(view, Task), _rows(view, Video), provenances)
        places: dict[Id, Packed] = {}
        for corpus in sorted({sample.corpus for sample in samples}):
            wanted = [sample for sample in samples if sample.corpus == corpus]
            places |= self._packed(view, corpus, wanted, rows)
        keys = [Key(sample.id, sample.video) for sample in samples]
        yield settle(origin, keys, [Made((places[sample.id],)) for sample in samples], self.makes)

    def _packed(self, view: View, corpus: str, samples: Sequence[Sample], rows: _Rows) -> dict[Id, Packed]:
        provenances = sorted(rows.provenances[video] for video in {sample.video for sample in samples})
        name = [corpus, self.config.semantic(), [sample.id for sample in samples], provenances]
        selection = digest("selection", name)
        by_video = {video: list(group) for video, group in itertools.groupby(samples, lambda sample: sample.video)}
        with published(selection_folder(self._workspace, corpus, selection)) as folder:
            entries = (self._entry(video, own, rows) for video, own in by_video.items())
            shards, index = write_shards(folder, entries, self.config.shard_mb << 20)
            told = self.config.partial, self.config.clips.semantic()
            manifest = Manifest(corpus, base32(selection), *told, tuple(shards), {INDEX: write_index(folder / INDEX, index)})
            contents = Contents(manifest, [rows.videos[video] for video in by_video], [rows.told(s) for s in samples], view)
            manifest.files.update(write_card(folder, contents))
            write_manifest(folder, manifest)
        shard_of = {row.key: row.shard for row in index}
        keys = {sample.id: base32(sample.video) for sample in samples}
        return {
            sample.id: Packed(sample.video, sample.id, corpus, base32(selection), shard_of[keys[sample.id]], keys[sample.id])
            for sample in samples
        }

    def _entry(self, video_id: Id, samples: Sequence[Sample], rows: _Rows) -> Entry:
        media, video = Media(self._workspace, video_id), rows.videos[video_id]
        told = [rows.told(sample) for sample in samples]
        files = read_renditions(media)
        return Entry(
            video_of(video, read_receipt(media)),
            told,
            [cost(self.config.clips, video, sample) for sample in told],
            files["coarse.mp4"],
            files["mp4"],
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    candidates: Mapping[Id, Candidate]
    tasks: Mapping[Id, Task]
    videos: Mapping[Id, Video]
    provenances: Mapping[Id, Id]
    """Of each video."""

    def told(self, sample: Sample) -> ShardSample:
        """A sample as a shard tells it."""
        candidate = self.candidates[sample.candidate] if sample.candidate else None
        return sample_of(sample, self.tasks[sample.task], candidate)


def _rows(view: View, record: Any) -> dict[Id, Any]:
    return {row.id: row for row in from_arrow(record, view.table(view.rows(record).sql))}


def cost(clips: Clips, video: Video, sample: ShardSample) -> tuple[int, int]:
    """Visual tokens of all clips of a sample, exactly; and bytes of its texts and stamps, of which a tokenizer makes tokens."""
    tokens = text = 0
    for piece in sample.transcript.pieces:
        if piece.text is not None:
            text += len(piece.text.encode())
            continue
        plan = clips.coarse(video) if piece.look is None else clips.look(video, piece.look)
        size = clips.coarse_size(video) if piece.look is None else clips.look_size(video)
        tokens += clip_tokens(len(plan.times_s), size)
        text += sum(len(stamp(time_s)) for time_s in patch_times(plan.times_s))
    return tokens, text
