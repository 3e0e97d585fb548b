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

from dmforge.trainers.rewards import Reward

EPS = 1e-4
WITHOUT_DENSITY = 0.5
"""`holistic` where no density is rewarded and nothing else is asked for (docs/training.md says why)."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Advantage:
    """What the tokens of one rollout carry."""

    sampling: float
    reasoning: float

    @property
    def is_signal(self) -> bool:
        return bool(self.sampling or self.reasoning)


def normalised(rewards: Sequence[float] | Floats) -> Floats:
    """(R - mean) / (std + eps), and exactly 0 where there is no difference."""
    told = np.asarray(rewards, np.float64)
    if len(told) < 2 or (told == told[0]).all():
        return np.zeros(len(told))
    return (told - told.mean()) / (told.std(ddof=1) + EPS)


def advantages(rewards: Sequence[Reward], holistic: float, *, has_target: bool) -> list[Advantage]:
    """Of each rollout of a group."""
    sampling = np.array([one.sampling for one in rewards])
    reasoning = np.array([one.reasoning for one in rewards])
    whole = normalised(sampling + reasoning)
    first = normalised(sampling) if has_target else whole
    second = normalised(reasoning)
    return [
        _blended(one, float(a), float(b), float(c), holistic)
        for one, a, b, c in zip(rewards, first, second, whole, strict=True)
    ]


def _blended(reward: Reward, sampling: float, reasoning: float, whole: float, holistic: float) -> Advantage:
    if reward.case == "no_look":
        sampling = reasoning = (sampling + reasoning) / 2
    elif reward.case == "broken":
        reasoning = sampling
    return Advantage(*(holistic * whole + (1 - holistic) * own for own in (sampling, reasoning)))


def holistic_of(asked: float | None, *, density_counts: bool) -> float:
    """How much of a token's advantage is the whole trajectory's, for a sample."""
    if asked is not None:
        return asked
    return 0.0 if density_counts else WITHOUT_DENSITY
