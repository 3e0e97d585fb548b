"""How much better a rollout was than the others of its group, for each of its two segments. Pure.

    A = (R - mean R) / (std R + eps)        over the G rollouts of a prompt; 0 where all have earned the same

    A_samp  from R_samp,  for policy tokens up to and including </fps>
    A_reas  from R_reason, for policy tokens behind the clip that was injected
    A_hol   from R_samp + R_reason
    token:  holistic * A_hol + (1 - holistic) * A of its own segment

    no look             all tokens carry the mean of A_samp and A_reas
    broken              all tokens are sampling
    no target window    the whole group takes A_hol for A_samp

std is that of a sample (G - 1 below the root), as in TRL, and so is eps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmforge.trainers.sdgrpo.rewards import Reward

EPS = 1e-4
WITHOUT_DENSITY = 0.5
"""The default of `holistic` where no density is rewarded (docs/training.md says why)."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Advantage:
    """The advantages of one rollout's tokens, one for each segment."""

    sampling: float
    reasoning: float

    @property
    def is_signal(self) -> bool:
        return bool(self.sampling or self.reasoning)


def normalised(rewards: Sequence[float] | Floats) -> Floats:
    """(R - mean) / (std + eps); exactly 0 where all rewards are equal."""
    reward_array = np.asarray(rewards, np.float64)
    if len(reward_array) < 2 or (reward_array == reward_array[0]).all():
        return np.zeros(len(reward_array))
    return (reward_array - reward_array.mean()) / (reward_array.std(ddof=1) + EPS)


def advantages(rewards: Sequence[Reward], holistic_weight: float, *, has_target: bool) -> list[Advantage]:
    """The advantages of each rollout of a group."""
    sampling_rewards = np.array([rollout_reward.sampling for rollout_reward in rewards])
    reasoning_rewards = np.array([rollout_reward.reasoning for rollout_reward in rewards])
    holistic_advantages = normalised(sampling_rewards + reasoning_rewards)
    sampling_advantages = normalised(sampling_rewards) if has_target else holistic_advantages
    reasoning_advantages = normalised(reasoning_rewards)
    return [
        _blend(
            rollout_reward, float(sampling_advantage), float(reasoning_advantage), float(holistic_advantage), holistic_weight
        )
        for rollout_reward, sampling_advantage, reasoning_advantage, holistic_advantage in zip(
            rewards, sampling_advantages, reasoning_advantages, holistic_advantages, strict=True
        )
    ]


def _blend(
    reward: Reward, sampling_advantage: float, reasoning_advantage: float, holistic_advantage: float, holistic_weight: float
) -> Advantage:
    if reward.case == "no_look":
        sampling_advantage = reasoning_advantage = (sampling_advantage + reasoning_advantage) / 2
    elif reward.case == "broken":
        reasoning_advantage = sampling_advantage
    return Advantage(
        *(
            holistic_weight * holistic_advantage + (1 - holistic_weight) * segment_advantage
            for segment_advantage in (sampling_advantage, reasoning_advantage)
        )
    )


def holistic_share(setting: float | None, *, density_counts: bool) -> float:
    """The share of a token's advantage that is the whole trajectory's, for a sample."""
    if setting is not None:
        return setting
    return 0.0 if density_counts else WITHOUT_DENSITY
