"""Footage from any video file, for whoever has no renditions of it: the frames and sizes of training, of the file's own pixels.

Renditions are encoded, and a student is shown what that leaves of a picture; here is the picture itself. A file may be hostile,
so each clip is decoded in a process of its own, which takes half a second to start: a training has renditions made first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.video.frame_preview import CLIPS
from dmforge.curation.video.isolated_look import read_file_clip
from dmforge.generators.footage import ShownClip
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look


@dataclass(frozen=True, slots=True)
class FileFootage:
    """A video file as a source of clips."""

    path: Path
    clips: Clips = CLIPS

    def coarse(self) -> ShownClip:
        return self._shown(None)

    def look(self, look: Look) -> ShownClip:
        return self._shown(look)

    def _shown(self, look: Look | None) -> ShownClip:
        file_clip = read_file_clip(self.path, self.clips, look)
        return ShownClip(file_clip.frames, file_clip.times_s)
