"""Who draws with other arithmetic than the trainer's draws from another policy: by how much more or less each token weighs for
that. Pure.

    w_t = min(pi_old(t) / pi_eng(t), cap)

pi_eng is what the engine drew the token from, pi_old what the trainer finds for it with the same weights. A mean over what
pi_eng draws, weighed by pi_old / pi_eng, is the mean over what pi_old would have drawn. Without a cap a few tokens that the
engine thought very unlikely would outweigh all others; with one the mean is a little off, and its noise bounded (truncated
importance sampling). Where both agree w_t is exactly 1.
"""

from __future__ import annotations

import torch


def ratios(old: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """pi_old / pi_eng, from log-probabilities."""
    return torch.exp(old - drawn)


def truncated(told: torch.Tensor, cap: float) -> torch.Tensor:
    """w, from ratios."""
    return told.clamp(max=cap)
