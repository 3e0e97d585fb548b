"""The most that a question with the frames of a look can cost, before anybody knows which look that will be."""

from __future__ import annotations

from dmforge.curation.contract.budget import Usage
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import image_tokens, max_usage
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips, duration_s
from dmforge.schemas.frames import last_index
from dmforge.schemas.records import Video
from dmforge.schemas.replies import Reply
from dmforge.schemas.stamps import FRAMES_A_PATCH, patches, stamp


def max_usage_of_look(
    config: TeacherConfig, clips: Clips, reply_type: type[Reply], video: Video, text: str, limit: int
) -> Usage:
    """The usage of a question with the largest look at a video: no look costs more than one with more frames."""
    frame_count = max(1, min(clips.look_frames, last_index(duration_s(video)) + 1))
    if config.max_images is not None:
        frame_count = min(frame_count, max(FRAMES_A_PATCH, config.max_images))
    patch_count, size = patches(frame_count), clips.size_of_look(video, frame_count)
    text_bytes = len((instruction(reply_type.name) + text).encode())
    text_bytes += patch_count * len(stamp(duration_s(video)))
    return max_usage(reply_type, image_tokens(config.price, FRAMES_A_PATCH * patch_count, size), text_bytes, limit)
