"""Export to a Hugging Face dataset: a folder of videos with `metadata.parquet`, whose `*_file_name` are `Video` features."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dmforge.curation.exports.parquet_rows import write_parquet
from dmforge.curation.exports.row_format import ClippedSample, ExportTables, RowFormat, TableRow
from dmforge.curation.shards.document import LOOK_FIELDS, as_json, has_limits
from dmforge.curation.shards.folders import Manifest
from dmforge.schemas.dialects.dialect import Dialect

ROWS, LIMITED = "rows", "limited"
METADATA = "metadata.parquet"


def _rows(clipped: ClippedSample, dialect: Dialect) -> Iterator[TableRow]:
    """A row a sample. Windows and options are lists here, since Parquet has a schema; a transcript stays its pieces."""
    sample, video = clipped.sample, clipped.video
    if has_limits(sample):
        yield LIMITED, {}  # then all pieces have the fields of boxes and quotas
    yield (
        ROWS,
        {
            **as_json(sample, with_limits=True),
            "options": list(sample.options),
            "windows": [gold_window.bounds_s for gold_window in sample.windows],
            "video": video.video,
            "grid_file_name": clipped.grid_path,
            "coarse_file_name": clipped.coarse.path,
            "looks_file_names": [clip.path for clip in clipped.looks],
            "clips": clipped.clips_json(),
            "duration_s": video.duration_cs / 100,
            "source": video.source,
            "licence": video.licence,
            "namespace": video.namespace,
            "source_id": video.source_id,
        },
    )


def _finish(tables: ExportTables) -> None:
    import pyarrow as pa

    hidden_fields = () if tables.counts[LIMITED] else LOOK_FIELDS[2:]
    text, number = pa.string(), pa.float64()
    clip_fields: Any = {
        "path": text, "start_s": number, "fps": number, "frame_times_s": pa.list_(number), "stamps_s": pa.list_(number),
    }  # fmt: skip
    piece_fields = ("author", "kind", "text", *LOOK_FIELDS)
    column_types: dict[str, Any] = {
        "duration_s": number, "options": pa.list_(text), "windows": pa.list_(pa.list_(number)),
        "looks_file_names": pa.list_(text), "clips": pa.list_(pa.struct(clip_fields)),
        "pieces": pa.list_(pa.struct([(name, text) for name in piece_fields if name not in hidden_fields])),
    }  # fmt: skip
    hidden_columns = {f"target_{field}" for field in hidden_fields}
    columns = [name for name in next(tables.rows(ROWS)) if name not in hidden_columns]
    schema = pa.schema({name: column_types.get(name, text) for name in columns})
    write_parquet(tables.place, METADATA, schema, ({name: row[name] for name in columns} for row in tables.rows(ROWS)))
    with tables.place.file("README.md") as file:
        file.write(_card(tables.manifest).encode())


def _card(manifest: Manifest) -> str:
    return f"""---
pretty_name: {json.dumps(manifest.corpus)}
configs:
- config_name: default
  data_files:
  - split: train
    path:
    - {METADATA}
    - videos/*.mp4
---

# {manifest.corpus}

{manifest.samples} samples about {manifest.videos} videos, exported from the selection `{manifest.selection}`: its card says
where they come from, under which licences, and how they were judged. `source` and `licence` stand on each row.

`coarse` is the overview, `looks` are the clips of the trajectory, `grid` is the video that looks are cut from, 12 frames a
second. Frames of all of them have the times of the video; `clips` lists these, and the stamps under which a student is shown
them.
"""


HF = RowFormat(_rows, _finish, has_grid=True)
