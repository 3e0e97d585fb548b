"""Killed anywhere, same bytes. `python -m chaos.kills --kills 200` and `chaos.batch_kills` do it for longer."""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.batch_kills import batch_kills
from chaos.everything import uncovered
from chaos.kills import again, chaos, drawn
from chaos.steps import CALLS, START, Step
from chaos.subjects import CONCURRENCY, Rehearsal
from chaos.trial import Tally, Trial, trial
from chaos.undisturbed import Calm


def calm(tasks: int = 60, **steps: Mapping[str, int]) -> Calm:
    """A rehearsal of which it is known how many calls its stages make."""
    return Calm(Rehearsal(tasks), {}, "", {}, dict.fromkeys(set(steps) - {START}, frozenset()), {}, 0.0, 0, steps)


@contextmanager
def prepared(folder: Path) -> Generator[Trial]:
    with trial(calm(count={}, score={}, inquire={}, keep={}), folder / "killed", Tally(), random.Random(1)) as disturbed:
        yield disturbed


def test_a_step_is_read_as_it_is_printed() -> None:
    step = Step("annotate", "fsync", 3)
    assert Step.read(str(step)) == step
    for text in ("annotate:fsync", "annotate:sync:3", "annotate:fsync:0", "annotate:fsync:third"):
        with pytest.raises(ValueError, match=r"STAGE:CALL:NUMBER|unpack|invalid literal"):
            Step.read(text)


def test_a_seed_draws_the_same_steps_of_a_stage_whatever_others_there_are() -> None:
    counts = dict.fromkeys(CALLS, 40)
    few, more = calm(start=counts, score=counts), calm(start=counts, count=counts, inquire=counts, score=counts)
    different = set[tuple[Step, ...]]()
    for seed in range(20):
        of_few, of_more = (drawn(subject, Tally(), 100, seed) for subject in (few, more))
        assert of_few == [step for step in of_more if step.stage in ("start", "score")]
        assert [step.stage for step in of_more] == sorted(
            (step.stage for step in of_more), key=[START, *more.stages].index
        )  # as a run comes to them
        assert all(1 <= step.number <= 40 for step in of_more)
        different.add(tuple(of_few))
    assert len(different) > 10


def test_stages_that_were_killed_least_are_killed_when_few_kills_are_left() -> None:
    counts, tally = dict.fromkeys(CALLS, 40), Tally()
    tally.killed_in.update({"start": 3, "count": 3, "score": 0, "keep": 2})
    assert {step.stage for step in drawn(calm(start=counts, count=counts, score=counts, keep=counts), tally, 1, 7)} == {"score"}
    # of calls that a stage doesn't make, none is drawn
    only_fsync = calm(start={"fsync": 2})
    assert {step.call for seed in range(20) for step in drawn(only_fsync, Tally(), 5, seed)} == {"fsync"}


@pytest.mark.slow
def test_a_run_stands_still_at_its_step_and_at_the_same_one_again(tmp_path: Path) -> None:
    for attempt in range(2):
        with prepared(tmp_path / str(attempt)) as disturbed:
            process = disturbed.start_until([Step("score", "commit", 1), Step("count", "commit", 2)])
            assert disturbed.stopped(process) == Step("count", "commit", 2)
            disturbed.kill(process)
            # the list of inputs and one batch, whichever was finished first; the next one is whole, and has no name yet
            assert len(list(disturbed.workspace.glob("lake/commits/count/*.json"))) == 2
            assert len(list(disturbed.workspace.glob("lake/commits/count/*.writing"))) == 1
            # with nothing in its way the next run ends, and says so
            disturbed.ended(disturbed.start_until([Step("keep", "commit", 99)]))
            assert disturbed.finished


@pytest.mark.slow
def test_a_write_is_killed_in_its_middle(tmp_path: Path) -> None:
    with prepared(tmp_path) as disturbed:
        process = disturbed.start_until([Step("inquire", "pwrite", 3)])
        assert disturbed.stopped(process) == Step("inquire", "pwrite", 3)
        disturbed.kill(process)
        (journal,) = disturbed.workspace.glob("journal/*/*.jsonl")
        assert not journal.read_bytes().endswith(b"\n")
        disturbed.ended(disturbed.start())
        assert disturbed.finished
        assert journal.read_bytes().endswith(b"\n")


def test_a_round_is_printed_as_the_command_that_repeats_it() -> None:
    struck = [Step("count", "fsync", 3), Step("keep", "write", 1)]
    assert again(Rehearsal(60), struck) == "python -m chaos.kills --tasks 60 --fault count:fsync:3 keep:write:1"


@pytest.mark.slow
def test_no_stage_is_left_out_of_what_is_killed() -> None:
    assert uncovered() == []


@pytest.mark.slow
def test_a_run_killed_a_dozen_times_ends_byte_identical() -> None:
    # another seed every time: what fails is printed with the command that repeats it
    tally = chaos(Rehearsal(tasks=120), kills=12, seed=int.from_bytes(os.urandom(3), "big"))
    assert tally.kills == 12
    assert tally.rounds >= 1
    assert tally.max_twice_a_kill <= CONCURRENCY


@pytest.mark.slow
def test_a_named_fault_is_where_a_run_is_killed() -> None:
    faults = [Step("count", "commit", 2), Step("inquire", "fsync", 2), Step("keep", "commit", 1)]
    tally = chaos(Rehearsal(tasks=60), kills=99, seed=1, faults=faults)
    assert (tally.kills, tally.rounds) == (3, 1)
    assert tally.killed_in == {"count": 1, "inquire": 1, "keep": 1}


@pytest.mark.slow
def test_batches_of_a_run_that_is_killed_are_submitted_once() -> None:
    outcome = batch_kills(tasks=60, kills=4, seed=int.from_bytes(os.urandom(3), "big"))
    assert outcome.kills >= 1
    assert (outcome.submitted_again, outcome.same_bytes) == (0, True)
