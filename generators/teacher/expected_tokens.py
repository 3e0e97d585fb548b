"""What questions should use, for plans: known before any is asked."""

from __future__ import annotations

from collections.abc import Sequence

from dmforge.curation.contract.budget import Usage
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import BYTES_A_TOKEN, image_tokens
from dmforge.generators.teacher.frames_sent import frames_sent
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.replies import Reply
from dmforge.schemas.stamps import patch_times, stamp


def expected_usage(
    config: TeacherConfig, clips: Clips, reply_type: type[Reply], video: Video, look: Look | None, text: str
) -> Usage:
    """The estimated usage of a question with frames."""
    return expected_usage_of_clips(config, clips, reply_type, video, [look], text)


def expected_usage_of_clips(
    config: TeacherConfig,
    clips: Clips,
    reply_type: type[Reply],
    video: Video,
    looks: Sequence[Look | None],
    text: str,
    clips_at_once: int = 1,
) -> Usage:
    """The estimated usage of a question with frames of several clips."""
    sent = [frames_sent(config, clips, video, look, clips_at_once) for look in looks]
    stamps = "".join(stamp(time_s) for frames in sent for time_s in patch_times(frames.plan.times_s))
    text_tokens = len((instruction(reply_type.name) + text + stamps).encode()) // BYTES_A_TOKEN
    image_token_count = sum(image_tokens(config.price, frames.image_count, frames.size) for frames in sent)
    return Usage(1, text_tokens + image_token_count, config.reply_tokens)


def expected_blind(config: TeacherConfig, reply_type: type[Reply], text: str) -> Usage:
    """The estimated usage of a question without frames."""
    return Usage(1, len((instruction(reply_type.name) + text).encode()) // BYTES_A_TOKEN, config.reply_tokens)
