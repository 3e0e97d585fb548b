"""Any number of items in lists of at most so many: `itertools.batched`, which Python 3.11 hasn't got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")


def batched(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Lists of `size` items, the last one shorter; none is made before it is asked for."""
    item_iterator = iter(items)
    while batch := list(islice(item_iterator, size)):
        yield batch
