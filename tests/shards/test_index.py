"""An index that was spoilt is refused as such, whatever was spoilt in it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dmforge.curation.shards.index import INDEX, SCHEMA, keys_of
from dmforge.schemas.errors import InputError


def test_a_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    text = pa.StringArray.from_buffers(1, pa.array([0, 5], pa.int32()).buffers()[1], pa.py_buffer(b"a\xb0b\xffc"))
    number, numbers = pa.array([1]), pa.array([[1]])
    columns = [
        text if pa.types.is_string(field.type) else (numbers if pa.types.is_list(field.type) else number).cast(field.type)
        for field in SCHEMA
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), tmp_path / INDEX)
    with pytest.raises(InputError, match="Invalid UTF8"):
        keys_of(tmp_path)
