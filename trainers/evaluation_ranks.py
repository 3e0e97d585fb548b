"""Ranks that share an evaluation: each rolls out every n-th sample, and all of them know all rows in the end."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among those that `torchrun` has started."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, setting: str) -> str:
        """The device of this process: each has a GPU of its own."""
        return f"cuda:{self.local_rank}" if setting == "auto" and torch.cuda.is_available() else "cpu"

    def share(self, numbers: Sequence[int]) -> list[int]:
        """The part of a list that falls to this process."""
        return list(numbers[self.rank :: self.count])

    def joined(self, own: Sequence[T], total: int) -> list[T]:
        """What all processes have made of their shares, in the order of the whole list."""
        if self.count == 1:
            return list(own)
        shares: list[list[T]] = [[] for _ in range(self.count)]
        dist.all_gather_object(shares, list(own))
        return [shares[number % self.count][number // self.count] for number in range(total)]


ALONE = Ranks()


def process_count() -> int:
    """How many processes `torchrun` has started for this work."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def ranks() -> Generator[Ranks]:
    """Join the other processes, where there are any."""
    count = process_count()
    if count == 1:
        yield ALONE
        return
    rank, local_rank = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    joins = not dist.is_initialized()  # whoever has trained in this process has joined them already
    if joins:
        dist.init_process_group("gloo")  # only small rows go from one to the other, and none of them lie on a GPU
    try:
        yield Ranks(rank, count, local_rank)
    finally:
        if joins:
            dist.destroy_process_group()
