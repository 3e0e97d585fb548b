"""Which frames a clip shows, exactly: the coarse clip V0 of a whole video, and the clip V1 that a look asks for.

V1 is read from a rendition with a constant frame rate, the grid. Its times are snapped up to the grid: rounding to nearest
could leave the window on the left, and rounding up keeps even spacing for every density that divides the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, print_seconds, print_span

COARSE_FPS = Fraction(2)
GRID_FPS = 12
MAX_FRAMES = 256
MIN_COARSE_FRAMES = 4


class NoFrames(InputError):
    """There is no frame to show: the video has no duration, or the window begins after its end."""


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The times of a clip's frames, and `indices`, their numbers in the rendition that the clip is read from.

    `actual_fps` is the density that the times were computed with. `clamped`: the window went on after the end of the video.
    `snapped`: the density doesn't divide the grid, so the spacing is uneven by up to one grid step.
    """

    times_s: tuple[Fraction, ...]
    indices: tuple[int, ...]
    requested_fps: Fraction
    actual_fps: Fraction
    clamped: bool = False
    snapped: bool = False

    @property
    def lowered(self) -> bool:
        """Whether there are fewer frames a second than were asked for, because of the grid or of `max_frames`."""
        return self.actual_fps < self.requested_fps

    def content(self) -> tuple[tuple[Fraction, ...], tuple[int, ...]]:
        """What decides pixels and stamps, for a digest: two requests that are shown the same frames share it."""
        return self.times_s, self.indices


def plan_coarse(duration_s: Fraction, coarse_fps: Fraction = COARSE_FPS, max_frames: int = MAX_FRAMES) -> FramePlan:
    """V0: n = even(clip(duration * coarse_fps, 4, max_frames)) frames at t_i = i * duration / n.

    The coarse rendition holds these frames and no others, so their numbers in it count from 0.
    """
    _refuse_empty(duration_s)
    if max_frames < MIN_COARSE_FRAMES:
        raise ValueError(f"a coarse clip has at least {MIN_COARSE_FRAMES} frames, so max_frames can't be {max_frames}")
    unrounded_frames = min(max(duration_s * coarse_fps, MIN_COARSE_FRAMES), max_frames)
    frame_count = floor(unrounded_frames) // 2 * 2
    times_s = tuple(Fraction(frame_index, frame_count) * duration_s for frame_index in range(frame_count))
    return FramePlan(times_s, tuple(range(frame_count)), coarse_fps, frame_count / duration_s)


def plan_look(look: Look, duration_s: Fraction, grid_fps: int = GRID_FPS, max_frames: int = MAX_FRAMES) -> FramePlan:
    """V1: N = floor((end - start) * fps) frames at t_i = start + i / fps, each snapped up to the grid.

    For N < 2 the first and the last grid frame inside the window. No time leaves the window or the video, but for a window
    between two grid times, where the frame on screen at its start is shown twice.
    """
    _refuse_empty(duration_s)
    if max_frames < 2:
        raise ValueError(f"a look shows at least 2 frames, so max_frames can't be {max_frames}")
    start_s, end_s = look.window.start_s, min(look.window.end_s, duration_s)
    if start_s >= end_s:
        raise NoFrames(
            f"window {print_span(look.window)} begins after the video ends at {print_seconds(floor(duration_s * 100))} s",
            hint="look inside the video",
        )
    fps = _affordable_fps(look.fps, end_s - start_s, grid_fps, max_frames)
    frame_count = floor((end_s - start_s) * fps)
    if frame_count >= 2:
        grid_indices = tuple(ceil((start_s + frame_index / fps) * grid_fps) for frame_index in range(frame_count))
    else:
        grid_indices = _first_and_last_frame(start_s, end_s, grid_fps)
    return FramePlan(
        times_s=tuple(Fraction(grid_index, grid_fps) for grid_index in grid_indices),
        indices=grid_indices,
        requested_fps=look.fps,
        actual_fps=fps,
        clamped=end_s < look.window.end_s,
        snapped=(grid_fps / fps).denominator != 1,
    )


def last_index(end_s: Fraction, grid_fps: int = GRID_FPS) -> int:
    """The last grid frame before `end_s`: the greatest k with k / grid < end."""
    return ceil(end_s * grid_fps) - 1


def _affordable_fps(fps: Fraction, length_s: Fraction, grid_fps: int, max_frames: int) -> Fraction:
    """The highest density that fits: at most the grid; where that is too many frames, grid / k with the smallest such k."""
    fps = min(fps, Fraction(grid_fps))
    if floor(length_s * fps) <= max_frames:
        return fps
    # floor(length * grid / k) <= max  <=>  k > length * grid / (max + 1)
    return Fraction(grid_fps, floor(length_s * grid_fps / (max_frames + 1)) + 1)


def _first_and_last_frame(start_s: Fraction, end_s: Fraction, grid_fps: int) -> tuple[int, int]:
    first_frame, last_frame = ceil(start_s * grid_fps), last_index(end_s, grid_fps)
    if first_frame > last_frame:  # the window lies between two grid times: the frame on screen at its start
        first_frame = last_frame = floor(start_s * grid_fps)
    return first_frame, last_frame


def _refuse_empty(duration_s: Fraction) -> None:
    if duration_s <= 0:
        raise NoFrames(f"a video of {duration_s} s has no frames", hint="leave it out, or find out why it has no duration")
