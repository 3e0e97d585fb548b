"""Imported by the server that killable processes are forked from: what costs time once is paid there, not in each of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder

import pyarrow as pa

from dmforge.curation.executors import worker
from dmforge.curation.lake import views

WARM = (worker, views)
"""What a worker needs, and what modules of stages import: with DuckDB, 0.2 s for every process otherwise."""


class _WithoutPandas(MetaPathFinder):
    """Arrow's first conversion imports pandas where it is installed: 0.3 s at every start, for what no worker needs."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        if fullname == "pandas":
            raise ImportError("Arrow is warmed up without pandas")


if "pandas" not in sys.modules:
    sys.meta_path.insert(0, _WithoutPandas())
    pa.array([worker.IDLE])
    del sys.meta_path[0]
