"""Tables as bytes for another process: Arrow's own stream, which copies columns and no objects."""

from __future__ import annotations

import pyarrow as pa


def stream_of(table: pa.Table) -> pa.Buffer:
    """A table as one stream; only its own rows, where it is a slice of a larger one."""
    buffer_stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer_stream, table.schema) as stream_writer:
        stream_writer.write_table(table)
    return buffer_stream.getvalue()


def table_of(stream: pa.Buffer | bytes) -> pa.Table:
    """The table of a stream."""
    return pa.ipc.open_stream(stream).read_all()
