"""A part is one immutable Parquet file of one table, known by its length, its sha256 and the sum of its ids."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import disk_errors, writing
from dmforge.curation.io.known_checksums import known_sha256
from dmforge.curation.lake.row_groups import regrouped
from dmforge.curation.lake.video_range import VideoRange, distinct_videos, range_of_file, video_column, video_range
from dmforge.schemas.columns import completed, id_matrix
from dmforge.schemas.errors import LakeError
from dmforge.schemas.records import TABLES, Outcome

if TYPE_CHECKING:
    from dmforge.schemas.columns import IdColumn

ROW_GROUP = 8_192
"""Rows of a row group: they are compressed together, and in memory together where parts are joined."""
NAME = re.compile(r"[a-z][a-z0-9_]*/part-[a-z0-9_-]+\.parquet")
"""Table and file."""
ANY_VIDEO = VideoRange()
"""Of parts whose commits don't say it."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How many ids a set has and what they sum to: equal extents are equal sets, since ids are digests."""

    count: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Extent) -> Extent:
        mask_64_bits = 2**64 - 1
        return Extent(self.count + other.count, (self.low + other.low) & mask_64_bits, (self.high + other.high) & mask_64_bits)

    @classmethod
    def of(cls, ids: IdColumn) -> Extent:
        """The extent of a column of ids. Two sums of 64 bits, modulo 2**64."""
        id_halves = id_matrix(ids).view("<u8").reshape(-1, 2)
        low, high = (int(half_sum) for half_sum in id_halves.sum(axis=0, dtype=np.uint64)) if len(id_halves) else (0, 0)
        return cls(len(id_halves), low, high)


def all_differ(ids: IdColumn) -> bool:
    """Whether the first eight bytes of all ids differ, and so the ids."""
    sorted_first_halves = np.sort(id_matrix(ids).view("<u8")[:, 0])
    return bool((sorted_first_halves[1:] != sorted_first_halves[:-1]).all())


@dataclass(frozen=True, slots=True)
class Part:
    """A part as its commit describes it."""

    table: str
    name: str
    rows: int
    size_bytes: int
    sha256: str
    low: int
    high: int
    videos: VideoRange = ANY_VIDEO
    """The videos that its rows are about."""

    def __post_init__(self) -> None:
        # a commit file could come from anywhere: its names must not lead out of the lake
        if not NAME.fullmatch(f"{self.table}/{self.name}"):
            raise ValueError(f"{self.table}/{self.name} is no part's name")

    @property
    def extent(self) -> Extent:
        return Extent(self.rows, self.low, self.high)

    def path(self, lake_folder: Path) -> Path:
        return lake_folder / self.table / self.name

    def check_size(self, lake_folder: Path) -> None:
        """Check that the file exists with its size: cheap, at every opening; catches missing and truncated parts."""
        part_path = self.path(lake_folder)
        size_bytes = part_path.stat().st_size if part_path.is_file() else None
        if size_bytes != self.size_bytes:
            size_fault = "is missing" if size_bytes is None else f"has {size_bytes} bytes"
            raise self._damage(lake_folder, f"the part {size_fault}; its commit says {self.size_bytes}")

    def check_bytes(self, lake_folder: Path) -> None:
        """Check the sha256 of the file: all of it is read, once a process as long as the file stays as it is."""
        part_path = self.path(lake_folder)
        with disk_errors(part_path):
            actual_sha256 = known_sha256(part_path)
        if actual_sha256 != self.sha256:
            raise self._damage(
                lake_folder, f"the part was changed: its sha256 is {actual_sha256}; its commit says {self.sha256}"
            )

    def _damage(self, lake_folder: Path, message: str) -> LakeError:
        """The error of a part that is not as its commit says."""
        naming_commits = [
            str(commit_path.relative_to(lake_folder.parent))
            for commit_path in sorted(lake_folder.glob("commits/*/*.json"))
            if self._is_named_in(commit_path)
        ]
        commit_names = " and ".join(naming_commits) or "the commit file that names it"
        hint = f"restore the file from a backup; or delete {commit_names}, and its batch will be done again"
        return LakeError(message, where=str(self.path(lake_folder)), hint=hint)

    def _is_named_in(self, commit_path: Path) -> bool:
        with disk_errors(commit_path):
            return f'"{self.name}"'.encode() in commit_path.read_bytes()


def id_column(table: str) -> str:
    """The column of ids whose extent a part records: outcomes count inputs, everything else its own rows."""
    return "input" if table == Outcome.table else "id"


def write_part(lake_folder: Path, table_name: str, file_name: str, row_chunks: Iterable[pa.Table]) -> Part | None:
    """Stream tables into one part, in row groups of one size whatever the sizes of the tables. None if there are no rows."""
    # combined, else pages would end where pieces did
    row_group_tables = (table.combine_chunks() for table in regrouped(row_chunks, ROW_GROUP))
    first_chunk = next(row_group_tables, None)
    if first_chunk is None:
        return None
    string_columns = [schema_field.name for schema_field in first_chunk.schema if pa.types.is_string(schema_field.type)]
    part_path, ids_extent = lake_folder / table_name / file_name, Extent()
    column_name, videos = video_column(table_name), list[np.ndarray]()
    with writing(part_path) as part_file:
        # a dictionary of ids would only be built to be thrown away; the stubs think that it is a bool
        parquet_writer = pq.ParquetWriter(
            pa.PythonFile(part_file, "w"), first_chunk.schema, compression="zstd", use_dictionary=cast("bool", string_columns)
        )
        with parquet_writer:
            for row_group_table in itertools.chain([first_chunk], row_group_tables):
                parquet_writer.write_table(row_group_table, row_group_size=ROW_GROUP)
                ids_extent += Extent.of(row_group_table.column(id_column(table_name)))
                if column_name is not None:
                    videos.append(distinct_videos(row_group_table.column(column_name)))
    return Part(
        table_name,
        file_name,
        ids_extent.count,
        part_file.size_bytes,
        part_file.sha256,
        ids_extent.low,
        ids_extent.high,
        video_range(videos),
    )


def read_part(lake_folder: Path, part: Part) -> Iterator[pa.Table]:
    """A part's rows a row group at a time, with the columns of today, after its bytes were checked."""
    part.check_bytes(lake_folder)
    record = TABLES.get(part.table)
    with pq.ParquetFile(part.path(lake_folder)) as parquet_file:
        for row_group_index in range(parquet_file.num_row_groups):
            group_rows = parquet_file.read_row_group(row_group_index)
            yield completed(record, group_rows) if record else group_rows


def videos_of(lake_folder: Path, part: Part) -> VideoRange:
    """The range of a part's videos: where its commit doesn't say it, its footer does."""
    return part.videos if part.videos.first else _stored_range(lake_folder, part)


@cache
def _stored_range(lake_folder: Path, part: Part) -> VideoRange:
    column_name = video_column(part.table)
    if column_name is None:
        return part.videos
    part.check_bytes(lake_folder)
    return range_of_file(part.path(lake_folder), column_name)


def check_parts(lake_folder: Path, parts: Sequence[Part]) -> None:
    """Hash parts, several at a time: a core does half a gigabyte to two a second."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as thread_pool:
        for check_future in [thread_pool.submit(part.check_bytes, lake_folder) for part in parts]:
            check_future.result()


@contextmanager
def naming_damaged_part(lake_folder: Path, parts: Sequence[Part]) -> Generator[None]:
    """A context for reads of parts that were not hashed before: where one can't be read, the error names the changed part."""
    try:
        yield
    except duckdb.InterruptException:
        raise
    except (OSError, pa.ArrowException, duckdb.Error):
        check_parts(lake_folder, parts)
        raise
