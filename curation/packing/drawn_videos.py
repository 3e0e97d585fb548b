"""Packs videos that were drawn in memory, with their samples, as an ordinary corpus: what lessons and studies learn from.

No workspace, no teacher and no file is needed: who draws a video knows all about it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from dmforge.curation.packing.pack import cost
from dmforge.curation.shards.document import ShardSample, ShardVideo, sample_of
from dmforge.curation.shards.folders import Manifest, published, write_manifest
from dmforge.curation.shards.index import INDEX, write_index
from dmforge.curation.shards.write import ShardEntry, write_shards
from dmforge.curation.video.encode_h264 import encoding_h264
from dmforge.curation.video.media import Receipt
from dmforge.curation.video.renditions import COARSE, COARSE_RATE, GRID, encoder_name
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Candidate, Sample, Task, Video
from dmforge.schemas.sizes import Size
from dmforge.schemas.transcript import Transcript

SHARD_BYTES = 16 << 20
LICENCE, TERMS = "CC0-1.0", "unknown"


@dataclass(frozen=True, slots=True)
class DrawnVideo:
    """A video as its frames on the grid, and the samples about it."""

    id: Id
    source: str
    name: str
    """Its name in its source."""
    frames: NDArray[np.uint8]
    samples: Sequence[ShardSample]


def trajectory_sample(task: Task, transcript: Transcript, teacher: str, attempt: int = 0) -> ShardSample:
    """A sample of a `cot` corpus: a transcript about a task, which may have several."""
    looks = tuple(piece.look for piece in transcript.pieces if piece.look)
    candidate = Candidate(task.video, task.id, attempt, teacher, transcript, looks, task.answer, "teacher", ())
    return sample_of(Sample(task.video, "cot", task.id, candidate.id, None, None), task, candidate)


def task_sample(task: Task, target: tuple[Look, ...]) -> ShardSample:
    """A sample of an `rl` corpus: a task, with the looks that are right for it."""
    first_target, *further_targets = target or (None,)
    target_source = None if first_target is None else "gold"
    sample = Sample(task.video, "rl", task.id, None, first_target, target_source, further_targets=tuple(further_targets))
    return sample_of(sample, task, None)


def pack_drawn(folder: Path, corpus: str, selection: str, clips: Clips, videos: Iterable[DrawnVideo]) -> Path:
    """Pack videos into a folder, one encoded after the other; it is whole, or it isn't there."""
    has_target_sets = False

    def entries() -> Iterator[ShardEntry]:
        nonlocal has_target_sets
        for video in videos:
            has_target_sets |= any(sample.further_targets for sample in video.samples)
            yield _entry(video, clips)

    with published(folder) as unfinished_folder:
        shards, index_rows = write_shards(unfinished_folder, entries(), SHARD_BYTES)
        files = {INDEX: write_index(unfinished_folder / INDEX, index_rows)}
        manifest = Manifest(corpus, selection, False, clips.semantic(), tuple(shards), files)
        write_manifest(unfinished_folder, manifest, has_target_sets=has_target_sets)
    return folder


def _entry(drawn: DrawnVideo, clips: Clips) -> ShardEntry:
    frame_count, height, width, _ = drawn.frames.shape
    source_sha256, duration_cs = hashlib.sha256(drawn.id).hexdigest(), 100 * frame_count // GRID_FPS
    record = Video(source_sha256, duration_cs, width, height, Fraction(0), "", 0, 0)
    coarse_frames = drawn.frames[[int(time_s * GRID_FPS) for time_s in clips.coarse(record).times_s]]
    coarse = _encoded(coarse_frames, COARSE_RATE, COARSE)
    grid = _encoded(drawn.frames, Fraction(GRID_FPS), GRID)
    shas = hashlib.sha256(grid).hexdigest(), hashlib.sha256(coarse).hexdigest()
    receipt = Receipt(source_sha256, *shas, clips.digest_for(record).hex(), encoder_name(GRID))
    video = ShardVideo(
        show("video", drawn.id), duration_cs, width, height, drawn.source, LICENCE, TERMS, drawn.source, drawn.name, receipt
    )
    return ShardEntry(video, drawn.samples, [cost(clips, record, sample) for sample in drawn.samples], coarse, grid)


def _encoded(frames: NDArray[np.uint8], rate_fps: Fraction, options: Mapping[str, str]) -> bytes:
    """Frames encoded as those of renditions are."""
    mp4_buffer = io.BytesIO()
    with encoding_h264(mp4_buffer, Size(frames.shape[2], frames.shape[1]), rate_fps, options) as encode_frame:
        for frame_index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = frame_index, 1 / rate_fps
            encode_frame(frame)
    return mp4_buffer.getvalue()
