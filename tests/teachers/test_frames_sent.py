"""What a provider takes at once bounds what it is sent: whole stamped patches are left out, evenly; nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.contract.budget import Price
from dmforge.filters.rules.citations import cited_stamps
from dmforge.filters.rules.rule import RuleInput
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.client import image_tokens as count_image_tokens
from dmforge.generators.teacher.client import max_usage
from dmforge.generators.teacher.clip_messages import shown_content
from dmforge.generators.teacher.frames_sent import SENT_BYTES_A_PIXEL, frames_sent, sent_patches
from dmforge.generators.teacher.largest_look import max_usage_of_looks
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.replies import AnswerReply
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


def test_what_is_left_out_is_recorded_and_nothing_is_where_all_is_sent() -> None:
    config = TeacherConfig(model="m", max_images=8)
    overview, look = sent_patches([frames_sent(config, CLIPS, VIDEO, clip) for clip in (None, LOOK)])
    assert len(overview) == len(look) == 4
    assert [frames_sent(config, CLIPS, VIDEO, clip).patches for clip in (None, LOOK)] == [overview, look]
    assert sent_patches([frames_sent(TeacherConfig(model="m"), CLIPS, VIDEO, clip) for clip in (None, LOOK)]) == ()


def test_clips_that_share_a_request_share_what_a_provider_takes() -> None:
    """And each shows the same patches whichever request it is in, so that one record says what was shown."""
    config = TeacherConfig(model="m", max_images=16)
    assert frames_sent(config, CLIPS, VIDEO, LOOK, clips_at_once=2).image_count == 8
    assert frames_sent(config, CLIPS, VIDEO, LOOK, clips_at_once=20).image_count == 2
    shared = frames_sent(config, CLIPS, VIDEO, LOOK, clips_at_once=2).patches
    assert set(shared) <= set(frames_sent(TeacherConfig(model="m"), CLIPS, VIDEO, LOOK).patches)


def test_a_time_that_the_writer_was_not_sent_is_not_one_that_it_can_cite() -> None:
    """A student would see the cited patch; the teacher was sent every other one."""
    text = "<think>A cup. <span>2.00 - 6.00</span><fps>2</fps>It falls at {} seconds.</think><answer>yes</answer>"
    look = Look(Window(200, 600), Fraction(2))
    first, second = patch_times(CLIPS.shown(VIDEO, look)[0].times_s)[:2]
    scores = {}
    for time_s in (first, second):
        for sent in ((), ((0, 1), (0, 2, 3))):
            rule_input = RuleInput(
                text.format(f"{float(time_s):.1f}"), "open", "What falls?", duration_cs=VIDEO.duration_cs, looks=(look,),
                clips=CLIPS, sent_patches=sent,
            )  # fmt: skip
            scores[time_s, sent != ()] = cited_stamps(rule_input).score
    assert scores == {(first, False): 1.0, (first, True): 1.0, (second, False): 1.0, (second, True): 0.0}


@given(
    duration_cs=st.integers(20, 60_000), start=st.integers(0, 999), length_cs=st.integers(1, 10_000), fps=st.integers(1, 12),
    max_images=st.none() | st.integers(2, 80), image_tokens=st.none() | st.integers(1, 300),
    look_size=st.sampled_from(["fixed", "floor"]), width=st.integers(16, 1920), height=st.integers(16, 1080),
)  # fmt: skip
def test_no_look_costs_more_than_what_is_set_aside_for_one(
    duration_cs: int,
    start: int,
    length_cs: int,
    fps: int,
    max_images: int | None,
    image_tokens: int | None,
    look_size: Literal["fixed", "floor"],
    width: int,
    height: int,
) -> None:
    config = TeacherConfig(model="m", max_images=max_images, prices={"m": Price(image_tokens=image_tokens)})
    clips, video = Clips(look_size=look_size), replace(VIDEO, duration_cs=duration_cs, width=width, height=height)
    start_cs = duration_cs * start // 1000
    look = Look(Window(start_cs, start_cs + length_cs), Fraction(fps))
    try:
        sent = frames_sent(config, clips, video, look)
    except NoFrames:  # it begins behind the last frame of the grid
        return
    texts = [instruction(AnswerReply.name), "Which?", *map(stamp, patch_times(sent.plan.times_s))]
    tokens = count_image_tokens(config.price, sent.image_count, sent.size)
    usage = max_usage(AnswerReply, tokens, sum(map(len, texts)), 100)
    bound = max_usage_of_looks(config, clips, AnswerReply, video, "Which?", 100)
    assert usage.input_tokens <= bound.input_tokens
    assert usage.output_tokens == bound.output_tokens
