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
    logits: torch.Tensor, temperatures: Sequence[float], uniforms: Sequence[float], banned: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each row of logits, and its log-probability. At temperature 0 it is the likeliest."""
    divisors = torch.tensor([temperature or 1.0 for temperature in temperatures], device=logits.device)
    tempered = logits.float() / divisors[:, None] if logits.dtype != torch.float64 else logits / divisors[:, None]
    log_probs = torch.log_softmax(tempered, -1)
    allowed = tempered.clone()
    allowed[:, banned] = float("-inf")
    thresholds = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)
    cumulative = torch.softmax(allowed.double(), -1).cumsum(-1)
    sampled = torch.searchsorted(cumulative, (thresholds[:, None] * cumulative[:, -1:]), right=True)[:, 0].clamp(
        max=cumulative.shape[1] - 1
    )
    is_greedy = torch.tensor([temperature == 0 for temperature in temperatures], device=logits.device)
    tokens = torch.where(is_greedy, allowed.argmax(-1), sampled)
    return tokens, log_probs.gather(1, tokens[:, None])[:, 0]
