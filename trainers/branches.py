"""Groups of rollouts become forwards: a prompt stands once in a row, and all that was written behind it branches off from it.

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

from dmforge.generators.student.layout import Laid
from dmforge.trainers.batches import Batch, logits_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Branch:
    """What was written behind a prompt, and what each token that the policy wrote carries, in their order."""

    laid: Laid
    """Without its prompt."""
    log_probs: NDArray[np.float64]
    """As it was sampled."""
    advantages: Floats
    weights: Floats
    """What each token counts in the objective; those of an update add up to 1."""
    reasoning: NDArray[np.bool_]
    """Tokens of the reasoning segment."""


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt with what goes on behind it."""

    prompt: Laid
    branches: tuple[Branch, ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(branch.laid) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Learnt:
    """The tokens of a forward that the policy wrote, one after the other."""

    columns: torch.Tensor
    """Which of the kept logits each was drawn from."""
    tokens: torch.Tensor
    sampled: torch.Tensor
    """Log-probabilities as they were sampled."""
    advantages: torch.Tensor
    weights: torch.Tensor
    reasoning: torch.Tensor

    def to(self, device: torch.device) -> Learnt:
        return Learnt(*(getattr(self, each.name).to(device) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Forward:
    """One forward of an update."""

    batch: Batch
    """Its targets say nothing: a column may have several."""
    learnt: Learnt

    def to(self, device: torch.device) -> Forward:
        return Forward(self.batch.to(device), self.learnt.to(device))


def cut(groups: Sequence[Group], most_tokens: int) -> Iterator[list[Group]]:
    """Groups for one forward after the other. One that is too long is taken apart, and its prompt goes through twice."""
    now: list[Group] = []
    for group in groups:
        rest = list(group.branches)
        while rest:
            room = most_tokens - sum(map(len, now)) - len(group.prompt)
            taken = 0
            for branch in rest:
                room -= len(branch.laid)
                if room < 0:
                    break
                taken += 1
            if not taken and now:
                yield now
                now = []
                continue
            taken = max(taken, 1)  # what can't be cut goes alone: checks refused what may come to that
            now.append(replace(group, branches=tuple(rest[:taken])))
            rest = rest[taken:]
    if now:
        yield now


def forward_of(groups: Sequence[Group]) -> Forward:
    """Groups side by side in one row."""
    laids: list[Laid] = []
    in_text: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    end = 0
    for group in groups:
        shared = len(group.prompt)
        laids.append(group.prompt)
        in_text.append(np.arange(shared))
        last = end + shared - 1
        end += shared
        for branch in group.branches:
            length = len(branch.laid)
            laids.append(branch.laid)
            in_text.append(np.arange(shared, shared + length))
            before = np.append(last, np.arange(end, end + length - 1))  # what stands before each of its tokens
            columns.append(before[branch.laid.trained])
            end += length
    branches = [branch for group in groups for branch in group.branches]
    drawn_from = np.concatenate(columns) if columns else np.zeros(0, np.int64)
    kept, of_kept = np.unique(drawn_from, return_inverse=True)
    if not len(kept):  # a rank that has nothing to learn goes through the model with the others
        kept = np.array([end - 1])
    places = np.concatenate([laid.positions for laid in laids], 1)
    batch = Batch(
        input_ids=_tensor([laid.ids for laid in laids])[None],
        position_ids=torch.from_numpy(np.concatenate([np.concatenate(in_text)[None], places])[:, None]),
        attention_mask=None,
        patches=_tensor([laid.patches for laid in laids]),
        grids=_tensor([laid.grids for laid in laids]),
        kept=torch.from_numpy(kept),
        targets=torch.empty(1, 0, dtype=torch.long),
    )
    learnt = Learnt(
        torch.from_numpy(of_kept.reshape(-1)),
        _tensor([branch.laid.ids[branch.laid.trained] for branch in branches], np.int64),
        _tensor([branch.log_probs for branch in branches], np.float32),
        _tensor([branch.advantages for branch in branches], np.float32),
        _tensor([branch.weights for branch in branches], np.float32),
        _tensor([branch.reasoning for branch in branches], np.bool_),
    )
    return Forward(batch, learnt)


def log_probs(model: torch.nn.Module, forward: Forward, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every token that the policy wrote, under the tempered distribution with nothing banned; and that one's entropy."""
    logits = logits_of(model, forward.batch)[0]
    tempered = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    whole = torch.log_softmax(tempered, -1)
    with torch.no_grad():
        entropies = -(whole.exp() * whole).sum(-1)
    learnt = forward.learnt
    return whole[learnt.columns, learnt.tokens], entropies[learnt.columns]


def _tensor(parts: Sequence[NDArray[np.generic]], kind: type[np.generic] | None = None) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.concatenate([*parts, *([np.zeros(0, kind)] if kind else [])], dtype=kind)))
