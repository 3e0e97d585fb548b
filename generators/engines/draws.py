"""Which token comes next: one way to draw for every engine, so that the same row goes on alike in all of them.

A row draws one number a token from a stream that its seed alone decides. The number picks a token from the tempered
distribution without what is banned; the log-probability is the tempered one before the ban.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Stream:
    """The numbers of one row, by the place of the token that they pick."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.Generator(np.random.Philox(key=seed))
        self._drawn: list[float] = []

    def __getitem__(self, place: int) -> float:
        while len(self._drawn) <= place:
            self._drawn.append(self._numbers.random())
        return self._drawn[place]


def pick(
    logits: torch.Tensor, temperatures: Sequence[float], draws: Sequence[float], banned: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A token for each row of logits, and its log-probability. At temperature 0 it is the likeliest."""
    heats = torch.tensor([temperature or 1.0 for temperature in temperatures], device=logits.device)
    tempered = logits.float() / heats[:, None] if logits.dtype != torch.float64 else logits / heats[:, None]
    log_probs = torch.log_softmax(tempered, -1)
    allowed = tempered.clone()
    allowed[:, banned] = float("-inf")
    numbers = torch.tensor(draws, dtype=torch.float64, device=logits.device)
    mass = torch.softmax(allowed.double(), -1).cumsum(-1)
    drawn = torch.searchsorted(mass, (numbers[:, None] * mass[:, -1:]), right=True)[:, 0].clamp(max=mass.shape[1] - 1)
    greedy = torch.tensor([temperature == 0 for temperature in temperatures], device=logits.device)
    tokens = torch.where(greedy, allowed.argmax(-1), drawn)
    return tokens, log_probs.gather(1, tokens[:, None])[:, 0]
