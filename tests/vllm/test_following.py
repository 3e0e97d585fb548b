"""vLLM beside a trainer writes with the weights that the student has now, and remembers nothing of older ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from dmforge.generators.inference.engines.weight_sync import WeightSyncEngine
from dmforge.generators.inference.retrace import retrace
from dmforge.generators.inference.rollout import RolloutResult, roll
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.errors import DmforgeError
from dmforge.trainers.batches import logits_of, pack
from tests.support.taught import TEXTS, Tinted
from tests.vllm.conftest import SMALL, Watched, quests, watch_command
from tests.vllm.test_offline import coarse_numbers

T = 0.7
SAME, APART = 1e-4, 1e-2


@pytest.fixture(scope="module")
def engine(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Watched]:
    """One process for all tests here: each finds what those before have left in its caches."""
    report = tmp_path_factory.mktemp("following") / "seen.jsonl"
    engine = WeightSyncEngine(SMALL, load(str(checkpoint)), command=watch_command(report))
    engine.follow(load(str(checkpoint)))
    try:
        yield Watched(engine, report)
    finally:
        engine.close()


@pytest.fixture
def student(checkpoint: Path) -> Student:
    """One whose weights a test may change."""
    return load(str(checkpoint))


def following(engine: Watched, student: Student) -> None:
    assert isinstance(engine.engine, WeightSyncEngine)
    engine.engine.follow(student)


def changed(student: Student, which: Callable[[str], bool], by: float = 0.1) -> Student:
    """As an update would, but by more: by this share of what weights are on average."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weights in student.model.named_parameters():
            if which(name):
                weights += by * weights.abs().mean() * torch.randn(weights.shape, generator=generator)
    return student


def trainers(student: Student, rolled: RolloutResult, footage: Tinted) -> torch.Tensor:
    """Log-probabilities of all that the policy wrote, by one pass as training makes it."""
    laid = retrace(rolled, footage, student.layout)
    with torch.no_grad():
        logits = logits_of(student.model, replace(pack([laid]), learnt_columns=torch.arange(len(laid) - 1)))[0]
    told = torch.log_softmax(logits / T, -1).gather(1, torch.from_numpy(laid.ids[1:])[:, None])[:, 0]
    return told[torch.from_numpy(laid.trained[1:])]


def apart(student: Student, rows: list[RolloutResult], footage: Tinted) -> float:
    """The largest difference between the trainer's log-probabilities and the engine's."""
    found = 0.0
    for row in rows:
        said = torch.tensor([log_prob for words in row.written for log_prob in words.log_probs])
        found = max(found, float((trainers(student, row, footage) - said).abs().max()))
    return found


@pytest.mark.parametrize("part", ["all", "vision tower", "text"])
def test_after_a_sync_log_probabilities_are_the_trainers_and_before_it_they_were_not(
    part: str, engine: Watched, student: Student
) -> None:
    """The same prompt before and after: of the vision tower's change only new clips would know, of the text's only new rows,
    if what was kept of them went on being used."""
    footage = Tinted("red", "blue", Fraction(48), {"all": 1100, "vision tower": 1200, "text": 1300}[part])
    asked = quests(footage, range(6), T)
    following(engine, student)
    first = roll(engine.engine, asked)
    assert any(len(row.written) == 2 for row in first), "no row looked: nothing of a second clip was seen"
    assert apart(student, first, footage) < SAME

    which = {"all": lambda _: True, "vision tower": _is_vision, "text": lambda name: not _is_vision(name)}[part]
    changed(student, which, by=1.0 if part == "vision tower" else 0.1)
    stale = roll(engine.engine, asked)
    assert [row.transcript for row in stale] == [row.transcript for row in first]
    assert apart(student, stale, footage) > APART

    (worker,) = engine.engine.pool.workers
    pid = worker.pid
    following(engine, student)
    engine.seen()
    before = replace(engine.engine.tallies.first)
    after = roll(engine.engine, asked)
    assert apart(student, after, footage) < SAME
    assert worker.pid == pid is not None, "it was right because it had to begin anew"
    assert coarse_numbers(footage) in engine.seen()
    # all rows but the one that was first there find its prompt; none finds the old one
    now = engine.engine.tallies.first
    requests, tokens, cached = now.requests - before.requests, now.tokens - before.tokens, now.cached - before.cached
    assert 0 < cached <= tokens * (requests - 1) / requests


def _is_vision(name: str) -> bool:
    return ".visual." in name


def test_a_process_that_is_started_anew_has_the_weights_of_now(engine: Watched, student: Student) -> None:
    footage = Tinted("blue", "red", Fraction(48), 1400)
    following(engine, changed(student, lambda _: True))
    (worker,) = engine.engine.pool.workers
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert apart(student, roll(engine.engine, quests(footage, range(4), T)), footage) < SAME


def test_a_sync_in_the_middle_of_rows_gives_them_up(engine: Watched, student: Student) -> None:
    footage = Tinted("blue", "red", Fraction(48), 1500)
    asked = quests(footage, range(6), T)
    conversation = engine.engine.converse([quest.sampling for quest in asked])
    conversation.step({number: quest.prompt for number, quest in enumerate(asked)}, range(6))
    following(engine, changed(student, lambda _: True))
    assert apart(student, roll(engine.engine, asked), footage) < SAME


def test_weights_of_another_student_end_it(engine: Watched, student: Student) -> None:
    following(engine, student)
    roll(engine.engine, quests(Tinted("blue", "red", Fraction(48), 1600), range(2), T))
    with pytest.raises(DmforgeError, match="can't take other weights"):
        following(engine, make_tiny("mote", TEXTS, 0))


def test_nothing_is_left_of_an_engine(student: Student) -> None:
    engine = WeightSyncEngine(SMALL, student)
    folder = engine._live.path
    engine.follow(student)
    assert load(str(folder)).vocabulary.without_tags() == []
    engine.close()
    assert not folder.exists()
