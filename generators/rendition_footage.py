"""Footage from the stored renditions of a video, so that every reader of a look is shown the same frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.shards.examples import Example
from dmforge.curation.video.read_frames import read_coarse, read_look
from dmforge.generators.footage import ShownClip
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class GridRendition:
    """The rendition that looks are cut from, as a file or as bytes from a shard, where the overview is shown by others."""

    video: Video
    clips: Clips
    grid_file: Path | bytes

    def look(self, look: Look) -> ShownClip:
        frames = read_look(self.clips, self.video, look, self.grid_file)
        return ShownClip(frames, self.clips.look(self.video, look).times_s)


@dataclass(frozen=True, slots=True)
class Renditions:
    """The two renditions of a video, as files or as bytes from a shard."""

    video: Video
    clips: Clips
    coarse_file: Path | bytes
    grid_file: Path | bytes

    def coarse(self) -> ShownClip:
        coarse_plan = self.clips.coarse(self.video)
        return ShownClip(read_coarse(self.coarse_file, coarse_plan.indices), coarse_plan.times_s)

    def look(self, look: Look) -> ShownClip:
        return GridRendition(self.video, self.clips, self.grid_file).look(look)


def footage_of(example: Example, clips: Clips) -> Renditions:
    """The footage of a sample in a shard."""
    return Renditions(example.video.as_record(), clips, example.coarse, example.grid)
