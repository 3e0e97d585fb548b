"""Packs samples into shards, one key a video with its renditions and samples; the same selection gives the same bytes."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pydantic import Field, PositiveInt

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, StageResults, settle
from dmforge.curation.lake.partition import Bounds
from dmforge.curation.lake.parts import Extent
from dmforge.curation.packing.card import CardContents, CardCounts, write_card
from dmforge.curation.shards.document import ShardSample, sample_of, video_of
from dmforge.curation.shards.folders import Manifest, Shard, published, selection_folder, write_manifest
from dmforge.curation.shards.index import INDEX, write_index
from dmforge.curation.shards.packed import Packed
from dmforge.curation.shards.write import ShardEntry, fill_shards
from dmforge.curation.video.media import Media, read_receipt, read_renditions
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.clips import Clips
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Candidate, Provenance, Sample, Task, Video
from dmforge.schemas.sizes import clip_tokens
from dmforge.schemas.stamps import patch_times, stamp

RANGE_SAMPLES = 2_000
"""How many samples, with the rows that they refer to, are in memory at once: those of a range of video ids."""

EVERY_LOOK = "list_concat(list_append(c.looks, s.target), s.further_targets)"
"""SQL of the looks of a sample `s` and its candidate `c`."""

LIMITED = "look.box IS NOT NULL OR look.tokens IS NOT NULL"
"""SQL of whether a look has a box or a token quota."""


class PackConfig(StageConfig):
    """How shards are cut."""

    shard_mb: PositiveInt = 256
    """A shard ends with the video that makes it this large."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames are shown: they decide what a sample costs."""
    partial: bool = False
    """Set by `pack --partial`: earlier stages still have work to do, and the card says so."""


class Pack(Collective[Sample, Packed]):
    """Packs samples into shards, each corpus in its own folder; a few videos at a time, so memory doesn't grow."""

    name, version = "pack", 4
    config: PackConfig
    also_reads = (Candidate, Task, Video, Provenance)

    def open(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        corpus_table = view.table(f"SELECT DISTINCT corpus FROM ({view.rows(Sample).sql}) ORDER BY corpus")
        for corpus in corpus_table.column("corpus").to_pylist():
            yield from self._pack_corpus(SelectedSamples(view, str(corpus)), origin)

    def _pack_corpus(self, selected: SelectedSamples, origin: Origin) -> Iterator[StageResults]:
        has_limits = selected.has_limits()
        selection_id = digest("selection", [selected.corpus, self.config.semantic(), *selected.extents()])
        with published(selection_folder(self._workspace, selected.corpus, selection_id)) as unfinished_folder:
            card_counts, shards = CardCounts(), list[Shard]()
            entries, shard_bytes = self._entries(selected, card_counts), self.config.shard_mb << 20
            index_rows = fill_shards(unfinished_folder, entries, shard_bytes, shards, with_limits=has_limits)
            with closing(index_rows):  # where the index can't be written: the open shard gives back its room with the folder
                index_sha256 = write_index(unfinished_folder / INDEX, index_rows)
            pack_settings = self.config.partial, self.config.clips.semantic()
            manifest = Manifest(selected.corpus, base32(selection_id), *pack_settings, tuple(shards), {INDEX: index_sha256})
            manifest.files.update(write_card(unfinished_folder, CardContents(manifest, card_counts, selected.view)))
            write_manifest(unfinished_folder, manifest, has_limits=has_limits, has_target_sets=selected.has_target_sets())
        # shards hold videos in the order of their ids, so the counts say which video is in which shard
        video_index, shard_ends = -1, list(itertools.accumulate(shard_name.videos for shard_name in shards))
        last_video = b""
        for corpus_samples in selected.samples():
            sample_keys, sample_results = list[Key](), list[Made]()
            for packed_sample in corpus_samples:
                video_index, last_video = video_index + (packed_sample.video != last_video), packed_sample.video
                shard_name = shards[bisect_right(shard_ends, video_index)].name
                video_key = base32(packed_sample.video)
                sample_results.append(
                    Made(
                        (
                            Packed(
                                packed_sample.video,
                                packed_sample.id,
                                selected.corpus,
                                base32(selection_id),
                                shard_name,
                                video_key,
                            ),
                        )
                    )
                )
                sample_keys.append(Key(packed_sample.id, packed_sample.video))
            yield settle(origin, sample_keys, sample_results, self.makes)

    def _entries(self, selected: SelectedSamples, tally: CardCounts) -> Iterator[ShardEntry]:
        for range_samples, rows_of_samples in selected.samples_with_rows():
            for video, video_samples in itertools.groupby(range_samples, lambda sample: sample.video):
                shard_entry = self._entry(
                    rows_of_samples.videos[video], [rows_of_samples.shard_sample(sample) for sample in video_samples]
                )
                tally.add(shard_entry)
                yield shard_entry

    def _entry(self, video: Video, samples: list[ShardSample]) -> ShardEntry:
        media = Media(self._workspace, video.id)
        rendition_bytes = read_renditions(media)
        return ShardEntry(
            video_of(video, read_receipt(media)),
            samples,
            [cost(self.config.clips, video, sample) for sample in samples],
            rendition_bytes["coarse.mp4"],
            rendition_bytes["mp4"],
        )


@dataclass(frozen=True, slots=True)
class SelectedSamples:
    """The samples of a corpus, in (video, id) order, read one range of videos at a time."""

    view: View
    corpus: str

    def samples(self) -> Iterator[list[Sample]]:
        for video_range in self._ranges():
            yield self._samples(video_range)

    def samples_with_rows(self) -> Iterator[tuple[list[Sample], SampleRows]]:
        """The samples of each range with the rows that they refer to."""
        for video_range in self._ranges():
            candidate_by_id, task_by_id, video_by_id = (
                self._rows(record_class, video_range) for record_class in (Candidate, Task, Video)
            )
            yield self._samples(video_range), SampleRows(candidate_by_id, task_by_id, video_by_id)

    def extents(self) -> list[list[int]]:
        """Digest input of the corpus: count and bounds of the ids of its samples, and of their videos' provenances."""
        sample_extent, provenance_extent = Extent(), Extent()
        for video_range in self._ranges():
            samples_sql = f"SELECT id, video FROM ({self._samples_sql(video_range)})"
            provenances_sql = f"SELECT id, video FROM ({self.view.rows(Provenance).within(video_range)})"
            ids_sql = f"SELECT p.id FROM ({provenances_sql}) p SEMI JOIN ({samples_sql}) s ON s.video = p.video"
            query_values = {**video_range, "corpus": self.corpus}
            sample_extent += Extent.of(self.view.table(samples_sql, query_values).column("id"))
            provenance_extent += Extent.of(self.view.table(ids_sql, query_values).column("id"))
        return [[extent.count, extent.low, extent.high] for extent in (sample_extent, provenance_extent)]

    def has_limits(self) -> bool:
        """Whether a look of the corpus has a box or a token quota: then all of its documents have fields for them."""
        candidates = self.view.rows(Candidate, gated=False)
        return self._has_rows(
            lambda bounds: (
                f"SELECT 1 FROM ({self._samples_sql(bounds)}) s "
                f"LEFT JOIN ({candidates.within(bounds)}) c ON c.id = s.candidate "
                f"WHERE len(list_filter({EVERY_LOOK}, lambda look: {LIMITED})) > 0 LIMIT 1"
            )
        )

    def has_target_sets(self) -> bool:
        """Whether a target of the corpus has several looks."""
        return self._has_rows(
            lambda bounds: f"SELECT 1 FROM ({self._samples_sql(bounds)}) WHERE len(further_targets) > 0 LIMIT 1"
        )

    def _samples_sql(self, bounds: Bounds) -> str:
        """SQL of the samples of a range."""
        return f"SELECT * FROM ({self.view.rows(Sample).within(bounds)}) WHERE corpus = $corpus"

    def _has_rows(self, sql_within: Callable[[Bounds], str]) -> bool:
        """Whether SQL of a range gives a row in any of them."""
        return any(self.view.table(sql_within(bounds), {**bounds, "corpus": self.corpus}).num_rows for bounds in self._ranges())

    def _samples(self, bounds: Bounds) -> list[Sample]:
        ordered_sql = f"{self._samples_sql(bounds)} ORDER BY video, id"
        return from_arrow(Sample, self.view.table(ordered_sql, {**bounds, "corpus": self.corpus}))

    def _rows(self, record_class: type[Any], bounds: Bounds) -> dict[Id, Any]:
        # a sample's task passed every gate already: checking again would cost a join with all that passed
        return {record_row.id: record_row for record_row in self.view.about(bounds, record_class, gated=False)}

    def _ranges(self) -> list[Bounds]:
        """Ranges of video ids. A sample refers to rows of its own video only."""
        return self.view.ranges(Sample, RANGE_SAMPLES)


@dataclass(frozen=True, slots=True)
class SampleRows:
    """The rows that samples refer to, by id."""

    candidates: Mapping[Id, Candidate]
    tasks: Mapping[Id, Task]
    videos: Mapping[Id, Video]

    def shard_sample(self, sample: Sample) -> ShardSample:
        """A sample as it stands in a shard."""
        candidate = self.candidates[sample.candidate] if sample.candidate else None
        return sample_of(sample, self.tasks[sample.task], candidate)


def cost(clips: Clips, video: Video, sample: ShardSample) -> tuple[int, int]:
    """The cost of a sample: the exact visual tokens of its clips, and the bytes of its texts and stamps."""
    visual_tokens = text_bytes = 0
    for piece in sample.transcript.pieces:
        if piece.text is not None:
            text_bytes += len(piece.text.encode())
            continue
        frame_plan, frame_size = clips.shown(video, piece.look)
        visual_tokens += clip_tokens(len(frame_plan.times_s), frame_size)
        text_bytes += sum(len(stamp(time_s)) for time_s in patch_times(frame_plan.times_s))
    return visual_tokens, text_bytes
