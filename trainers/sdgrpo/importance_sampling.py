"""Importance sampling weights of tokens that an engine drew with other arithmetic than the trainer's. Pure.

    w_t = min(pi_old(t) / pi_eng(t), cap)

pi_eng is the probability with which the engine drew the token, pi_old the one that the trainer computes with the same
weights. A mean over what pi_eng draws, weighted by pi_old / pi_eng, is the mean over what pi_old would have drawn. Without a
cap a few tokens that the engine thought very unlikely would outweigh all others; with one the mean is a little off, and its
noise bounded (truncated importance sampling). Where both agree w_t is exactly 1.
"""

from __future__ import annotations

import torch


def importance_ratios(trainer_log_probs: torch.Tensor, engine_log_probs: torch.Tensor) -> torch.Tensor:
    """pi_old / pi_eng of each token, from log-probabilities."""
    return torch.exp(trainer_log_probs - engine_log_probs)


def truncated_weights(ratios: torch.Tensor, max_weight: float) -> torch.Tensor:
    """w of each token: its ratio, at most `max_weight`."""
    return ratios.clamp(max=max_weight)
