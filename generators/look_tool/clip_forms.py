"""The forms in which trainers take a clip: a video with times, or images with stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmforge.generators.footage import Pixels, ShownClip
from dmforge.generators.video_part import ticks_of
from dmforge.schemas.stamps import FRAMES_A_PATCH, stamp

if TYPE_CHECKING:
    from PIL.Image import Image


def video_with_times(clip: ShownClip) -> tuple[Pixels, dict[str, Any]]:
    """Frames and the metadata by which processors of Hugging Face print our stamps, told `do_sample_frames=False`. A lone last
    frame stands twice."""
    frames = clip.frames if len(clip.frames) % FRAMES_A_PATCH == 0 else np.concatenate([clip.frames, clip.frames[-1:]])
    frame_ticks = ticks_of(clip.times_s)
    times = {"fps": float(frame_ticks.ticks_a_second), "frames_indices": list(frame_ticks.ticks)}
    return frames, {**times, "total_num_frames": frame_ticks.ticks[-1] + 1}


def stamps(clip: ShownClip) -> list[str]:
    """The stamp of each frame, for frames that are shown as images."""
    return [stamp(time_s) for time_s in clip.times_s]


def images(clip: ShownClip) -> list[Image]:
    """Each frame as an image of Pillow's, pixel by pixel."""
    from PIL import Image

    return [Image.fromarray(frame) for frame in clip.frames]


def image_parts(clip: ShownClip) -> list[dict[str, Any]]:
    """Parts of a message: before each image its stamp."""
    return [
        part
        for frame_stamp, image in zip(stamps(clip), images(clip), strict=True)
        for part in ({"type": "text", "text": frame_stamp}, {"type": "image", "image": image})
    ]
