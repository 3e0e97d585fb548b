"""A spoilt footer of a Parquet file is refused, and never ends the process; of a sound one the same is read as Arrow reads."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dmforge.curation.io.parquet_footer import column_claims
from dmforge.schemas.errors import InputError

NUMBERS = range(300)
TABLE = pa.table({
    "number": list(NUMBERS), "text": list(map(str, NUMBERS)), "list": [[number, None] for number in NUMBERS],
    "struct": [{"x": number, "y": number % 2 == 0} for number in NUMBERS],
})  # fmt: skip
SPOIL = """
import io, random
import pyarrow as pa, pyarrow.parquet as pq
from dmforge.curation.io.foreign_parquet import open_parquet, pieces
from dmforge.schemas.errors import InputError
whole = io.BytesIO()
pq.write_table(pa.table({"shard": ["a"] * 3, "sizes": [[1, 2], [], [3]]}), whole)
data, draw, refused = whole.getvalue(), random.Random(7), 0
length = int.from_bytes(data[-8:-4], "little")
for _ in range(4000):
    spoilt = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        spoilt[-8 - draw.randint(1, length)] = draw.randrange(256)
    try:
        file = io.BytesIO(bytes(spoilt))
        sum(piece.num_rows for piece in pieces(open_parquet(file, "x"), 64, "x"))
    except (InputError, pa.ArrowException, OSError, ValueError):
        refused += 1
print(refused)
"""


def written(**settings: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(TABLE, file, **settings)
    return file


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"write_page_index": True},
        {"row_group_size": 7},
        {"version": "1.0"},
        {"compression": "zstd"},
        {"store_schema": False},
    ],
    ids=str,
)
def test_the_same_is_read_as_arrow_reads(settings: dict[str, Any]) -> None:
    file = written(**settings)
    metadata: Any = pq.ParquetFile(file).metadata
    columns = [
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    expected = [(column.num_values, column.total_uncompressed_size, column.total_compressed_size) for column in columns]
    assert [(claim.values, claim.unpacked_bytes, claim.packed_bytes) for claim in column_claims(file, "x")] == expected


def test_no_spoilt_footer_ends_the_process() -> None:
    """Arrow's own classes for column metadata do so, over statistics that don't fit."""
    done = subprocess.run([sys.executable, "-c", SPOIL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 1000


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"\0" * 100, b"PAR1" + b"\xff" * 60 + b"\x3c\0\0\0PAR1", b"PAR1\x1c" * 9 + b"PAR1"]
)
def test_what_is_no_footer_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        list(column_claims(io.BytesIO(data), "x"))
