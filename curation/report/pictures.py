"""Thumbnails of what a policy was shown of a video: some frames of V0, and those of a look under their stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from dmforge.curation.video.media import Media, kept_clips
from dmforge.curation.video.read_frames import read_coarse, read_grid
from dmforge.curation.video.thumbnails import evenly, image_uri, thumbnails
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.stamps import patch_times, stamp

COARSE_FRAMES = 12
LOOK_PATCHES = 8
"""How many frames and patches a card shows at most; they are taken evenly."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it stands in the page."""

    uri: str
    time_s: Fraction
    inside: bool = False
    """Whether it lies in the window that is looked at."""


@dataclass(frozen=True, slots=True)
class PagePatch:
    """The frames that stand under one stamp."""

    stamp: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """Some frames of V0."""

    pictures: tuple[Picture, ...] = ()
    of: int = 0
    missing: str = ""
    """Why there are none."""


@dataclass(frozen=True, slots=True)
class LookPatches:
    """Some patches of V1."""

    patches: tuple[PagePatch, ...] = ()
    of: int = 0
    missing: str = ""


class Pictures:
    """A source of thumbnails from the renditions of a workspace."""

    def __init__(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace

    def strip(self, video: Id, duration_cs: int, windows: Sequence[Window]) -> Strip:
        """V0, with the frames marked that lie in a window."""
        media = Media(self._workspace, video)
        if not media.coarse.is_file():
            return Strip(missing="The renditions of this video are not in media/.")
        try:
            frame_plan = plan_coarse(Fraction(duration_cs, 100), self._clips.coarse_fps, self._clips.coarse_frames)
            frame_numbers = evenly(len(frame_plan.indices), COARSE_FRAMES)
            thumbnail_images = thumbnails(
                read_coarse(media.coarse, [frame_plan.indices[frame_number] for frame_number in frame_numbers])
            )
        except DmforgeError as error:
            return Strip(missing=f"The frames can't be read: {error.message}.")
        times_s = [frame_plan.times_s[frame_number] for frame_number in frame_numbers]
        strip_pictures = (
            Picture(image_uri(thumbnail_image), time_s, any(window.start_s <= time_s < window.end_s for window in windows))
            for thumbnail_image, time_s in zip(thumbnail_images, times_s, strict=True)
        )
        return Strip(tuple(strip_pictures), len(frame_plan.indices))

    def clip(self, video: Id, duration_cs: int, look: Look) -> LookPatches:
        """V1 of a look."""
        media = Media(self._workspace, video)
        if not media.grid.is_file():
            return LookPatches(missing="The renditions of this video are not in media/.")
        try:
            frame_plan = plan_look(look, Fraction(duration_cs, 100), max_frames=self._clips.look_frames)
            patch_times_s = patch_times(frame_plan.times_s)
            patch_numbers = evenly(len(patch_times_s), LOOK_PATCHES)
            frame_numbers = [
                frame_number
                for patch_number in patch_numbers
                for frame_number in (2 * patch_number, 2 * patch_number + 1)
                if frame_number < len(frame_plan.indices)
            ]
            thumbnail_images = thumbnails(
                read_grid(media.grid, [frame_plan.indices[frame_number] for frame_number in frame_numbers], look.box)
            )
        except DmforgeError as error:
            return LookPatches(missing=f"The frames can't be read: {error.message}.")
        picture_by_frame = {
            frame_number: Picture(image_uri(thumbnail_image), frame_plan.times_s[frame_number], inside=True)
            for frame_number, thumbnail_image in zip(frame_numbers, thumbnail_images, strict=True)
        }
        look_patches = (
            PagePatch(
                stamp(patch_times_s[patch_number]),
                tuple(
                    picture_by_frame[frame_number]
                    for frame_number in (2 * patch_number, 2 * patch_number + 1)
                    if frame_number in picture_by_frame
                ),
            )
            for patch_number in patch_numbers
        )
        return LookPatches(tuple(look_patches), len(patch_times_s))

    @cached_property
    def _clips(self) -> Clips:
        """The clip settings that the renditions were made with, stored with them."""
        return kept_clips(self._workspace) or Clips()
