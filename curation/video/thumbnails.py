"""Thumbnails of frames for pages and notebooks, as WebP."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
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


def evenly(count: int, max_count: int) -> list[int]:
    """At most `max_count` indices out of `count`, at equal distances, the first among them."""
    return [index * count // max_count for index in range(max_count)] if count > max_count else list(range(count))


def image_uri(image: bytes) -> str:
    """A thumbnail as the source of an <img>."""
    return f"data:image/webp;base64,{b64encode(image).decode()}"


def strip_html(frames: Frames, times_s: Sequence[Fraction]) -> str:
    """Frames side by side in a notebook, each with its time."""
    pictures = (
        f'<figure style="display: inline-block; margin: 2px"><img src="{image_uri(image)}" alt="the frame at {time:.2f} s">'
        f"<figcaption><small>{time:.2f}</small></figcaption></figure>"
        for image, time in zip(thumbnails(frames), map(float, times_s), strict=True)
    )
    return "".join(pictures)


def _webp(picture: av.VideoFrame) -> bytes:
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    encoder.time_base, encoder.thread_count, encoder.options = Fraction(1, 1), 1, {"quality": QUALITY}
    picture.pts = 0
    return b"".join(map(bytes, (*encoder.encode(picture), *encoder.encode(None))))
