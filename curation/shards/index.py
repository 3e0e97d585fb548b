"""The index of a packed selection: where each video lies, what its members are, which samples it has and what they cost.

`index.parquet` is for DuckDB and for people: a row a video. A reader wants a few numbers of one sample among millions, at
random, and there are many readers. So it spools the numbers into a file without a name and maps that: its memory doesn't grow
with the corpus.
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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dmforge.curation.atomic import disk_errors, writing
from dmforge.curation.parquet import open_parquet, pieces
from dmforge.curation.shards.tars import MAX_MEMBER
from dmforge.schemas.errors import InputError

INDEX = "index.parquet"
SUFFIXES = ("coarse.mp4", "json", "mp4")
"""The members of a video, in their order."""
MAX_OFFSET = 1 << 50
"""Bytes of the largest shard, tokens of the longest text: a thousand times more than there will ever be."""
ROWS = 1024
"""Videos that are read at once, or become columns at once."""
GROUP = 1 << 13
"""Videos that are written at once: what a reader keeps of each group adds up."""


@dataclass(frozen=True, slots=True)
class Row:
    """A video in a shard."""

    shard: str
    key: str
    offset: int
    """Where its first header begins; its members lie one behind the other."""
    size: int
    """Up to where the next video begins."""
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
    """Of each sample: of all clips in its transcript."""
    text_bytes: tuple[int, ...]
    """Of each sample: of all texts in its transcript, and the stamps of its clips."""


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

SAMPLE = np.dtype([("video", "<u4"), ("nth", "<u4"), ("cost", "<i8")])
TEXT_BYTES_A_TOKEN = 3
"""A cautious guess; who has a tokenizer can count instead."""


def write_index(path: Path, rows: Iterable[Row]) -> str:
    """The index as a file; its sha256."""
    with writing(path) as file, pq.ParquetWriter(pa.PythonFile(file, "w"), SCHEMA, compression="zstd") as parquet:
        held: list[pa.Table] = []  # as columns, which take a fifth of what rows do
        for chunk in _chunks(rows):
            columns = {field.name: [getattr(row, field.name) for row in chunk] for field in fields(Row)}
            held.append(pa.table(columns, schema=SCHEMA))
            if len(held) == GROUP // ROWS:
                parquet.write_table(pa.concat_tables(held).combine_chunks())
                held.clear()
        if held:
            parquet.write_table(pa.concat_tables(held).combine_chunks())
    return file.sha256


def read_rows(file: IO[bytes], where: str) -> list[Row]:
    """Every row, of one shard after the other."""
    found: list[Row] = []
    for batch in _batches(file, where):
        for told in batch.to_pylist():
            found.append(_row(told))
    return found


def _row(told: dict[str, Any]) -> Row:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
    return Row(**values)


def row_of(path: Path, key: str) -> Row | None:
    """The row of one video, if it is there."""
    with disk_errors(path), path.open("rb") as file:
        for batch in _batches(file, str(path)):
            texts = _texts(batch, "key")
            if key in texts:
                (told,) = batch.slice(texts.index(key), 1).to_pylist()
                return _row(told)
    return None


def keys_of(folder: Path) -> set[str]:
    """The keys of all videos in a folder of shards."""
    path = folder / INDEX
    with disk_errors(path), path.open("rb") as file:
        return {key for batch in _batches(file, str(path)) for key in _texts(batch, "key")}


class Place(NamedTuple):
    """Where a video lies: what `Row` says, in numbers. The fields are those of `VIDEO`."""

    shard: int
    offset: int
    size: int
    coarse_offset: int
    coarse_size: int
    json_offset: int
    json_size: int
    grid_offset: int
    grid_size: int


class Places:
    """Where every sample lies, as mapped arrays: `videos`, and `samples` in the order of the shards."""

    def __init__(self, file: IO[bytes], shards: Sequence[str], where: str) -> None:
        numbers = {name: number for number, name in enumerate(shards)}
        with tempfile.TemporaryFile() as videos, tempfile.TemporaryFile() as samples:
            count = 0
            columns = [*(name for name in VIDEO.names or ()), "visual_tokens", "text_bytes"]
            for batch in _batches(file, where, columns):
                _spool_videos(videos, batch, _shard_numbers(batch, numbers, where))
                _spool_samples(samples, batch, count)
                count += batch.num_rows
            self.videos = _mapped(videos, VIDEO)
            self.samples = _mapped(samples, SAMPLE)

    def __len__(self) -> int:
        return len(self.samples)

    def video(self, number: int) -> Place:
        return Place(*self.videos[number].item())


VIDEO = np.dtype([(name, "<u4" if name == "shard" else "<i8") for name in Place._fields])
MEND = "fetch the folder again, or pack it anew"


def _chunks(rows: Iterable[Row]) -> Iterable[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _batches(file: IO[bytes], where: str, columns: list[str] | None = None) -> Iterable[pa.RecordBatch]:
    try:
        if not pq.ParquetFile(file).schema_arrow.equals(SCHEMA):
            raise InputError("this is no index of shards", where=where, mend=MEND)
        for batch in pieces(open_parquet(file, where), ROWS, where, columns):
            _refuse_nonsense(batch, where)
            yield batch
    except (pa.ArrowException, OSError, ValueError) as error:  # it says of broken bytes now this, now that
        raise InputError(f"the index can't be read: {error}", where=where, mend=MEND) from None


def _refuse_nonsense(batch: pa.RecordBatch, where: str) -> None:
    """Nothing is missing, and nothing lies before the beginning of a file or is larger than a member can be."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        least, most = 0, 4 * MAX_MEMBER if name.endswith("size") else MAX_OFFSET  # a video has three members
        told: Any = column
        values: Any = told.flatten() if pa.types.is_list(column.type) else told
        if column.null_count or values.null_count:
            raise InputError(f"the index says nothing of {name}", where=where, mend=MEND)
        if pa.types.is_integer(values.type) and len(values):
            bounds: Any = pc.min_max(values).as_py()
            if bounds["min"] < least or bounds["max"] > most:
                raise InputError(f"the index says that {name} is {bounds['min']} to {bounds['max']}", where=where, mend=MEND)


def _texts(batch: pa.RecordBatch, column: str) -> list[str]:
    texts: list[Any] = batch.column(column).to_pylist()
    return texts


def _shard_numbers(batch: pa.RecordBatch, numbers: dict[str, int], where: str) -> npt.NDArray[np.uint32]:
    column = batch.column("shard").dictionary_encode()
    names: list[Any] = column.dictionary.to_pylist()
    unknown = sorted(set(names) - set(numbers))
    if unknown:
        raise InputError(f"the index names shards that there are not: {unknown}", where=where, mend=MEND)
    return np.array([numbers[name] for name in names], np.uint32)[column.indices.to_numpy()]


def _spool_videos(file: IO[bytes], batch: pa.RecordBatch, shards: npt.NDArray[np.uint32]) -> None:
    rows = np.empty(batch.num_rows, VIDEO)
    rows["shard"] = shards
    for name in VIDEO.names or ():
        if name != "shard":
            rows[name] = batch.column(name).to_numpy()
    file.write(rows.tobytes())


def _spool_samples(file: IO[bytes], batch: pa.RecordBatch, first: int) -> None:
    tokens: Any = batch.column("visual_tokens")
    counts = np.diff(tokens.offsets.to_numpy())
    rows = np.empty(int(counts.sum()), SAMPLE)
    rows["video"] = np.repeat(np.arange(first, first + len(counts)), counts)
    starts = np.cumsum(counts) - counts
    rows["nth"] = np.arange(len(rows)) - np.repeat(starts, counts)
    texts: Any = batch.column("text_bytes")
    rows["cost"] = tokens.flatten().to_numpy() + texts.flatten().to_numpy() // TEXT_BYTES_A_TOKEN
    file.write(rows.tobytes())


def _mapped(file: IO[bytes], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    file.flush()
    if not file.tell():
        return np.empty(0, kind)
    return np.memmap(file, kind, mode="r")  # pyright: ignore[reportArgumentType, reportCallIssue] (any open file will do)
