"""The C library's heaps: each thread has its own, full of holes that no other fills, so that memory creeps up in a long run."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8
"""The option of glibc's mallopt that limits the number of heaps."""


def few_heaps() -> None:
    """Limit malloc to one heap. To be called before any thread starts; does nothing where the C library isn't glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
