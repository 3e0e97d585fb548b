"""Ranges of the bytes of an open file, whichever storage it is on: read at once, or hashed piece by piece."""

from __future__ import annotations

import hashlib
from typing import IO

CHUNK_BYTES = 1 << 20


def read_range(file: IO[bytes], offset: int, size: int) -> bytes:
    """The bytes from `offset` on: fewer than `size` where the file ends before."""
    file.seek(offset)
    return file.read(size)


def sha256_of_range(file: IO[bytes], offset: int = 0, size: int | None = None) -> str:
    """The sha256 of the bytes from `offset` on; without `size` up to the end."""
    file.seek(offset)
    remaining, digest = size, hashlib.sha256()
    while remaining is None or remaining > 0:
        chunk = file.read(CHUNK_BYTES if remaining is None else min(CHUNK_BYTES, remaining))
        if not chunk:
            break
        digest.update(chunk)
        remaining = None if remaining is None else remaining - len(chunk)
    return digest.hexdigest()
