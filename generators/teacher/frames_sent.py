"""Which frames a teacher is sent of a clip: all of them, or evenly chosen patches where its provider takes fewer at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.crops import Crop
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size
from dmforge.schemas.stamps import FRAMES_A_PATCH, patches

SENT_BYTES_A_PIXEL = 0.5
"""What a pixel of an image is taken to be, as it is sent: 25 of 26 real clips had less. Known before a frame is rendered."""


@dataclass(frozen=True, slots=True)
class FramesSent:
    """The frames of one clip that are sent."""

    plan: FramePlan
    """Of what is sent: its stamps are some of those that a student sees."""
    size: Size
    positions: tuple[int, ...]
    """Where in the whole clip these frames stand."""
    patches: tuple[int, ...]
    """Where its patches stand there."""
    is_whole: bool
    """Nothing of the clip is left out."""
    image_count: int
    """Images of so many visual tokens as it has: two under each stamp, an odd last frame twice; in a video one, as a model
    takes its two frames together."""
    crop: Crop | None = None
    """The part of the picture that is sent, of a look with a box."""


def frames_sent(config: TeacherConfig, clips: Clips, video: Video, look: Look | None) -> FramesSent:
    """The frames of a look, or of the coarse clip, that this teacher is sent."""
    plan, size = clips.shown(video, look)
    frame_count = len(plan.times_s)
    kept = _evenly(patches(frame_count), _max_images(config, size) // FRAMES_A_PATCH)
    positions = tuple(
        position for patch in kept for position in range(FRAMES_A_PATCH * patch, min(frame_count, FRAMES_A_PATCH * (patch + 1)))
    )
    times_s, indices = (tuple(values[position] for position in positions) for values in (plan.times_s, plan.indices))
    is_whole = len(kept) == patches(frame_count)
    image_count = patches(len(positions)) * (FRAMES_A_PATCH if config.frames_as == "images" else 1)
    plan = replace(plan, times_s=times_s, indices=indices)
    crop = clips.crop(video, look) if look else None
    return FramesSent(plan, size, positions, tuple(kept), is_whole, image_count, crop)


def sent_patches(
    config: TeacherConfig, clips: Clips, video: Video, looks: Sequence[Look | None]
) -> tuple[tuple[int, ...], ...]:
    """Of each of these clips, which patches are sent; nothing where all of them are."""
    sent = [frames_sent(config, clips, video, look) for look in looks]
    return () if all(frames.is_whole for frames in sent) else tuple(frames.patches for frames in sent)


def _max_images(config: TeacherConfig, size: Size) -> int:
    limits = [config.max_images] if config.max_images else []
    if config.max_request_mb:
        limits.append(int(config.max_request_mb * 1e6 / (size.width * size.height * SENT_BYTES_A_PIXEL)))
    return max(FRAMES_A_PATCH, min(limits, default=1 << 30))


def _evenly(count: int, max_count: int) -> list[int]:
    """At most so many of the numbers below `count`, evenly spaced, with the first; and the last, where there are several."""
    if count <= max_count:
        return list(range(count))
    return [index * (count - 1) // max(1, max_count - 1) for index in range(max_count)]
