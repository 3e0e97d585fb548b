"""Clips in messages to a teacher: frames below stamps, the sentences that say what they are, and what a key digests of them."""

from __future__ import annotations

import base64

from dmforge.curation.video.jpeg import ENCODING
from dmforge.generators.teacher.frames_sent import FramesSent
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import Part
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import FramePlan
from dmforge.schemas.looks import Look, print_box, print_density, print_seconds, print_span
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size
from dmforge.schemas.stamps import patch_times, stamp

ANNOUNCED_OVERVIEW = "You are shown the whole video coarsely."
"""The sentence above the frames of the coarse clip, where other clips stand beside it."""


def announced(look: Look) -> str:
    """The sentence above the frames of a look."""
    box_text = f", cut to the box {print_box(look.box)} (left, upper, right, lower side in per mille)" if look.box else ""
    return f"You are shown {print_span(look.window)} seconds at {print_density(look.fps)} frames per second{box_text}."


def about_video(clips: Clips, video: Video) -> str:
    """What bears on the choice of a look: the video's length, and how large frames will be."""
    return f"The video lasts {print_seconds(video.duration_cs)} seconds.{print_look_sizes(clips, video)}"


def print_look_sizes(clips: Clips, video: Video) -> str:
    """A sentence about how large the frames of a look will be; empty where all looks have one size, as in older recipes."""
    if clips.for_video(video).look_size == "fixed":
        return ""
    largest, densest = clips.size_of_look(video, 2), clips.look_frames
    max_frames = max(count for count in range(2, densest + 1) if clips.size_of_look(video, count) == largest)
    rungs = [f"{_print_size(largest)} with up to {max_frames} frames"]
    denser = [count for count in (densest // 4, densest) if count > max_frames]
    rungs += [f"{_print_size(clips.size_of_look(video, count))} with {count}" for count in denser]
    return f" Its frames here are {_print_size(clips.coarse_size(video))} pixels; a closer look's are {', '.join(rungs)}."


def _print_size(size: Size) -> str:
    return f"{size.width} x {size.height}"


def shown_content(config: TeacherConfig, video: Video, sent: FramesSent) -> list[object]:
    """What is shown, as it is digested into a question's key."""
    content: list[object] = [video.id, sent.plan.content(), [sent.size.width, sent.size.height], ENCODING]
    content += [sent.crop.content()] if sent.crop else []
    return content if config.frames_as == "images" else [*content, config.frames_as]


def clip_parts(plan: FramePlan, images: list[bytes]) -> list[Part]:
    """A clip as parts of a message: two images under each stamp, like a student's patches; an odd last frame stands twice."""
    parts: list[Part] = []
    for index, time_s in enumerate(patch_times(plan.times_s)):
        pair = (images[2 * index : 2 * index + 2] * 2)[:2]
        parts += [text_part(stamp(time_s)), *map(_image_part, pair)]
    return parts


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def _image_part(jpeg: bytes) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
