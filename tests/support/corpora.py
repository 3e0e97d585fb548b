"""Folders of shards: with stand-in media, as many videos and samples as one likes in no time; or of one real video."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from dmforge.curation.shards.document import ShardSample, ShardVideo, has_limits
from dmforge.curation.shards.folders import Manifest, Shard, write_manifest
from dmforge.curation.shards.index import INDEX, VideoIndexRow, write_index
from dmforge.curation.shards.write import ShardEntry, fill_shards, write_shards
from dmforge.curation.video import renditions
from dmforge.curation.video.media import Receipt
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.ids import digest, show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.sizes import Size
from dmforge.schemas.transcript import COARSE, Piece, Transcript
from tests.support.barcodes import Case, write

WINDOW = Window(100, 350)


def sample(video: int, number: int, fps: Fraction = Fraction(2), *, sparse: bool = False) -> ShardSample:
    """A trajectory; a sparse one lacks all that may be missing."""
    look = Look(WINDOW, fps)
    transcript = (
        COARSE,
        Piece("prompt", f"What happens in {video}?"),
        Piece("policy", "<think>Let me look.<span>1.00 - 3.50</span><fps>2</fps>"),
        Piece("runtime", None, look),
        Piece("policy", "It turns.</think><answer>it turns</answer>"),
    )
    told = ShardSample(
        id=show("sample", digest("sample", [video, number])),
        corpus="cot",
        task=show("task", digest("task", [video, number])),
        kind="open" if sparse else "mcq",
        question=f"What happens in {video}?",
        options=() if sparse else ("it turns", 'it "stops"\nhere', "es hält, 停"),
        gold="it turns",
        windows=() if sparse else (WINDOW, Window(400, 500)),
        needs="any",
        candidate="" if sparse else show("candidate", digest("candidate", [video, number])),
        teacher="" if sparse else "someone",
        window_source="" if sparse else "teacher",
        answer="" if sparse else "it turns",
        target=None if sparse else look,
        target_source="" if sparse else "gold",
        transcript=Transcript(transcript),
    )
    return replace(told, transcript=Transcript(transcript[:2])) if sparse else told


def entry(
    number: int, samples: int, coarse: bytes, grid: bytes, *, sparse: bool = False, fps: Fraction = Fraction(2)
) -> ShardEntry:
    """A video with so many samples."""
    shas = hashlib.sha256(grid).hexdigest(), hashlib.sha256(coarse).hexdigest()
    receipt = Receipt("00" * 32, *shas, Clips().digest.hex(), "none")
    id = show("video", digest("video", number))
    video = ShardVideo(id, 1000 + number, 640, 360, "made up", "CC0-1.0", "unknown", "unknown", f"video {number}", receipt)
    told = [sample(number, nth, fps, sparse=sparse) for nth in range(samples)]
    return ShardEntry(video, told, [(400 + 37 * (number * samples + nth) % 900, 600) for nth in range(samples)], coarse, grid)


def entries(videos: int, samples: int, sizes: tuple[int, int], first: int = 0) -> Iterator[ShardEntry]:
    """So many videos, with renditions of random bytes of about these sizes."""
    draw = random.Random(videos)
    for number in range(first, first + videos):
        coarse, grid = (draw.randbytes(size + draw.randrange(size)) for size in sizes)
        yield entry(number, samples, coarse, grid)


def publish(
    folder: Path, shards: list[Shard], index: list[VideoIndexRow], selection: str, *, has_target_sets: bool = False
) -> Path:
    """The folder with what belongs beside its tars."""
    files = {INDEX: write_index(folder / INDEX, index)}
    manifest = Manifest("cot", selection, False, Clips().semantic(), tuple(shards), files)
    write_manifest(folder, manifest, has_target_sets=has_target_sets)
    return folder


def corpus(
    folder: Path,
    videos: int,
    samples: int = 2,
    sizes: tuple[int, int] = (2000, 3000),
    shard_bytes: int = 1 << 16,
    first: int = 0,
) -> Path:
    """A whole folder."""
    shards, index = write_shards(folder, entries(videos, samples, sizes, first), shard_bytes)
    return publish(folder, shards, index, f"made{first}x{videos}x{samples}")


def filmed(folder: Path, case: Case, look: Look, *further_targets: Look, transcripts: Sequence[Transcript] = ()) -> Path:
    """A whole folder of one video with real renditions, a trajectory that takes this look and a task that aims at it; if there
    are `transcripts`, these instead of that trajectory."""
    timeline = read_timeline(write(case, folder))
    made = entry(7, 1, b"", b"")
    video = replace(made.video, duration_cs=int(timeline.duration_s * 100), width=case.width, height=case.height)
    clips, size = Clips(), Size(96, 64)
    coarse, grid = folder / "coarse.mp4", folder / "grid.mp4"
    record = video.as_record()
    wanted = [
        renditions.RenditionPlan(coarse, clips.coarse(record).times_s, size, renditions.COARSE_RATE, renditions.COARSE),
        renditions.RenditionPlan(grid, clips.grid_times_s(record), size, Fraction(12), renditions.GRID),
    ]
    renditions.make_renditions(timeline, wanted)
    (drafted,) = made.samples
    pieces = tuple(Piece("runtime", None, look) if piece.look else piece for piece in drafted.transcript.pieces)
    trajectory = replace(drafted, transcript=Transcript(pieces))
    task = replace(sample(7, 2, sparse=True), kind="grounding", gold="3.00 - 5.50", target=look, target_source="replay")
    task = replace(task, further_targets=further_targets)
    trajectories = [replace(sample(7, 3 + nth), transcript=transcript) for nth, transcript in enumerate(transcripts)]
    samples = [*(trajectories or [trajectory]), task]
    packed = replace(
        made, video=video, samples=samples, costs=[(1, 1)] * len(samples),
        coarse=coarse.read_bytes(), grid=grid.read_bytes(),
    )  # fmt: skip
    shards = list[Shard]()
    index = list(fill_shards(folder, [packed], 1 << 20, shards, with_limits=any(map(has_limits, samples))))
    return publish(folder, shards, index, "one", has_target_sets=bool(further_targets))
