"""The samples of another selection, for a comparison: of another workspace, or of a folder of shards, however old."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.index import INDEX, read_rows
from dmforge.curation.shards.stores import selection_place
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, read

ID = pa.binary(ID_BYTES)
SCHEMA = pa.schema([("id", ID), ("corpus", pa.string()), ("candidate", ID), ("task", ID)])


def samples_of_view(view: LakeView) -> pa.Table:
    """The samples that a workspace selects now."""
    sql = "SELECT id, corpus, candidate, task FROM samples"
    samples = view.cursor(sql).sql(sql).to_arrow_table()
    return samples.cast(SCHEMA)


def samples_of_shards(folder: Path) -> pa.Table:
    """The samples in a folder of shards. An index has their ids, but not what they were made from."""
    folder = Path(selection_place(str(folder)))
    manifest, index = folder / MANIFEST, folder / INDEX
    if not manifest.is_file():
        hint = (
            "give the folder of a workspace, or one with a manifest.json, shards/<corpus>/<selection>; "
            "dmforge audit likeness compares with any set"
        )
        raise InputError("neither a workspace nor shards", where=f"--with {folder}", hint=hint)
    with disk_errors(manifest), index.open("rb") as index_file:
        corpus = parse_manifest(manifest.read_bytes(), str(manifest)).corpus
        sample_ids = [read(sample_id)[1] for index_row in read_rows(index_file, str(index)) for sample_id in index_row.samples]
    null_ids = pa.nulls(len(sample_ids), ID)
    return pa.table(
        [pa.array(sample_ids, ID), pa.array([corpus] * len(sample_ids), pa.string()), null_ids, null_ids], schema=SCHEMA
    )
