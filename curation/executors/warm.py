"""Preloaded by the server that killable processes are forked from, so that slow imports happen once, not in each process."""

from __future__ import annotations

from dmforge.curation import lean
from dmforge.curation.executors import worker
from dmforge.curation.lake import views

WARM = (worker, views)
"""Modules that workers and stages import: with DuckDB, 0.2 s for every process otherwise."""

lean.warm_up()
