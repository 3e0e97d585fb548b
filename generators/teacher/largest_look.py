"""The most that a question with the frames of looks can cost, before anybody knows which looks these will be."""

from __future__ import annotations

from dmforge.curation.contract.budget import Usage
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import image_tokens, max_usage
from dmforge.generators.teacher.frames_sent import frames_sent
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips, duration_s
from dmforge.schemas.frames import last_index
from dmforge.schemas.records import Video
from dmforge.schemas.replies import FinalReply, Reply, StepReply
from dmforge.schemas.stamps import FRAMES_A_PATCH, patches, stamp


def max_usage_of_looks(
    config: TeacherConfig,
    clips: Clips,
    reply_type: type[Reply],
    video: Video,
    text: str,
    limit: int,
    looks: int = 1,
    has_overview: bool = False,
) -> Usage:
    """The usage of a question with the largest looks at a video: no look costs more than one with more frames."""
    frame_count = max(1, min(clips.look_frames, last_index(duration_s(video)) + 1))
    if config.max_images is not None:
        frame_count = min(frame_count, max(FRAMES_A_PATCH, config.max_images))
    patch_count, size = patches(frame_count), clips.size_of_look(video, frame_count)
    text_bytes = len((instruction(reply_type.name) + text).encode())
    text_bytes += looks * patch_count * len(stamp(duration_s(video)))
    if issubclass(reply_type, StepReply | FinalReply):  # it repeats a thought for each look: no token of one was paid twice
        text_bytes += looks * limit
    image_token_count = looks * image_tokens(config.price, FRAMES_A_PATCH * patch_count, size)
    if has_overview:
        overview = frames_sent(config, clips, video, None)
        text_bytes += len(overview.patches) * len(stamp(duration_s(video)))
        image_token_count += image_tokens(config.price, overview.image_count, overview.size)
    return max_usage(reply_type, image_token_count, text_bytes, limit)
