"""Forwards of groups of rollouts: a prompt stands once in a row, and all its rollouts branch off behind it.

    prompt | rollout 1 | rollout 2 | ... | prompt | rollout 1 | ...

Text positions say where a rollout begins anew behind its prompt (generators/student/attention.py), so what a token sees is
what it saw when it was written, and gradients flow through the one prompt from all of its rollouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.trainers.batches import ForwardBatch, logits_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Continuation:
    """One rollout behind its prompt, with what the objective needs for each token that the policy wrote, in their order."""

    sequence: LaidOutTranscript
    """The rollout's tokens without those of its prompt."""
    log_probs: NDArray[np.float64]
    """Log-probabilities with which the tokens were sampled."""
    advantages: Floats
    weights: Floats
    """The weight of each token in the objective; those of an update add up to 1."""
    reasoning: NDArray[np.bool_]
    """Whether each token belongs to the reasoning segment."""


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """A prompt with its rollouts."""

    prompt: LaidOutTranscript
    branches: tuple[Continuation, ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(branch.sequence) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class PolicyTokens:
    """The tokens of a forward that the policy wrote, one after the other."""

    columns: torch.Tensor
    """For each token, the column of logits that it was drawn from, among those that are computed."""
    tokens: torch.Tensor
    sampled_log_probs: torch.Tensor
    """Log-probabilities with which the engine sampled the tokens."""
    advantages: torch.Tensor
    weights: torch.Tensor
    reasoning: torch.Tensor

    def to(self, device: torch.device) -> PolicyTokens:
        return PolicyTokens(*(getattr(self, token_field.name).to(device) for token_field in fields(self)))


@dataclass(frozen=True, slots=True)
class GroupedForward:
    """One forward of an update."""

    batch: ForwardBatch
    """Its targets are empty: several tokens may be drawn from one column."""
    learnt: PolicyTokens

    def to(self, device: torch.device) -> GroupedForward:
        return GroupedForward(self.batch.to(device), self.learnt.to(device))


def split_into_forwards(groups: Sequence[PromptGroup], max_tokens: int) -> Iterator[list[PromptGroup]]:
    """The groups of each forward. A group that is too long is split over several forwards, each with its prompt."""
    current_groups: list[PromptGroup] = []
    for prompt_group in groups:
        branches_left = list(prompt_group.branches)
        while branches_left:
            tokens_left = max_tokens - sum(map(len, current_groups)) - len(prompt_group.prompt)
            fitting_count = 0
            for branch_left in branches_left:
                tokens_left -= len(branch_left.sequence)
                if tokens_left < 0:
                    break
                fitting_count += 1
            if not fitting_count and current_groups:
                yield current_groups
                current_groups = []
                continue
            fitting_count = max(
                fitting_count, 1
            )  # a rollout over the limit would go alone; the checks before a training refuse such settings
            current_groups.append(replace(prompt_group, branches=tuple(branches_left[:fitting_count])))
            branches_left = branches_left[fitting_count:]
    if current_groups:
        yield current_groups


def forward_of(groups: Sequence[PromptGroup]) -> GroupedForward:
    """The forward of some groups, side by side in one row."""
    laid_out_sequences: list[LaidOutTranscript] = []
    text_positions: list[NDArray[np.int64]] = []
    predicting_columns_by_branch: list[NDArray[np.int64]] = []
    next_column = 0
    for prompt_group in groups:
        prompt_length = len(prompt_group.prompt)
        laid_out_sequences.append(prompt_group.prompt)
        text_positions.append(np.arange(prompt_length))
        prompt_end = next_column + prompt_length - 1
        next_column += prompt_length
        for branch in prompt_group.branches:
            branch_length = len(branch.sequence)
            laid_out_sequences.append(branch.sequence)
            text_positions.append(np.arange(prompt_length, prompt_length + branch_length))
            # the column before each of its tokens
            predicting_columns = np.append(prompt_end, np.arange(next_column, next_column + branch_length - 1))
            predicting_columns_by_branch.append(predicting_columns[branch.sequence.trained])
            next_column += branch_length
    branches = [branch for prompt_group in groups for branch in prompt_group.branches]
    all_columns = np.concatenate(predicting_columns_by_branch) if predicting_columns_by_branch else np.zeros(0, np.int64)
    learnt_columns, column_indices = np.unique(all_columns, return_inverse=True)
    if not len(learnt_columns):  # a rank that has nothing to learn still goes through the model with the others
        learnt_columns = np.array([next_column - 1])
    position_ids = np.concatenate([sequence.positions for sequence in laid_out_sequences], 1)
    forward_batch = ForwardBatch(
        input_ids=_tensor([sequence.ids for sequence in laid_out_sequences])[None],
        position_ids=torch.from_numpy(np.concatenate([np.concatenate(text_positions)[None], position_ids])[:, None]),
        attention_mask=None,
        patches=_tensor([sequence.patches for sequence in laid_out_sequences]),
        grids=_tensor([sequence.grids for sequence in laid_out_sequences]),
        learnt_columns=torch.from_numpy(learnt_columns),
        targets=torch.empty(1, 0, dtype=torch.long),
    )
    policy_tokens = PolicyTokens(
        torch.from_numpy(column_indices.reshape(-1)),
        _tensor([branch.sequence.ids[branch.sequence.trained] for branch in branches], np.int64),
        _tensor([branch.log_probs for branch in branches], np.float32),
        _tensor([branch.advantages for branch in branches], np.float32),
        _tensor([branch.weights for branch in branches], np.float32),
        _tensor([branch.reasoning for branch in branches], np.bool_),
    )
    return GroupedForward(forward_batch, policy_tokens)


def log_probs(model: torch.nn.Module, forward: GroupedForward, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the tokens that the policy wrote, under the tempered full distribution, and the entropies there."""
    next_token_logits = logits_of(model, forward.batch)[0]
    tempered_logits = (
        next_token_logits if next_token_logits.dtype == torch.float64 else next_token_logits.float()
    ) / temperature
    all_log_probs = torch.log_softmax(tempered_logits, -1)
    with torch.no_grad():
        token_entropies = -(all_log_probs.exp() * all_log_probs).sum(-1)
    policy_tokens = forward.learnt
    return all_log_probs[policy_tokens.columns, policy_tokens.tokens], token_entropies[policy_tokens.columns]


def _tensor(arrays: Sequence[NDArray[np.generic]], dtype: type[np.generic] | None = None) -> torch.Tensor:
    return torch.from_numpy(
        np.ascontiguousarray(np.concatenate([*arrays, *([np.zeros(0, dtype)] if dtype else [])], dtype=dtype))
    )
