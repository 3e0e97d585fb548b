"""What a root stage has to work on, written down: the whole list as it was last scanned, replaced when it changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa

from dmforge.curation.lake.commits import Draft, Lake
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.stage import Root, Stage
from dmforge.curation.workspace import Workspace
from dmforge.schemas.columns import schema, to_arrow
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Item, Record

CHUNK = 10_000
EDITION = "edition"


def enrol(lake: Lake, stage: Stage[Item, Record]) -> None:
    """Publish a root stage's list of inputs, unless the one that stands there is still right."""
    if stands(lake, stage):
        return
    current = lake.roster(stage.name)
    edition = _edition(lake.workspace, stage)
    replaced = (current.id,) if current else ()
    # named by what it replaces, too: a list that goes back to what it was must not take the name of the one it superseded
    name = digest("roster", [stage.name, edition, *replaced])
    draft = Draft("roster", stage.name, digest("roster", stage.name), name, {EDITION: base32(edition)}, supersedes=replaced)
    lake.publish(draft, {stage.reads.table: map(_as_table, _chunks(lake.workspace, stage))})


def unpublished(lake: Lake, stage: Stage[Item, Record]) -> pa.Table | None:
    """The list as a run would publish it, or None if the one that stands there is right: for a plan, which writes nothing."""
    if stands(lake, stage):
        return None
    return pa.Table.from_batches(list(_chunks(lake.workspace, stage)), schema(stage.reads))


def stands(lake: Lake, stage: Stage[Item, Record]) -> bool:
    """Whether the list that was last published is the one of now."""
    current = lake.roster(stage.name)
    return current is not None and current.config.get(EDITION) == base32(_edition(lake.workspace, stage))


def _edition(workspace: Workspace, stage: Stage[Item, Record]) -> Id:
    # with the columns: a list that another version wrote, in other columns, is written anew
    return digest(EDITION, [_root(stage).edition(workspace), schema(stage.reads).names, sorted(forgotten_videos(workspace))])


def _chunks(workspace: Workspace, stage: Stage[Item, Record]) -> Iterator[pa.RecordBatch]:
    hidden, column = forgotten_videos(workspace), stage.reads.video_column
    seen = (record for record in _root(stage).scan(workspace) if getattr(record, column) not in hidden)
    while chunk := list(itertools.islice(seen, CHUNK)):
        yield to_arrow(stage.reads, chunk)


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _root(stage: Stage[Item, Record]) -> Root:
    if not isinstance(stage, Root):
        raise TypeError(f"{stage.name} reads a table: only a root has a list of its own")
    return stage
