"""The frames that a look or the coarse clip shows of a file, as training would cut them: for people to see for themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.curation.video.decoders import Clip, Decoder
from dmforge.curation.video.decoders.decord import Decord
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.decoders.torchcodec import TorchCodec
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look
from dmforge.schemas.sizes import Size

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (PyAV(), Decord(), TorchCodec())}
CLIPS = Clips()
"""Outside of a workspace: the defaults."""
NOBODY = "00" * 32
"""In place of the sha256 of a file that is only looked at."""


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames, and what was decided about them."""

    backend: str
    times_s: tuple[Fraction, ...]
    clip: Clip
    size: Size

    @property
    def sha256(self) -> list[str]:
        """Of the pixels of each frame."""
        return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in self.clip.frames]


def coarse_shot(path: Path, backend: str) -> Shot:
    """V0 of a file."""
    video = probe(read_timeline(path)).as_video(NOBODY, 0)
    return _shot(path, backend, CLIPS.coarse(video).times_s, CLIPS.coarse_size(video))


def look_shot(path: Path, backend: str, look: Look) -> Shot:
    """V1 of a look at a file, on the grid."""
    video = probe(read_timeline(path)).as_video(NOBODY, 0)
    return _shot(path, backend, CLIPS.look(video, look).times_s, CLIPS.look_size(video))


def exact_shot(path: Path, backend: str, look: Look) -> Shot:
    """The same without snapping to the grid: the times that the look's numbers say."""
    found = probe(read_timeline(path))
    end_s = min(look.window.end_s, found.duration_s)
    count = max(1, int((end_s - look.window.start_s) * look.fps))
    times = tuple(look.window.start_s + number / look.fps for number in range(count))
    return _shot(path, backend, times, CLIPS.look_size(found.as_video(NOBODY, 0)))


def _shot(path: Path, backend: str, times_s: tuple[Fraction, ...], size: Size) -> Shot:
    if backend not in DECODERS:
        raise InputError(f"there is no backend {backend!r}", where="--backend", mend=nearest(backend, list(DECODERS)))
    return Shot(backend, times_s, DECODERS[backend].read(path, times_s, size), size)
