"""The torchcodec backend, in its exact mode: optional. Every timestamp is compared with the packets."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dmforge.curation.video.decoders import DecodedClip, refuse_if
from dmforge.curation.video.timeline import Timeline, read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.schemas.sizes import Size

TOLERANCE_S = 1e-4


class TorchCodec:
    """The decoder for machines that have torch and FFmpeg's own libraries."""

    name = "torchcodec"

    def read(self, path: Path, times_s: Sequence[Fraction], size: Size | None = None) -> DecodedClip:
        timeline = read_timeline(path)
        requested_pts = [timeline.shown_at(time_s) for time_s in times_s]
        refuse_if(_known_faults(timeline), path)
        # by index: by time it doesn't find a last frame that doesn't say how long it is shown
        index_by_pts = {frame_pts: frame_index for frame_index, frame_pts in enumerate(timeline.pts)}
        decoder = _open_decoder(timeline, size)
        try:
            frame_batch = decoder.get_frames_at([index_by_pts[frame_pts] for frame_pts in requested_pts])
        except (RuntimeError, IndexError, ValueError):
            raise UnusableVideo("not this backend", "torchcodec can't decode it", where=str(path)) from None
        expected_times_s = [float(frame_pts * timeline.tick_s) for frame_pts in requested_pts]
        if any(
            abs(actual_s - wanted_s) > TOLERANCE_S
            for actual_s, wanted_s in zip(frame_batch.pts_seconds.tolist(), expected_times_s, strict=True)
        ):
            raise UnusableVideo("not this backend", "torchcodec gives frames of other times", where=str(path))
        return DecodedClip(frame_batch.data.numpy(), tuple(timeline.time_s(frame_pts) for frame_pts in requested_pts))


def _open_decoder(timeline: Timeline, size: Size | None) -> Any:
    video_path, stream_index = timeline.path, timeline.stream_index
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]
        from torchcodec.transforms import Resize  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, RuntimeError):  # the second where FFmpeg's libraries are missing
        raise UnusableVideo(
            "not installed", "torchcodec, or the FFmpeg libraries that it needs", where=str(video_path)
        ) from None
    resize_transforms = [Resize((size.height, size.width))] if size else []
    try:
        return VideoDecoder(
            str(video_path.resolve()),
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            seek_mode="exact",
            transforms=resize_transforms,
            stream_index=stream_index,
        )
    except (RuntimeError, ValueError):
        raise UnusableVideo("not this backend", "torchcodec can't open it", where=str(video_path)) from None


def _known_faults(timeline: Timeline) -> dict[str, bool]:
    """The faults of torchcodec, and whether this file meets them."""
    return {
        "torchcodec takes times for granted that FFmpeg made up": not timeline.stores_pts,
        "torchcodec's times are wrong in transport streams": timeline.container == "mpegts",
        "torchcodec takes no notice of how a picture is turned": bool(timeline.rotation_deg),
        "torchcodec gives pixels as they are stored, and these are not square": timeline.pixel_aspect != 1,
    }
