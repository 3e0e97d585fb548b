"""Packs samples about synthetic worlds into a corpus for the ordinary trainers: their frames are drawn, no file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dmforge.curation.packing.drawn_videos import DrawnVideo, pack_drawn
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.generators.footage import Pixels
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.rasterize import draw_all
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Task
from dmforge.schemas.sizes import CELL

SOURCE = "lessons"
READINGS_A_VIDEO = 16
"""A text alone needs no video, but a shard holds samples of videos only: so many of them share a blank one."""
BLANK_FRAMES = 24

SamplesOf = Callable[[Script, Id], Sequence[ShardSample]]
"""Makes the samples about one world, whose video has this id."""


def pack_worlds(
    folder: Path, corpus: str, worlds: WorldSettings, clips: Clips, samples_of: SamplesOf, variant: str = ""
) -> Path:
    """Pack samples about worlds; a folder that holds them already is left alone. `variant` tells lessons of one name apart."""

    def videos() -> Iterator[DrawnVideo]:
        for world_index in range(worlds.videos):
            script, video_id = worlds.script(world_index), world_video_id(worlds, world_index)
            yield DrawnVideo(video_id, SOURCE, f"world {script.seed}", frames_of(script), samples_of(script, video_id))

    return _packed(folder, corpus, worlds, clips, videos(), variant)


def pack_texts(folder: Path, worlds: WorldSettings, clips: Clips, samples_of: SamplesOf) -> Path:
    """Pack samples that show nothing of the worlds that they are about; a folder that holds them already is left alone."""

    def videos() -> Iterator[DrawnVideo]:
        blank_frames = np.zeros((BLANK_FRAMES, CELL, CELL, 3), np.uint8)
        for first_index in range(0, worlds.videos, READINGS_A_VIDEO):
            video_id = digest("video", [SOURCE, "blank", worlds.semantic(), first_index])
            world_indices = range(first_index, min(worlds.videos, first_index + READINGS_A_VIDEO))
            samples = [sample for index in world_indices for sample in samples_of(worlds.script(index), video_id)]
            yield DrawnVideo(video_id, SOURCE, f"blank {first_index}", blank_frames, samples)

    return _packed(folder, "cot", worlds, clips, videos())


def _packed(
    folder: Path, corpus: str, worlds: WorldSettings, clips: Clips, videos: Iterator[DrawnVideo], variant: str = ""
) -> Path:
    lesson = [folder.name, corpus, worlds.semantic(), clips.semantic(), *([variant] if variant else [])]
    selection = base32(digest("lesson", lesson))
    if not folder.exists():
        return pack_drawn(folder, corpus, selection, clips, videos)
    if Corpus(folder).manifest.selection != selection:
        raise InputError("it holds a lesson about other worlds", where=str(folder), hint="remove it, or name another folder")
    return folder


def world_video_id(worlds: WorldSettings, world_index: int) -> Id:
    """The id of the video of a world that was packed."""
    return digest("video", [SOURCE, worlds.semantic(), world_index])


def world_task(question: WorldQuestion, video_id: Id) -> Task:
    """A question about a world as a task."""
    extras = '{"needed_looks": 0}' if question.places == 0 else ""
    return Task(
        video_id,
        question.kind,
        question.text,
        question.options,
        question.answer,
        question.windows,
        question.needs,
        extras=extras,
    )


def frames_of(script: Script) -> Pixels:
    """Every frame of a world, in the size of one visual token: means of squares of pixels."""
    side = 2 * CELL
    drawn = draw_all(script, side, side).astype(np.uint16)
    rows = drawn[:, 0::2] + drawn[:, 1::2]
    return ((rows[:, :, 0::2] + rows[:, :, 1::2]) // 4).astype(np.uint8)
