"""Token sampling, shared by all engines, so that a row is continued alike in each of them.

A row draws one number a token from a stream that its seed alone decides. The number picks a token from the tempered
distribution without what is banned; the log-probability is the tempered one before the ban.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class RandomStream:
    """The random numbers of one row, by the index of the token that each of them picks."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=seed))
        self._values: list[float] = []

    def __getitem__(self, token_index: int) -> float:
        while len(self._values) <= token_index:
            self._values.append(self._generator.random())
        return self._values[token_index]


def pick(
    logits: torch.Tensor, temperatures: Sequence[float], uniform_draws: Sequence[float], banned_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each row of logits, and its log-probability. At temperature 0 it is the likeliest."""
    temperature_divisors = torch.tensor([temperature or 1.0 for temperature in temperatures], device=logits.device)
    tempered_logits = (
        logits.float() / temperature_divisors[:, None]
        if logits.dtype != torch.float64
        else logits / temperature_divisors[:, None]
    )
    log_probs = torch.log_softmax(tempered_logits, -1)
    allowed_logits = tempered_logits.clone()
    allowed_logits[:, banned_mask] = float("-inf")
    uniform_thresholds = torch.tensor(uniform_draws, dtype=torch.float64, device=logits.device)
    cumulative_probs = torch.softmax(allowed_logits.double(), -1).cumsum(-1)
    sampled_ids = torch.searchsorted(cumulative_probs, (uniform_thresholds[:, None] * cumulative_probs[:, -1:]), right=True)[
        :, 0
    ].clamp(max=cumulative_probs.shape[1] - 1)
    is_greedy = torch.tensor([temperature == 0 for temperature in temperatures], device=logits.device)
    token_ids = torch.where(is_greedy, allowed_logits.argmax(-1), sampled_ids)
    return token_ids, log_probs.gather(1, token_ids[:, None])[:, 0]
