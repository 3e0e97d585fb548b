"""Ranges of the bytes of an open file, whichever storage it is on: read at once, or hashed piece by piece."""

from __future__ import annotations

import hashlib
from typing import IO

CHUNK_BYTES = 1 << 20


def read_range(file: IO[bytes], offset: int, byte_count: int) -> bytes:
    """The bytes from `offset` on: fewer than `byte_count` where the file ends before."""
    file.seek(offset)
    return file.read(byte_count)


def sha256_of_range(file: IO[bytes], offset: int = 0, byte_count: int | None = None) -> str:
    """The sha256 of the bytes from `offset` on; without `byte_count` up to the end."""
    file.seek(offset)
    bytes_left, sha256_hash = byte_count, hashlib.sha256()
    while bytes_left is None or bytes_left > 0:
        chunk = file.read(CHUNK_BYTES if bytes_left is None else min(CHUNK_BYTES, bytes_left))
        if not chunk:
            break
        sha256_hash.update(chunk)
        bytes_left = None if bytes_left is None else bytes_left - len(chunk)
    return sha256_hash.hexdigest()
