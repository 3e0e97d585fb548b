"""Writes one part of an export: the clips of some videos, then their rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from dmforge.curation.exports.conversation_rows import looks_of
from dmforge.curation.exports.conversation_turns import is_task
from dmforge.curation.exports.export_place import PARTS, ExportPlace, export_place
from dmforge.curation.exports.known_formats import FORMATS
from dmforge.curation.exports.row_format import ClippedSample, ExportedClip, RowFormat
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.shards.examples import PackedVideo
from dmforge.curation.video.export_clip import cut_look, set_clock
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS

PART_VIDEOS = 8
"""Videos of a part: what is lost by a kill, at most, for each core."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What a process needs to know of an export."""

    source: str
    """The place of the corpus."""
    to: str
    dialect: DialectName
    out: str
    """The place of the export."""


def write_part(job: ExportJob, number: int) -> None:
    """Write the clips of some videos, and their rows behind them."""
    corpus, place = _open_corpus(job.source), export_place(job.out)
    row_format, dialect = FORMATS[job.to], DIALECTS[job.dialect]
    lines, table_rows, left_out, sizes = list[str](), Counter[str](), 0, dict[str, int]()
    first_video = number * PART_VIDEOS
    for video_number in range(first_video, min(first_video + PART_VIDEOS, corpus.video_count)):
        packed_video = corpus.video(video_number)
        for sample in packed_video.samples:
            clipped_sample = clipped(sample, packed_video, corpus.clips, row_format)
            sample_rows = list(row_format.rows(clipped_sample, dialect))
            left_out += not sample_rows
            table_rows.update(table for table, _ in sample_rows)
            lines += [json.dumps(table_row, ensure_ascii=False) for table_row in sample_rows]
            for name, content in _files(clipped_sample, packed_video, corpus.clips, row_format) if sample_rows else ():
                if name not in sizes:
                    file_bytes = content()
                    sizes[name] = len(file_bytes)
                    place.write(name, file_bytes)
    head = {"rows": table_rows, "left_out": left_out, "sizes": sizes}
    place.keep(sizes)
    place.write_whole(part_name(number), "".join(f"{line}\n" for line in (json.dumps(head), *lines)).encode())


@lru_cache(1)
def _open_corpus(source: str) -> Corpus:
    return Corpus(source)


def clipped(sample: ShardSample, packed_video: PackedVideo, clips: Clips, row_format: RowFormat) -> ClippedSample:
    """A sample with the clips that its rows may name."""
    video, key = packed_video.video.as_record(), packed_video.key
    looks = looks_of(sample) if row_format.cuts_looks else []
    return ClippedSample(
        sample,
        packed_video.video,
        clips,
        ExportedClip(f"videos/{key}.coarse.mp4", *clips.shown(video, None)),
        tuple(
            ExportedClip(f"videos/{sample.id}{f'.{number}' if number > 1 else ''}.mp4", *clips.shown(video, look))
            for number, look in enumerate(looks, 1)
        ),
        f"videos/{key}.mp4" if row_format.has_grid and (is_task(sample) or not row_format.has_grid_of_tasks_alone) else "",
    )


def _files(
    clipped_sample: ClippedSample, packed_video: PackedVideo, clips: Clips, row_format: RowFormat
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The files that the rows of a sample name, and how to make them."""
    video = packed_video.video.as_record()
    if row_format.has_coarse:
        yield clipped_sample.coarse.path, lambda: set_clock(clipped_sample.coarse.plan, packed_video.coarse)
    if clipped_sample.grid_path:
        yield clipped_sample.grid_path, lambda: packed_video.grid
    if clipped_sample.looks:
        for look, clip in zip(looks_of(clipped_sample.sample), clipped_sample.looks, strict=True):
            yield clip.path, partial(cut_look, clips, video, look, packed_video.grid)


def part_counts(place: ExportPlace, number: int) -> dict[str, Any] | None:
    """What the first line of a part says; None where the part isn't there, or it or a file of it isn't whole."""
    content = place.read(part_name(number))
    if content is None or b"\n" not in content:
        return None
    head: dict[str, Any] = json.loads(content.partition(b"\n")[0])
    is_whole = content.count(b"\n") == 1 + sum(head["rows"].values())
    return head if is_whole and place.has_whole(head["sizes"]) else None


def part_name(number: int) -> str:
    return f"{PARTS}/{number:06d}.jsonl"
