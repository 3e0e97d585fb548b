"""Imported by the server that killable processes are forked from: what costs time once is paid there, not in each of them."""

from __future__ import annotations

from dmforge.curation import lean
from dmforge.curation.executors import worker
from dmforge.curation.lake import views

WARM = (worker, views)
"""What a worker needs, and what modules of stages import: with DuckDB, 0.2 s for every process otherwise."""

lean.warm_up()
