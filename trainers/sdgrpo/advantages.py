"""How much better a rollout was than the others of its group, for each of its segments. Pure.

A rollout that made K looks has K + 1 segments: up to the end of each look, and the reasoning behind the last clip. Looks that
were asked for in one turn are one look here.

    normalised(R) = (R - mean R) / (std R + eps)     over the rollouts that are compared; 0 where all have earned the same

    A_k     of look k, from R_k (rewards.py): compared are the rollouts that could have made it, which are not broken and made
            k - 1 looks; for k = 1 it is the whole group, broken ones with 0. Who stopped there has earned R_k = 0, or, where
            looks are credited as a set, what its set has earned. So how often to look is learnt, too
    A_reas  from R_reason, over all rollouts of a prompt
    A_hol   from R_samp + R_reason, over all rollouts of a prompt
    token:  holistic * A_hol + (1 - holistic) * A of its own segment

    stopped at K < N    its last segment carries the mean of A_reas and A_(K+1), if anyone in the group made look K + 1; without
                        any look that always
    broken              all tokens carry A_1
    no target window    A_hol stands for every A_k

With `scale` = "set" A_k is divided by the std of R_samp over the group, in place of that of R_k.

With N = 1 this is: A_samp for the tokens up to and including </fps>, A_reas for those behind the clip, and without a look the
mean of both. std is that of a sample (G - 1 below the root), as in TRL, and so is eps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dmforge.trainers.sdgrpo.rewards import Reward, rewards_of_looks
from dmforge.trainers.sdgrpo.sdgrpo_settings import AdvantageScale, LookCredit, RewardSettings

EPS = 1e-4
WITHOUT_DENSITY = 0.5
"""The default of `holistic` where no density is rewarded (docs/training.md says why)."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CreditRules:
    """How the looks of a rollout are told apart from each other."""

    max_looks: int = 1
    credit: LookCredit = "to_go"
    scale: AdvantageScale = "own"
    weights: RewardSettings = field(default_factory=RewardSettings)


@dataclass(frozen=True, slots=True)
class Advantage:
    """The advantages of one rollout's tokens."""

    segments: tuple[float, ...]
    """Of each segment, in their order; one alone where nothing was shown."""

    @property
    def is_signal(self) -> bool:
        return any(self.segments)


def normalised(rewards: Sequence[float] | Floats, spread: float | None = None) -> Floats:
    """(R - mean) / (std + eps); exactly 0 where all rewards are equal. `spread` stands for the std."""
    reward_array = np.asarray(rewards, np.float64)
    if len(reward_array) < 2 or (reward_array == reward_array[0]).all() or spread == 0:
        return np.zeros(len(reward_array))
    return (reward_array - reward_array.mean()) / ((reward_array.std(ddof=1) if spread is None else spread) + EPS)


def advantages(
    rewards: Sequence[Reward], holistic_weight: float, *, has_target: bool, rules: CreditRules | None = None
) -> list[Advantage]:
    """The advantages of each rollout of a group."""
    rules = rules or CreditRules()
    reasoning_advantages = normalised([rollout_reward.reasoning for rollout_reward in rewards])
    holistic_advantages = normalised([rollout_reward.sampling + rollout_reward.reasoning for rollout_reward in rewards])
    look_advantages = [
        _advantages_of_look(rewards, look_index, holistic_advantages, has_target, rules)
        for look_index in range(rules.max_looks)
    ]
    return [
        _blend(
            _segments(rollout_reward, rollout_index, look_advantages, float(reasoning_advantages[rollout_index])),
            float(holistic_advantages[rollout_index]),
            holistic_weight,
        )
        for rollout_index, rollout_reward in enumerate(rewards)
    ]


def _advantages_of_look(
    rewards: Sequence[Reward], look_index: int, holistic_advantages: Floats, has_target: bool, rules: CreditRules
) -> dict[int, float]:
    """A_k of the rollouts that could have made a look, by their index; none where nobody made it, but for the first look."""
    compared = [
        rollout_index
        for rollout_index, rollout_reward in enumerate(rewards)
        if look_index == 0 or (rollout_reward.case != "broken" and len(rollout_reward.looks) >= look_index)
    ]
    if look_index > 0 and all(len(rewards[rollout_index].looks) == look_index for rollout_index in compared):
        return {}
    if not has_target:
        return {rollout_index: float(holistic_advantages[rollout_index]) for rollout_index in compared}
    look_rewards = [_reward_of_look(rewards[rollout_index], look_index, rules) for rollout_index in compared]
    spread = _spread([rollout_reward.sampling for rollout_reward in rewards]) if rules.scale == "set" else None
    return dict(zip(compared, map(float, normalised(look_rewards, spread)), strict=True))


def _spread(rewards: Sequence[float]) -> float:
    """The std; exactly 0 where all are equal."""
    return 0.0 if len(set(rewards)) < 2 else float(np.std(rewards, ddof=1))


def _reward_of_look(rollout_reward: Reward, look_index: int, rules: CreditRules) -> float:
    if look_index < len(rollout_reward.looks):
        return rewards_of_looks(rollout_reward, rules.credit, rules.weights)[look_index]
    return rollout_reward.sampling if rules.credit == "set" else 0.0


def _segments(
    rollout_reward: Reward, rollout_index: int, look_advantages: Sequence[dict[int, float]], reasoning_advantage: float
) -> tuple[float, ...]:
    if rollout_reward.case == "broken":
        return (look_advantages[0][rollout_index],)
    looks_made = len(rollout_reward.looks)
    of_looks = tuple(look_advantages[look_index][rollout_index] for look_index in range(looks_made))
    of_stopping = look_advantages[looks_made].get(rollout_index) if looks_made < len(look_advantages) else None
    of_reasoning = reasoning_advantage if of_stopping is None else (of_stopping + reasoning_advantage) / 2
    return (*of_looks, of_reasoning)


def _blend(segment_advantages: tuple[float, ...], holistic_advantage: float, holistic_weight: float) -> Advantage:
    return Advantage(
        tuple(
            holistic_weight * holistic_advantage + (1 - holistic_weight) * segment_advantage
            for segment_advantage in segment_advantages
        )
    )


def holistic_share(setting: float | None, *, density_counts: bool) -> float:
    """The share of a token's advantage that is the whole trajectory's, for a sample."""
    if setting is not None:
        return setting
    return 0.0 if density_counts else WITHOUT_DENSITY
