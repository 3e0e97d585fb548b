"""The index of a packed selection: for each video its shard and offsets, its members, its samples and their costs.

`index.parquet` is for DuckDB and for people: a row a video. A training process needs a few numbers of one sample among
millions, at random, and there are many such processes. So each spools the numbers into an unnamed file and maps that: its
memory doesn't grow with the corpus.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import disk_errors, writing
from dmforge.curation.io.batching import batched
from dmforge.curation.io.foreign_parquet import open_parquet, pieces
from dmforge.curation.shards.tars import MAX_MEMBER
from dmforge.schemas.errors import InputError

INDEX = "index.parquet"
SUFFIXES = ("coarse.mp4", "json", "mp4")
"""The members of a video, in their order."""
MAX_OFFSET = 1 << 50
"""An upper bound on offsets and token counts: a thousand times more than there will ever be."""
ROWS_PER_BATCH = 1024
"""How many videos are read or converted to columns at once."""
ROWS_PER_GROUP = 1 << 13
"""How many videos are written as one row group: readers hold metadata of each group."""


@dataclass(frozen=True, slots=True)
class VideoIndexRow:
    """A video in a shard."""

    shard: str
    key: str
    offset: int
    """The offset of its first header; its members follow one another."""
    size: int
    """Its bytes, up to the next video."""
    coarse_offset: int
    coarse_size: int
    coarse_sha256: str
    json_offset: int
    json_size: int
    json_sha256: str
    grid_offset: int
    grid_size: int
    grid_sha256: str
    samples: tuple[str, ...]
    visual_tokens: tuple[int, ...]
    """The visual tokens of each sample: of all clips in its transcript."""
    text_bytes: tuple[int, ...]
    """The text bytes of each sample: of all texts in its transcript, and the stamps of its clips."""


SCHEMA = pa.schema([
    *((name, pa.string()) for name in ("shard", "key")),
    *((name, pa.int64()) for name in ("offset", "size")),
    *(
        column
        for member in ("coarse", "json", "grid")
        for column in ((f"{member}_offset", pa.int64()), (f"{member}_size", pa.int64()), (f"{member}_sha256", pa.string()))
    ),
    ("samples", pa.list_(pa.string())),
    ("visual_tokens", pa.list_(pa.int64())),
    ("text_bytes", pa.list_(pa.int64())),
])  # fmt: skip

SAMPLE_DTYPE = np.dtype([("video", "<u4"), ("index", "<u4"), ("cost", "<i8")])
TEXT_BYTES_PER_TOKEN = 3
"""A cautious estimate; a tokenizer can count instead."""


def write_index(path: Path, rows: Iterable[VideoIndexRow]) -> str:
    """Write the index to a file and return its sha256."""
    with (
        writing(path) as index_file,
        pq.ParquetWriter(pa.PythonFile(index_file, "w"), SCHEMA, compression="zstd") as parquet_writer,
    ):
        chunk_tables: list[pa.Table] = []  # as columns, which take a fifth of the memory of rows
        for row_chunk in batched(rows, ROWS_PER_BATCH):
            values_by_column = {
                column_field.name: [getattr(row, column_field.name) for row in row_chunk]
                for column_field in fields(VideoIndexRow)
            }
            chunk_tables.append(pa.table(values_by_column, schema=SCHEMA))
            if len(chunk_tables) == ROWS_PER_GROUP // ROWS_PER_BATCH:
                parquet_writer.write_table(pa.concat_tables(chunk_tables).combine_chunks())
                chunk_tables.clear()
        if chunk_tables:
            parquet_writer.write_table(pa.concat_tables(chunk_tables).combine_chunks())
    return index_file.sha256


def read_rows(file: IO[bytes], where: str) -> list[VideoIndexRow]:
    """All rows of an index, one shard after the other."""
    index_rows: list[VideoIndexRow] = []
    for record_batch in _batches(file, where):
        for row_values in record_batch.to_pylist():
            index_rows.append(_row_from(row_values))
    return index_rows


def _row_from(row_values: dict[str, Any]) -> VideoIndexRow:
    fields_by_name: dict[str, Any] = {
        column_name: tuple(cell_value) if isinstance(cell_value, list) else cell_value
        for column_name, cell_value in row_values.items()
    }
    return VideoIndexRow(**fields_by_name)


def find_row(path: Path, video_key: str) -> VideoIndexRow | None:
    """The row of one video, None where the index has none."""
    with disk_errors(path), path.open("rb") as index_file:
        for record_batch in _batches(index_file, str(path)):
            batch_keys = _texts(record_batch, "key")
            if video_key in batch_keys:
                (row_values,) = record_batch.slice(batch_keys.index(video_key), 1).to_pylist()
                return _row_from(row_values)
    return None


def keys_of(folder: Path) -> set[str]:
    """The keys of all videos in a folder of shards."""
    index_path = folder / INDEX
    with disk_errors(index_path), index_path.open("rb") as index_file:
        return {
            video_key for record_batch in _batches(index_file, str(index_path)) for video_key in _texts(record_batch, "key")
        }


class VideoLocation(NamedTuple):
    """Where a video lies: the numeric fields of its `VideoIndexRow`, which are those of `VIDEO_DTYPE`."""

    shard: int
    offset: int
    size: int
    coarse_offset: int
    coarse_size: int
    json_offset: int
    json_size: int
    grid_offset: int
    grid_size: int


class SampleLocations:
    """Where all samples lie, as memory-mapped arrays: `videos`, and `samples` in the order of the shards."""

    def __init__(self, file: IO[bytes], shard_names: Sequence[str], where: str) -> None:
        shard_numbers = {shard_name: shard_number for shard_number, shard_name in enumerate(shard_names)}
        with tempfile.TemporaryFile() as videos_file, tempfile.TemporaryFile() as samples_file:
            video_count = 0
            column_names = [*(column_name for column_name in VIDEO_DTYPE.names or ()), "visual_tokens", "text_bytes"]
            for record_batch in _batches(file, where, column_names):
                _spool_videos(videos_file, record_batch, _shard_numbers(record_batch, shard_numbers, where))
                _spool_samples(samples_file, record_batch, video_count)
                video_count += record_batch.num_rows
            self.videos = _memory_map(videos_file, VIDEO_DTYPE)
            self.samples = _memory_map(samples_file, SAMPLE_DTYPE)

    def __len__(self) -> int:
        return len(self.samples)

    def video(self, video_number: int) -> VideoLocation:
        return VideoLocation(*self.videos[video_number].item())


VIDEO_DTYPE = np.dtype([(name, "<u4" if name == "shard" else "<i8") for name in VideoLocation._fields])
HINT = "fetch the folder again, or pack it anew"


def _batches(file: IO[bytes], where: str, column_names: list[str] | None = None) -> Iterable[pa.RecordBatch]:
    try:
        if not pq.ParquetFile(file).schema_arrow.equals(SCHEMA):
            raise InputError("this is no index of shards", where=where, hint=HINT)
        for record_batch in pieces(open_parquet(file, where), ROWS_PER_BATCH, where, column_names):
            _require_plausible(record_batch, where)
            yield record_batch
    except (pa.ArrowException, OSError, ValueError) as error:  # broken bytes raise now one, now another
        raise InputError(f"the index can't be read: {error}", where=where, hint=HINT) from None


def _require_plausible(batch: pa.RecordBatch, where: str) -> None:
    """Refuse rows with missing or impossible values, and texts that are no UTF-8."""
    batch.validate(full=True)  # Parquet doesn't look whether a text is UTF-8
    for column_name, column_array in zip(batch.schema.names, batch.columns, strict=True):
        min_plausible = 0
        max_plausible = 4 * MAX_MEMBER if column_name.endswith("size") else MAX_OFFSET  # a video has three members
        untyped_column: Any = column_array
        flat_values: Any = untyped_column.flatten() if pa.types.is_list(column_array.type) else untyped_column
        if column_array.null_count or flat_values.null_count:
            raise InputError(f"the index says nothing of {column_name}", where=where, hint=HINT)
        if pa.types.is_integer(flat_values.type) and len(flat_values):
            import pyarrow.compute as pc  # here: it takes as long to import as Arrow itself

            min_and_max: Any = pc.min_max(flat_values).as_py()
            if min_and_max["min"] < min_plausible or min_and_max["max"] > max_plausible:
                raise InputError(
                    f"the index says that {column_name} is {min_and_max['min']} to {min_and_max['max']}", where=where, hint=HINT
                )


def _texts(batch: pa.RecordBatch, column_name: str) -> list[str]:
    column_texts: list[Any] = batch.column(column_name).to_pylist()
    return column_texts


def _shard_numbers(batch: pa.RecordBatch, number_by_shard: dict[str, int], where: str) -> npt.NDArray[np.uint32]:
    shard_column = batch.column("shard").dictionary_encode()
    shard_names: list[Any] = shard_column.dictionary.to_pylist()
    unknown_shards = sorted(set(shard_names) - set(number_by_shard))
    if unknown_shards:
        raise InputError(f"the index names shards that there are not: {unknown_shards}", where=where, hint=HINT)
    return np.array([number_by_shard[shard_name] for shard_name in shard_names], np.uint32)[shard_column.indices.to_numpy()]


def _spool_videos(file: IO[bytes], batch: pa.RecordBatch, shard_numbers: npt.NDArray[np.uint32]) -> None:
    video_rows = np.empty(batch.num_rows, VIDEO_DTYPE)
    video_rows["shard"] = shard_numbers
    for column_name in VIDEO_DTYPE.names or ():
        if column_name != "shard":
            video_rows[column_name] = batch.column(column_name).to_numpy()
    file.write(video_rows.tobytes())


def _spool_samples(file: IO[bytes], batch: pa.RecordBatch, first_video: int) -> None:
    token_lists: Any = batch.column("visual_tokens")
    sample_counts = np.diff(token_lists.offsets.to_numpy())
    sample_rows = np.empty(int(sample_counts.sum()), SAMPLE_DTYPE)
    sample_rows["video"] = np.repeat(np.arange(first_video, first_video + len(sample_counts)), sample_counts)
    first_samples = np.cumsum(sample_counts) - sample_counts
    sample_rows["index"] = np.arange(len(sample_rows)) - np.repeat(first_samples, sample_counts)
    text_byte_lists: Any = batch.column("text_bytes")
    sample_rows["cost"] = token_lists.flatten().to_numpy() + text_byte_lists.flatten().to_numpy() // TEXT_BYTES_PER_TOKEN
    file.write(sample_rows.tobytes())


def _memory_map(file: IO[bytes], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    file.flush()
    if not file.tell():
        return np.empty(0, dtype)
    return np.memmap(file, dtype, mode="r")  # pyright: ignore[reportArgumentType, reportCallIssue] (any open file will do)
