"""Preloaded by the server that killable processes are forked from, so that slow imports happen once, not in each process."""

from __future__ import annotations

from dmforge.curation.engine.executors import killable_worker
from dmforge.curation.io.process_startup import warm_up
from dmforge.curation.lake import views

WARM = (killable_worker, views)
"""Modules that workers and stages import: with DuckDB, 0.2 s for every process otherwise."""

warm_up()
