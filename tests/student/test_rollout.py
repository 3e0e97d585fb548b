"""Rollouts: the frames that were asked for reach the model, and whatever a policy writes has an outcome of its own.

The policy is a real student. Where it has to write something in particular, a hook behind its output layer lifts the logit
of each token in turn; all that is around it is what trains and evaluates.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from dmforge.generators.footage import ShownClip
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.retrace import log_probs, retrace
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, look_of, prompt_of, roll
from dmforge.generators.student.load_student import Student
from dmforge.schemas.clips import QuotaTooSmall
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Box, Look
from dmforge.schemas.stamps import patches
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, Barcodes, frame_numbers, logits_of_all, look, speck

STUDENT = speck()
ENGINE = TransformersEngine(STUDENT)
LOOKS = "<think>It flashes.<span>1.00 - 3.00</span><fps>2</fps>"
ANSWERS = "Blue.</think><answer>blue</answer><|im_end|>"


@contextmanager
def dictated(text: str, student: Student = STUDENT) -> Generator[None]:
    """What the one row of a rollout writes: a forward of the model is a token of the text."""
    words = iter(student.vocabulary.encode(text))

    def lift(layer: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        token = next(words, None)
        lifted = logits.clone()
        if token is not None:
            lifted[..., token] += 1e4
        return lifted

    hook = student.model.lm_head.register_forward_hook(lift)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def watched(student: Student = STUDENT) -> Generator[list[list[int | None]]]:
    """The numbers of the frames that the vision tower is given, clip by clip."""
    seen: list[list[int | None]] = []

    def look_on(tower: torch.nn.Module, args: tuple[torch.Tensor, ...], told: dict[str, torch.Tensor]) -> None:
        seen.extend(frame_numbers(args[0], told["grid_thw"]))

    hook = student.model.model.visual.register_forward_pre_hook(look_on, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def quest(
    footage: Barcodes | None = None, max_tokens: int = 80, forced: Look | None = None, **sampling: float
) -> RolloutRequest:
    footage = footage or Barcodes()
    told = Sampling(max_tokens=max_tokens, **sampling)  # pyright: ignore
    return RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, told, forced)


def written(
    text: str, limits: RolloutLimits | None = None, footage: Barcodes | None = None, max_tokens: int = 80
) -> RolloutResult:
    with dictated(text):
        (rolled,) = roll(ENGINE, [quest(footage, max_tokens)], limits)
    return rolled


def numbers(plan_times_s: tuple[Fraction, ...]) -> list[int | None]:
    """As the vision tower sees them: an odd last frame twice."""
    found: list[int | None] = [int(time_s * 12) for time_s in plan_times_s]
    return found + found[-1:] * (len(found) % 2)


def test_the_frames_that_were_asked_for_reach_the_model() -> None:
    footage = Barcodes()
    with watched() as seen:
        rolled = written(LOOKS + ANSWERS, footage=footage)
    assert rolled.ending == "answered"
    assert rolled.answer == "blue"
    assert rolled.looks == (look(100, 300),)
    coarse = plan_coarse(footage.duration_s, footage.coarse_fps)
    asked = plan_look(look(100, 300), footage.duration_s)
    assert seen == [numbers(coarse.times_s), numbers(asked.times_s)]
    assert rolled.visual_tokens == 2 * patches(len(coarse.times_s)) + 6 * patches(len(asked.times_s))


class Cells(Barcodes):
    """A video whose looks with a box are shown in one cell: of another size than those without."""

    def look(self, look: Look) -> ShownClip:
        if look.tokens == 1:
            raise QuotaTooSmall("too small")
        clip = super().look(look)
        return clip if look.box is None else ShownClip(clip.frames[:, :32, :32], clip.times_s)


def test_a_box_that_a_policy_writes_is_what_it_is_shown() -> None:
    footage, box = Cells(), Box(120, 40, 560, 800)
    text = LOOKS.replace("<fps>", "<box>120 40 560 800</box><fps>")
    rolled = written(text + ANSWERS, footage=footage, max_tokens=120)
    narrow = replace(look(100, 300), box=box)
    assert (rolled.ending, rolled.looks, footage.cut) == ("answered", (narrow,), [narrow])
    plain = written(LOOKS + ANSWERS, footage=Cells())
    asked = patches(len(plan_look(narrow, footage.duration_s).times_s))
    assert plain.visual_tokens - rolled.visual_tokens == (6 - 1) * asked
    laid_out = retrace(rolled, footage, STUDENT.layout)
    assert int((laid_out.ids == STUDENT.vocabulary.video_pad).sum()) == rolled.visual_tokens
    late = written(LOOKS + "<box>120 40 560 800</box>" + ANSWERS, max_tokens=120)
    assert late.ending == "malformed"


def test_a_quota_that_nothing_fits_is_a_malformed_look_and_one_in_this_dialect_is_refused() -> None:
    class Stingy(Cells):
        def look(self, look: Look) -> ShownClip:
            return super().look(replace(look, tokens=1))

    assert written(LOOKS + ANSWERS, footage=Stingy()).ending == "malformed_look"
    with pytest.raises(InputError, match="quota of 96 tokens can't be said in the dialect `span`"):
        roll(ENGINE, [quest(forced=replace(look(100, 300), tokens=96))])


def test_they_reach_it_row_by_row_when_rows_look_together() -> None:
    asked = [look(100, 300), look(450, 520, 4), look(700, 1000, 3)]
    with watched() as seen:
        roll(ENGINE, [quest(max_tokens=3, forced=one) for one in asked])
    for one in asked:
        assert numbers(plan_look(one, Fraction(10)).times_s) in seen


def test_the_stamps_say_when_these_frames_are_on_screen() -> None:
    laid = retrace(written(LOOKS + ANSWERS), Barcodes(), STUDENT.layout)
    text = STUDENT.vocabulary.decode(laid.ids.tolist()).partition("</fps>")[2]
    assert text.startswith("<1.2 seconds><|vision_start|><|video_pad|>")
    assert "<2.2 seconds>" in text


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("<think>Blue.</think><answer>blue</answer><|im_end|>", "no_look"),
        ("Blue.<|im_end|>", "malformed"),
        (LOOKS + "Blue.<answer>blue</answer><|im_end|>", "malformed"),
        (LOOKS + "<span>1.00 - 2.00</span><fps>2</fps>" + ANSWERS, "malformed"),
        ("<think><fps>2</fps>", "malformed_look"),
        ("<think><span>3.00 - 1.00</span><fps>2</fps>", "malformed_look"),
        ("<think><span>1.00 - 3.00</span><fps>fast</fps>", "malformed_look"),
        ("<span>1.00 - 3.00</span><fps>2</fps>", "malformed_look"),
        ("<think></think><span>1.00 - 3.00</span><fps>2</fps>", "malformed_look"),
        ("<think><span>10.00 - 12.00</span><fps>2</fps>", "window_outside"),
    ],
)
def test_each_way_to_end_has_a_name(text: str, ending: str) -> None:
    rolled = written(text)
    assert rolled.ending == ending
    assert rolled.transcript.policy_text == text.removesuffix("<|im_end|>")
    assert (rolled.trajectory is None) == (ending != "no_look")


def test_a_clip_over_the_budget_is_not_shown() -> None:
    footage = Barcodes()
    coarse = footage.coarse().tokens
    assert written(LOOKS + ANSWERS, RolloutLimits(max_visual_tokens=coarse + 11), footage).ending == "over_budget"
    assert written(LOOKS + ANSWERS, RolloutLimits(max_visual_tokens=coarse + 12), footage).ending == "answered"
    rolled = written(LOOKS + ANSWERS, RolloutLimits(max_visual_tokens=coarse - 1), footage)
    assert (rolled.ending, rolled.written) == ("over_budget", ())


@pytest.mark.parametrize("most", [5, len(STUDENT.vocabulary.encode(LOOKS)), len(STUDENT.vocabulary.encode(LOOKS)) + 3])
def test_out_of_tokens_is_cut_off(most: int) -> None:
    rolled = written(LOOKS + ANSWERS, max_tokens=most)
    assert rolled.ending == "cut_off"
    assert sum(len(words.ids) for words in rolled.written) == most


def test_several_looks_where_they_are_allowed() -> None:
    again = "Again.<span>4.00 - 5.00</span><fps>4</fps>"
    with watched() as seen:
        rolled = written(LOOKS + again + ANSWERS, RolloutLimits(max_looks=2), max_tokens=120)
    assert rolled.ending == "answered"
    assert rolled.looks == (look(100, 300), look(400, 500, 4))
    assert seen[2] == numbers(plan_look(look(400, 500, 4), Fraction(10)).times_s)


def test_a_forced_look_is_the_runtimes() -> None:
    forced = look(200, 400)
    with dictated(ANSWERS), watched() as seen:
        (rolled,) = roll(ENGINE, [quest(forced=forced)])
    assert rolled.ending == "answered"
    assert rolled.looks == (forced,)
    assert rolled.transcript.policy_text == ANSWERS.removesuffix("<|im_end|>")
    assert seen[1] == numbers(plan_look(forced, Fraction(10)).times_s)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_policy_writes_frames(temperature: float) -> None:
    with dictated("<|video_pad|><|vision_start|><|vision_end|><|image_pad|>"):
        (rolled,) = roll(ENGINE, [quest(max_tokens=6, temperature=temperature)])
    (words,) = rolled.written
    assert not {*words.ids} & {*STUDENT.vocabulary.vision.tolist()}
    assert max(words.ids) < len(STUDENT.vocabulary)
    # log-probabilities are of the distribution as it was before the ban: next to nothing was left for what was written
    assert max(words.log_probs[:4]) < -5e3


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_training_on_a_rollout_sees_the_log_probabilities_that_it_was_sampled_with(temperature: float) -> None:
    footage = Barcodes()
    quests = [quest(footage, 60, look(100, 300) if row % 2 else None, temperature=temperature, seed=row) for row in range(6)]
    for rolled in roll(ENGINE, quests):
        laid = retrace(rolled, footage, STUDENT.layout)
        logits = logits_of_all(STUDENT, laid)
        expected = torch.log_softmax(logits[:-1] / temperature, -1).gather(1, torch.from_numpy(laid.ids[1:])[:, None])[:, 0]
        found = torch.from_numpy(log_probs(rolled))
        assert len(found) > 10
        assert float((expected[torch.from_numpy(laid.trained[1:])] - found).abs().max()) <= 1e-5


def test_a_row_writes_the_same_whatever_batch_it_stands_in() -> None:
    quests = [quest(Barcodes(Fraction(6 + row)), 30, look(100, 300) if row % 2 else None, seed=row) for row in range(5)]
    together = [rolled.written for rolled in roll(ENGINE, quests)]
    alone = [roll(ENGINE, [one])[0].written for one in reversed(quests)][::-1]
    assert [[words.ids for words in row] for row in together] == [[words.ids for words in row] for row in alone]


def test_seeds_make_the_difference_and_greedy_makes_none() -> None:
    def ids(**sampling: float) -> tuple[int, ...]:
        return roll(ENGINE, [quest(max_tokens=20, **sampling)])[0].written[0].ids

    assert ids(seed=1) == ids(seed=1) != ids(seed=2)
    assert ids(seed=1, temperature=0) == ids(seed=2, temperature=0)


def test_sampling_follows_the_tempered_distribution() -> None:
    (first,) = STUDENT.layout.stretches(quest().prompt)
    logits = logits_of_all(STUDENT, STUDENT.layout.join([first]))[-1]
    logits[ENGINE.banned] = -torch.inf
    expected = torch.softmax(logits / 0.5, -1)
    shared = quest()
    rows = [RolloutRequest(shared.prompt, shared.footage, Sampling(0.5, seed, 1)) for seed in range(4000)]
    drawn = np.bincount([rolled.written[0].ids[0] for rolled in roll(ENGINE, rows)], minlength=len(expected))
    # total variation of 4000 draws over so many tokens from their own distribution stays well below this
    assert float((torch.from_numpy(drawn / 4000) - expected).abs().sum() / 2) < 0.15


def test_a_look_is_read_by_the_grammar() -> None:
    assert look_of(LOOKS) == look(100, 300)
    assert look_of(LOOKS + "x<span>4.00 - 5.00</span><fps>1/3</fps>", 2) == Look(look(400, 500).window, Fraction(1, 3))
    assert look_of(LOOKS, 2) is None
    assert look_of("<think>") is None
