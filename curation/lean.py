"""Arrow without pandas: the first conversion imports it where it is installed, .3 s at every start, and no command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class _WithoutPandas(MetaPathFinder):
    """Hides pandas from imports while it is installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        if fullname == "pandas":
            raise ImportError("Arrow is warmed up without pandas")


def warm_up() -> None:
    """Do Arrow's first conversion without pandas. Only for dmforge's own processes: in a user's, `to_pandas` must work."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _WithoutPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([b""])
    finally:
        sys.meta_path.remove(finder)
