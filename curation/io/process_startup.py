"""What a process of ours does first, to start sooner and to keep its memory: few heaps, and Arrow without pandas.

Each thread of the C library has a heap of its own, full of holes that no other fills: memory creeps up in a long run. And the
first conversion of Arrow imports pandas where it is installed, .3 s at every start, though no command needs it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

M_ARENA_MAX = -8
"""In glibc's malloc.h: how many heaps there may be."""


def few_heaps() -> None:
    """Limit malloc to one heap. To be called before any thread starts; does nothing where the C library isn't glibc."""
    mallopt_function = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt_function is not None:
        mallopt_function(M_ARENA_MAX, 1)


class _WithoutPandas:
    """Hides pandas from imports while it is installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        if fullname == "pandas":
            raise ImportError("Arrow is warmed up without pandas")


def warm_up() -> None:
    """Do Arrow's first conversion without pandas. Only for dmforge's own processes: in a user's, `to_pandas` must work."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    pandas_blocker = _WithoutPandas()
    sys.meta_path.insert(0, pandas_blocker)
    try:
        pa.array([b""])
    finally:
        sys.meta_path.remove(pandas_blocker)
