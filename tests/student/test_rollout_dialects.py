"""Rollouts in dialects whose looks end a turn: the runtime answers them where their chat format has it do so."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dmforge.generators.footage import show
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.retrace import log_probs, retrace
from dmforge.generators.inference.rollout import RolloutLimits, RolloutResult, roll
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE
from tests.student.students import QUESTION, TEXTS, Barcodes, look
from tests.student.test_rollout import dictated, numbers, quest, watched

TOGETHER = Trajectory(
    ("Two places.", "One more.", "Blue."), (look(100, 300), look(450, 520, 4), look(700, 900)), "blue", turns=(2, 1)
)
FINE, COARSER = Look(Window(100, 300), Fraction(2), tokens=6144), Look(Window(450, 520), Fraction(2), tokens=2048)
ONE_BY_ONE = Trajectory(("It flashes.", "Again.", "Blue."), (FINE, COARSER), "blue")
SAID: dict[DialectName, Trajectory] = {"tool": TOGETHER, "grounding": ONE_BY_ONE}


STUDENTS = {dialect: make_tiny("speck", TEXTS, dialect=dialect) for dialect in SAID}


def written(text: str, dialect: DialectName, max_looks: int = 3, footage: Barcodes | None = None) -> RolloutResult:
    with dictated(text, STUDENTS[dialect]):
        (rolled,) = roll(TransformersEngine(STUDENTS[dialect]), [quest(footage, max_tokens=600)], RolloutLimits(max_looks))
    return rolled


@pytest.mark.parametrize("dialect", SAID)
def test_clips_are_shown_where_the_policy_ends_its_turn(dialect: DialectName) -> None:
    trajectory, footage = SAID[dialect], Barcodes()
    transcript = DIALECTS[dialect].transcribe((COARSE, QUESTION), trajectory)
    with watched(STUDENTS[dialect]) as seen:
        rolled = written(transcript.policy_text + "<|im_end|>", dialect, footage=footage)
    assert (rolled.ending, rolled.trajectory, rolled.looks) == ("answered", trajectory, trajectory.looks)
    assert rolled.transcript == transcript
    times_s = [plan_coarse(footage.duration_s, footage.coarse_fps).times_s]
    times_s += [plan_look(shown, footage.duration_s, max_frames=24).times_s for shown in trajectory.looks]
    assert seen == [numbers(clip_times_s) for clip_times_s in times_s]
    assert len(rolled.written) == len(trajectory.thoughts)


@pytest.mark.parametrize("dialect", SAID)
def test_what_was_rolled_out_is_laid_out_for_training_as_a_transcript_is(dialect: DialectName) -> None:
    transcript, footage = DIALECTS[dialect].transcribe((COARSE, QUESTION), SAID[dialect]), Barcodes()
    rolled = written(transcript.policy_text + "<|im_end|>", dialect, footage=footage)
    layout = STUDENTS[dialect].layout
    retraced = retrace(rolled, footage, layout)
    laid_out = layout.join(layout.transcript(show(transcript.pieces, footage)))
    assert np.array_equal(retraced.ids, laid_out.ids)
    assert np.array_equal(retraced.trained, laid_out.trained)
    assert np.array_equal(retraced.positions, laid_out.positions)
    trained_text = STUDENTS[dialect].vocabulary.decode(laid_out.ids[laid_out.trained].tolist())
    assert trained_text == transcript.policy_text + "<|im_end|>"
    assert len(log_probs(rolled)) == laid_out.trained.sum()
    first_turn = (transcript.pieces[2].text or "").count
    assert first_turn("<|im_end|>") == 1
    ends = laid_out.ids[laid_out.trained] == STUDENTS[dialect].vocabulary.end
    assert ends.sum() == len(SAID[dialect].thoughts)  # each turn's own end is learnt, that of the runtime's is not
    system_turns = int(dialect == "tool")  # it tells of the function
    assert (laid_out.ids == STUDENTS[dialect].vocabulary.end).sum() == 2 * len(SAID[dialect].thoughts) + system_turns


@pytest.mark.parametrize(
    ("change", "max_looks", "ending"),
    [
        (("", ""), 2, "malformed"),
        (("5.2,", "5.20,"), 3, "malformed_look"),
        (('"start_time": 7, "end_time": 9', '"start_time": 70, "end_time": 90'), 3, "window_outside"),
        (("</tool_call><|im_end|>", "</tool_call>.<|im_end|>"), 3, "malformed"),
    ],
)
def test_whatever_a_policy_writes_has_an_ending(change: tuple[str, str], max_looks: int, ending: str) -> None:
    text = DIALECTS["tool"].transcribe((), TOGETHER).policy_text
    assert written(text.replace(*change) + "<|im_end|>", "tool", max_looks).ending == ending


def test_without_a_look_it_is_one_turn() -> None:
    text = DIALECTS["tool"].render(Trajectory(("Blue.",), (), "blue"))
    rolled = written(text + "<|im_end|>", "tool")
    assert (rolled.ending, rolled.answer) == ("no_look", "blue")


def test_clips_of_a_turn_are_over_budget_together() -> None:
    footage = Barcodes()
    text = DIALECTS["tool"].transcribe((), TOGETHER).policy_text
    tokens = [footage.coarse().tokens, *(footage.look(asked).tokens for asked in TOGETHER.looks[:2])]
    with dictated(text, STUDENTS["tool"]):
        (rolled,) = roll(TransformersEngine(STUDENTS["tool"]), [quest(max_tokens=600)], RolloutLimits(3, sum(tokens) - 1))
    assert (rolled.ending, rolled.looks, rolled.visual_tokens) == ("over_budget", (), tokens[0])


@pytest.mark.parametrize("dialect", SAID)
def test_a_forced_look_is_what_the_policy_would_have_written(dialect: DialectName) -> None:
    trajectory = Trajectory(("Look.", "Blue."), (FINE,), "blue")
    wrote = DIALECTS[dialect].transcribe((COARSE, QUESTION), trajectory)
    with dictated((wrote.pieces[-1].text or "") + "<|im_end|>", STUDENTS[dialect]):
        (rolled,) = roll(TransformersEngine(STUDENTS[dialect]), [replace(quest(forced=FINE, max_tokens=600), thought="Look.")])
    assert (rolled.ending, rolled.trajectory) == ("answered", trajectory)
    assert rolled.transcript.trajectory_text == wrote.trajectory_text
    assert [piece.author for piece in rolled.transcript.pieces].count("policy") == len(rolled.written) == 1


def test_steps_are_forced_and_a_policy_is_held_in_the_old_dialect_alone() -> None:
    with pytest.raises(InputError, match="a forced step in the dialect `tool` is not supported"):
        roll(TransformersEngine(STUDENTS["tool"]), [replace(quest(), steps=(FINE,))])
    with pytest.raises(InputError, match="a forced answer in the dialect `tool` is not supported"):
        roll(TransformersEngine(STUDENTS["tool"]), [quest()], RolloutLimits(1, must_answer=True))
