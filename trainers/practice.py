"""One round of practice: prompts are rolled out G times each, rewarded and compared. No model is changed here.

Each rollout draws from a stream of its own, whose seed is a digest of what it is of: seed, round, task, index, attempt. So a
round is the same whoever rolls it out, beside whatever, before or after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.shards.corpus import Example
from dmforge.curation.shards.document import ShardSample
from dmforge.generators.engines.contract import Engine, Sampling
from dmforge.generators.footage import Kept, Shown
from dmforge.generators.renditions import footage_of
from dmforge.generators.retrace import log_probs, retrace_behind
from dmforge.generators.rollout import Limits, Quest, Rolled, prompt_of, roll
from dmforge.generators.student.layout import Layout
from dmforge.schemas.clips import Clips
from dmforge.schemas.ids import digest
from dmforge.trainers.advantages import Advantage, advantages, holistic_of
from dmforge.trainers.branches import Branch, Group
from dmforge.trainers.rewards import Goal, Reward, goal_of, reward
from dmforge.trainers.sdgrpo_settings import SdgrpoSettings


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task with its coarse clip, which was decoded in a worker."""

    sample: ShardSample
    shown: tuple[Shown, ...]
    footage: Kept
    weight: int
    """0 where it only keeps the ranks in step."""


@dataclass(frozen=True)
class Prompts:
    """What a DataLoader collates with."""

    clips: Clips

    def __call__(self, examples: Sequence[tuple[Example, int]]) -> list[Prompt]:
        return [self._prompt(example, weight) for example, weight in examples]

    def _prompt(self, example: Example, weight: int) -> Prompt:
        footage = Kept(footage_of(example, self.clips), None)
        return Prompt(example.sample, prompt_of(example.sample.transcript.pieces, footage), footage, weight)


@dataclass(frozen=True, slots=True)
class Played:
    """A prompt with what its group made of it."""

    prompt: Prompt
    goal: Goal
    rolled: tuple[Rolled, ...]
    rewards: tuple[Reward, ...]
    advantages: tuple[Advantage, ...]
    holistic: float
    attempts: int

    @property
    def is_signal(self) -> bool:
        """Whether anyone did better than the others."""
        return any(one.is_signal for one in self.advantages)


def practise(engine: Engine, prompts: Sequence[Prompt], number: int, settings: SdgrpoSettings) -> list[Played]:
    """A round, by its number: a group without signal is rolled out again, as often as the settings say."""
    found: dict[int, Played] = {}
    waiting = list(range(len(prompts)))
    for attempt in range(settings.rollout.resample + 1):
        for first in range(0, len(waiting), settings.rollout.at_once):
            chosen = waiting[first : first + settings.rollout.at_once]
            found |= zip(chosen, _played(engine, [prompts[at] for at in chosen], number, attempt, settings), strict=True)
        waiting = [at for at in waiting if not found[at].is_signal]
    return [found[at] for at in range(len(prompts))]


def _played(engine: Engine, prompts: Sequence[Prompt], number: int, attempt: int, settings: SdgrpoSettings) -> Iterable[Played]:
    told = settings.rollout
    quests = [
        Quest(prompt.shown, prompt.footage, Sampling(told.temperature, seed, told.most_tokens))
        for prompt in prompts
        for seed in seeds(settings.training.seed, number, prompt.sample.id, attempt, told.group)
    ]
    rolled = roll(engine, quests, Limits(most_looks=1, most_visual_tokens=told.most_visual_tokens))
    for at, prompt in enumerate(prompts):
        yield judged(prompt, rolled[at * told.group : (at + 1) * told.group], attempt + 1, settings)


def seeds(seed: int, number: int, sample: str, attempt: int, group: int) -> list[int]:
    """Of the rollouts of a group."""
    told = (digest("practice", [seed, number, sample, index, attempt]) for index in range(group))
    return [int.from_bytes(one[:8], "big") for one in told]


def judged(prompt: Prompt, rolled: Sequence[Rolled], attempts: int, settings: SdgrpoSettings) -> Played:
    """A group with its rewards and advantages."""
    goal = goal_of(prompt.sample, settings.rewards)
    rewards = [reward(goal, one.ending, one.trajectory, settings.rewards) for one in rolled]
    holistic = holistic_of(settings.training.holistic, density_counts=goal.fps is not None)
    found = advantages(rewards, holistic, has_target=goal.has_target)
    return Played(prompt, goal, tuple(rolled), tuple(rewards), tuple(found), holistic, attempts)


def learnable(played: Played, layout: Layout, settings: SdgrpoSettings) -> Group:
    """The rollouts of a group as training takes them. Weights are those within a rollout, before they are divided by how many
    rollouts, or tokens, there are. What can't change a weight of the model is left out."""
    prompt = layout.join(layout.stretches(played.prompt.shown))
    branches: list[Branch] = []
    for rolled, earned, carried in zip(played.rolled, played.rewards, played.advantages, strict=True):
        if not rolled.written or not (carried.is_signal or settings.training.beta):
            continue
        laid = retrace_behind(prompt, rolled, played.prompt.footage, layout)
        reasoning = laid.reasoning[laid.trained] & (earned.case == "looked")
        carries = np.where(reasoning, carried.reasoning, carried.sampling).astype(np.float32)
        branches.append(Branch(laid, log_probs(rolled), carries, weights(reasoning, settings.training.normalise), reasoning))
    return Group(prompt, tuple(branches))


def weights(reasoning: NDArray[np.bool_], normalise: str) -> NDArray[np.float32]:
    """1/|M_i| for each token of a rollout; or 1/|M_seg| in each segment, halved where there are two; or 1, to be divided by
    all tokens of an update."""
    if normalise == "batch":
        return np.ones(len(reasoning), np.float32)
    if normalise == "rollout":
        return np.full(len(reasoning), 1 / len(reasoning), np.float32)
    sizes = [int((~reasoning).sum()), int(reasoning.sum())]
    segments = sum(size > 0 for size in sizes)
    return np.array([1 / (segments * sizes[int(one)]) for one in reasoning], np.float32)
