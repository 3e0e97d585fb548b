"""Which pending inputs need a teacher, and which are settled from the journal alone: those that a new reader of replies, or a
setting that changes no question, does anew."""

from __future__ import annotations

import time
from collections.abc import Iterable

from dmforge.curation.contract.stage import Unanswered
from dmforge.curation.engine.executors.concurrent_asks import AnyAsk
from dmforge.curation.engine.executors.event_loop import coroutine_runner
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.records import Item

PROBE_S = 10.0
"""Seconds that a plan takes for it at most. What it hasn't tried by then counts as unanswered: it never says too little."""


def unanswered(stage: AnyAsk, workspace: WorkspaceFolder, items: Iterable[Item]) -> list[Item]:
    """The inputs that need an answer which the journal lacks. Nothing is asked, written or kept."""
    stage.journal_only = True
    try:
        stage.open(workspace)
        with coroutine_runner() as run:
            return run(_tried(stage, items))
    finally:
        stage.journal_only = False


async def _tried(stage: AnyAsk, items: Iterable[Item]) -> list[Item]:
    end_s, unanswered_items, untried_items = time.monotonic() + PROBE_S, list[Item](), iter(items)
    try:
        for item in untried_items:
            if time.monotonic() > end_s:
                return [*unanswered_items, item, *untried_items]
            try:
                await stage.process(item)
            except (Unanswered, DmforgeError):  # a rendition may be missing, say: the run tells
                unanswered_items.append(item)
        return unanswered_items
    finally:
        await stage.aclose()
