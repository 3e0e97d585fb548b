"""An engine may die, and everything that was on its way comes to the end that it would have come to."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest

from dmforge.generators.footage import ShownClip
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.engines.vllm_engine import VllmEngine
from dmforge.generators.inference.rollout import RolloutError, roll
from dmforge.schemas.looks import Look
from tests.support.taught import Tinted
from tests.vllm.conftest import quests, watching
from tests.vllm.lane.seeds import DEADLY, NUMBING
from tests.vllm.test_offline import ids


@dataclass(frozen=True)
class Killing(Tinted):
    """Footage whose second look costs an engine its life."""

    engine: VllmEngine | None = None
    killed: list[int] = field(default_factory=list[int])

    def look(self, look: Look) -> ShownClip:
        clip = super().look(look)
        if self.engine is not None and len(self.cut) == 2:
            (pid,) = (worker.pid for worker in self.engine.pool.workers)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)
        return clip


def test_rows_end_alike_though_their_engine_is_killed_on_the_way(
    checkpoint: Path, here: TransformersEngine, tmp_path: Path
) -> None:
    undisturbed = roll(here, quests(Tinted("red", "blue", Fraction(48), 5), range(10)))
    with watching(checkpoint, tmp_path) as watched:
        footage = Killing("red", "blue", Fraction(48), 5, engine=watched.engine)
        rows = roll(watched.engine, quests(footage, range(10)))
        assert len(footage.killed) == 1
        (pid,) = (worker.pid for worker in watched.engine.pool.workers)
        assert pid not in (None, footage.killed[0])
    assert ids(rows) == ids(undisturbed)
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


def test_an_engine_that_stands_still_is_replaced(checkpoint: Path, here: TransformersEngine, tmp_path: Path) -> None:
    asked = quests(Tinted("blue", "red", Fraction(48), 7), [1, NUMBING, 2])
    with watching(checkpoint, tmp_path, hang_timeout_s=15.0) as watched:
        assert ids(roll(watched.engine, asked)) == ids(roll(here, asked))
        assert (tmp_path / "seen.stood").exists()


def test_a_row_over_which_every_engine_dies_takes_no_other_with_it(
    checkpoint: Path, here: TransformersEngine, tmp_path: Path
) -> None:
    asked = quests(Tinted("red", "blue", Fraction(48), 9), [1, 2, DEADLY, 3])
    with watching(checkpoint, tmp_path) as watched, pytest.raises(RolloutError, match="died over 1 of 4") as raised:
        roll(watched.engine, asked)
    assert list(raised.value.failed) == [2]
    assert raised.value.failed[2].detail == "ended by SIGKILL"
    others = [asked[at] for at in raised.value.rolled]
    assert ids(list(raised.value.rolled.values())) == ids(roll(here, others))
    assert list(raised.value.rolled) == [0, 1, 3]
