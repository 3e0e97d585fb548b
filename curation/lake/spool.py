"""A spool for tables too large for memory: their rows wait in nameless scratch files until all are there."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import pyarrow as pa

from dmforge.curation.io.atomic import disk_errors


class Spool:
    """The rows of several tables, in the order in which they came. Gone when it is closed, or with the process."""

    def __init__(self) -> None:
        self._files: dict[str, io.IOBase] = {}
        self._writers: dict[str, pa.RecordBatchStreamWriter] = {}
        self._open_files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_files.close()

    def add(self, table_name: str, rows: pa.Table) -> None:
        with disk_errors(Path(tempfile.gettempdir())):
            if table_name not in self._files:
                table_file = self._open_files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (closed with the others)
                self._files[table_name] = cast("io.IOBase", table_file)
                self._writers[table_name] = pa.ipc.new_stream(self._files[table_name], rows.schema)
            self._writers[table_name].write_table(rows)

    def tables(self) -> Mapping[str, Iterator[pa.Table]]:
        """The rows of each table, to be read once: nothing can be added any more."""
        return {table_name: self._pieces(table_name) for table_name in self._files}

    def _pieces(self, table_name: str) -> Iterator[pa.Table]:
        self._writers[table_name].close()
        self._files[table_name].seek(0)
        with pa.ipc.open_stream(self._files[table_name]) as stream_reader:
            for row_batch in stream_reader:
                yield pa.Table.from_batches([row_batch])
