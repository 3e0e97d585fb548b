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
from dmforge.curation.video.probe import Probe, probe
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (PyAV(), Decord(), TorchCodec())}


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


def coarse_shot(path: Path, backend: str, clips: Clips | None = None) -> Shot:
    """V0 of a file."""
    clips, video = clips or Clips(), _video(probe(path))
    return _shot(path, backend, clips.coarse(video).times_s, clips.coarse_size(video))


def look_shot(path: Path, backend: str, look: Look, clips: Clips | None = None) -> Shot:
    """V1 of a look at a file, on the grid."""
    clips, video = clips or Clips(), _video(probe(path))
    return _shot(path, backend, clips.look(video, look).times_s, clips.look_size(video))


def exact_shot(path: Path, backend: str, look: Look, clips: Clips | None = None) -> Shot:
    """The same without snapping to the grid: the times that the look's numbers say."""
    clips, found = clips or Clips(), probe(path)
    end_s = min(look.window.end_s, found.duration_s)
    count = max(1, int((end_s - look.window.start_s) * look.fps))
    times = tuple(look.window.start_s + number / look.fps for number in range(count))
    return _shot(path, backend, times, clips.look_size(_video(found)))


def _shot(path: Path, backend: str, times_s: tuple[Fraction, ...], size: Size) -> Shot:
    if backend not in DECODERS:
        raise InputError(f"there is no backend {backend!r}", where="--backend", mend=nearest(backend, list(DECODERS)))
    return Shot(backend, times_s, DECODERS[backend].read(path, times_s, size), size)


def _video(found: Probe) -> Video:
    return Video(
        "00" * 32, int(found.duration_s * 100), found.width, found.height, found.rate_fps, found.codec, found.rotation, 0
    )
