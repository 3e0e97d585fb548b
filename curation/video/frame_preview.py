"""A preview of the frames that a look or the coarse clip takes from a file, decoded and sized as for training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.video.decoders import DecodedClip, Decoder, Frames
from dmforge.curation.video.decoders.decord import Decord
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.decoders.torchcodec import TorchCodec
from dmforge.curation.video.probe import probe
from dmforge.curation.video.thumbnails import evenly, strip_html
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, print_span
from dmforge.schemas.sizes import Size

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (PyAV(), Decord(), TorchCodec())}
CLIPS = Clips(look_size="floor")
"""The frame settings of new recipes: a preview belongs to no workspace."""
MAX_PICTURES = 24
"""Frames that a notebook shows; they are taken evenly."""
PLACEHOLDER_SHA256 = "00" * 32
"""Stands for the sha256 of a file that is only previewed."""


@dataclass(frozen=True, slots=True)
class FramePreview(CommandResult):
    """Decoded frames of a file, with their times, their size and the decoder that read them."""

    backend: str
    times_s: tuple[Fraction, ...]
    clip: DecodedClip
    size: Size

    @property
    def sha256(self) -> list[str]:
        """The sha256 of each frame's pixels."""
        return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in self.clip.frames]

    @property
    def frames(self) -> Frames:
        """The pixels: frames x height x width x 3."""
        return self.clip.frames

    def as_json(self) -> dict[str, Any]:
        times_s, shown_times_s = [float(time_s) for time_s in self.times_s], [float(time_s) for time_s in self.clip.shown_s]
        width_and_height = [self.size.width, self.size.height]
        return {
            "times": times_s,
            "pts": shown_times_s,
            "sha256": self.sha256,
            "backend": self.backend,
            "size": width_and_height,
        }

    def blocks(self) -> Iterator[Block]:
        frame_values = zip(self.times_s, self.clip.shown_s, self.sha256, strict=True)
        table_rows = [[f"{float(time_s):.3f}", f"{float(shown_s):.3f}", sha256] for time_s, shown_s, sha256 in frame_values]
        yield TextTable(["time s", "shown since s", "sha256"], table_rows)
        yield self._summary()

    def _summary(self) -> str:
        return f"{len(self.times_s)} frames of {self.size.width}x{self.size.height}, by {self.backend}"

    def __repr__(self) -> str:
        return f"FramePreview({self._summary()})"

    def _repr_html_(self) -> str:
        frame_numbers = evenly(len(self.times_s), MAX_PICTURES)
        pictures_html = strip_html(
            self.clip.frames[frame_numbers], [self.times_s[frame_number] for frame_number in frame_numbers]
        )
        return f"<div>{self._summary()}</div>{pictures_html}"


def coarse_shot(path: Path, backend: str) -> FramePreview:
    """The frames of a file's coarse clip, V0."""
    video = probe(read_timeline(path)).as_video(PLACEHOLDER_SHA256, 0)
    return _decode_shot(path, backend, CLIPS.coarse(video).times_s, CLIPS.coarse_size(video))


def look_shot(path: Path, backend: str, look: Look) -> FramePreview:
    """The frames of a look at a file, V1, snapped to the grid."""
    _refuse_limits(look)
    video = probe(read_timeline(path)).as_video(PLACEHOLDER_SHA256, 0)
    plan, size = CLIPS.shown(video, look)
    return _decode_shot(path, backend, plan.times_s, size)


def exact_shot(path: Path, backend: str, look: Look) -> FramePreview:
    """The frames of a look at the exact times that its numbers say, without snapping to the grid."""
    _refuse_limits(look)
    probed = probe(read_timeline(path))
    end_s = min(look.window.end_s, probed.duration_s)
    frame_count = max(1, int((end_s - look.window.start_s) * look.fps))
    times_s = tuple(look.window.start_s + frame_number / look.fps for frame_number in range(frame_count))
    size = CLIPS.size_of_look(probed.as_video(PLACEHOLDER_SHA256, 0), min(frame_count, CLIPS.look_frames))
    return _decode_shot(path, backend, times_s, size)


def _refuse_limits(look: Look) -> None:
    if look.has_limits:
        message = "frames of a file are shown whole: the box and the token quota of a look are for renditions"
        raise InputError(message, where=print_span(look.window), hint="give the window and the density alone")


def _decode_shot(path: Path, backend: str, times_s: tuple[Fraction, ...], size: Size) -> FramePreview:
    if backend not in DECODERS:
        raise InputError(f"there is no backend {backend!r}", where="--backend", hint=nearest(backend, list(DECODERS)))
    return FramePreview(backend, times_s, DECODERS[backend].read(path, times_s, size), size)
