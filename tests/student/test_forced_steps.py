"""Looks that are forced step by step: the policy's thoughts are its own, behind every clip, and where it looks is not."""

from __future__ import annotations

from fractions import Fraction

import torch

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.forced_steps import Step
from dmforge.generators.inference.retrace import retrace
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Window
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, Barcodes, logits_of_all, look
from tests.student.test_rollout import ENGINE, STUDENT, dictated, numbers, watched

FIRST, SECOND = Window(100, 300), Window(600, 800)


def rolled(text: str, *steps: Step, max_tokens: int = 120) -> RolloutResult:
    footage = Barcodes()
    request = RolloutRequest(
        prompt_of((COARSE, QUESTION), footage), footage, Sampling(max_tokens=max_tokens, seed=3), steps=steps
    )
    with dictated(text):
        (result,) = roll(ENGINE, [request], RolloutLimits(max_looks=2))
    return result


def test_windows_are_forced_where_it_would_look_or_end_its_thought() -> None:
    with watched() as seen:
        result = rolled(
            "<think>Early.<span><fps>2</fps>Red there.</think><fps>1</fps>More?<span>blue</answer><|im_end|>", FIRST, SECOND
        )
    assert result.transcript.trajectory_text == (
        "<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red there.<span>6.00 - 8.00</span><fps>1</fps>More?</think><answer>"
        "blue</answer>"
    )
    assert (result.ending, result.answer, result.looks) == ("answered", "blue", (look(100, 300), look(600, 800, 1)))
    duration_s = Fraction(10)
    plans = [plan_coarse(duration_s, Fraction(1)), *(plan_look(asked, duration_s) for asked in result.looks)]
    assert seen == [numbers(plan.times_s) for plan in plans]


def test_nothing_that_it_did_not_write_is_said_to_be_its_own() -> None:
    result = rolled(
        "<think>Early.<span><fps>2</fps>Red.</think><fps>1</fps>So.</think><answer>blue</answer><|im_end|>", FIRST, SECOND
    )
    by_policy = [piece.text for piece in result.transcript.pieces if piece.author == "policy"]
    assert by_policy == ["<think>Early.", "<fps>2</fps>", "Red.", "<fps>1</fps>", "So.</think><answer>blue</answer>"]
    assert [words.text for words in result.written] == by_policy


def test_whole_looks_are_forced_with_their_densities() -> None:
    result = rolled(
        "<think>Early.<span>Red there.<span>Blue.</think><answer>blue</answer><|im_end|>", look(100, 300), look(600, 800, 4)
    )
    assert (result.ending, result.looks) == ("answered", (look(100, 300), look(600, 800, 4)))
    assert "<fps>4</fps>Blue.</think><answer>" in result.transcript.trajectory_text


def test_a_step_that_shows_no_frame_ends_the_rollout() -> None:
    result = rolled("<think>Early.<span><fps>2</fps>", Window(2000, 2100))
    assert (result.ending, result.looks) == ("window_outside", ())


def test_it_goes_on_as_behind_a_context_that_never_held_the_overwritten_tag() -> None:
    """Tags before which it stopped are in no cache: what it writes then has the probabilities of one pass over the whole."""
    result = rolled("<think>Early.<span><fps>2</fps>Red.</think><fps>1</fps>So.<span>", FIRST, SECOND, max_tokens=60)
    free_words = result.written[-1]
    assert (result.ending, free_words.stop) == ("cut_off", "length")
    assert len(free_words.ids) > 10
    laid_out = retrace(result, Barcodes(), STUDENT.layout)
    next_logits = logits_of_all(STUDENT, laid_out)[-1 - len(free_words.ids) : -1]
    expected = torch.log_softmax(next_logits, -1).gather(1, torch.tensor(free_words.ids)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(free_words.log_probs), expected, atol=1e-5, rtol=1e-5)


# held to fewer looks than it wants


WANTS_TWO = "<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red. More?"


def held(text: str, max_looks: int, max_tokens: int = 120, **limits: bool) -> RolloutResult:
    footage = Barcodes()
    request = RolloutRequest(prompt_of((COARSE, QUESTION), footage), footage, Sampling(max_tokens=max_tokens, seed=3))
    with dictated(text):
        (result,) = roll(ENGINE, [request], RolloutLimits(max_looks=max_looks, **limits))
    return result


def test_a_policy_that_would_look_once_more_than_it_may_must_answer() -> None:
    text = WANTS_TWO + "<span>blue</answer><|im_end|>"
    with watched() as seen:
        result = held(text, 1, must_answer=True)
    assert result.transcript.trajectory_text == (
        "<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red. More?</think><answer>blue</answer>"
    )
    assert (result.ending, result.answer, result.looks) == ("answered", "blue", (look(100, 300),))
    assert len(seen) == 2
    by_policy = [piece.text for piece in result.transcript.pieces if piece.author == "policy"]
    assert by_policy == ["<think>Early.<span>1.00 - 3.00</span><fps>2</fps>", "Red. More?", "blue</answer>"]
    assert [words.text for words in result.written] == by_policy
    assert held(text, 1).ending == "malformed"  # nobody holds it


def test_a_policy_that_looks_again_at_once_must_answer_and_once_told_is_told_no_more() -> None:
    at_once = held("<think>Early.<span>1.00 - 3.00</span><fps>2</fps><span>blue</answer><|im_end|>", 1, must_answer=True)
    assert at_once.transcript.trajectory_text.endswith("<fps>2</fps></think><answer>blue</answer>")
    assert (at_once.ending, at_once.answer, at_once.looks) == ("answered", "blue", (look(100, 300),))
    stubborn = held(WANTS_TWO + "<span><span>6.00 - 8.00</span><fps>2</fps></answer><|im_end|>", 1, must_answer=True)
    assert stubborn.transcript.trajectory_text.endswith("More?</think><answer><span>6.00 - 8.00</span><fps>2</fps></answer>")
    assert (stubborn.ending, stubborn.looks) == ("malformed", (look(100, 300),))


def test_a_policy_that_looks_no_more_than_it_may_is_not_held() -> None:
    text = WANTS_TWO + "<span>6.00 - 8.00</span><fps>1</fps>Blue.</think><answer>blue</answer><|im_end|>"
    assert held(text, 2, must_answer=True) == held(text, 2)
    assert held(text, 2).looks == (look(100, 300), look(600, 800, 1))
    once = "<think>Early.<span>1.00 - 3.00</span><fps>2</fps>Red.</think><answer>red</answer><|im_end|>"
    assert held(once, 2, must_answer=True) == held(once, 1, must_answer=True) == held(once, 1)
    assert held(once, 1).ending == "answered"


def test_a_policy_that_may_not_look_at_all_thinks_and_must_answer() -> None:
    result = held("<think>Early.<span>blue</answer><|im_end|>", 0, must_answer=True)
    assert result.transcript.trajectory_text == "<think>Early.</think><answer>blue</answer>"
    assert (result.ending, result.answer, result.looks) == ("no_look", "blue", ())


def test_what_a_held_policy_answers_goes_on_behind_the_context_that_its_transcript_tells() -> None:
    result = held(WANTS_TWO + "<span>", 1, max_tokens=70, must_answer=True)
    free_words = result.written[-1]
    assert len(free_words.ids) > 10
    laid_out = retrace(result, Barcodes(), STUDENT.layout)
    next_logits = logits_of_all(STUDENT, laid_out)[-1 - len(free_words.ids) : -1]
    expected = torch.log_softmax(next_logits, -1).gather(1, torch.tensor(free_words.ids)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(free_words.log_probs), expected, atol=1e-5, rtol=1e-5)
