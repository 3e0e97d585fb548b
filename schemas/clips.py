"""The clips of a corpus: which frames of a video a policy is shown, and how large, in one place for teacher and student."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from dmforge.schemas.config import Config, Later
from dmforge.schemas.crops import Crop, plan_crop
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import (
    COARSE_FPS,
    GRID_FPS,
    MAX_FRAMES,
    MIN_COARSE_FRAMES,
    FramePlan,
    last_index,
    plan_coarse,
    plan_look,
)
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Look
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size, plan_look_sizes, plan_size
from dmforge.schemas.stamps import patches


class QuotaTooSmall(InputError):
    """A look's token quota has not one token for each temporal patch of the densest look: no frames are so small."""


class Clips(Config):
    """How V0 and V1 are cut, and how large their frames are shown."""

    coarse_fps: Annotated[Fraction, Field(gt=0)] = COARSE_FPS
    """Frames per second of the coarse clip, as long as they are no more than `coarse_frames`."""
    coarse_frames: Annotated[int, Field(ge=MIN_COARSE_FRAMES)] = MAX_FRAMES
    """Most frames of the coarse clip."""
    coarse_tokens: PositiveInt = 12_288
    """Most visual tokens of the coarse clip: its frames are as large as this allows, so larger in a shorter video."""
    look_frames: Annotated[int, Field(ge=2)] = 64
    """Most frames of a look; one that asks for more is shown less densely."""
    look_tokens: PositiveInt = 8_192
    """Most visual tokens of a look of so many frames: this decides how large its frames are."""
    look_size: Later[Literal["fixed", "floor"]] = "fixed"
    """How large the frames of a look are. `fixed`: in every look as in one of `look_frames` frames; `floor`: in looks of few
    frames also as large as those of the coarse clip, which is larger in short and high-resolution videos."""

    def coarse(self, video: Video) -> FramePlan:
        """The frames of V0."""
        return plan_coarse(duration_s(video), self.coarse_fps, self.coarse_frames)

    def coarse_size(self, video: Video) -> Size:
        return plan_size(len(self.coarse(video).times_s), video.width, video.height, self.coarse_tokens)

    def grid_times_s(self, video: Video) -> tuple[Fraction, ...]:
        """Every time on the grid within a video: the frames that looks are cut from."""
        return tuple(Fraction(index, GRID_FPS) for index in range(last_index(duration_s(video)) + 1))

    def look(self, video: Video, look: Look) -> FramePlan:
        """The frames of V1 for a look at a video. Raises `NoFrames` where it begins after the end."""
        return plan_look(look, duration_s(video), max_frames=self.look_frames)

    def size_of_look(self, video: Video, frames: int) -> Size:
        """The size at which a look of so many frames is shown."""
        overview_size = None if self.look_size == "fixed" else self.coarse_size(video)
        return self._size(video.width, video.height, overview_size, frames)

    def _size(self, width: int, height: int, overview_size: Size | None, frames: int) -> Size:
        """The size of so many frames of a `width` x `height` source, in looks that may be as large as an overview, or not."""
        if overview_size is None:
            return plan_size(self.look_frames, width, height, self.look_tokens)
        return plan_look_sizes(self.look_frames, width, height, self.look_tokens, overview_size)[patches(frames) - 1]

    def grid_size(self, video: Video) -> Size:
        """The size of the frames that looks are cut from: no look shows larger ones."""
        densest = self._densest_size(video)
        if self.look_size == "fixed":
            return densest
        return max(densest, self.coarse_size(video), key=lambda size: size.tokens)

    def _densest_size(self, video: Video) -> Size:
        return plan_size(self.look_frames, video.width, video.height, self.look_tokens)

    def shown(self, video: Video, look: Look | None) -> tuple[FramePlan, Size]:
        """The frames of a look and their size; without a look those of V0."""
        if look is None:
            return self.coarse(video), self.coarse_size(video)
        plan = self.look(video, look)
        frames = len(plan.times_s)
        if not look.has_limits:
            return plan, self.size_of_look(video, frames)
        clips, crop = self.for_video(video)._within(look.tokens), self.crop(video, look)
        if crop is None:
            return plan, clips.size_of_look(video, frames)
        # the crop stands for the source, and for what the overview shows of it, which is no larger
        return plan, clips._size(crop.width, crop.height, None if clips.look_size == "fixed" else crop.size, frames)

    def crop(self, video: Video, look: Look) -> Crop | None:
        """The part of the grid's frames that a look with a box shows; None where that is all of them."""
        crop = plan_crop(look.box, self.grid_size(video)) if look.box else None
        return None if crop is None or crop.size == crop.picture else crop

    def _within(self, quota: int | None) -> Clips:
        """These settings for a look with a token quota: it stands for `look_tokens` where it is smaller."""
        if quota is None or quota >= self.look_tokens:
            return self
        max_patches = patches(self.look_frames)
        if quota < max_patches:
            raise QuotaTooSmall(
                f"a quota of {quota} tokens has not one for each of the {max_patches} patches that a look may have",
                where="[clips] look_frames",
                hint=f"look with a quota of at least {max_patches} tokens",
            )
        return self.model_copy(update={"look_tokens": quota})

    def for_video(self, video: Video) -> Clips:
        """These settings as they bear on one video: where looks are no larger for `floor`, its keys and files are those of
        `fixed`."""
        fixed = self.model_copy(update={"look_size": "fixed"})
        return fixed if self.grid_size(video) == fixed.grid_size(video) else self

    @property
    def digest(self) -> Id:
        """What decides the frames: renditions that were made with other settings hold others."""
        return digest("clips", self.semantic())

    def digest_for(self, video: Video) -> Id:
        """What decides the frames of one video: its receipt bears it."""
        return self.for_video(video).digest


def duration_s(video: Video) -> Fraction:
    return Fraction(video.duration_cs, 100)
