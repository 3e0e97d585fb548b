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
    size_factor = min(1.0, MAX_SIDE / max(width, height))
    thumb_width, thumb_height = (max(2, round(side_px * size_factor / 2) * 2) for side_px in (width, height))
    scaler = VideoReformatter()
    return [
        _webp(scaler.reformat(thumbnail_frame, thumb_width, thumb_height, "yuv420p", interpolation=Interpolation.AREA))
        for thumbnail_frame in (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
    ]


def evenly(item_count: int, max_count: int) -> list[int]:
    """At most `max_count` indices out of `item_count`, at equal distances, the first among them."""
    return (
        [picked_index * item_count // max_count for picked_index in range(max_count)]
        if item_count > max_count
        else list(range(item_count))
    )


def image_uri(image: bytes) -> str:
    """A thumbnail as the source of an <img>."""
    return f"data:image/webp;base64,{b64encode(image).decode()}"


def strip_html(frames: Frames, times_s: Sequence[Fraction]) -> str:
    """Frames side by side in a notebook, each with its time."""
    picture_figures = (
        f'<figure style="display: inline-block; margin: 2px"><img src="{image_uri(thumbnail_image)}" '
        f'alt="the frame at {time_s:.2f} s">'
        f"<figcaption><small>{time_s:.2f}</small></figcaption></figure>"
        for thumbnail_image, time_s in zip(thumbnails(frames), map(float, times_s), strict=True)
    )
    return "".join(picture_figures)


def _webp(picture: av.VideoFrame) -> bytes:
    webp_encoder = av.CodecContext.create("libwebp", "w")
    webp_encoder.width, webp_encoder.height, webp_encoder.pix_fmt = picture.width, picture.height, "yuv420p"
    webp_encoder.time_base, webp_encoder.thread_count, webp_encoder.options = Fraction(1, 1), 1, {"quality": QUALITY}
    picture.pts = 0
    return b"".join(map(bytes, (*webp_encoder.encode(picture), *webp_encoder.encode(None))))
