"""Rollouts of several looks in an update: whose advantage each token carries, and a training that resumes and repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dmforge.generators.footage import CachedFootage
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.student.load_student import load
from dmforge.schemas.clips import Clips
from dmforge.schemas.transcript import COARSE
from dmforge.trainers.sdgrpo.branches import forward_of, log_probs
from dmforge.trainers.sdgrpo.rollouts import RolledOutGroup, RolloutPrompt, score_group, training_group
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings, read_sdgrpo
from tests.rl.conftest import imitating, write_settings
from tests.rl.rounds import branches_of, groups_of, played
from tests.rl.test_sdgrpo import begun, deterministic, ended, log_of, weights_of
from tests.student.students import QUESTION, Barcodes, look
from tests.student.test_rollout import ENGINE, STUDENT, dictated
from tests.support import flicker
from tests.support.corpora import sample
from tests.support.made_once import made_once

AIM = replace(sample(0, 0), target=look(100, 300), further_targets=(look(600, 800, 4),), target_source="gold")
WROTE = {
    "both": (
        "<think>A.<span>1.00 - 3.00</span><fps>2</fps>B.<span>6.00 - 8.00</span><fps>4</fps>C.</think><answer>it turns</answer>"
    ),
    "once": "<think>A.<span>1.00 - 2.00</span><fps>2</fps>C.</think><answer>blue</answer>",
    "never": "<think>A.</think><answer>it turns</answer>",
    "broken": "<think>A.<span>1.00 - 3.00</span><fps>2</fps>B.</answer>",
}
TWICE = {"rollout_max_looks": "2", "rollout_max_tokens": "60"}


def settings_of(folder: Path, **changes: str) -> SdgrpoSettings:
    return read_sdgrpo(write_settings(folder / "rl.toml", folder, folder, training_holistic="0.0", **TWICE, **changes))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SdgrpoSettings], RolledOutGroup]:
    """A group in which each way to end has been written once."""
    footage = CachedFootage(Barcodes())
    pieces = prompt_of((COARSE, QUESTION), footage)
    results: list[RolloutResult] = []
    for text in WROTE.values():
        with dictated(text + "<|im_end|>"):
            results += roll(ENGINE, [RolloutRequest(pieces, footage, Sampling(max_tokens=120))], RolloutLimits(max_looks=2))
    prompt = RolloutPrompt(AIM, pieces, footage, 1, Clips())
    return lambda settings: score_group(prompt, results, 1, settings)


def test_each_token_carries_the_advantage_of_its_own_look(
    group: Callable[[SdgrpoSettings], RolledOutGroup], tmp_path: Path
) -> None:
    settings = settings_of(tmp_path)
    rolled = group(settings)
    assert [one.case for one in rolled.rewards] == ["looked", "looked", "no_look", "broken"]
    branches = training_group(rolled, STUDENT.layout, settings).branches
    carried: dict[str, list[tuple[str, float]]] = {}
    for name, branch in zip(WROTE, branches, strict=True):
        ids = branch.sequence.ids[branch.sequence.trained]
        starts = [0, *(np.flatnonzero(np.diff(branch.advantages)) + 1).tolist(), len(ids)]
        carried[name] = [
            (STUDENT.vocabulary.decode(ids[start:stop].tolist()), float(branch.advantages[start]))
            for start, stop in pairwise(starts)
        ]
    both, once, never, broken = (one.segments for one in rolled.advantages)
    assert [text for text, _ in carried["both"]] == [
        "<think>A.<span>1.00 - 3.00</span><fps>2</fps>",
        "B.<span>6.00 - 8.00</span><fps>4</fps>",
        "C.</think><answer>it turns</answer><|im_end|>",
    ]
    for name, segments in (("both", both), ("once", once), ("never", never), ("broken", broken)):
        assert [value for _, value in carried[name]] == pytest.approx(segments, rel=1e-6)
    assert [len(segments) for segments in (both, once, never, broken)] == [3, 2, 1, 1]
    assert both[1] > 0  # the second look found what was missing


@pytest.mark.parametrize("normalise", ["rollout", "segment", "batch"])
def test_segments_weigh_as_the_settings_say(
    normalise: str, group: Callable[[SdgrpoSettings], RolledOutGroup], tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, training_normalise=f'"{normalise}"')
    both = training_group(group(settings), STUDENT.layout, settings).branches[0]
    sizes = [len(words.ids) for words in group(settings).results[0].written]
    ends = np.cumsum([0, *sizes])
    shares = [float(both.weights[start:stop].sum()) for start, stop in pairwise(ends.tolist())]
    expected = {"rollout": [size / sum(sizes) for size in sizes], "segment": [1 / 3] * 3, "batch": list(map(float, sizes))}
    assert shares == pytest.approx(expected[normalise], rel=1e-5)
    assert int(both.reasoning.sum()) == sizes[-1]


def test_the_cost_of_clips_is_that_of_their_tokens(group: Callable[[SdgrpoSettings], RolledOutGroup], tmp_path: Path) -> None:
    rolled = group(settings_of(tmp_path, rewards_token_cost="0.5"))
    both = rolled.results[0]
    assert [one.cost for one in rolled.rewards[0].looks] == [tokens / Clips().look_tokens for tokens in both.look_tokens]
    assert sum(both.look_tokens) + rolled.prompt.footage.coarse().tokens == both.visual_tokens
    free = group(settings_of(tmp_path))
    assert rolled.rewards[0].sampling < free.rewards[0].sampling


# a training


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that has learnt to look twice."""

    def make(folder: Path) -> None:
        imitating(flicker.cot(folder / "cot", 24, 2, replace(flicker.BIASED, twice=True)), folder / "checkpoint-0")

    return made_once(tmp_path_factory, "twice", make) / "checkpoint-0"


def test_what_two_looks_were_sampled_with_is_what_the_update_sees(twice: Path, practice: Path, tmp_path: Path) -> None:
    settings = read_sdgrpo(write_settings(tmp_path / "rl.toml", practice, twice, **TWICE, rollout_group="6"))
    student = load(str(twice))
    rounds = played(student, practice, settings)
    assert {len(result.looks) for one in rounds for result in one.results} >= {1, 2}
    forward = forward_of([one for one in groups_of(rounds, student, settings) if one.branches])
    with torch.no_grad():
        now, _ = log_probs(student.model, forward, settings.rollout.temperature)
    torch.testing.assert_close(now, forward.learnt.sampled_log_probs, atol=1e-4, rtol=1e-4)
    assert any(len(set(branch.advantages.tolist())) == 3 for branch in branches_of(groups_of(rounds, student, settings)))


@pytest.mark.slow
def test_a_training_of_two_looks_resumes_and_says_how_often_it_looked(twice: Path, practice: Path, tmp_path: Path) -> None:
    changes = TWICE | {"training_looks": '"marginal"', "training_scale": '"set"', "rewards_token_cost": "0.1"}
    whole, killed = (
        write_settings(tmp_path / f"{name}.toml", practice, twice, name, **changes) for name in ("whole", "killed")
    )
    undisturbed, disturbed = begun(whole), begun(killed, 3)
    ended(disturbed, 9)
    ended(begun(killed))
    ended(undisturbed)
    lines, resumed = ({line["step"]: line for line in deterministic(log_of(tmp_path / name))} for name in ("whole", "killed"))
    assert resumed == lines
    assert [*lines] == [1, 2, 3, 4]
    assert all(0 < line["looks"] <= 2 for line in lines.values())
    before, after = weights_of(tmp_path / "whole", 4), weights_of(tmp_path / "killed", 4)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_rollout_of_several_looks_needs_room_in_a_forward(practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    from dmforge.schemas.errors import InputError
    from dmforge.trainers.sdgrpo.sdgrpo_checks import open_rl_corpora

    def opened(looks: int) -> Any:
        told = {"rollout_max_looks": str(looks), "training_max_tokens": "1200"}
        return open_rl_corpora(read_sdgrpo(write_settings(tmp_path / "rl.toml", practice, checkpoint, **told)))

    opened(1)
    with pytest.raises(InputError, match="a rollout may have"):
        opened(6)
