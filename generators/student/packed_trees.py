"""What lies in a packed row: transcripts one behind the other, each perhaps with branches, told by its text positions.

Where text positions start anew at 0, a transcript begins; where they start anew at p > 0, a branch does: another continuation
of the first p tokens of the transcript before it. So rollouts of one prompt share it in one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch


@dataclass(frozen=True, slots=True)
class PackedTree:
    """A transcript, with branches: other continuations of its first `shared` tokens."""

    length: int
    shared: int = 0
    branches: tuple[int, ...] = ()
    """The length of each branch, in tokens."""

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.length, *self.branches


def trees_in(position_ids: torch.Tensor) -> list[PackedTree]:
    """The transcripts in a packed row, with their branches. Cached on the tensor: the layers after the first look it up."""
    cached_trees = getattr(position_ids, "dmforge_trees", None)
    if cached_trees is None:
        text_positions = position_ids[0]
        run_starts = [0, *(torch.nonzero(text_positions[1:] != text_positions[:-1] + 1)[:, 0] + 1).tolist()]
        cached_trees = []
        for first_position, (run_start, run_end) in zip(
            text_positions[run_starts].tolist(), pairwise([*run_starts, len(text_positions)]), strict=True
        ):
            if not cached_trees or first_position == 0:
                cached_trees.append(PackedTree(run_end - run_start))
                continue
            last_tree = cached_trees[-1]
            if first_position > last_tree.length or (last_tree.branches and first_position != last_tree.shared):
                raise ValueError(
                    f"the branch at token {run_start} continues {first_position} tokens, which no transcript before it has"
                )
            cached_trees[-1] = PackedTree(last_tree.length, first_position, (*last_tree.branches, run_end - run_start))
        position_ids.dmforge_trees = cached_trees  # pyright: ignore[reportAttributeAccessIssue]
    return cached_trees
