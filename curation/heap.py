"""The C library's heaps: each thread has its own, full of holes that no other fills, so that memory creeps up in a long run."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8
"""In glibc's malloc.h: how many heaps there may be."""


def few_heaps() -> None:
    """No more heaps than there are: one, while no thread has begun. Where the C library isn't glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
