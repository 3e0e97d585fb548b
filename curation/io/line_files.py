"""Files that lines are appended to: what was acknowledged is on the disk, and half a line is cut off before the next one."""

from __future__ import annotations

import os

BLOCK_BYTES = 65_536


def append_lines(descriptor: int, end: int, data: bytes) -> None:
    """Write whole lines at the end of a file; once this returns, they are on the disk."""
    try:
        written_bytes = 0
        while written_bytes < len(data):
            written_bytes += os.pwrite(descriptor, data[written_bytes:], end + written_bytes)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)  # half a line on a full disk must not join the next one
        raise


def cut_torn_line(descriptor: int) -> int:
    """Cut half a line that a kill left at the end: it was never acknowledged. Returns the end of what is left."""
    size = os.fstat(descriptor).st_size
    end = _end_of_lines(descriptor, size)
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def _end_of_lines(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return end
