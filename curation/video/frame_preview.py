"""A preview of the frames that a look or the coarse clip takes from a file, decoded and sized as for training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dmforge.curation.video.decoders import DecodedClip, Decoder
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
"""The default frame settings: a preview belongs to no workspace."""
PLACEHOLDER_SHA256 = "00" * 32
"""Stands for the sha256 of a file that is only previewed."""


@dataclass(frozen=True, slots=True)
class FramePreview:
    """Decoded frames of a file, with their times, their size and the decoder that read them."""

    backend: str
    times_s: tuple[Fraction, ...]
    clip: DecodedClip
    size: Size

    @property
    def sha256(self) -> list[str]:
        """The sha256 of each frame's pixels."""
        return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in self.clip.frames]


def coarse_shot(path: Path, backend: str) -> FramePreview:
    """The frames of a file's coarse clip, V0."""
    video = probe(read_timeline(path)).as_video(PLACEHOLDER_SHA256, 0)
    return _decode_shot(path, backend, CLIPS.coarse(video).times_s, CLIPS.coarse_size(video))


def look_shot(path: Path, backend: str, look: Look) -> FramePreview:
    """The frames of a look at a file, V1, snapped to the grid."""
    video = probe(read_timeline(path)).as_video(PLACEHOLDER_SHA256, 0)
    return _decode_shot(path, backend, CLIPS.look(video, look).times_s, CLIPS.look_size(video))


def exact_shot(path: Path, backend: str, look: Look) -> FramePreview:
    """The frames of a look at the exact times that its numbers say, without snapping to the grid."""
    probed = probe(read_timeline(path))
    end_s = min(look.window.end_s, probed.duration_s)
    frame_count = max(1, int((end_s - look.window.start_s) * look.fps))
    times = tuple(look.window.start_s + index / look.fps for index in range(frame_count))
    return _decode_shot(path, backend, times, CLIPS.look_size(probed.as_video(PLACEHOLDER_SHA256, 0)))


def _decode_shot(path: Path, backend: str, times_s: tuple[Fraction, ...], size: Size) -> FramePreview:
    if backend not in DECODERS:
        raise InputError(f"there is no backend {backend!r}", where="--backend", hint=nearest(backend, list(DECODERS)))
    return FramePreview(backend, times_s, DECODERS[backend].read(path, times_s, size), size)
