"""The samples of another selection, to be compared with: of another workspace, or of a folder of shards, however old."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dmforge.curation.atomic import disk_errors
from dmforge.curation.lake.views import View
from dmforge.curation.shards.folders import MANIFEST, parse_manifest
from dmforge.curation.shards.index import INDEX, read_rows
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, read

ID = pa.binary(ID_BYTES)
SCHEMA = pa.schema([("id", ID), ("corpus", pa.string()), ("candidate", ID), ("task", ID)])


def of_view(view: View) -> pa.Table:
    """What a workspace selects now."""
    samples = "SELECT id, corpus, candidate, task FROM samples"
    found = view.cursor(samples).sql(samples).to_arrow_table()
    return found.cast(SCHEMA)


def of_shards(folder: Path) -> pa.Table:
    """What was packed. An index tells samples and nothing of what they were made from."""
    manifest, index = folder / MANIFEST, folder / INDEX
    if not manifest.is_file():
        mend = "give the folder of a workspace, or one with a manifest.json: shards/<corpus>/<selection>"
        raise InputError("neither a workspace nor shards", where=f"--with {folder}", mend=mend)
    with disk_errors(manifest), index.open("rb") as file:
        corpus = parse_manifest(manifest.read_bytes(), str(manifest)).corpus
        ids = [read(sample)[1] for row in read_rows(file, str(index)) for sample in row.samples]
    none = pa.nulls(len(ids), ID)
    return pa.table([pa.array(ids, ID), pa.array([corpus] * len(ids), pa.string()), none, none], schema=SCHEMA)
