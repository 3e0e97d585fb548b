"""The clips of a corpus: which frames of a video a policy is shown, and how large, in one place for teacher and student."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import Field, PositiveInt

from dmforge.schemas.config import Config
from dmforge.schemas.frames import COARSE_FPS, MAX_FRAMES, MIN_COARSE_FRAMES, FramePlan, plan_coarse, plan_look
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size, plan_size

Frames = Annotated[int, Field(ge=MIN_COARSE_FRAMES)]


class Clips(Config):
    """How V0 and V1 are cut."""

    coarse_fps: Annotated[Fraction, Field(gt=0)] = COARSE_FPS
    """Frames per second of the coarse clip, as long as they are no more than `max_frames`."""
    max_frames: Frames = MAX_FRAMES
    """Most frames of a clip."""
    coarse_tokens: PositiveInt = 12_288
    """Most visual tokens of the coarse clip: its frames are shown as large as this allows."""
    look_tokens: PositiveInt = 8_192
    """Most visual tokens of a look."""

    def coarse(self, video: Video) -> tuple[FramePlan, Size]:
        """V0 of a video."""
        plan = plan_coarse(Fraction(video.duration_cs, 100), self.coarse_fps, self.max_frames)
        return plan, plan_size(len(plan.times_s), video.width, video.height, self.coarse_tokens)

    def look(self, video: Video, look: Look) -> tuple[FramePlan, Size]:
        """V1 of a look at a video. Raises `NoFrames` where it begins after the end."""
        plan = plan_look(look, Fraction(video.duration_cs, 100), max_frames=self.max_frames)
        return plan, plan_size(len(plan.times_s), video.width, video.height, self.look_tokens)
