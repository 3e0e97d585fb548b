"""The roster of a root stage: the whole list of its inputs as it was last scanned, replaced when it changes."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from dmforge.curation.contract.stage import Root, Stage
from dmforge.curation.io.batching import batched
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import schema, to_arrow
from dmforge.schemas.ids import Id, base32, digest
from dmforge.schemas.records import Item, Record

CHUNK = 10_000
EDITION = "edition"


def publish_roster(lake: Lake, stage: Stage[Item, Record]) -> None:
    """Publish a root stage's list of inputs, unless the published one is still right."""
    if is_current(lake, stage):
        return
    current_roster = lake.roster(stage.name)
    source_version = edition_of(lake.workspace, stage)
    superseded_ids = (current_roster.id,) if current_roster else ()
    # named by what it replaces, too: a list that goes back to what it was must not take the name of the one it superseded
    commit_id = digest("roster", [stage.name, source_version, *superseded_ids])
    commit_draft = CommitDraft(
        "roster",
        stage.name,
        digest("roster", stage.name),
        commit_id,
        {EDITION: base32(source_version)},
        supersedes=superseded_ids,
    )
    lake.publish(commit_draft, {stage.reads.table: map(_as_table, _chunks(lake.workspace, stage))})


def unpublished_roster(lake: Lake, stage: Stage[Item, Record]) -> pa.Table | None:
    """The list as a run would publish it, None if the published one is right: for a plan, which writes nothing."""
    if is_current(lake, stage):
        return None
    return pa.Table.from_batches(list(_chunks(lake.workspace, stage)), schema(stage.reads))


def is_current(lake: Lake, stage: Stage[Item, Record]) -> bool:
    """Whether the list that was last published is still right."""
    current_roster = lake.roster(stage.name)
    return current_roster is not None and current_roster.config.get(EDITION) == base32(edition_of(lake.workspace, stage))


def edition_of(workspace: WorkspaceFolder, stage: Stage[Item, Record]) -> Id:
    """The edition of a root's list: while it stays the same, the published list is right."""
    # with the columns: a list that another version wrote, in other columns, is written anew
    return digest(
        EDITION, [_root(stage).source_version(workspace), schema(stage.reads).names, sorted(forgotten_videos(workspace))]
    )


def _chunks(workspace: WorkspaceFolder, stage: Stage[Item, Record]) -> Iterator[pa.RecordBatch]:
    forgotten_ids, video_column = forgotten_videos(workspace), stage.reads.video_column
    scanned_records = (
        scanned_record
        for scanned_record in _root(stage).scan(workspace)
        if getattr(scanned_record, video_column) not in forgotten_ids
    )
    for record_chunk in batched(scanned_records, CHUNK):
        yield to_arrow(stage.reads, record_chunk)


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _root(stage: Stage[Item, Record]) -> Root:
    if not isinstance(stage, Root):
        raise TypeError(f"{stage.name} reads a table: only a root has a list of its own")
    return stage
