"""What an update maximises, token by token: the formulae stand at the head of sdgrpo.py. Pure."""

from __future__ import annotations

import torch

from dmforge.trainers.sdgrpo.branches import PolicyTokens
from dmforge.trainers.sdgrpo.sdgrpo_settings import PolicySettings


def objective(
    new_log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    policy_tokens: PolicyTokens,
    policy: PolicySettings,
    correction_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The part of J of these tokens, without the KL. Their weights hold 1/|M_i| and the mean; `correction_weights` is w_t."""
    policy_ratio = torch.exp(new_log_probs - old_log_probs)
    clipped_ratio = policy_ratio.clamp(1 - policy.epsilon, 1 + policy.epsilon)
    token_gains = torch.minimum(policy_ratio * policy_tokens.advantages, clipped_ratio * policy_tokens.advantages)
    if correction_weights is not None:
        token_gains = token_gains * correction_weights
    return (policy_tokens.weights * token_gains).sum()


def divergences(new_log_probs: torch.Tensor, reference_log_probs: torch.Tensor) -> torch.Tensor:
    """KL_t of each token: never negative, and its mean over what the policy draws is the KL divergence."""
    return torch.exp(reference_log_probs - new_log_probs) - (reference_log_probs - new_log_probs) - 1


def is_clipped(
    new_log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Whether each token's ratio is clipped in the direction of its advantage, so that the token has no gradient."""
    policy_ratio = torch.exp(new_log_probs - old_log_probs)
    return ((policy_ratio > 1 + epsilon) & (advantages > 0)) | ((policy_ratio < 1 - epsilon) & (advantages < 0))
