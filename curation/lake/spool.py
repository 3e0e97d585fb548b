"""Tables on their way into parts that are too large for memory: kept in nameless scratch files until all of them is there."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import pyarrow as pa

from dmforge.curation.atomic import disk_errors


class Spool:
    """Pieces of several tables, in the order in which they came. Gone when it is closed, or with the process."""

    def __init__(self) -> None:
        self._files: dict[str, io.IOBase] = {}
        self._writers: dict[str, pa.RecordBatchStreamWriter] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def add(self, table: str, piece: pa.Table) -> None:
        with disk_errors(Path(tempfile.gettempdir())):
            if table not in self._files:
                file = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (closed with the others)
                self._files[table] = cast("io.IOBase", file)
                self._writers[table] = pa.ipc.new_stream(self._files[table], piece.schema)
            self._writers[table].write_table(piece)

    def tables(self) -> Mapping[str, Iterator[pa.Table]]:
        """All of them, to be read once: nothing is added any more."""
        return {table: self._pieces(table) for table in self._files}

    def _pieces(self, table: str) -> Iterator[pa.Table]:
        self._writers[table].close()
        self._files[table].seek(0)
        with pa.ipc.open_stream(self._files[table]) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
