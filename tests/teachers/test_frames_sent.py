"""What a provider takes at once bounds what it is sent: whole stamped patches are left out, evenly; nothing else changes."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.generators.teacher.frames_sent import SENT_BYTES_A_PIXEL, frames_sent
from dmforge.generators.teacher.interview import shown_content
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.stamps import patch_times, stamp

CLIPS = Clips(look_size="floor")
VIDEO = Video("00" * 32, 12_000, 1280, 720, Fraction(25), "h264", 0, 1)
LOOK = Look(Window(300, 1150), Fraction(4))


@pytest.mark.parametrize("look", [None, LOOK], ids=["overview", "look"])
def test_without_limits_all_is_sent(look: Look | None) -> None:
    sent = frames_sent(TeacherConfig(model="m"), CLIPS, VIDEO, look)
    plan, size = CLIPS.shown(VIDEO, look)
    assert (sent.plan, sent.size) == (plan, size)
    assert sent.positions == tuple(range(len(plan.times_s)))


@pytest.mark.parametrize("look", [None, LOOK], ids=["overview", "look"])
@given(max_images=st.integers(2, 300))
def test_stamps_that_are_sent_are_some_of_the_students_evenly(look: Look | None, max_images: int) -> None:
    plan, size = CLIPS.shown(VIDEO, look)
    sent = frames_sent(TeacherConfig(model="m", max_images=max_images), CLIPS, VIDEO, look)
    assert sent.image_count <= max_images
    assert sent.size == size
    of_student, of_teacher = (tuple(map(stamp, patch_times(clip.times_s))) for clip in (plan, sent.plan))
    places = [of_student.index(text) for text in of_teacher]
    steps = [later - earlier for earlier, later in pairwise(places)]
    assert places[0] == 0
    assert not steps or (places[-1] == len(of_student) - 1 and min(steps) >= 1 and max(steps) - min(steps) <= 1)
    assert [plan.indices[position] for position in sent.positions] == list(sent.plan.indices)
    assert len(of_teacher) == min(len(of_student), max_images // 2)


def test_megabytes_bound_images_too() -> None:
    sent = frames_sent(TeacherConfig(model="m", max_request_mb=1.5), CLIPS, VIDEO, None)
    pixels = sent.image_count * sent.size.width * sent.size.height
    assert 0.8 * 1.5e6 < pixels * SENT_BYTES_A_PIXEL <= 1.5e6


@pytest.mark.parametrize("look", [None, LOOK], ids=["overview", "look"])
def test_a_video_has_the_same_frames_and_counts_half_the_images(look: Look | None) -> None:
    images, video = (frames_sent(TeacherConfig(model="m", frames_as=form), CLIPS, VIDEO, look) for form in ("images", "video"))
    assert (video.plan, video.size, video.positions) == (images.plan, images.size, images.positions)
    assert 2 * video.image_count == images.image_count


def test_only_a_video_says_so_in_the_question_and_the_work() -> None:
    images, video = (TeacherConfig(model="m", frames_as=form) for form in ("images", "video"))
    sent = frames_sent(images, CLIPS, VIDEO, LOOK)
    assert shown_content(video, VIDEO, sent) == [*shown_content(images, VIDEO, sent), "video"]
    assert len(shown_content(images, VIDEO, sent)) == 4
    assert video.semantic() == images.semantic() | {"frames_as": "video"}


def test_one_patch_is_sent_in_any_case() -> None:
    assert frames_sent(TeacherConfig(model="m", max_request_mb=0.001), CLIPS, VIDEO, LOOK).image_count == 2
