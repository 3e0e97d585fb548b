"""A look with a box shows the part of the picture that it names, to everyone alike, and one with a quota costs no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.video.export_clip import cut_look
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import read_grid, read_look
from dmforge.generators.rendition_footage import Renditions
from dmforge.generators.teacher.clip_messages import announced, shown_content
from dmforge.generators.teacher.frames_sent import frames_sent
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips, QuotaTooSmall
from dmforge.schemas.crops import plan_crop
from dmforge.schemas.ids import digest
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import CELL, Size, clip_tokens
from tests.video.test_look_sizes import DENSE, FIXED, FLOOR, SHARP, SPARSE, decoded, images_sent, ingested

BOX = Box(120, 40, 560, 800)
cells = st.integers(1, 40).map(lambda count: count * CELL)
sides = st.tuples(st.integers(0, 999), st.integers(1, 1000)).map(lambda side: (side[0], min(1000, side[0] + side[1])))
boxes = st.tuples(sides, sides).map(lambda axes: Box(axes[0][0], axes[1][0], axes[0][1], axes[1][1]))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Media, Video]]:
    folder = tmp_path_factory.mktemp("boxes")
    return {clips.look_size: ingested(SHARP, folder, clips) for clips in (FIXED, FLOOR)}


@given(boxes, cells, cells)
def test_a_crop_is_the_least_whole_cells_that_hold_the_box(box: Box, width: int, height: int) -> None:
    crop = plan_crop(box, Size(width, height))
    for first, second, start, length, side in (
        (box.x1, box.x2, crop.left, crop.width, width), (box.y1, box.y2, crop.top, crop.height, height)
    ):  # fmt: skip
        assert start % 2 == length % CELL == 0
        assert 0 <= start < start + length <= side
        low, high = Fraction(first * side, 1000), Fraction(second * side, 1000)
        assert start <= low < high <= start + length
        assert length - (high - low) < CELL + 4  # the box is pushed out to even pixels on both sides first


@given(boxes, st.integers(100, 4000), st.integers(100, 4000), st.integers(1, 3000), st.integers(8, 9000), st.booleans())
def test_a_boxed_look_costs_no_more_than_it_may_and_is_never_enlarged(
    box: Box, width: int, height: int, window_cs: int, tokens: int, floor: bool
) -> None:
    clips = Clips(look_frames=16, look_tokens=4096, coarse_tokens=2000, look_size="floor" if floor else "fixed")
    video = Video("0" * 64, 3000, width, height, Fraction(25), "h264", 0, 1)
    look = Look(Window(0, window_cs), Fraction(4), box, tokens)
    crop, (plan, size) = clips.crop(video, look), clips.shown(video, look)
    picture = crop.size if crop else clips.grid_size(video)
    assert size.width <= picture.width
    assert size.height <= picture.height
    assert clip_tokens(len(plan.times_s), size) <= min(tokens, clips.look_tokens)
    assert (plan, size) == clips.for_video(video).shown(video, look)
    assert clips.shown(video, replace(look, box=None, tokens=None)) == clips.shown(video, Look(look.window, look.fps))


def test_more_frames_never_cost_fewer_tokens_and_a_larger_quota_neither() -> None:
    video = Video("0" * 64, 3000, 1280, 720, Fraction(25), "h264", 0, 1)
    for clips in (FLOOR, FIXED):
        for box in (None, BOX):
            shown = [clips.shown(video, Look(Window(0, cs), Fraction(6), box, 60)) for cs in range(20, 210, 5)]
            costs = [clip_tokens(len(plan.times_s), size) for plan, size in shown]
            assert costs == sorted(costs)
            shown = [clips.shown(video, replace(DENSE, box=box, tokens=tokens)) for tokens in range(6, 500)]
            costs = [clip_tokens(len(plan.times_s), size) for plan, size in shown]
            assert costs == sorted(costs)
            assert costs[-1] == clip_tokens(12, clips.shown(video, replace(DENSE, box=box))[1])


def test_a_quota_below_a_token_for_each_patch_is_refused_by_name() -> None:
    video = Video("0" * 64, 3000, 1280, 720, Fraction(25), "h264", 0, 1)
    with pytest.raises(QuotaTooSmall, match="a quota of 5 tokens has not one for each of the 6 patches"):
        FLOOR.shown(video, replace(SPARSE, tokens=5))


def of_my_own(path: Path, indices: Sequence[int], box: Box, size: Size) -> Any:
    """Frames of a rendition, cropped and averaged over areas, in numbers: nothing of ours but the file."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    picture = np.stack([frames[index] for index in indices]).astype(float)
    height, width = picture.shape[1:3]

    def stretch(first: int, second: int, side: int) -> slice:
        low, high = first * side // 1000 // 2 * 2, -(-second * side // 1000 // 2) * 2
        length = min(-(-(high - low) // 32) * 32, side)
        start = low - (length - (high - low)) // 4 * 2
        return slice(max(0, min(start, side - length)), max(0, min(start, side - length)) + length)

    picture = picture[:, stretch(box.y1, box.y2, height), stretch(box.x1, box.x2, width)]
    return averaged(averaged(picture, size.height, 1), size.width, 2)


def averaged(picture: Any, size: int, axis: int) -> Any:
    """Each new line is the mean of the stretch of old ones that it covers."""
    side = picture.shape[axis]
    ends = np.arange(size + 1) * side / size
    whole = np.concatenate([np.zeros_like(picture.take([0], axis)), np.cumsum(picture, axis)], axis)
    low = np.floor(ends).astype(int)
    shape = [1] * picture.ndim
    shape[axis] = -1
    part = (ends - low).reshape(shape)
    summed = whole.take(low, axis) * (1 - part) + whole.take(np.minimum(low + 1, side), axis) * part
    return np.diff(summed, axis=axis) / (side / size)


@pytest.mark.parametrize(
    "box", [BOX, Box(0, 0, 10, 10), Box(990, 990, 1000, 1000), Box(333, 0, 667, 1000), Box(1, 1, 999, 999)]
)
@pytest.mark.parametrize("clips", [FIXED, FLOOR], ids=["fixed", "floor"])
def test_the_pixels_are_those_of_the_part_in_the_box(clips: Clips, box: Box, videos: dict[str, tuple[Media, Video]]) -> None:
    media, video = videos[clips.look_size]
    look = replace(SPARSE, box=box)
    plan, size = clips.shown(video, look)
    frames = read_look(clips, video, look, media.grid)
    assert frames.shape == (len(plan.times_s), size.height, size.width, 3)
    crop = clips.crop(video, look)
    if crop is None or size == crop.size:  # nothing to scale: pixels of the frame, to the bit
        assert np.array_equal(frames, read_grid(media.grid, plan.indices, box))
    assert np.abs(frames - of_my_own(media.grid, plan.indices, box, size)).mean() < 1.5


@pytest.mark.parametrize("box", [None, BOX])
def test_a_quota_scales_the_part_in_the_box_as_areas_average(box: Box | None, videos: dict[str, tuple[Media, Video]]) -> None:
    media, video = videos["floor"]
    look = replace(SPARSE, box=box, tokens=120)
    plan, size = FLOOR.shown(video, look)
    frames = read_look(FLOOR, video, look, media.grid)
    assert size.tokens < FLOOR.shown(video, replace(look, tokens=None))[1].tokens
    mine = of_my_own(media.grid, plan.indices, box or Box(0, 0, 1000, 1000), size)
    assert np.abs(frames - mine).mean() < 3  # the scaler averages brightness and colours, each with its own sides


def test_teacher_student_and_exports_are_shown_the_same_part(videos: dict[str, tuple[Media, Video]]) -> None:
    media, video = videos["floor"]
    look = replace(SPARSE, box=BOX)
    frames = read_look(FLOOR, video, look, media.grid)
    from_shard = Renditions(video, FLOOR, media.coarse.read_bytes(), media.grid.read_bytes()).look(look)
    assert np.array_equal(from_shard.frames, frames)
    assert from_shard.tokens == clip_tokens(len(frames), FLOOR.shown(video, look)[1])
    assert images_sent(media.workspace, video, look) == to_jpeg(frames)
    exported = decoded(cut_look(FLOOR, video, look, media.grid.read_bytes()))
    assert exported.shape == frames.shape
    assert float(np.abs(exported.astype(int) - frames).mean()) < 4


def test_two_boxes_of_one_size_are_two_questions_and_a_teacher_is_told_which(videos: dict[str, tuple[Media, Video]]) -> None:
    _, video = videos["fixed"]
    teacher = TeacherConfig(model="one")
    looks = [replace(SPARSE, box=box) for box in (None, Box(0, 0, 400, 400), Box(500, 500, 900, 900), Box(0, 0, 1000, 1000))]
    contents = [shown_content(teacher, video, frames_sent(teacher, FIXED, video, look)) for look in looks]
    assert FIXED.shown(video, looks[1]) == FIXED.shown(video, looks[2])
    assert len({digest("ask", content) for content in contents}) == 3
    assert contents[0] == contents[3]  # all of the picture is what a look without a box shows
    assert announced(looks[0]) == "You are shown 0.00 - 1.00 seconds at 2 frames per second."
    assert "cut to the box 500 500 900 900" in announced(looks[2])
