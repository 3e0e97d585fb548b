"""Thumbnails of frames for the report's page, as WebP."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.reformatter import Interpolation, VideoReformatter

from dmforge.curation.video.decoders import Frames

MAX_SIDE = 144
"""Pixels of the longer side: a frame of a strip of twelve, at twice the density of a page 900 pixels wide."""
QUALITY = "60"


def thumbnails(frames: Frames) -> list[bytes]:
    """Each frame as a WebP image; small frames are not enlarged."""
    _, height, width, _ = frames.shape
    scale = min(1.0, MAX_SIDE / max(width, height))
    thumb_width, thumb_height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    scaler = VideoReformatter()
    return [
        _webp(scaler.reformat(picture, thumb_width, thumb_height, "yuv420p", interpolation=Interpolation.AREA))
        for picture in (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
    ]


def _webp(picture: av.VideoFrame) -> bytes:
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    encoder.time_base, encoder.thread_count, encoder.options = Fraction(1, 1), 1, {"quality": QUALITY}
    picture.pts = 0
    return b"".join(map(bytes, (*encoder.encode(picture), *encoder.encode(None))))
