"""Memory that a long run is done with, given back: what libraries and threads keep of it only grows."""

from __future__ import annotations

import ctypes

import pyarrow as pa

M_ARENA_MAX = -8
"""In glibc's malloc.h: how many heaps there may be. Each thread else has one, full of holes, and no holes are shared."""


def one_arena() -> None:
    """One heap for all threads that begin from now on. Where the C library isn't glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def give_back() -> None:
    """What Arrow holds on to: the most that anything took."""
    pa.default_memory_pool().release_unused()
